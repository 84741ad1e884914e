"""Running days and looking at them: `run`, `backfill`, `status`, `deliveries`, `tables`, `scorecard`, `quarantine`."""

import io
import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from jobs.cli import call
from lakehouse.ops import Ops
from tests.jobs.cli.conftest import BRIDGES, HEADER

Deliver = Callable[[str, str, str], Path]
Told = Callable[..., Any]

DAY, NEXT = "2026-03-01", "2026-03-02"
GOOD = "B1,一号桥,13800000001,120\n"
BAD = "B2,,13800000002,80\n"


def backfill(first: str = DAY, last: str = DAY, *more: str) -> int:
    return call(["backfill", "--from", first, "--to", last, *more])


def test_a_day_runs_from_the_inbox_to_its_pages(
    catalog: Path, home: Path, deliver: Deliver, told: Told, capsys: pytest.CaptureFixture[str]
) -> None:
    deliver("works/bridges", DAY, HEADER + GOOD + BAD)
    assert told("status", "--next") == {"next": DAY}
    assert backfill() == 0
    assert "bring" in capsys.readouterr().err
    assert told("status", "--next") == {"next": None}
    night = told("status", "--night", DAY)
    assert night["rows"] == {"received": 2, "accepted": 1, "quarantined": 1, "unparsable": 0, "waiting": 0}
    assert [(d["id"], d["delivered"], d["datasets"]) for d in night["departments"]] == [
        ("works", 1, 1),
        ("parks", 0, 1),
    ]
    assert night["pages"] == str(home / "pages" / "index.html")
    assert {"bring", "clean", "release", "score"} <= night["seconds"].keys()
    assert call(["status", "--night", DAY]) == 0
    assert "2 rows in = 1 accepted + 1 quarantined + 0 unparsable" in capsys.readouterr().out


def test_piped_a_run_says_a_plain_line_for_each_step_and_dataset(
    catalog: Path, deliver: Deliver, capsys: pytest.CaptureFixture[str]
) -> None:
    deliver("works/bridges", DAY, HEADER + GOOD)
    assert backfill() == 0
    said = capsys.readouterr().err
    assert not re.search(r"[\x00-\x09\x0b-\x1f]", said)
    lines = [line.split() for line in said.splitlines()]
    for step in ("bring", "clean"):
        ended = [line[2:4] for line in lines if line[:2] == [DAY, step]]
        assert sorted(ended[:2]) == [["parks.trees", "unchanged"], ["works.bridges", "succeeded"]]
        assert ended[2] == ["2", "departments"]


def test_what_was_said_is_found_by_run_night_and_day(
    catalog: Path, deliver: Deliver, told: Told, capsys: pytest.CaptureFixture[str]
) -> None:
    deliver("works/bridges", DAY, HEADER + GOOD)
    backfill()
    (one,) = [e for e in told("logs", "--day", DAY) if (e.get("step"), e.get("dataset")) == ("clean", "works.bridges")]
    assert {e["run_id"] for e in told("logs", one["run_id"])} == {one["run_id"]}
    assert {e["step"] for e in told("logs", one["night"])} > {"bring", "clean", "score"}
    assert told("logs", "nobody") == told("logs", "--day", NEXT) == []
    assert call(["logs", one["run_id"]]) == 0
    shown = capsys.readouterr().out
    assert "works.bridges" in shown and "status=succeeded" in shown and "department=" not in shown


def test_a_terminal_shows_how_far_a_step_is(catalog: Path, deliver: Deliver, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    deliver("works/bridges", DAY, HEADER + GOOD)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("sys.stderr", terminal := Terminal())
    assert call(["run", "bring", "--day", DAY]) == 0
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.getvalue())
    assert "2/2" in shown and "parks.trees" in shown
    assert shown.splitlines()[-1].split()[:4] == [DAY, "bring", "2", "departments"]


def test_a_score_a_little_short_of_100_is_never_shown_as_100(
    catalog: Path, home: Path, deliver: Deliver, capsys: pytest.CaptureFixture[str]
) -> None:
    now, day = datetime(2026, 3, 1, 12, tzinfo=UTC), date.fromisoformat(DAY)
    ops = Ops(home)
    for department, score in (("works", 99.96), ("", 100.0)):
        place = {"department": department, "dataset": "", "dimension": "overall", "revision": 1}
        ops.note("scores", at=now, run_id="score", day=day, score=score, **place)
    ops.flush("score")
    assert call(["status", "--night", DAY]) == 0
    works, all_ = (line for line in capsys.readouterr().out.splitlines() if "works " in line or line.startswith("all"))
    assert (works.split()[-1], all_.split()[-1]) == ("99.9", "100.0")


def test_the_books_say_what_arrived_and_what_did_not(catalog: Path, deliver: Deliver, told: Told) -> None:
    deliver("works/bridges", DAY, HEADER + GOOD + BAD)
    backfill()
    trees, bridges = told("deliveries", "--day", DAY)
    assert (trees["dataset"], trees["event"]) == ("parks.trees", "missing") and trees["reason"]
    assert (bridges["name"], bridges["event"], bridges["rows_in"]) == ("bridges.csv", "cleaned", 2)
    assert (bridges["accepted"], bridges["quarantined"], bridges["unparsable"]) == (1, 1, 0)
    assert told("deliveries", "--dataset", "parks.trees", "--day", NEXT) == []


