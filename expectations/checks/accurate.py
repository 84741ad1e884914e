"""Accuracy (GB/T 36344: 03): can the value be true?"""

from datetime import UTC, date, datetime
from functools import reduce
from operator import and_, or_
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import ibis
import ibis.expr.datatypes as dt
import ibis.expr.types as ir
import pyarrow as pa
import pyarrow.compute as pc

from expectations.checks.measure import Slice, measure
from expectations.checks.registry import check

if TYPE_CHECKING:  # with them comes numba, which costs half a second
    from lakehouse.geo.crs import Crs
    from lakehouse.geo.infer import Inference

DIRTY = r"[\x00-\x08\x0B\x0C\x0E-\x1F\x7F\x{FFFD}]|锟斤拷|烫烫烫|Ã[\x{80}-\x{BF}]|â€"
"""Control characters, the replacement character, and the usual marks of text decoded with the wrong encoding."""


@check("column", "accurate", "0302")
def pattern(value: ir.StringValue, expression: str) -> ir.BooleanValue:
    """The whole value matches the regular expression (RE2 syntax)."""
    return value.re_search(f"^(?:{expression})$")


@check("column", "accurate", "0301")
def between(value: ir.Value, low: Any, high: Any, zone: str = "UTC") -> ir.BooleanValue:
    """From `low` to `high`, both included. Bounds of instants are wall-clock times in `zone`."""
    if value.type().is_timestamp():
        low, high = (instant_of(bound, zone) for bound in (low, high))
    elif value.type().is_date():
        low, high = (date.fromisoformat(str(bound)) for bound in (low, high))
    return (value >= low) & (value <= high)


@check("column", "accurate", "0304")
def unique(repeated: ir.BooleanValue) -> ir.BooleanValue:
    """No earlier row of the slice has the same value (the plan finds the repeated ones)."""
    return ~repeated


@check("row", "accurate", "0305")
def clean_text(rows: ir.Table, *, columns: list[str] | None = None) -> ir.BooleanValue:
    """No control characters, replacement characters or mojibake in `columns` (default: every text column)."""
    names = columns or [name for name, kind in rows.schema().items() if isinstance(kind, dt.String) and name[0] != "_"]
    clean = reduce(and_, [~rows[name].fill_null("").re_search(DIRTY) for name in names])
    return reduce(or_, [rows[name].notnull() for name in names]).ifelse(clean, ibis.null("boolean"))


@check("row", "accurate", "0301")
def not_future(rows: ir.Table, *, column: str, received: ir.TimestampValue) -> ir.BooleanValue:
    """The instant isn't later than the delivery was `received` (UTC), the date not later than its day in Asia/Shanghai."""
    value = rows[column]
    return value <= ((received + ibis.interval(hours=8)).date() if value.type().is_date() else received)


@check("table", "accurate", "0303")
def duplicate_rows(slice_: Slice) -> ir.Table:
    """Rows that equal an earlier row in every declared column count as failed."""
    columns = [name for name in slice_.rows.columns if name[0] != "_"]
    rows = slice_.rows
    return measure(rows, evaluated=rows.count(), passed=rows.select(columns).distinct().count().as_scalar())


@check("table", "accurate", "0305")
def varied(slice_: Slice, *, column: str, share: float = 0.9) -> ir.Table:
    """The most frequent value of `column` takes at most `share` of the filled rows (a stuffed default takes more)."""
    filled = slice_.rows.filter(slice_.rows[column].notnull())
    counts = filled.group_by(column).aggregate(n=filled.count())
    fits = counts.n.max().fill_null(0) <= counts.n.sum().fill_null(0) * share
    judged = counts.n.sum().fill_null(0) > 0
    return measure(counts, evaluated=judged, passed=judged & fits, observed=counts.n.max() / counts.n.sum())


@check("point", "accurate", "0301")
def not_null_island(lon: pa.Array, lat: pa.Array, district: pa.Array) -> pa.Array:
    """The position isn't 0, 0: what a receiver without a fix reports."""
    return pc.invert(pc.and_(pc.less(pc.abs(lon), 0.001), pc.less(pc.abs(lat), 0.001)))


@check("point", "accurate", "0301")
def axes(lon: pa.Array, lat: pa.Array, district: pa.Array) -> pa.Array:
    """Longitude and latitude aren't swapped: 73-136 E and 3-54 N hold for all of China, the swapped pair doesn't."""
    swapped = pc.and_(pc.and_(pc.greater(lat, 73), pc.less(lat, 136)), pc.and_(pc.greater(lon, 3), pc.less(lon, 54)))
    return pc.invert(swapped)


@check("point", "accurate", "0301")
def inside(lon: pa.Array, lat: pa.Array, district: pa.Array) -> pa.Array:
    """The position lies in one of the city's districts."""
    return pc.if_else(pc.is_null(lon), pa.scalar(None, pa.bool_()), pc.is_valid(district))


@check("positions", "accurate", "0301")
def crs(found: "Inference", declared: "Crs") -> bool | None:
    """The positions are in the declared coordinate system, longitude first, as far as the city's districts and roads tell."""
    if found.contradicts(declared):
        return False
    return None if found.crs is None else True


def instant_of(bound: Any, zone: str) -> datetime:
    moment = datetime.fromisoformat(str(bound))
    return (moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(zone))).astimezone(UTC).replace(tzinfo=None)
