"""A contract as a suite and outcomes as a validation result: read back by Great Expectations, equal to its own counts."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from great_expectations.core import ExpectationSuite
from great_expectations.core.expectation_suite import expectationSuiteSchema
from great_expectations.core.expectation_validation_result import expectationSuiteValidationResultSchema
from pyspark.sql import SparkSession

from expectations.catalog import Catalog, load
from expectations.plan import Plan
from expectations.suite.documents import Judged, suite, validation
from expectations.suite.run import frame as as_pandas
from expectations.suite.run import validate
from lakehouse.contract import Contract
from lakehouse.engine import embedded as engine
from lakehouse.settings import Settings
from tests.expectations.test_checks import CASES, declared
from tests.jobs.small_city import DAY, City, own_settings, text_of

OURS = Path(__file__).parents[3] / "expectations"
AT = datetime(2026, 3, 2, 23, tzinfo=UTC)

WIDE: dict[str, dict[str, Any]] = {
    "no": {"type": "string", "required": True},
    "kind": {"type": "string", "required": True, "in": ["a", "b"]},
    "grade": {"type": "integer", "in": ["1", "2"], "between": [1, 3]},
    "code": {"type": "string", "pattern": r"\d{2}|[\w-]x", "length": [2, 3]},
    "post": {"type": "string", "standard": "postcode"},
    "price": {"type": "decimal", "between": [0, 10.5]},
    "least": {"type": "double"},
    "most": {"type": "double"},
    "on": {"type": "date", "between": ["2026-01-01", "2026-06-30"]},
    "at": {"type": "timestamp", "between": ["2026-03-01 00:00:00", "2026-03-02 00:00:00"]},
    "serial": {"type": "string", "unique": True},
}
ROWS = [
    ["1", "a", "1", "12", "226001", "1.5", "1", "2", "2026-01-01", "2026-03-01 00:00:00", "s1"],
    ["2", "b", "3", "１２", "22600", "10.51", "2", "2", "2025-12-31", "2026-02-28 23:59:59", "s1"],
    ["3", "c", "0", "éx", "926001", "-0.0000000001", "3", "2", "2026-06-30", "2026-03-02 00:00:00", "s2"],
    ["4", "a", "", "-x", " 226 001 ", "10.5", "", "2", "2026-07-01", "2026-03-02 00:00:01", "s1"],
    ["5", "", "02", "123", "", "", "2", "", "", "", ""],
    ["6", "b", "+2", "1", "", "", "2", "1.99999", "", "", ""],
    ["6", "a", "2", "", "", "", "", "", "", "", "s3"],
    ["", "a", "2", "", "", "", "", "", "", "", "s4"],
]
WARN: list[Any] = [
    {"row_count": {"min": 3, "max": 7}},
    {"filled": {"column": "grade", "share": 0.5}},
    {"compare": {"left": "least", "op": "<=", "right": "most"}},
    {"compare": {"name": "equal", "left": "least", "op": "==", "right": "most"}},
    {"when": {"column": "kind", "in": ["b"], "then": "serial"}},
]


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[City]:
    """All cases of the vocabulary and one wide dataset, loaded and cleaned."""
    with own_settings():
        city = City(tmp_path_factory.mktemp("suites"))
        declared(city)
        city.declare("wide", WIDE, key=["no"], expect={"warn": WARN})
        city.deliver("wide", text_of(list(WIDE), ROWS))
        city.night()
        yield city


def typed(city: City, contract: Contract, catalog: Catalog) -> pa.Table:
    """The slice's typed rows, before any is quarantined."""
    bronze = city.table("bronze", contract.dataset)
    ids = bronze.read(day=DAY).select(["_delivery_id", "_source_file"])
    deliveries, names = (sorted(set(column.to_pylist())) for column in ids.columns)
    with engine.session(Settings.from_environment()) as connection:
        engine.read_slice(connection, "bronze", bronze.files(DAY), deliveries=deliveries, names=names)
        rows = engine.run(connection, Plan(contract, catalog.standards, DAY).typed).read_all()
    return rows.select(list(contract.columns))


