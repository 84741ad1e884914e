import hashlib
from pathlib import Path

import pytest

from lakehouse.engine import jars
from lakehouse.errors import EnvironmentFault, SourceUnavailable

CONTENT = b"a library"


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder for the JARs, and a list that names one."""
    wanted = tmp_path / "jars.txt"
    wanted.write_text(f"# a comment\n\norg.example:lib_2.13:1.0 {hashlib.sha256(CONTENT).hexdigest()}\n")
    monkeypatch.setattr(jars, "LIST", wanted)
    monkeypatch.setenv("CITYLAKE_JARS", str(tmp_path / "kept"))
    return tmp_path / "kept"


@pytest.fixture
def java(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for Java that brings the bytes of this file, under the name asked for; nothing while it is missing."""
    brought = tmp_path / "brought"
    program = tmp_path / "jdk" / "bin" / "java"
    program.parent.mkdir(parents=True)
    program.write_text(
        '#!/bin/sh\nfor word; do last="$word"; case "$word" in */\\[artifact*) to="${word%/*}";; esac; done\n'
        f'cp {brought} "$to/lib_2.13-1.0.jar"\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "jdk"))
    return brought


def test_the_projects_own_list_is_well_formed() -> None:
    listed = jars.listed()
    assert {"delta-storage", "geotools-wrapper"} <= {jar.artifact for jar in listed}
    assert all(len(jar.sha256) == 64 for jar in listed)


def test_missing_jars_name_the_command_that_brings_them(kept: Path) -> None:
    with pytest.raises(EnvironmentFault, match=r"lib_2\.13-1\.0\.jar.*python -m lakehouse\.engine\.jars"):
        jars.jar_paths()


def test_a_jar_is_brought_once(kept: Path, java: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    java.write_bytes(CONTENT)
    assert jars.fetch() == [kept / "lib_2.13-1.0.jar"] == jars.jar_paths()
    java.unlink()
    assert jars.fetch() == [kept / "lib_2.13-1.0.jar"]
    assert [path.name for path in kept.iterdir()] == ["lib_2.13-1.0.jar"]


def test_a_damaged_jar_is_brought_again(kept: Path, java: Path) -> None:
    java.write_bytes(CONTENT)
    kept.mkdir()
    (kept / "lib_2.13-1.0.jar").write_bytes(b"half a libr")
    (path,) = jars.fetch()
    assert path.read_bytes() == CONTENT


def test_another_file_under_that_name_is_refused(kept: Path, java: Path) -> None:
    java.write_bytes(b"something else")
    with pytest.raises(EnvironmentFault, match="sha256"):
        jars.fetch()
    assert list(kept.iterdir()) == []


def test_no_network_is_said_in_one_line(kept: Path, java: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tenacity.nap.time.sleep", lambda seconds: None)
    with pytest.raises(SourceUnavailable, match="can't be fetched") as caught:
        jars.fetch()
    assert "\n" not in str(caught.value)
    assert list(kept.iterdir()) == []
