"""Spark and the embedded engine say the same: rows, their fate, findings and counts, over everything there is a case for."""

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from pyspark.sql import SparkSession

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


def everything(city: City) -> None:
    """Declare and deliver every case of a check, every nasty text as every type, and a table of upserts."""
    declared(city)
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


@pytest.fixture(scope="module")
def cities(tmp_path_factory: pytest.TempPathFactory, spark: SparkSession) -> Iterator[dict[str, City]]:
    """The same town twice, through the same nights, on either engine."""
    with own_settings() as patch:
        found = {}
        for engine in ENGINES:
            patch.setenv("CITYLAKE_ENGINE", engine)
            city = found[engine] = City(tmp_path_factory.mktemp(engine))
            everything(city)
            for day in sorted({day for case in CASES.values() for day in case.get("earlier", {})}):
                city.step("bring", day, TOWN)
            for day in (DAY, NEXT):
                city.night(day)
        yield found


DATASETS = [*CASES, "nasty", "newest"]


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
