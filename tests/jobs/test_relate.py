"""Checks that look into another dataset: what they judge, what they leave alone, and that they say it once."""

from datetime import timedelta
from typing import Any

import pytest

from tests.jobs.small_city import DAY, City, text_of

NEXT = DAY + timedelta(days=1)
FIRMS = {"uscc": {"type": "string"}, "name": {"type": "string"}, "staff": {"type": "integer"}}
PERMITS: dict[str, Any] = {
    "id": {"type": "string"},
    "uscc": {"type": "string", "references": "market.firms.uscc", "class": "sensitive"},
    "firm": {"type": "string"},
    "workers": {"type": "integer"},
}
AGREES = {"dataset": "market.firms", "on": {"uscc": "uscc"}, "left": "firm", "op": "==", "right": "name"}


def declared(city: City, **firms: Any) -> None:
    city.departments("town", "market")
    city.declare("firms", FIRMS, department="market", **{"load": "snapshot", "key": ["uscc"], **firms})
    fewer = {**AGREES, "name": "staff", "left": "workers", "op": "<=", "right": "staff"}
    city.declare("permits", PERMITS, key=["id", "uscc"], expect={"warn": [{"agrees": AGREES}, {"agrees": fewer}]})
    city.deliver("firms", "uscc,name,staff\nA1,Ant,5\nB2,Bee,\n,Nobody,1\n")
    rows = [
        ["1", "A1", "Ant", 5],
        ["2", "A1", "Aunt", 6],
        ["3", "B2", "", 9],
        ["4", "Z9", "Zebra", 1],
        ["5", "B2", "Bee", ""],
    ]
    city.deliver("permits", text_of(PERMITS, rows))


def night(city: City) -> None:
    for step in ("bring", "clean"):
        city.step(step, DAY, "market")
        city.step(step, DAY, "town")
    city.step("relate")


def test_references_and_agreement(city: City) -> None:
    declared(city)
    night(city)
    results = city.results("permits")
    assert results["uscc.references"] == ("failed", 5, 4)
    assert results["agrees(uscc,firm)"] == ("failed", 3, 2)  # 3 has no name, 4 no firm
    assert results["agrees(staff)"] == ("failed", 2, 1)  # B2 says no staff, 5 no workers
    failing = {(r["check_id"], r["source_row"], r["key"]) for r in city.book("failing_keys", "permits")}
    assert failing == {
        ("uscc.references", 5, "id=4, uscc=Z*"),
        ("agrees(uscc,firm)", 3, "id=2, uscc=A*"),
        ("agrees(staff)", 3, "id=2, uscc=A*"),
    }
    assert len(city.silver("permits")) == 5
    assert city.quarantine("permits") == []


def test_where_they_belong(city: City) -> None:
    declared(city)
    night(city)
    kinds = {r["check"]: (r["dimension"], r["indicator"]) for r in city.book("results", "permits")}
    assert kinds["references"] == ("consistent", "0402")
    assert kinds["agrees"] == ("consistent", "0401")


def test_a_second_run_says_nothing_new(city: City) -> None:
    declared(city)
    night(city)
    before = len(city.book("results"))
    city.step("relate")
    assert city.last_run("relate", "")["status"] == "unchanged"
    assert len(city.book("results")) == before
    city.deliver("permits", text_of(PERMITS, [["6", "A1", "Ant", 1]]), name="more.csv")
    night(city)
    assert city.last_run("relate", "")["status"] == "succeeded"
    assert city.results("permits")["uscc.references"] == ("failed", 6, 5)


def test_unknown_without_a_version_of_the_other_side(city: City) -> None:
    declared(city)
    city.step("bring", DAY, "town")
    city.step("clean", DAY, "town")
    city.step("relate")
    assert city.results("permits")["uscc.references"] == ("unknown", 0, 0)
    assert city.results("permits")["agrees(staff)"] == ("unknown", 0, 0)
    (message, *_) = [r["message"] for r in city.book("results", "permits") if r["check_id"] == "uscc.references"]
    assert message == "market.firms has no version yet"
    night(city)
    assert city.results("permits")["uscc.references"] == ("failed", 5, 4)


def test_the_last_good_version_of_the_other_side_stands_in(city: City) -> None:
    declared(city, expect={"fail": [{"row_count": {"min": 2}}]})
    night(city)
    city.deliver("firms", "uscc,name,staff\n", day=NEXT)
    city.deliver("permits", text_of(PERMITS, [["1", "A1", "Ant", 5]]), day=NEXT)
    for step in ("bring", "clean"):
        city.step(step, NEXT, "market")
        city.step(step, NEXT, "town")
    city.step("relate", NEXT)
    assert city.results("permits", day=NEXT)["uscc.references"] == ("passed", 1, 1)


