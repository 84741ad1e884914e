"""Which day is next, and what the books say about a night."""

import json
from datetime import UTC, date, datetime
from pathlib import Path

from jobs.night import delivered_days, next_day, night, releases
from lakehouse.ops import Ops
from lakehouse.settings import Settings
from tests.jobs.made_up import catalog, contract, delivered, released

MONDAY, TUESDAY = date(2026, 6, 1), date(2026, 6, 2)


def settings(home: Path) -> Settings:
    return Settings(home=home, catalog=home, inbox=home / "inbox")


def ran(ops: Ops, step: str, department: str, seconds: float, *, hour: int = 9, **told: object) -> None:
    at = datetime(2026, 6, 1, hour, tzinfo=UTC)
    row = {"at": at, "run_id": f"{step}{hour}", "step": step, "department": department, "dataset": "a", "day": MONDAY}
    ops.note("runs", **{**row, "status": "succeeded", "seconds": seconds, **told})


def test_days_are_folders_of_the_inbox_or_of_landing(tmp_path: Path) -> None:
    for folder in ("inbox/works/bridges/2026-06-02", "landing/works/bridges/2026-06-01", "inbox/works/bridges/readme"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "inbox/works/bridges/2026-06-03").write_text("a file is no day")
    assert delivered_days(settings(tmp_path)) == (MONDAY, TUESDAY)


def test_the_next_day_is_the_oldest_that_is_not_released(tmp_path: Path) -> None:
    ops = Ops(tmp_path)
    assert next_day(settings(tmp_path), ops) is None
    for day in (MONDAY, TUESDAY):
        (tmp_path / "inbox/works/bridges" / day.isoformat()).mkdir(parents=True)
    assert next_day(settings(tmp_path), ops) == MONDAY
    released(ops, MONDAY)
    ops.flush("release")
    assert next_day(settings(tmp_path), ops) == TUESDAY
    released(ops, TUESDAY)
    ops.flush("release")
    assert next_day(settings(tmp_path), ops) is None


def test_the_newest_revision_of_a_day_counts(tmp_path: Path) -> None:
    ops = Ops(tmp_path)
    released(ops, MONDAY, revision=2, hour=10)
    released(ops, MONDAY)
    ops.flush("release")
    assert releases(ops)[MONDAY].revision == 2


def test_a_night_adds_up_rows_and_seconds_of_the_newest_runs(tmp_path: Path) -> None:
    ops = Ops(tmp_path)
    a, b = contract("works", "a"), contract("parks", "b", arrives={"every": "week", "weekday": 2})
    delivered(ops, a, MONDAY, rows=10, quarantined=3)
    delivered(ops, b, MONDAY, event="missing", reason="nothing came")
    ran(ops, "bring", "works", 5.0, hour=8)
    ran(ops, "bring", "works", 1.5)
    ran(ops, "clean", "works", 2.0, status="failed", error="the disk is full")
    ran(ops, "release", "", 0.5, dataset="")
    for department, score in (("works", 80.0), ("", 75.0), ("parks", None)):
        where = {"department": department, "dataset": "", "dimension": "overall", "day": MONDAY}
        ops.note("scores", at=datetime(2026, 6, 1, 10, tzinfo=UTC), run_id="score", revision=1, score=score, **where)
    ops.flush("night")
    found = night(ops, catalog([a, b]), MONDAY)
    parks, works = found.departments
    assert (works.rows.received, works.rows.accepted, works.rows.quarantined) == (10, 7, 3) and works.rows == found.rows
    assert (works.delivered, works.datasets, parks.delivered, parks.datasets) == (1, 1, 0, 0)
    assert found.seconds == {"bring": 1.5, "clean": 2.0, "release": 0.5}
    assert works.failures == ("clean a: the disk is full",) and not parks.failures
    assert (found.score, works.score, parks.score, found.release) == (75.0, 80.0, None, None)
    assert [d.department.id for d in found.worst(3)] == ["works"]


def test_an_empty_night_is_all_zeros(tmp_path: Path) -> None:
    found = night(Ops(tmp_path), catalog([contract("works", "a")]), MONDAY)
    assert found.rows.received == 0 and found.seconds == {} and json.dumps(found.failures) == "[]"
