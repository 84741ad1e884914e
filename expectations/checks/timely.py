"""Timeliness of content (GB/T 36344: 05): do the instants in the data fit the period and their own order?"""

from datetime import UTC, datetime, time, timedelta
from functools import reduce
from operator import and_

import ibis
import ibis.expr.types as ir

from expectations.checks.measure import Slice, measure
from expectations.checks.registry import check
from lakehouse.declared import duration
from lakehouse.settings import ZONE


@check("row", "timely", "0501")
def within_day(rows: ir.Table, *, column: str, back: str = "0d", day: datetime) -> ir.BooleanValue:
    """The instant belongs to the slice's period, from `back` before midnight of the day to its end (Asia/Shanghai)."""
    value = rows[column]
    first, last = day - duration(back), day + timedelta(days=1)
    if value.type().is_date():
        return (value >= first.date()) & (value < last.date())
    return (value >= _utc(first)) & (value < _utc(last))


@check("table", "timely", "0502")
def fresh(slice_: Slice, *, column: str, within: str) -> ir.Table:
    """The newest value of `column` is at most `within` older than the end of the delivery day."""
    rows = slice_.rows
    limit = datetime.combine(slice_.day, time(), ZONE) + timedelta(days=1) - duration(within)
    newest = rows[column].max()
    bound = limit.date() if rows[column].type().is_date() else _utc(limit)
    return measure(rows, evaluated=ibis.literal(1), passed=(newest >= bound).fill_null(False), observed=newest)


@check("row", "timely", "0503")
def sequence(rows: ir.Table, *, by: list[str], at: str) -> ir.BooleanValue:
    """Within each group `by`, an instant isn't earlier than that of the row before, in the order of the file.

    The first row of a group passes; nothing is judged where the row itself or the one before has no instant or no group.
    """
    order = [rows["_source_file"], rows["_source_row"]]
    window = ibis.window(group_by=[rows[name] for name in by], order_by=order)
    first = ibis.row_number().over(window) == 0
    grouped = reduce(and_, [rows[name].notnull() for name in by])
    steps = first.ifelse(rows[at].notnull().nullif(False), rows[at] >= rows[at].lag().over(window))
    return grouped.ifelse(steps, ibis.null("boolean"))


def _utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(tzinfo=None)
