"""Reference checks as joins: which rows of a slice break a rule that looks into another dataset."""

from collections.abc import Mapping
from dataclasses import dataclass

import ibis
import ibis.expr.types as ir

from expectations.checks.consistent import agrees, references
from lakehouse.contract import Contract

_TYPES = {"string": "string", "integer": "int64", "double": "float64", "decimal": "decimal(38, 10)", "boolean": "boolean",
          "date": "date", "timestamp": "timestamp('UTC')"}  # fmt: skip
_ORIGIN = {"_delivery_id": "string", "_source_file": "string", "_source_row": "int64"}


@dataclass(frozen=True)
class Relation:
    """Two queries over the views `ours` (the slice) and `theirs` (the other dataset as it is served)."""

    evaluated: ir.Table
    broken: ir.Table


def ours(contract: Contract) -> ir.Table:
    """The view of the slice's silver rows."""
    return ibis.table({**{n: _TYPES[c.type] for n, c in contract.columns.items()}, **_ORIGIN}, name="ours")


def theirs(contract: Contract) -> ir.Table:
    """The view of the other dataset's silver rows."""
    return ibis.table({n: _TYPES[c.type] for n, c in contract.columns.items()}, name="theirs")


def referenced(contract: Contract, column: str, other: Contract, their_column: str) -> Relation:
    """Rows whose `column` isn't among the values of `their_column`; rows without a value aren't judged."""
    rows = ours(contract)
    filled = rows.filter(rows[column].notnull())
    known = theirs(other)
    values = known.select(_known=known[their_column].cast("string")).distinct()
    joined = filled.left_join(values, filled[column].cast("string") == values._known)
    broken = joined.filter(~references(joined._known.notnull()))
    return Relation(filled.aggregate(evaluated=filled.count()), broken.select([broken[n] for n in rows.columns]))


def agreeing(contract: Contract, other: Contract, *, on: Mapping[str, str], left: str, op: str, right: str) -> Relation:
    """Rows joined by `on` (ours: theirs) whose `left` and the other's `right` don't stand in the relation `op`."""
    rows = ours(contract)
    known = theirs(other)
    pairs = known.select(**{f"_their_{n}": known[n] for n in dict.fromkeys((*on.values(), right))}).distinct()
    joined = rows.inner_join(pairs, [rows[mine] == pairs[f"_their_{theirs_}"] for mine, theirs_ in on.items()])
    judged = joined.filter(joined[left].notnull() & joined[f"_their_{right}"].notnull())
    broken = judged.filter(~agrees(judged[left], judged[f"_their_{right}"], op=op))
    asked = judged.select([judged[n] for n in _ORIGIN]).distinct()  # a row that meets several of theirs is one element
    return Relation(
        asked.aggregate(evaluated=asked.count()), broken.select([broken[n] for n in rows.columns]).distinct()
    )
