"""Splitting the pass over a slice: accepted rows on to silver, rejected rows aside for quarantine."""

import json
import uuid
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from expectations.plan import BITS, Plan
from jobs.tally import Tally
from lakehouse.contract import Contract
from lakehouse.spool import Spool
from lakehouse.stream import ahead, in_runs

_INSTANT = pa.timestamp("us", "UTC")
_NAMES = pa.list_(pa.string())
_TYPES = {
    "string": pa.string(),
    "integer": pa.int64(),
    "double": pa.float64(),
    "decimal": pa.decimal128(38, 10),
    "boolean": pa.bool_(),
    "date": pa.date32(),
    "timestamp": _INSTANT,
}
_CODED = pa.dictionary(pa.int32(), pa.string())
"""Texts of which there are few: coded until they are written, as the spelling of each row would only cost time."""

_ORIGIN = [
    ("_delivery_id", _CODED),
    ("_source_file", _CODED),
    ("_source_row", pa.int64()),
    ("_loaded_at", _INSTANT),
]
_DAY = [("_day", pa.date32())]


def silver_schema(contract: Contract) -> pa.Schema:
    """The columns of the dataset's silver table."""
    columns = [(name, _TYPES[column.type]) for name, column in contract.columns.items()]
    evolving = [("_extra", pa.string())] if contract.drift.columns == "evolve" else []
    placed = [("_lon", pa.float64()), ("_lat", pa.float64()), ("_cell", pa.int64()), ("_district", _CODED)]
    point = placed if contract.point else []
    if contract.order_by in ("space", "space_time", "track"):
        point = [*point, (f"_{contract.order_by}", pa.int64())]
    change = [("_op", pa.string()), ("_received_at", _INSTANT)] if contract.operations else []
    told = [("_raw", pa.string()), ("_warnings", _NAMES)]
    return pa.schema([*columns, *point, *evolving, *told, *change, *_ORIGIN, *_DAY])


def order_columns(contract: Contract) -> tuple[str, ...]:
    """The columns by which rows of silver are sorted; none where they lie as delivered or as they were merged."""
    if contract.order_by == "key":
        return contract.key
    return (f"_{contract.order_by}",) if contract.order_by else ()


def quarantine_schema(contract: Contract) -> pa.Schema:
    """The columns of the dataset's quarantine table: the text as delivered, and why it is there."""
    columns = [(name, pa.string()) for name in contract.columns]
    columns += [("_op", pa.string())] if contract.operations else []
    return pa.schema([*columns, ("_extra", pa.string()), *_ORIGIN, ("_errors", _NAMES), *_DAY])


