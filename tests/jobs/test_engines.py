"""Spark and the embedded engine say the same: rows, their fate, findings and counts, over everything there is a case for."""

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from pyspark.sql import SparkSession

from lakehouse.engine import spark as spark_engine
from tests.expectations.test_checks import CASES, declared
from tests.jobs.small_city import DAY, TOWN, City, own_settings, text_of
from tests.lakehouse.engine.test_casts import BROKEN, MOMENTS, NUMBERS, SPACED, written_numbers

TYPES: dict[str, dict[str, Any]] = {
    "integers": {"type": "integer"},
    "doubles": {"type": "double"},
    "decimals": {"type": "decimal"},
    "booleans": {"type": "boolean"},
    "days": {"type": "date"},
    "instants": {"type": "timestamp"},
    "shanghai": {"type": "timestamp", "format": "yyyy-MM-dd HH:mm:ss|yyyy/M/d H:mm", "zone": "Asia/Shanghai"},
    "strings": {"type": "string", "length": [1, 6], "unique": True, "required": True},
}
WORDS = [
    "true",
    "TRUE",
    "True",
    "yes",
    "no",
    "1",
    "0",
    "是",
    "否",
    "真",
    "tRuE",
    "on",
    "t",
    "f",
    "İ",
    "ß",
    "ﬁ",
    "Ａ",
    "１２",
]
NASTY = [*NUMBERS, *SPACED, *BROKEN, *WORDS, *MOMENTS, *written_numbers(100)]
NEXT = DAY + timedelta(days=1)
ENGINES = ("embedded", "spark")
ALIKE = {name: case for name, case in CASES.items() if case.get("contract", {}).get("load") != "cdc"}
"""Cases that Spark judges and leaves to delta-rs. Of changes, each a MERGE of Spark's, one dataset says enough."""


def everything(city: City) -> None:
    """Declare and deliver cases of every check, every nasty text as every type, a table of upserts and one of changes."""
    declared(city, ALIKE)
    source = {"source": {"type": "file", "uri": "{inbox}/nasty/{day}/*.jsonl"}}
    city.declare("nasty", TYPES, **source)
    rows = [json.dumps(dict.fromkeys(TYPES, text)) for text in [*NASTY, "\ud800", "a\udfffb"]]
    city.deliver("nasty", "\n".join(rows), name="nasty.jsonl")
    columns = {"id": {"type": "integer"}, "at": {"type": "timestamp"}, "note": {"type": "string"}}
    city.declare("newest", columns, key=["id"], load="upsert", order="at")
    versions = [["1", "2026-03-01 08:00", "old"], ["1", "2026-03-02 08:00", "new"], ["2", "", "-"], ["x", "", "bad"]]
    city.deliver("newest", text_of(list(columns), versions))
    versions = [["1", "2026-02-01 08:00", "older"], ["2", "2026-03-01", "dated"], ["3", "2026-03-01", "more"]]
    city.deliver("newest", text_of(list(columns), versions), day=NEXT)
    changes = [
        ["1", "1", "one", "I"],
        ["1", "1", "same order", "U"],
        ["2", "5", "", "D"],
        ["3", "2", "three", "u"],
        ["", "1", "-", "I"],
    ]
    changes += [
        ["4", "1", "four", "r"],
        ["4", "3", "", "d"],
        ["4", "4", "again", "Insert"],
        ["5", "1", "what", "X"],
        ["6", "", "-", "I"],
    ]
    city.declare("changes", columns | {"at": {"type": "integer"}}, key=["id"], load="cdc", order="at")
    city.deliver("changes", text_of([*columns, "_op"], changes))
    changes = [
        ["2", "4", "late", "I"],
        ["3", "2", "later", "U"],
        ["4", "5", "", "D"],
        ["7", "1", "seven", "I"],
        ["1", "0", "older", "I"],
    ]
    city.deliver("changes", text_of([*columns, "_op"], changes), day=NEXT)


@pytest.fixture(scope="module")
def cities(tmp_path_factory: pytest.TempPathFactory, spark: SparkSession) -> Iterator[dict[str, City]]:
    """The same town twice, through the same nights, on either engine."""
    with own_settings() as patch:
        found = {}
        for engine in ENGINES:
            patch.setenv("CITYLAKE_ENGINE", engine)
            city = found[engine] = City(tmp_path_factory.mktemp(engine))
            everything(city)
            for day in sorted({day for case in ALIKE.values() for day in case.get("earlier", {})}):
                city.step("bring", day, TOWN)
            for day in (DAY, NEXT):
                city.night(day)
        yield found


DATASETS = [*ALIKE, "nasty", "newest", "changes"]


@pytest.mark.parametrize("layer", ["silver", "quarantine"])
@pytest.mark.parametrize("dataset", DATASETS)
def test_rows_are_equal(cities: dict[str, City], dataset: str, layer: str) -> None:
    embedded, on_spark = (cities[engine].rows(layer, dataset, day=None) for engine in ENGINES)
    assert on_spark == embedded
    assert layer == "quarantine" or embedded


@pytest.mark.parametrize("dataset", DATASETS)
@pytest.mark.parametrize("book", ["results", "failing_keys"])
def test_findings_are_equal(cities: dict[str, City], dataset: str, book: str) -> None:
    embedded, on_spark = (
        [{k: v for k, v in row.items() if k not in ("run_id", "at")} for row in cities[engine].book(book, dataset)]
        for engine in ENGINES
    )
    assert on_spark == embedded
    assert book == "failing_keys" or embedded


def test_the_nasty_texts_are_many(cities: dict[str, City]) -> None:
    accepted, rejected = (cities["spark"].rows(layer, "nasty") for layer in ("silver", "quarantine"))
    assert len(accepted) + len(rejected) > 200
    assert all(any(row[name] is not None for row in accepted) for name in TYPES)
    assert any(row["_raw"] for row in accepted)


def test_upserts_belong_to_the_engine_that_made_them(cities: dict[str, City]) -> None:
    assert {engine: cities[engine].table("silver", "newest").engine() for engine in ENGINES} == {e: e for e in ENGINES}
    assert cities["spark"].silver("newest", "id", "note", day=None) == [(1, "new"), (2, "dated"), (3, "more")]


def test_changes_leave_what_is_there_after_all_of_them(cities: dict[str, City]) -> None:
    rows = cities["spark"].silver("changes", "id", "note", "_op", day=None)
    assert sorted(row[:2] for row in rows if row[2] != "D") == [(1, "same order"), (3, "later"), (7, "seven")]
    assert sorted(row[0] for row in rows if row[2] == "D") == [2, 4]


def test_spark_reads_no_deleted_row(cities: dict[str, City], spark: SparkSession) -> None:
    table = cities["spark"].table("silver", "changes")
    seen = spark_engine.read(spark, table, table.version() or 0)
    assert sorted(row["id"] for row in seen.select("id").collect()) == [1, 3, 7]


def test_a_day_that_runs_again_merges_nothing(cities: dict[str, City], monkeypatch: pytest.MonkeyPatch) -> None:
    for engine, city in cities.items():
        monkeypatch.setenv("CITYLAKE_ENGINE", engine)
        before = {name: city.table("silver", name).version() for name in ("newest", "changes")}
        for name in before:
            city.step("clean", NEXT, TOWN, dataset=f"{TOWN}.{name}", forced=True)
        assert {name: city.table("silver", name).version() for name in before} == before
