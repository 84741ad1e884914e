"""Completeness (GB/T 36344: 02): are the values and the records there?"""

from datetime import date, timedelta

import ibis
import ibis.expr.types as ir

from expectations.checks.measure import Slice, measure
from expectations.checks.registry import check


@check("column", "complete", "0201")
def required(text: ir.StringValue) -> ir.BooleanValue:
    """The cell isn't empty."""
    return text.notnull()


@check("table", "complete", "0201")
def filled(slice_: Slice, *, column: str) -> ir.Table:
    """The share of rows in which `column` has a value."""
    return measure(slice_.records, evaluated=slice_.records.count(), passed=slice_.records[column].count())


@check("table", "complete", "0202")
def row_count(slice_: Slice, *, min: int = 0, max: int | None = None) -> ir.Table:
    """The slice has at least `min` and at most `max` rows."""
    count = slice_.rows.count()
    fits = count >= min if max is None else (count >= min) & (count <= max)
    return measure(slice_.rows, evaluated=ibis.literal(1), passed=fits, observed=count)


@check("table", "complete", "0202")
def volume(slice_: Slice, *, share: float = 0.7, days: int = 60) -> ir.Table:
    """At least `share` of the mean row count of the slices of the last `days` days of the same day type; unjudged without.

    Day types are working days and weekends, by the weekday.

    0.7 over 60 days is the volume rule of Toronto's open data (domain reference, section 2).
    """
    since, weekend = slice_.day - timedelta(days=days), _is_weekend(slice_.day)
    usual = [rows for day, rows in slice_.history if day >= since and _is_weekend(day) == weekend]
    count = slice_.rows.count()
    if not usual:
        return measure(slice_.rows, evaluated=ibis.literal(0), passed=ibis.literal(0), observed=count)
    floor = int(share * sum(usual) / len(usual))
    return measure(slice_.rows, evaluated=ibis.literal(1), passed=count >= floor, observed=count)


def _is_weekend(day: date) -> bool:
    return day.isoweekday() > 5
