"""Expectations under `gx:`: run on what silver accepted, once, and never in the way of the night."""

from collections.abc import Iterator
from typing import Any

import pytest
from pyspark.sql import SparkSession

from jobs import gx
from tests.jobs.small_city import DAY, City, text_of

COLUMNS: dict[str, Any] = {
    "plate": {"type": "string", "class": "sensitive", "required": True},
    "out": {"type": "timestamp"},
    "back": {"type": "timestamp"},
    "load_t": {"type": "decimal"},
    "trips": {"type": "integer"},
}
ROWS = [
    ["苏F12345", "2026-03-02 08:00:00", "2026-03-02 09:00:00", "10.5", "1"],
    ["苏F12346", "2026-03-02 08:00:00", "2026-03-02 07:00:00", "20", "2"],
    ["", "2026-03-02 08:00:00", "2026-03-01 09:00:00", "99", "3"],
    ["苏F12347", "", "2026-03-02 09:00:00", "", ""],
    ["苏F12348", "2026-03-02 08:00:00", "2026-03-02 08:00:00", "30", "4"],
]
LATER = "expect_column_pair_values_a_to_be_greater_than_b"
MEAN = "expect_column_mean_to_be_between"
COMMON = "expect_column_most_common_value_to_be_in_set"
ASKED: list[dict[str, Any]] = [
    {LATER: {"column_A": "back", "column_B": "out", "or_equal": True, "ignore_row_if": "either_value_is_missing"}},
    {MEAN: {"column": "load_t", "min_value": 20, "max_value": 20.5}},
    {COMMON: {"column": "plate", "value_set": ["x"]}},
    {
        "expect_column_values_to_be_between": {
            "column": "trips", "max_value": 2, "mostly": 0.5, "dimension": "timely",
            "row_condition": {"type": "nullity", "column": {"name": "out"}, "is_null": False},
        }
    },
]  # fmt: skip


@pytest.fixture
def town(city: City) -> Iterator[City]:
    city.declare("trips", COLUMNS, key=["plate"], gx=ASKED)
    city.declare("plain", {"v": {"type": "string"}})
    city.deliver("trips", text_of(COLUMNS, ROWS))
    city.deliver("plain", "v\n1\n")
    city.night()
    yield city


def judged(city: City) -> dict[str, Any]:
    rows = [row for row in city.book("results", "trips") if row["check_id"].startswith("expect_")]
    said = {row["check"]: (row["status"], row["evaluated"], row["passed"], row["observed"]) for row in rows}
    assert {row["level"] for row in rows} == {"warn"}
    return said


def test_what_great_expectations_says_is_in_the_books(town: City) -> None:
    town.step("gx")
    assert judged(town) == {
        LATER: ("failed", 3, 2, None),  # the row without a plate is in quarantine
        MEAN: ("passed", 1, 1, "20.166666666666668"),
        COMMON: ("failed", 1, 0, None),  # plates are nobody's business
        "expect_column_values_to_be_between": ("passed", 3, 2, None),
    }
    failing = [
        (r["check_id"], r["source_row"], r["key"])
        for r in town.book("failing_keys", "trips")
        if "expect" in r["check_id"]
    ]
    assert failing == [
        (f"{LATER}(back,out)", 3, "plate=苏F***46"),
        ("expect_column_values_to_be_between(trips)", 6, "plate=苏F***48"),
    ]
    dimensions = {r["check"]: r["dimension"] for r in town.book("results", "trips")}
    assert (dimensions[MEAN], dimensions["expect_column_values_to_be_between"]) == ("accurate", "timely")


def test_it_is_said_once(town: City) -> None:
    town.step("gx")
    noted = len(town.book("results"))
    town.step("gx")
    assert town.last_run("gx", "")["status"] == "unchanged"
    assert len(town.book("results")) == noted
    town.deliver("trips", text_of(COLUMNS, ROWS[:2]))
    town.night()
    town.step("gx")
    assert judged(town)[LATER] == ("failed", 2, 1, None)


def test_larger_slices_are_judged_on_spark_alike(
    town: City, spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    town.step("gx")
    small, keys = judged(town), [r["key"] for r in town.book("failing_keys", "trips")]
    monkeypatch.setattr(gx, "PANDAS_ROWS", 2)
    town.step("gx", forced=True)
    large = judged(town)
    assert {**large, MEAN: None} == {**small, MEAN: None}
    assert float(large[MEAN][3]) == pytest.approx(float(small[MEAN][3]))
    assert [r["key"] for r in town.book("failing_keys", "trips")][len(keys) :] == ["plate=苏F***46", "plate=苏F***48"]


def test_what_it_cannot_answer_is_unknown(city: City) -> None:
    asked = [
        {MEAN: {"column": "plate", "min_value": 1}},
        {"expect_table_row_count_to_equal": {"value": 2}},
        {"expect_compound_columns_to_be_unique": {"column_list": ["n"]}},
    ]
    city.declare("trips", {"plate": {"type": "string", "class": "sensitive"}, "n": {"type": "integer"}}, gx=asked)
    city.deliver("trips", "plate,n\n苏F12345,1\n苏F12346,1\n")
    city.night()
    city.step("gx")
    rows = {row["check_id"]: row for row in city.book("results", "trips") if row["check_id"].startswith("expect")}
    broke, counted, refused = (
        rows[f"{MEAN}(plate)"],
        rows["expect_table_row_count_to_equal"],
        rows["expect_compound_columns_to_be_unique(n)"],
    )
    assert (broke["status"], counted["status"]) == ("unknown", "passed")
    assert "苏F" not in broke["message"]
    assert refused["status"] == "unknown" and "at least two columns" in refused["message"]


def test_an_empty_slice_leaves_nothing_to_judge(city: City) -> None:
    city.declare("trips", {"n": {"type": "integer"}}, gx=[{MEAN: {"column": "n", "min_value": 1}}])
    city.deliver("trips", "n\nx\ny\n")
    city.night()
    city.step("gx")
    assert judged(city) == {MEAN: ("passed", 0, 0, None)}


def test_without_such_rules_great_expectations_is_left_alone(city: City, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gx, "judged", None)
    city.declare("plain", {"v": {"type": "string"}})
    city.deliver("plain", "v\n1\n")
    city.night()
    city.step("gx", DAY)
    assert city.last_run("gx", "")["status"] == "unchanged"
