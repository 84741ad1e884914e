"""What table checks take and give: a slice in, one row of counts out."""

from dataclasses import dataclass
from datetime import date
from typing import Any

import ibis
import ibis.expr.types as ir


@dataclass(frozen=True)
class Slice:
    """The typed rows of one day, before any is quarantined, and the row counts of earlier days (newest first)."""

    rows: ir.Table
    day: date
    history: tuple[tuple[date, int], ...] = ()

    @property
    def records(self) -> ir.Table:
        """The rows that hold a record: all but deletes."""
        return self.rows.filter(self.rows._op.fill_null("") != "D") if "_op" in self.rows.columns else self.rows


def measure(rows: ir.Table, *, evaluated: Any, passed: Any, observed: Any = None) -> ir.Table:
    """One row: `evaluated` (B) and `passed` (A) of the indicator X = A/B, and what was seen, as text."""
    seen = ibis.null("string") if observed is None else observed.cast("string")
    return rows.aggregate(evaluated=_count(evaluated), passed=_count(passed), observed=seen)


def _count(value: Any) -> Any:
    return value.cast("int64") if not isinstance(value, ir.BooleanValue) else value.ifelse(1, 0).cast("int64")