def test_a_later_day_does_not_reach_back(city: City) -> None:
    declared(city)
    city.deliver("firms", "uscc,name,staff\nZ9,Zebra,1\n", day=NEXT)
    for step in ("bring", "clean"):
        city.step(step, NEXT, "market")
    night(city)
    assert city.results("permits")["uscc.references"] == ("failed", 5, 4)


def test_a_row_that_meets_several_counts_once(city: City) -> None:
    declared(city, load="append", key=[])
    city.deliver("firms", "uscc,name,staff\nA1,Ant,5\nA1,Antony,7\nB2,Bee,1\n")
    night(city)
    assert city.results("permits")["agrees(uscc,firm)"] == ("failed", 3, 1)


def test_an_upserted_dataset_is_judged_by_its_rows_of_the_day(city: City) -> None:
    city.departments("town", "market")
    city.declare("firms", FIRMS, department="market")
    columns = {
        "id": {"type": "string"},
        "at": {"type": "timestamp"},
        "uscc": {"type": "string", "references": "market.firms.uscc"},
    }
    city.declare("cases", columns, load="upsert", key=["id"], order="at")
    city.deliver("firms", "uscc,name,staff\nA1,Ant,5\n")
    city.deliver("cases", "id,at,uscc\n1,2026-03-02,A1\n2,2026-03-02,Z9\n")
    night(city)
    assert city.results("cases")["uscc.references"] == ("failed", 2, 1)


def cases(city: City) -> None:
    """Two days of a dataset that is upserted, whose cases name firms."""
    city.departments("town", "market")
    city.declare("firms", FIRMS, department="market", load="upsert", key=["uscc"], order="staff")
    columns = {"id": {"type": "string"}, "uscc": {"type": "string", "references": "market.firms.uscc"}}
    city.declare("cases", columns)
    for day, uscc in ((DAY, "A1"), (NEXT, "B2")):
        city.deliver("firms", f"uscc,name,staff\n{uscc},Ant,5\n", day=day)
        city.deliver("cases", "id,uscc\n1,A1\n2,B2\n", day=day)
        for step in ("bring", "clean"):
            city.step(step, day, "market")
            city.step(step, day, "town")
        city.step("relate", day)


def test_what_later_days_upserted_is_nothing_to_a_day(city: City) -> None:
    cases(city)
    assert city.results("cases")["uscc.references"] == ("failed", 2, 1)
    assert city.results("cases", day=NEXT)["uscc.references"] == ("passed", 2, 2)
    city.step("relate", DAY)
    assert city.last_run("relate", "")["status"] == "unchanged"
    city.step("relate", DAY, forced=True)  # the firms as that day left them
    assert city.results("cases")["uscc.references"] == ("failed", 2, 1)
    city.deliver("firms", "uscc,name,staff\nC3,Cicada,5\n", day=DAY, name="late.csv")
    city.night(DAY, "market")
    city.step("relate", DAY)  # what came late was added to all days' rows
    assert city.results("cases")["uscc.references"] == ("passed", 2, 2)


def test_joined_files_are_no_news(city: City) -> None:
    cases(city)
    for table in (city.table("silver", "firms", "market"), city.table("silver", "cases")):
        before, version = table.files(), table.version()
        table.open().optimize.z_order(["_source_row"])
        assert (table.version() or 0) > (version or 0) and set(table.files()).isdisjoint(before)
    for day in (DAY, NEXT):
        city.step("relate", day)
        assert city.last_run("relate", "", day=day)["status"] == "unchanged"


@pytest.mark.parametrize("wrong", [{"expect": {"warn": [{"agreees": {}}]}}, {"gx": [{"expect_nothing": {}}]}])
def test_a_wrong_check_of_one_dataset_stops_no_other(city: City, wrong: dict[str, Any]) -> None:
    declared(city)
    city.declare("plots", {"id": {"type": "string"}})
    city.deliver("plots", "id\n1\n")
    night(city)
    city.declare("plots", {"id": {"type": "string"}}, **wrong)
    for step in ("relate", "gx", "release", "score"):
        city.step(step, forced=True)  # raises what failed
    assert city.results("permits")["uscc.references"] == ("failed", 5, 4)