def ours(city: City, contract: Contract, catalog: Catalog, rows: int) -> dict[str, dict[str, Any]]:
    """Our validation result by check id, as JSON that Great Expectations has read and written again."""
    noted = [row for row in city.book("results", contract.dataset)]
    document = validation(contract, catalog.standards, noted, Judged(DAY, AT, rows, {}))
    return by_id(read_back(document))


def read_back(document: dict[str, Any]) -> dict[str, Any]:
    loaded = expectationSuiteValidationResultSchema.loads(json.dumps(document, allow_nan=False))
    return loaded.to_json_dict()


def by_id(result: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {each["expectation_config"]["meta"]["citylake"]["id"]: each for each in result["results"]}


def as_suite(contract: Contract, catalog: Catalog) -> ExpectationSuite:
    return ExpectationSuite(**expectationSuiteSchema.loads(json.dumps(suite(contract, catalog.standards))))


COUNTS = ("element_count", "unexpected_count", "unexpected_percent", "missing_count", "observed_value")


def compared(result: dict[str, Any]) -> dict[str, Any]:
    return {"success": result["success"]} | {name: result["result"].get(name) for name in COUNTS}


def of_each_group(rows: pa.Table, columns: list[str], *, nulls: bool) -> int:
    """How many values occur more than once: by so many rows Great Expectations counts more than we do."""
    filled = rows.select(columns)
    filled = filled if nulls else filled.drop_null()
    return sum(n > 1 for n in filled.group_by(columns).aggregate([([], "count_all")])["count_all"].to_pylist())


def expected(result: dict[str, Any], rows: pa.Table, misfits: int) -> dict[str, Any]:
    """What Great Expectations says where we say `result`: the two definitions that differ, as the module states them."""
    kind, kwargs = result["expectation_config"]["type"], result["expectation_config"]["kwargs"]
    said = compared(result)
    more = 0
    if "unique" in kind:
        columns = kwargs.get("column_list") or [kwargs["column"]]
        more = of_each_group(rows, columns, nulls=kwargs.get("ignore_row_if") == "never")
    if result["expectation_config"]["meta"]["citylake"]["check"] == "required":
        more = misfits
    if not more:
        return said
    counted, judged = said["unexpected_count"] + more, said["element_count"] - (said["missing_count"] or 0)
    return said | {"success": False, "unexpected_count": counted, "unexpected_percent": 100 * counted / judged}


def agree(city: City, dataset: str, gx_says: dict[str, dict[str, Any]], rows: pa.Table) -> int:
    catalog = load(city.catalog)
    contract = catalog.contract(f"town.{dataset}")
    mine = ours(city, contract, catalog, rows.num_rows)
    for check_id, theirs in gx_says.items():
        assert not theirs["exception_info"].get("raised_exception", True), (check_id, theirs["exception_info"])
        column = mine[check_id]["expectation_config"]["kwargs"].get("column")
        misfit = mine.get(f"{column}.type", {"result": {"unexpected_count": 0}})["result"]["unexpected_count"]
        wanted, got = expected(mine[check_id], rows, misfit), compared(theirs)
        assert got == {**wanted, "unexpected_percent": pytest.approx(wanted["unexpected_percent"])}, check_id
    return len(gx_says)


@pytest.mark.parametrize("dataset", [*CASES, "wide"])
def test_great_expectations_counts_the_same_on_pandas(lake: City, dataset: str) -> None:
    catalog = load(lake.catalog)
    contract = catalog.contract(f"town.{dataset}")
    rows = typed(lake, contract, catalog)
    asked = as_suite(contract, catalog)
    if asked.expectations:
        assert agree(lake, dataset, by_id(validate(as_pandas(rows), asked, {"result_format": "SUMMARY"})), rows)


def test_great_expectations_counts_the_same_on_spark(lake: City, spark: SparkSession, tmp_path: Path) -> None:
    catalog = load(lake.catalog)
    contract = catalog.contract("town.wide")
    rows = typed(lake, contract, catalog)
    pq.write_table(rows, tmp_path / "rows.parquet")
    frame = spark.read.parquet(str(tmp_path / "rows.parquet")).coalesce(1).persist()
    told = validate(frame, as_suite(contract, catalog), {"result_format": "BASIC"})
    assert agree(lake, "wide", by_id(told), rows) == 18
