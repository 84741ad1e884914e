"""What comes after the night of its day."""

import json
from datetime import date, timedelta

import pytest

from jobs.steps import STEPS
from tests.jobs.small_city import DAY, City

NEXT = DAY + timedelta(days=1)
COLUMNS = {"id": {"type": "string"}, "n": {"type": "integer"}}
ONE = "id,n\na,1\n"


@pytest.fixture
def town(city: City) -> City:
    """Two datasets; of one nothing has come on the first of two released days."""
    city.declare("things", COLUMNS)
    city.declare("others", COLUMNS)
    for day in (DAY, NEXT):
        city.deliver("others", ONE + f"{day},2\n", day=day)
    city.deliver("things", "id,n\nb,2\n", day=NEXT)
    for day in (DAY, NEXT):
        city.night(day)
        city.step("release", day)
    return city


@pytest.fixture(autouse=True)
def without_spark(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobs.late.STEPS", {name: step for name, step in STEPS.items() if name != "geo_index"})


def asked(city: City) -> list[tuple[str, date]]:
    """Datasets that were looked for, and of which day, after the two nights."""
    rows = city.book("runs", day=None)
    return [(row["dataset"], row["day"]) for row in rows if row["step"] == "bring" and row["dataset"]][4:]


def revisions(city: City) -> list[tuple[date, int]]:
    return [(row["day"], row["revision"]) for row in city.book("releases", day=None)]


def test_what_came_late_is_released_with_its_day(town: City) -> None:
    town.step("late", NEXT)
    assert asked(town) == [("things", DAY)]
    assert revisions(town) == [(DAY, 1), (NEXT, 1)]
    town.deliver("things", ONE)
    town.step("late", NEXT)
    assert sorted(town.silver("things", "id", day=DAY)) == ["a"]
    assert revisions(town) == [(DAY, 1), (NEXT, 1), (DAY, 2)]
    newest = json.loads(town.book("releases", day=None)[-1]["tables"])
    assert newest["silver.town__things"] == town.table("silver", "things").version()
    assert [row["day"] for row in town.book("scores", day=None)][-1] == DAY
    town.step("late", NEXT)
    assert asked(town)[2:] == []


def test_days_too_long_ago_or_not_released_are_left_alone(town: City) -> None:
    town.deliver("things", ONE)
    town.declare("things", COLUMNS, arrives={"look_back": "0d"})
    town.step("late", NEXT)
    town.declare("things", COLUMNS, arrives={"look_back": "6d"})
    town.step("late", DAY + timedelta(days=7))
    assert asked(town) == []
    town.step("late", DAY + timedelta(days=6))
    assert asked(town) == [("things", DAY)]


def test_a_system_that_does_not_answer_is_asked_for_one_day(city: City, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lakehouse.sources.patience.ATTEMPTS", 1)
    city.declare("things", COLUMNS, source={"uri": "ftp://127.0.0.1:1/{day}/*.csv"})
    for day in (DAY, NEXT):
        city.step("release", day)
    city.step("late", NEXT)
    rows = [row for row in city.book("runs", day=None) if row["dataset"] == "things"]
    assert [(row["step"], row["day"], row["status"]) for row in rows] == [("bring", NEXT, "failed")]
