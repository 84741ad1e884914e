"""What to put right first."""

from datetime import timedelta
from pathlib import Path

import pytest

from expectations.checks import REGISTRY
from jobs.assess import assess, read_weights
from jobs.books import Books
from jobs.findings import findings, title, wording
from lakehouse.ops import Ops
from tests.jobs.made_up import DAY, at, catalog, checked, contract, delivered, released

FIRMS = contract("trade", "firms", title="企业 · firms")
SHOPS = contract("trade", "shops")


def found(ops: Ops, *contracts):
    ops.flush("test")
    city = catalog(contracts)
    assessment = assess(Books.read(ops, city, DAY), city, read_weights(city.path))
    return findings(assessment.items, assessment.tallies, {}, assessment.weights)


@pytest.fixture
def ops(home: Path) -> Ops:
    ops = Ops(home)
    released(ops, DAY, hour=50)
    return ops


def test_every_check_has_words_of_its_own():
    assert set(wording().checks) >= set(REGISTRY)


def test_an_unknown_check_goes_by_its_name():
    assert wording().of("expect_something").name.en == "expect_something"


def test_titles_by_language():
    assert (title(FIRMS).zh, title(FIRMS).en) == ("企业", "firms")
    assert (title(SHOPS).zh, title(SHOPS).en) == ("shops", "shops")


def test_the_largest_gain_comes_first(ops):
    delivered(ops, FIRMS, DAY, received_at=at(DAY, 7))
    checked(ops, FIRMS, DAY, "id.required", 99, 100)
    checked(ops, FIRMS, DAY, "name.required", 0, 100)
    delivered(ops, SHOPS, DAY, event="missing", reason="nothing matched *.csv")
    listed = found(ops, FIRMS, SHOPS)
    assert [(f.pillar, f.check) for f in listed] == [
        ("access", ""),
        ("timeliness", ""),
        ("quality", "name.required"),
        ("quality", "id.required"),
    ]
    assert listed[0].gain == pytest.approx(15)
    assert listed[0].message == "nothing matched *.csv"
    assert listed[1].gain == pytest.approx(25 * 0.3 / 2)
    assert listed[2].gain == pytest.approx(30 / 2 / 5 / 2)


def test_each_way_of_losing_time_has_its_own_name(ops):
    days = [DAY + timedelta(days=n) for n in range(5)]
    for day, told in zip(
        days,
        ({}, {"received_at": at(days[1], 7)}, {"event": "unchanged"}, {"event": "refused"}, {"event": "missing"}),
        strict=True,
    ):
        delivered(ops, FIRMS, day, **told)
        released(ops, day, hour=24 * 9)
    ops.flush("test")
    city = catalog([FIRMS])
    assessment = assess(Books.read(ops, city, days[-1]), city, read_weights(city.path))
    listed = findings(assessment.items, assessment.tallies, {}, assessment.weights)
    words = wording().deliveries
    assert {(f.name, f.failed, f.evaluated, f.day) for f in listed} == {
        (words["content"].name, 1, 5, days[1]),
        (words["unchanged"].name, 1, 5, days[2]),
        (words["refused"].name, 1, 5, days[3]),
        (words["nothing"].name, 1, 5, days[4]),
    }


def test_nothing_wrong_nothing_found(ops):
    delivered(ops, FIRMS, DAY)
    checked(ops, FIRMS, DAY, "id.required", 100, 100)
    assert found(ops, FIRMS) == ()


def test_a_rule_that_keeps_the_slice_from_being_served_is_named(ops):
    delivered(ops, FIRMS, DAY)
    checked(ops, FIRMS, DAY, "row_count", 0, 1, level="fail", message="12 rows, at least 1000 are expected")
    first = found(ops, FIRMS)[0]
    assert (first.pillar, first.message) == ("access", "12 rows, at least 1000 are expected")


def test_a_broken_check_of_ours_is_nothing_for_them_to_mend(ops):
    delivered(ops, FIRMS, DAY)
    checked(ops, FIRMS, DAY, "id.required", 0, 0, status="unknown")
    assert found(ops, FIRMS) == ()


def test_what_is_not_due_is_not_asked_for(ops):
    tomorrow = contract("trade", "later", arrives={"every": "day", "by": "05:00", "grace": "4d"})
    delivered(ops, tomorrow, DAY, event="missing", at=at(DAY, 8) + timedelta(minutes=1))
    assert found(ops, tomorrow) == ()
