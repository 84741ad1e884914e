"""Releases: a revision for every change of the day, none for nothing."""

import json
from datetime import timedelta

import pytest

from jobs.department import DatasetsFailed
from tests.jobs.small_city import DAY, City


def test_a_release_names_the_version_of_every_table(city: City) -> None:
    city.declare("things", {"id": {"type": "integer"}}, key=["id"])
    city.deliver("things", "id\n1\nx\n")
    city.night()
    city.step("release")
    (release,) = city.book("releases")
    tables = {"bronze.town__things": 0, "silver.town__things": 0, "quarantine.town__things": 0}
    assert json.loads(release["tables"]) == tables
    assert (release["revision"], release["departments"], json.loads(release["failed"])) == (1, 1, [])


def test_nothing_new_makes_no_revision(city: City) -> None:
    city.declare("things", {"id": {"type": "integer"}})
    city.deliver("things", "id\n1\n")
    city.deliver("things", "", name="empty.csv")  # refused every time, said once
    city.night()
    city.step("release")
    city.night()
    city.step("release")
    assert [r["revision"] for r in city.book("releases")] == [1]
    assert city.last_run("release", "")["status"] == "unchanged"


def test_a_late_delivery_makes_the_next_revision(city: City) -> None:
    city.declare("things", {"id": {"type": "integer"}})
    city.deliver("things", "id\n1\n")
    city.night()
    city.step("release")
    city.deliver("things", "id\n2\n", name="late.csv")
    city.night()
    city.step("release")
    first, second = city.book("releases")
    assert second["revision"] == 2
    versions = [json.loads(row["tables"])["silver.town__things"] for row in (first, second)]
    table = city.table("silver", "things")
    assert [table.read(version=version).num_rows for version in versions] == [1, 2]
    assert city.book("releases", day=DAY + timedelta(days=1)) == []


def test_a_failed_department_is_named_and_then_not(city: City) -> None:
    city.declare("things", {"id": {"type": "integer"}})
    city.deliver("things", "id\n1\n")
    city.step("bring", DAY, "town")
    (city.home / "silver").mkdir(exist_ok=True)
    blocked = city.table("silver", "things").path
    blocked.write_text("")
    with pytest.raises(DatasetsFailed):
        city.step("clean", DAY, "town")
    blocked.unlink()
    city.step("release")
    city.step("clean", DAY, "town")
    city.step("release")
    assert [json.loads(r["failed"]) for r in city.book("releases")] == [["town"], []]


def test_a_table_that_can_not_be_opened_stays_as_last_released(city: City) -> None:
    city.declare("things", {"id": {"type": "integer"}})
    city.declare("others", {"id": {"type": "integer"}})
    for day in (DAY, DAY + timedelta(days=1)):
        for name in ("things", "others"):
            city.deliver(name, "id\n1\n", day=day)
        city.night(day)
        if day != DAY:
            log = sorted((city.table("silver", "things").path / "_delta_log").glob("*.json"))[-1]
            log.write_text("{")
        city.step("release", day)
    first, second = city.book("releases", day=None)
    assert json.loads(second["failed"]) == ["town"]
    tables = [json.loads(release["tables"]) for release in (first, second)]
    assert [each["silver.town__things"] for each in tables] == [0, 0]
    assert [each["silver.town__others"] for each in tables] == [0, 1]
