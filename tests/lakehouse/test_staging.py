import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lakehouse import staging
from lakehouse.errors import LakeError

HOLDER = """
import sys, time
from pathlib import Path
from lakehouse import staging
staging.claim(Path(sys.argv[1]), "runs", "other")
print("claimed", flush=True)
time.sleep(60)
"""


def folders(home: Path) -> set[str]:
    return {path.name for path in (home / "staging" / "runs").iterdir()}


def test_a_claimed_folder_is_the_same_until_it_is_released(tmp_path: Path) -> None:
    path = staging.claim(tmp_path, "runs", "one")
    assert staging.claim(tmp_path, "runs", "one") == path
    assert path.stat().st_mode & 0o777 == 0o700
    (path / "file").write_text("x")
    staging.release(tmp_path, "runs", "one")
    staging.release(tmp_path, "runs", "one")
    assert folders(tmp_path) == set()


def test_a_sweep_takes_what_a_killed_process_left_and_nothing_else(tmp_path: Path) -> None:
    staging.claim(tmp_path, "runs", "ours")
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE) as other:
        assert other.stdout
        other.stdout.readline()
        staging.sweep(tmp_path)
        assert folders(tmp_path) == {"ours", "other"}
        os.kill(other.pid, signal.SIGKILL)
    staging.sweep(tmp_path)
    assert folders(tmp_path) == {"ours"}
    staging.release(tmp_path, "runs", "ours")


def test_a_sweep_of_a_new_lake_does_nothing(tmp_path: Path) -> None:
    staging.sweep(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "staging").write_text("in the way")
    with pytest.raises(LakeError, match=r"runs/one: can't be made .*; free space or mend the folder"):
        staging.claim(tmp_path, "runs", "one")


def test_a_folder_that_gets_its_name_during_a_sweep_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = tmp_path / "staging" / "runs" / ".new"
    new.mkdir(parents=True)
    glob = Path.glob

    def then_named(folder: Path, pattern: str) -> list[Path]:
        found = list(glob(folder, pattern))
        if new in found:
            new.rename(new.with_name("run"))
        return found

    monkeypatch.setattr(Path, "glob", then_named)
    staging.sweep(tmp_path)
    assert new.with_name("run").exists()