class Split:
    """The rows of one pass, over a slice or a part of it, on their ways: `accepted_batches` drives it, `tally` counts.

    Rejected rows wait in `folder`.
    """

    def __init__(self, plan: Plan, layers: Path, folder: Path) -> None:
        self._plan, self._contract, self._layers = plan, plan.contract, layers
        self._rejected = Spool(folder / f"rejected-{uuid.uuid4().hex}.arrow", quarantine_schema(plan.contract))
        self.tally = Tally()

    def accepted_batches(self, rows: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
        """The rows that silver takes, as they come."""
        schema = silver_schema(self._contract)
        for batch in ahead(rows):
            placed, flags = self._placed(batch)
            self.tally.count(self._plan, batch, flags)
            rejected = batch.column("_rejected")
            if pc.any(rejected).as_py():
                self._set_aside(batch.filter(rejected))
                kept = pc.invert(rejected)
                batch, placed = batch.filter(kept), {name: column.filter(kept) for name, column in placed.items()}
                flags = {name: (passes.filter(kept)) for name, passes in flags.items()}
            self.tally.accepted += batch.num_rows
            yield self._silver(batch, placed, flags, schema)

    def laid_out(self, rows: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
        """The same, in the order in which silver's files keep them."""
        batches = self.accepted_batches(rows)
        columns = order_columns(self._contract)
        return in_runs(batches, columns) if columns else batches

    def rejected_batches(self) -> Iterator[pa.RecordBatch]:
        """The rows set aside, as quarantine takes them."""
        return self._rejected.batches()

    def _placed(self, batch: pa.RecordBatch) -> tuple[dict[str, pa.Array], dict[str, pa.Array]]:
        """The technical columns of the positions, and for each point rule which rows pass."""
        point = self._contract.point
        if point is None:
            return {}, {}
        from jobs.layers import districts  # numba costs half a second: only datasets with positions pay it
        from lakehouse.geo.points import floats, place

        x, y = batch.column(point.x), batch.column(point.y)
        found = place(x, y, point.crs, districts(self._layers, self._plan.day))
        if self._plan.positions_rules:
            self.tally.look_at(floats(x), floats(y))
        placed = {"_lon": found.lon, "_lat": found.lat, "_cell": found.cell, "_district": found.district}
        flags = {rule.id: rule.check.function(found.lon, found.lat, found.district) for rule in self._plan.point_rules}
        return placed, flags

    def _set_aside(self, batch: pa.RecordBatch) -> None:
        self.tally.set_aside(batch.column("_delivery_id"))
        texts = {name: batch.column(f"_text_{name}") for name in self._plan.sent}
        errors = self._broken_names(batch, {}, levels=("error",))
        same = {
            name: batch.column(name) for name in ("_extra", "_delivery_id", "_source_file", "_source_row", "_loaded_at")
        }
        columns = {**texts, **same, "_errors": errors, "_day": _repeat(self._plan.day, batch.num_rows)}
        self._rejected.append(_batch(columns, quarantine_schema(self._contract)))

    def _silver(
        self, batch: pa.RecordBatch, placed: Mapping[str, pa.Array], flags: Mapping[str, pa.Array], schema: pa.Schema
    ) -> pa.RecordBatch:
        given = {name: batch.column(name) for name in schema.names if name in batch.schema.names}
        added = {
            "_raw": self._raw(batch),
            "_warnings": self._broken_names(batch, flags, levels=("warn", "fail")),
            "_day": _repeat(self._plan.day, batch.num_rows),
        }
        if column := self._along(given | dict(placed)):
            added[f"_{self._contract.order_by}"] = column
        if self._contract.operations:
            added["_received_at"] = self._received_at(batch.column("_delivery_id"))
        return _batch({**given, **placed, **added}, schema)

    def _along(self, columns: Mapping[str, pa.Array]) -> pa.Array | None:
        """The column of integers by which silver lies on disk; None where it lies as delivered or by its key."""
        if (by := self._contract.order_by) in (None, "key"):
            return None
        from lakehouse.geo import curve

        fix = {slot: columns.get(column) for slot, column in self._contract.describes.get("fix", {}).items()}
        match by:
            case "space":
                return curve.space(columns["_cell"])
            case "space_time":
                return curve.space_time(columns["_cell"], fix["at"])
            case _:
                return curve.track(fix["vehicle"], fix["at"])

    def _received_at(self, deliveries: pa.Array) -> pa.Array:
        """When each row's delivery was received, null where nobody knows."""
        coded, known = deliveries.cast(pa.string()).dictionary_encode(), dict(self._plan.received)
        instants = pa.array([known.get(name) for name in coded.dictionary.to_pylist()], _INSTANT)
        return instants.take(coded.indices)

    def _raw(self, batch: pa.RecordBatch) -> pa.Array:
        """JSON of the texts that became null because they don't fit their type; null where there is none."""
        texts = {n: batch.column(f"_text_{n}") for n in self._contract.columns}
        texts = {name: column for name, column in texts.items() if column.null_count < len(column)}
        if not texts:
            return pa.nulls(batch.num_rows, pa.string())
        rows = zip(*[column.to_pylist() for column in texts.values()], strict=True)
        kept = [{n: text for n, text in zip(texts, row, strict=True) if text is not None} for row in rows]
        return pa.array([json.dumps(row, ensure_ascii=False) if row else None for row in kept], pa.string())

    def _broken_names(
        self, batch: pa.RecordBatch, flags: Mapping[str, pa.Array], *, levels: tuple[str, ...]
    ) -> pa.Array:
        """Per row the ids of the rules of these levels it breaks, null where none: each combination is spelled out once."""
        columns, rules = [], []
        for mask in range(self._plan.masks):
            ours = self._plan.row_rules[mask * BITS : (mask + 1) * BITS]
            wanted = sum(1 << bit for bit, rule in enumerate(ours) if rule.level in levels)
            columns.append(np.asarray(batch.column(f"_failed_{mask}")) & wanted)
            rules.append([rule.id for rule in ours])
        points = [rule.id for rule in self._plan.point_rules if rule.id in flags]
        if points:
            bits = [
                np.asarray(pc.invert(pc.fill_null(flags[name], True))).astype(np.int64) << i
                for i, name in enumerate(points)
            ]
            columns.append(np.bitwise_or.reduce(bits))
            rules.append(points)
        hits = np.flatnonzero(np.bitwise_or.reduce(columns)) if columns else np.empty(0, np.int64)
        if not len(hits):
            return pa.nulls(batch.num_rows, _NAMES)
        combinations, which = np.unique(np.stack([column[hits] for column in columns]), axis=1, return_inverse=True)
        spelled = [_spelled(combination, rules) for combination in combinations.T]
        return _listed(batch.num_rows, hits, [spelled[combination] for combination in which.reshape(-1)])


def _listed(count: int, hits: Any, names: list[list[str]]) -> pa.Array:
    """A list array of `count` rows: `names` at the rows `hits`, null elsewhere."""
    ends = np.zeros(count + 1, np.int32)
    ends[hits + 1] = [len(some) for some in names]
    absent = np.ones(count, np.bool_)
    absent[hits] = False
    flat = pa.array([name for some in names for name in some], pa.string())
    return pa.ListArray.from_arrays(pa.array(np.cumsum(ends, dtype=np.int32)), flat, mask=pa.array(absent))


def refused_batches(
    plan: Plan, tally: Tally, rows: Iterable[pa.RecordBatch], broken: list[str]
) -> Iterator[pa.RecordBatch]:
    """Every row of a slice that isn't served, as quarantine takes it, with the rules that were broken."""
    schema = quarantine_schema(plan.contract)
    tally.refuse()
    for batch in rows:
        count = batch.num_rows
        tally.set_aside(batch.column("_delivery_id"))
        errors = pa.array([broken], _NAMES).take(pa.array(np.zeros(count, np.int64)))
        given = {name: batch.column(name) for name in schema.names if name in batch.schema.names}
        yield _batch({**given, "_errors": errors, "_day": _repeat(plan.day, count)}, schema)


def _spelled(combination: Any, rules: list[list[str]]) -> list[str]:
    return [
        name
        for value, names in zip(combination, rules, strict=True)
        for bit, name in enumerate(names)
        if int(value) >> bit & 1
    ]


def _repeat(day: date, count: int) -> pa.Array:
    return pa.repeat(pa.scalar(day, pa.date32()), count)


def _batch(columns: Mapping[str, pa.Array], schema: pa.Schema) -> pa.RecordBatch:
    """The columns in the schema's order and types."""
    return pa.RecordBatch.from_arrays([_as(columns[field.name], field.type) for field in schema], schema=schema)


def _as(column: pa.Array, kind: pa.DataType) -> pa.Array:
    if column.type == kind:
        return column
    if kind != _CODED:
        return column.cast(kind)
    if not pa.types.is_dictionary(column.type):
        return column.dictionary_encode()
    return pa.DictionaryArray.from_arrays(column.indices.cast(pa.int32()), column.dictionary.cast(pa.string()))
