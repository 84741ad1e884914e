"""`citylake init` and `citylake doctor`."""

import fcntl
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jobs.cli import call
from jobs.cli.sample import needs_servers
from lakehouse.engine import jars, server
from lakehouse.layout import RAW_ZONE

Told = Callable[..., Any]


def test_init_closes_the_raw_zone_and_may_be_repeated(catalog: Path, home: Path) -> None:
    (home / "landing").mkdir(mode=0o755)
    assert call(["init"]) == 0
    (home / "inbox" / "kept").write_text("kept")
    assert call(["init"]) == 0
    assert {(home / name).stat().st_mode & 0o777 for name in RAW_ZONE} == {0o700}
    assert (home / "inbox" / "kept").exists()


def test_a_lake_that_can_not_be_made_is_3(catalog: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "file").write_text("")
    monkeypatch.setenv("CITYLAKE_HOME", str(home / "file"))
    assert call(["init"]) == 3


def test_doctor_names_what_is_broken_and_the_mend(
    catalog: Path, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("JAVA_HOME", str(home))
    (catalog / "contracts/works/bridges.yml").write_text("title: x\n", "utf-8")
    assert call(["doctor"]) == 3
    shown = capsys.readouterr().out
    assert "BROKEN  Java: missing" in shown and "mend it: apt-get install" in shown
    assert "BROKEN  catalogue" in shown and "citylake contract check" in shown
    assert "ok      Python" in shown


def test_doctor_sees_a_clock_behind_the_books(
    catalog: Path, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CITYLAKE_NOW", "2026-03-02T08:00:00+08:00")
    assert call(["run", "bring", "--day", "2026-03-01"]) == 0
    monkeypatch.setenv("CITYLAKE_NOW", "2026-03-01T08:00:00+08:00")
    call(["doctor"])
    assert "BROKEN  clock" in capsys.readouterr().out


def test_doctor_asks_after_connections(
    catalog: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = catalog / "contracts/parks/trees.yml"
    source = "source: {type: postgres, connection: parks_db, table: trees}"
    path.write_text(
        path.read_text("utf-8").replace('source: {type: file, uri: "{inbox}/parks/trees/{day}/*.csv"}', source)
    )
    call(["doctor"])
    assert "CITYLAKE_CONN_PARKS_DB" in capsys.readouterr().out
    monkeypatch.setenv("CITYLAKE_CONN_PARKS_DB", "postgresql://user:secret@localhost/db")
    call(["doctor"])
    shown = capsys.readouterr().out
    assert "connection parks_db: set, for 1 datasets" in shown and "secret" not in shown


def test_the_samples_servers_need_the_samples_deliveries(catalog: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["sample", "serve"]) == 2
    assert "citylake sample deliver" in capsys.readouterr().err


def test_servers_are_started_only_where_nobody_has_set_their_connections(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not needs_servers(home)
    (home / "sample").mkdir()
    assert needs_servers(home)
    monkeypatch.setenv("CITYLAKE_CONN_SAMPLE_API", "http://localhost")
    assert not needs_servers(home)


def test_doctor_names_an_engine_that_doesnt_answer_and_damaged_jars(
    catalog: Path, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CITYLAKE_JARS", str(tmp_path / "jars"))
    (tmp_path / "jars").mkdir()
    for jar in jars.listed():
        (tmp_path / "jars" / jar.name).write_bytes(b"half a library")
    asked = {"keeper": 4711, "code": "1", "spark": "4", "started_at": "yesterday", "idle_s": None}
    with (server.folder(home) / "server.json").open("w") as record:
        json.dump({**asked, "memory_mb": 1024, "threads": 2, "pid": 4712, "port": 1}, record)
        record.flush()
        fcntl.flock(record, fcntl.LOCK_EX)
        assert call(["doctor"]) == 3
    shown = capsys.readouterr().out
    assert "BROKEN  Spark engine: process 4712 since yesterday holds the lake's engine and doesn't answer" in shown
    assert "mend it: citylake engine stop" in shown
    assert "BROKEN  JARs: not as listed" in shown and "-m lakehouse.engine.jars" in shown
