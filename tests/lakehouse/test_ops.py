"""The books: nothing noted is lost or invented, and rows come back oldest first."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from threading import Thread

import pytest

from lakehouse.ops import SCHEMAS, Ops
from lakehouse.runs import Run
from lakehouse.settings import Settings
from lakehouse.table import Table

DAY = date(2026, 3, 1)
NOW = datetime(2026, 3, 1, 20, tzinfo=UTC)


def test_a_book_before_its_first_row_is_empty(home: Path) -> None:
    for name in SCHEMAS:
        found = Ops(home).read(name)
        assert (found.num_rows, found.schema) == (0, SCHEMAS[name])


def test_noted_rows_appear_with_flush_and_once(home: Path) -> None:
    ops = Ops(home)
    ops.note("runs", at=NOW, run_id="r", day=DAY, status="succeeded")
    assert ops.read("runs").num_rows == 0
    ops.flush("r")
    ops.flush("r")
    (row,) = ops.read("runs").to_pylist()
    assert (row["status"], row["at"], row["error"]) == ("succeeded", NOW, None)
    assert Table(home / "ops" / "runs").version() == 0


def test_a_column_nobody_knows_is_refused(home: Path) -> None:
    with pytest.raises(KeyError, match=r"ops\.runs has no column colour"):
        Ops(home).note("runs", colour="red")


def test_rows_come_back_oldest_first_and_by_day(home: Path) -> None:
    ops = Ops(home)
    for number in (2, 0, 1):
        ops.note("results", at=NOW + timedelta(hours=number), day=DAY + timedelta(days=number), check_id=str(number))
        ops.flush("r")
    assert ops.read("results")["check_id"].to_pylist() == ["0", "1", "2"]
    assert ops.read("results", day=DAY)["check_id"].to_pylist() == ["0"]
    assert ops.read("results", since=DAY + timedelta(days=1))["check_id"].to_pylist() == ["1", "2"]
    assert ops.read("results", day=DAY - timedelta(days=9)).num_rows == 0


def test_rows_of_one_run_come_back_in_the_order_they_were_noted(home: Path) -> None:
    ops = Ops(home)
    for number in range(50):
        ops.note("runs", at=NOW, day=DAY, run_id="r", step=str(number))
    ops.flush("r")
    assert ops.read("runs")["step"].to_pylist() == [str(number) for number in range(50)]


def test_runs_told_the_same_instant_come_back_in_their_order(home: Path) -> None:
    settings, steps = Settings.from_environment(), ["clean", "bring", "score"] * 5
    for step in steps:
        run = Run.start(step, DAY, NOW, settings)
        run.ops.note("runs", at=run.now, day=DAY, run_id=run.id, step=step)
        run.close()
    assert Ops(home).read("runs")["step"].to_pylist() == steps


def test_threads_may_note_at_once(home: Path) -> None:
    ops = Ops(home)
    threads = [
        Thread(target=lambda who=who: [ops.note("runs", day=DAY, run_id=f"{who}-{n}") for n in range(200)])
        for who in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ops.flush("r")
    assert len(set(ops.read("runs")["run_id"].to_pylist())) == 800