def test_the_books_say_what_was_replaced_or_came_twice(catalog: Path, deliver: Deliver, told: Told) -> None:
    def events() -> list[tuple[str, str, int | None]]:
        found = told("deliveries", "--day", DAY, "--dataset", "works.bridges")
        return sorted((row["name"], row["event"], row["accepted"]) for row in found)

    deliver("works/bridges", DAY, HEADER + GOOD)
    backfill()
    path = deliver("works/bridges", DAY, HEADER + GOOD + BAD)
    path.with_name("again.csv").write_text(path.read_text("utf-8"), "utf-8")
    backfill()
    assert events() == [
        ("again.csv", "cleaned", 1), ("bridges.csv", "duplicate_of", None), ("bridges.csv", "superseded", 1),
    ]  # fmt: skip
    assert told("status", "--night", DAY)["rows"]["received"] == 2


def test_tables_have_rows_versions_and_engines(catalog: Path, deliver: Deliver, told: Told) -> None:
    assert told("tables") == []
    deliver("works/bridges", DAY, HEADER + GOOD + BAD)
    backfill()
    found = {(t["layer"], t["table"]): t for t in told("tables")}
    assert found["bronze", "works__bridges"]["rows"] == 2
    silver = found["silver", "works__bridges"]
    assert (silver["rows"], silver["days"], silver["engine"]) == (1, [DAY], "embedded")
    assert ("ops", "releases") in found


def test_a_second_backfill_changes_no_table_of_rows(catalog: Path, deliver: Deliver, told: Told) -> None:
    deliver("works/bridges", DAY, HEADER + GOOD)
    backfill()
    before = {t["table"]: t["version"] for t in told("tables") if t["layer"] != "ops"}
    backfill()
    assert {t["table"]: t["version"] for t in told("tables") if t["layer"] != "ops"} == before
    backfill(DAY, DAY, "--force")
    assert {t["table"]: t["version"] for t in told("tables") if t["layer"] != "ops"} != before


def test_one_department_that_fails_stops_no_other(
    catalog: Path, home: Path, deliver: Deliver, told: Told, capsys: pytest.CaptureFixture[str]
) -> None:
    deliver("works/bridges", DAY, HEADER + GOOD)
    deliver("parks/trees", DAY, "id\nT1\n")
    (home / "landing" / "works").mkdir(parents=True)
    (home / "landing" / "works" / "bridges").write_text("in the way")
    assert backfill() == 1
    assert f"{DAY} bring works" in capsys.readouterr().err
    (status,) = told("status")
    assert (status["revision"], status["failed"]) == (1, ["works"])
    assert [d["event"] for d in told("deliveries", "--dataset", "parks.trees")] == ["cleaned"]


def test_held_back_rows_are_listed_shown_masked_and_replayed(
    catalog: Path, deliver: Deliver, told: Told, capsys: pytest.CaptureFixture[str]
) -> None:
    deliver("works/bridges", DAY, HEADER + GOOD + BAD)
    backfill()
    assert told("quarantine", "list") == [{"day": DAY, "dataset": "works.bridges", "check": "name.required", "rows": 1}]
    show = ("quarantine", "show", "works.bridges", "--day", DAY)
    (row,) = told(*show)
    assert (row["row"], row["errors"], row["values"]["id"]) == (3, ["name.required"], "B2")
    assert "13800000002" not in str(row)
    (raw,) = told(*show, "--raw")
    assert raw["values"]["phone"] == "13800000002"
    replay = ["quarantine", "replay", "works.bridges", "--day", DAY]
    capsys.readouterr()
    assert call(replay) == 0
    assert "1 rows held back as before" in capsys.readouterr().out
    mended = BRIDGES.replace(", required: true", "")
    (catalog / "contracts/works/bridges.yml").write_text(mended, "utf-8")
    assert call(replay) == 0
    assert "1 moved on to silver" in capsys.readouterr().out
    assert told("quarantine", "list") == []


def test_a_scorecard_is_shown_and_written(
    catalog: Path, home: Path, tmp_path: Path, deliver: Deliver, told: Told, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(["scorecard"]) == 2
    deliver("works/bridges", DAY, HEADER + GOOD)
    deliver("works/bridges", NEXT, HEADER + GOOD + BAD)
    backfill(DAY, NEXT)
    assert told("scorecard")["edition"]["day"] == NEXT
    assert told("scorecard", "--department", "works")["id"] == "works"
    current = (home / "pages" / "index.html").read_bytes()
    assert call(["scorecard", "--day", DAY, "--out", str(tmp_path / "old")]) == 0
    assert str(tmp_path / "old" / "index.html") in capsys.readouterr().out
    assert (home / "pages" / "index.html").read_bytes() == current


def test_status_of_an_empty_lake_says_how_to_begin(catalog: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["status"]) == 0
    assert "citylake sample deliver" in capsys.readouterr().out
    assert call(["status", "--next"]) == 0
    assert capsys.readouterr().out == ""
