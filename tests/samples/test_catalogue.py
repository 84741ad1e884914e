"""The shipped catalogue: forty contracts that use every word of a contract, and standards that hold their promise."""

import re
from pathlib import Path

import pytest

from expectations import catalog
from expectations.checks import REGISTRY
from expectations.rules import IMPLIED
from lakehouse.api import Paging
from lakehouse.contract import Arrival, Column, Contract, DriftModes, Limits
from lakehouse.source import FileSource, HttpSource, PostgresSource
from samples.catalog import contracts
from samples.encode import suffix
from samples.tables import TABLES

CATALOGUE = Path(__file__).parents[2] / "expectations"
ALL = list(contracts().values())
EXPECTED = [item for c in ALL for item in (*c.expect.fail, *c.expect.warn)]


def test_twelve_departments_deliver_forty_datasets() -> None:
    register = {department.id for department in catalog.departments(CATALOGUE)}
    assert len(register) == 12
    assert len(ALL) == 40
    assert {c.department for c in ALL} == register
    assert set(contracts()) == set(TABLES)


def test_the_catalogue_loads_without_a_mistake() -> None:
    assert {c.name for c in catalog.load(CATALOGUE).contracts} == {c.name for c in ALL}


def test_every_way_of_delivering_is_there() -> None:
    assert {c.kind for c in ALL} == {"government", "accepted", "sensing", "internet"}
    assert {c.sharing for c in ALL} == {"unconditional", "conditional", "withheld"}
    assert {c.load for c in ALL} == {"snapshot", "append", "upsert"}
    assert {c.arrives.every for c in ALL} == {"day", "week", "month"}
    assert sum(isinstance(c.source, HttpSource) for c in ALL) == 4
    assert sum(isinstance(c.source, PostgresSource) for c in ALL) == 3
    files = [c.source for c in ALL if isinstance(c.source, FileSource)]
    assert {suffix(source) for source in files} == {".csv", ".txt", ".xlsx", ".jsonl", ".parquet"}
    assert {"utf-8", "utf-8-sig", "gb18030", "gbk"} <= {source.encoding for source in files}
    assert {None, ";", "|", "\t"} == {source.delimiter for source in files}  # None: by the suffix
    assert {c.point.crs for c in ALL if c.point} == {"wgs84", "cgcs2000", "gcj02", "bd09"}
    assert {role for c in ALL for role in c.describes} == {"fix", "firm", "person", "place", "vehicle"}
    assert {c.drift.columns for c in ALL} == {"evolve", "quarantine", "discard_value", "freeze"}
    assert {c.drift.types for c in ALL} == {"quarantine", "discard_value", "freeze"}


def used(record: type, values: list[object]) -> set[str]:
    """Fields that some value gives something else than the default."""
    return {
        name
        for name, field in record.model_fields.items()  # type: ignore[attr-defined]
        if any(getattr(value, name) != field.get_default() for value in values)
    }


@pytest.mark.parametrize(
    ("record", "values", "never"),
    [
        (Contract, ALL, {"cdc"}),
        (Column, [column for c in ALL for column in c.columns.values()], set()),
        (
            FileSource,
            [c.source for c in ALL if isinstance(c.source, FileSource)],
            {"connection", "footer", "members", "ragged", "records"},
        ),
        (
            HttpSource,
            [c.source for c in ALL if isinstance(c.source, HttpSource)],
            {"format", "headers", "body", "window", "since"},
        ),
        (PostgresSource, [c.source for c in ALL if isinstance(c.source, PostgresSource)], {"null", "since", "changes"}),
        (Paging, [c.source.page for c in ALL if isinstance(c.source, HttpSource) and c.source.page], {"by", "ends"}),
        (Arrival, [c.arrives for c in ALL], {"weekday", "look_back"}),
        (DriftModes, [c.drift for c in ALL], set()),
        (Limits, [c.limits for c in ALL], set()),
    ],
)
def test_every_key_of_a_contract_is_used(record: type, values: list[object], never: set[str]) -> None:
    assert used(record, values) | never == set(record.model_fields)  # type: ignore[attr-defined]


def test_every_check_is_used() -> None:
    of_columns = {name for name, check in REGISTRY.items() if check.kind == "column"}
    assert {item.check for item in EXPECTED} == set(REGISTRY) - of_columns - IMPLIED


def test_references_cross_departments() -> None:
    columns = [(c.department, column) for c in ALL for column in c.columns.values()]
    pairs = {(own, column.references.split(".")[0]) for own, column in columns if column.references}
    assert len({pair for pair in pairs if pair[0] != pair[1]}) >= 7


@pytest.mark.parametrize(
    ("standard", "good", "bad"),
    [
        ("uscc", ["91320613MA165FWC4Y"], ["91320613MA165FWC4", "I1320613MA165FWC4Y"]),
        ("resident_id", ["11010519491231002X"], ["110105194912310021X", "11010519491331002X"]),
        ("licence_plate", ["苏F12345", "苏FD12345", "苏F12345D", "苏F1234挂"], ["苏FO2345", "苏F1234", "F12345"]),
        ("phone", ["13800000000", "051385210000", "4008001234"], ["1380000000", "85210000"]),
        ("postcode", ["226001"], ["22600", "926001"]),
        ("un_number", ["1203"], ["UN1203", "120"]),
        ("hazmat_class", ["3", "2.1"], ["3.9", "10"]),
        ("water_class", ["劣Ⅴ", "Ⅲ"], ["Ⅵ", "III"]),
        ("waste_code", ["900-041-49"], ["900-41-49"]),
        ("vin", ["LKWB3FZNBR8000000"], ["LKWB3FZNBR800000I"]),
    ],
)
def test_patterns_tell_right_from_wrong(standard: str, good: list[str], bad: list[str]) -> None:
    pattern = re.compile(catalog.standards_of(CATALOGUE)[standard].pattern)
    assert [value for value in good if not pattern.search(value)] == []
    assert [value for value in bad if pattern.search(value)] == []
