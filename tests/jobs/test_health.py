"""What doctor finds wrong with a lake, and that following its hint heals it."""

import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from jobs import health
from jobs.cli import call
from jobs.health import Finding
from lakehouse.damage import find
from lakehouse.settings import Settings
from lakehouse.table import Table
from tests.jobs.small_city import City, text_of
from tests.jobs.test_maintain import DAYS, SHOPS, deliver, night, town
from tests.jobs.test_restore import (
    contents,
    cut_last_commit,
    lose_a_commit,
    lose_a_file,
    lose_the_log,
)


@pytest.fixture
def lake(city: City) -> City:
    town(city)
    return city


def findings() -> dict[str, Finding]:
    """What isn't fine, by subject."""
    settings = Settings.from_environment()
    return {f.subject: f for f in (*health.lake(settings), health.clocks(settings)) if f.verdict != "fine"}


def follow(mend: str) -> None:
    """Run what a person would copy."""
    for command in mend.split("; "):
        words = shlex.split(command)
        if words[0] == "citylake":
            assert call([*words[1:], "--yes"] if words[1] == "restore" else words[1:]) == 0
        else:
            subprocess.run(command, shell=True, check=True)


def test_a_sound_lake_has_nothing_to_mend(lake: City) -> None:
    assert findings() == {}


@pytest.mark.parametrize("harm", [lose_a_commit, lose_a_file, lose_the_log])
def test_damaged_tables_are_named_and_the_hint_heals(
    lake: City, harm: Callable[[Table], None], capsys: pytest.CaptureFixture[str]
) -> None:
    whole = contents(lake)
    for name in ("bronze.town__shops", "silver.town__trees"):
        harm(Table(lake.home / name.replace(".", "/", 1)))
    found = findings()
    assert {"table bronze.town__shops", "table silver.town__trees"} == found.keys()
    assert {each.verdict for each in found.values()} == {"broken"}
    capsys.readouterr()
    for each in found.values():
        follow(each.mend)
    for line in capsys.readouterr().out.splitlines():
        if line.startswith("next "):
            follow(line.removeprefix("next").strip())
    assert findings() == {}
    assert contents(lake) == whole


@pytest.mark.parametrize("harm", [cut_last_commit, lose_a_file])
def test_damaged_books_can_be_mended(lake: City, harm: Callable[[Table], None]) -> None:
    whole = contents(lake)
    harm(Table(lake.home / "ops" / "deliveries"))
    follow(findings()["table ops.deliveries"].mend)
    assert find(Table(lake.home / "ops" / "deliveries")) is None
    for day in DAYS[:3]:
        night(lake, day)
    assert findings() == {}
    assert contents(lake) == whole
    deliver(lake, DAYS[3])
    night(lake, DAYS[3])


def test_a_raw_zone_that_is_open_or_anothers(lake: City) -> None:
    (lake.home / "bronze").chmod(0o755)
    found = findings()["raw zone"]
    assert "other users may read it" in found.said
    follow(found.mend)
    assert findings() == {}
    try:
        os.chown(lake.home / "silver", 12345, -1)
    except PermissionError:
        pytest.skip("only root can give a folder away")
    found = findings()["raw zone"]
    assert found.verdict == "broken" and "silver belongs to user 12345" in found.said
    follow(found.mend)
    assert findings() == {}


@pytest.fixture
def holder(lake: City) -> Iterator[subprocess.Popen[bytes]]:
    """Another process that writes to a table."""
    script = f"""
import sys, time
from pathlib import Path
from lakehouse.table import Table
with Table(Path({str(lake.home / "silver" / "town__shops")!r})).lock():
    print("locked", flush=True)
    time.sleep(60)
"""
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, cwd=Path(__file__).parents[2])
    assert process.stdout and process.stdout.readline() == b"locked\n"
    yield process
    process.kill()
    process.wait()


def test_who_holds_a_lock_is_named(holder: subprocess.Popen[bytes]) -> None:
    found = findings()["lock"]
    assert f"silver/town__shops held by process {holder.pid} since {datetime.now(UTC):%Y-%m-%d}" in found.said
    assert sys.executable in found.said
    follow(found.mend.partition("hangs: ")[2])
    holder.wait(10)
    assert findings() == {}


def test_left_overs_of_killed_runs(lake: City) -> None:
    for name in ("runs/dead", "spark/dead", "spill/.unnamed"):
        (lake.home / "staging" / name).mkdir(parents=True)
    os.utime(lake.home / "staging/spill/.unnamed", (time.time() - 7200,) * 2)
    found = findings()["staging"]
    assert "3 folders" in found.said
    follow(found.mend)
    assert findings() == {}


def test_a_disk_that_is_nearly_full(lake: City, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CITYLAKE_MIN_FREE_MB", "999999999")
    found = findings()["lake"]
    assert found.verdict == "broken" and "a night needs" in found.said and "citylake maintain" in found.mend


def test_a_clock_that_is_behind(lake: City, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CITYLAKE_NOW", "2026-03-01T08:00:00+08:00")
    assert "is before the last run" in findings()["clock"].said
    monkeypatch.setenv("CITYLAKE_NOW", "")
    later = time.time() + 400 * 86_400
    log = lake.home / "silver" / "town__shops" / "_delta_log"
    os.utime(log, (later, later))
    assert "is before the newest commit" in findings()["clock"].said


@pytest.mark.parametrize("name", ["a[1]", "a%20b", "a|b", "a^b", "a\\b"])
def test_a_folder_no_table_can_lie_in_is_refused(
    city: City, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    city.point()
    home = tmp_path / name / "lake"
    monkeypatch.setenv("CITYLAKE_HOME", str(home))
    assert call(["init"]) == 3
    said = capsys.readouterr().err
    assert "tables can't lie in a folder whose name holds" in said and said.count("\n") == 1
    assert not home.exists()
    assert findings()["lake"].verdict == "broken"


@pytest.mark.parametrize("name", ["a b", "南通", "100%", "a#b?c", "{a}", "a*b", "it's"])
def test_other_folders_are_taken(city: City, tmp_path: Path, name: str) -> None:
    city.home = tmp_path / name / "lake"
    city.declare("shops", SHOPS)
    city.deliver("shops", text_of(SHOPS, [["1", "one"]]))
    city.night()
    city.step("release")
    city.step("maintain")
    assert city.silver("shops", "name") == ["one"]
    assert findings() == {}


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 16 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(folder)], capture_output=True).returncode:
        pytest.skip("a small tmpfs can't be mounted here: run the tests as root where mounting is permitted")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_lake_that_can_not_be_written(city: City, disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CITYLAKE_MIN_FREE_MB", "1")
    city.home = disk / "lake"
    city.point()
    assert call(["init"]) == 0
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    found = findings()["lake"]
    assert found.verdict == "broken" and "can't be written (Read-only file system)" in found.said
    follow(found.mend)
    assert findings() == {}
