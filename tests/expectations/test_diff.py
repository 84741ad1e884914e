"""What a changed contract means."""

from typing import Any

import pytest

from expectations.diff import diff
from lakehouse.contract import Contract

BASE: dict[str, Any] = {
    "department": "works",
    "dataset": "bridges",
    "title": "bridges",
    "kind": "government",
    "sharing": "unconditional",
    "source": {"type": "file", "uri": "{inbox}/x/{day}/*.csv"},
    "load": "append",
    "arrives": {"by": "06:00", "grace": "1h"},
    "key": ["id"],
    "ignore": ["exported"],
    "columns": {
        "id": {"type": "string", "from": "编号"},
        "name": {"type": "string", "required": True, "in": ["a", "b"]},
        "built_on": {"type": "date", "format": "yyyy-MM-dd", "between": ["1900-01-01", "2030-01-01"]},
        "length_m": {"type": "double", "between": [1, 100]},
        "phone": {"type": "string", "class": "internal"},
    },
    "expect": {"fail": [{"row_count": {"min": 1}}], "warn": ["clean_text"]},
}


def changed(**keys: Any) -> Contract:
    return Contract.model_validate({**BASE, **keys})


def column(name: str, **keys: Any) -> Contract:
    columns = {**BASE["columns"], name: {**BASE["columns"].get(name, {}), **keys}}
    return changed(columns={n: {k: v for k, v in c.items() if v is not None} for n, c in columns.items()})


def without(name: str) -> Contract:
    return changed(columns={n: c for n, c in BASE["columns"].items() if n != name})


CASES = [
    (without("phone"), "breaking", "columns.phone"),
    (column("phone", type="integer"), "breaking", "columns.phone.type"),
    (column("opened", type="string", required=True), "breaking", "columns.opened"),
    (column("opened", type="string"), "compatible", "columns.opened"),
    (changed(key=["id", "name"]), "breaking", "key"),
    (changed(load="snapshot"), "breaking", "load"),
    (column("id", **{"from": "号码"}), "stricter", "columns.id.from"),
    (column("phone", required=True), "stricter", "columns.phone.required"),
    (column("name", required=False), "compatible", "columns.name.required"),
    (column("name", **{"in": ["a"]}), "stricter", "columns.name.in"),
    (column("name", **{"in": ["a", "b", "c"]}), "compatible", "columns.name.in"),
    (column("name", **{"in": None}), "compatible", "columns.name.in"),
    (column("length_m", between=[0, 200]), "compatible", "columns.length_m.between"),
    (column("length_m", between=[0, 50]), "stricter", "columns.length_m.between"),
    (column("built_on", format="yyyy-MM-dd | yyyy/M/d"), "compatible", "columns.built_on.format"),
    (column("built_on", format="yyyy/M/d"), "stricter", "columns.built_on.format"),
    (column("phone", pattern="1[0-9]{10}"), "stricter", "columns.phone.pattern"),
    (column("phone", **{"class": "sensitive"}), "compatible", "columns.phone.class"),
    (column("phone", level="error"), "stricter", "columns.phone.level"),
    (changed(source={"type": "file", "uri": "{inbox}/y/{day}/*.csv"}), "stricter", "source"),
    (changed(arrives={"by": "05:00", "grace": "1h"}), "stricter", "arrives"),
    (changed(arrives={"by": "06:00", "grace": "2h"}), "compatible", "arrives"),
    (changed(ignore=[]), "stricter", "ignore"),
    (changed(ignore=["exported", "batch"]), "compatible", "ignore"),
    (changed(drift={"columns": "freeze"}), "stricter", "drift.columns"),
    (changed(drift={"columns": "evolve"}), "compatible", "drift.columns"),
    (changed(limits={"rows": 10}), "stricter", "limits.rows"),
    (
        changed(expect={"fail": [{"row_count": {"min": 5}}], "warn": ["clean_text"]}),
        "stricter",
        "expect.fail.row_count",
    ),
    (changed(expect={"fail": [{"row_count": {"min": 1}}]}), "compatible", "expect.warn.clean_text"),
    (
        changed(gx=[{"expect_table_row_count_to_equal": {"value": 5}}]),
        "stricter",
        "gx.expect_table_row_count_to_equal",
    ),
    (changed(title="Bridges"), "compatible", "title"),
]


@pytest.mark.parametrize(("new", "weight", "where"), CASES, ids=[f"{w} {c}" for _, w, c in CASES])
def test_each_change_has_its_weight(new: Contract, weight: str, where: str) -> None:
    assert [(change.weight, change.where) for change in diff(changed(), new)] == [(weight, where)]


def test_the_same_contract_has_no_changes() -> None:
    assert diff(changed(), changed()) == ()


def test_the_heaviest_come_first() -> None:
    new = changed(title="Bridges", key=[], ignore=[])
    assert [change.weight for change in diff(changed(), new)] == ["breaking", "stricter", "compatible"]


def test_a_format_left_out_is_iso() -> None:
    assert diff(column("built_on", format=None), column("built_on", format="iso")) == ()


def test_operations_read_otherwise_are_breaking() -> None:
    old, new = (changed(load="cdc", order="built_on", cdc={"op": op}) for op in ("op", "what"))
    assert [(change.weight, change.where) for change in diff(old, new)] == [("breaking", "cdc")]
