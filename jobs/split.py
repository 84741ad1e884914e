"""Splitting the pass over a slice: accepted rows on to silver, rejected rows aside for quarantine, counts on the way."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from functools import cache, reduce
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from expectations.checks import REGISTRY
from expectations.plan import BITS, ROW_ID, Plan
from expectations.rules import Rule
from jobs.results import Count, Failing, Result
from lakehouse.contract import Contract
from lakehouse.errors import SliceRefused
from lakehouse.spool import Spool
from lakehouse.stream import ahead

MOST_FAILING_KEYS = 1_000
"""Failing rows kept per check and slice: enough to mend by, little enough to read."""

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


class Header(Protocol):
    """How a delivery's header differs from the contract."""

    @property
    def undeclared(self) -> Sequence[str]: ...

    @property
    def missing(self) -> Sequence[str]: ...


def silver_schema(contract: Contract) -> pa.Schema:
    """The columns of the dataset's silver table."""
    columns = [(name, _TYPES[column.type]) for name, column in contract.columns.items()]
    evolving = [("_extra", pa.string())] if contract.drift.columns == "evolve" else []
    placed = [("_lon", pa.float64()), ("_lat", pa.float64()), ("_cell", pa.int64()), ("_district", _CODED)]
    point = placed if contract.point else []
    return pa.schema([*columns, *point, *evolving, ("_raw", pa.string()), ("_warnings", _NAMES), *_ORIGIN, *_DAY])


def quarantine_schema(contract: Contract) -> pa.Schema:
    """The columns of the dataset's quarantine table: the text as delivered, and why it is there."""
    columns = [(name, pa.string()) for name in contract.columns]
    return pa.schema([*columns, ("_extra", pa.string()), *_ORIGIN, ("_errors", _NAMES), *_DAY])


class Split:
    """One pass over a slice. `accepted_batches` drives it; the counts are complete when it is exhausted.

    Rejected rows wait in `folder`; `failing` holds the first failing rows of each rule.
    """

    def __init__(self, plan: Plan, layers: Path, folder: Path) -> None:
        self._plan, self._contract, self._layers = plan, plan.contract, layers
        self._counts = {rule.id: Count() for rule in (*plan.row_rules, *plan.point_rules)}
        self._results: list[Result] = []
        self._rejected = Spool(folder / f"{plan.contract.table}.rejected.arrow", quarantine_schema(plan.contract))
        self._by_delivery: Counter[str] = Counter()
        self._kept_keys: Counter[str] = Counter()
        self.failing: list[Failing] = []
        self.rows = self.accepted = self.quarantined = 0

    def tables(self, measured: Mapping[int, Mapping[str, Any]]) -> None:
        """Take the counts of the table rules by their place in the plan; one without counts could not be computed."""
        for number, rule in enumerate(self._plan.table_rules):
            row = measured.get(number)
            if row is None:
                self._results.append(Result(rule, "unknown", 0, 0, message="the check could not be computed"))
            else:
                self._results.append(Result.of(rule, row["evaluated"], row["passed"], observed=row["observed"]))

    def header(self, arrived: Sequence[Header]) -> None:
        """Judge the headers of the deliveries: declared columns that came, against all that came or should have."""
        undeclared = sorted({name for header in arrived for name in header.undeclared})
        missing = sorted({name for header in arrived for name in header.missing})
        declared = len(self._contract.columns) * len(arrived)
        absent, surplus = sum(len(h.missing) for h in arrived), sum(len(h.undeclared) for h in arrived)
        rule = Rule("declared", REGISTRY["declared"], (), "warn")
        said = "; ".join(
            f"{what}: {', '.join(names)}" for what, names in (("undeclared", undeclared), ("missing", missing)) if names
        )
        self._results.append(Result.of(rule, declared + surplus, declared - absent, message=said or None))

    def accepted_batches(self, rows: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
        """The rows that silver takes, in delivery order. Raises SliceRefused at the end when a `fail:` rule is broken."""
        schema = silver_schema(self._contract)
        for batch in ahead(rows):
            self.rows += batch.num_rows
            placed, flags = self._placed(batch)
            self._count(batch, flags)
            rejected = batch.column("_rejected")
            if pc.any(rejected).as_py():
                self._set_aside(batch.filter(rejected))
                kept = pc.invert(rejected)
                batch, placed = batch.filter(kept), {name: column.filter(kept) for name, column in placed.items()}
                flags = {name: (passes.filter(kept)) for name, passes in flags.items()}
            self.accepted += batch.num_rows
            yield self._silver(batch, placed, flags, schema)
        if broken := self.broken():
            said = "; ".join(f"{rule.id}" for rule in broken)
            raise SliceRefused(f"broken: {said}", where=f"{self._contract.name} {self._plan.day}")

    def rejected_batches(self) -> Iterator[pa.RecordBatch]:
        """The rows set aside, as quarantine takes them."""
        return self._rejected.batches()

    def refused_batches(self, rows: pa.RecordBatchReader, broken: list[str]) -> Iterator[pa.RecordBatch]:
        """Every row of a slice that isn't served, with the rules that were broken."""
        schema = quarantine_schema(self._contract)
        self.accepted, self.quarantined, self._by_delivery = 0, self.rows, Counter()
        for batch in rows:
            count = batch.num_rows
            self._by_delivery.update(_counted(batch.column("_delivery_id")))
            errors = pa.array([broken], _NAMES).take(pa.array(np.zeros(count, np.int64)))
            given = {name: batch.column(name) for name in schema.names if name in batch.schema.names}
            yield _batch({**given, "_errors": errors, "_day": _repeat(self._plan.day, count)}, schema)

    def broken(self) -> list[Rule]:
        """The `fail:` rules that the slice breaks."""
        return [result.rule for result in self.results() if result.rule.level == "fail" and result.status == "failed"]

    def quarantined_of(self, delivery: str) -> int:
        """How many rows of a delivery went to quarantine."""
        return self._by_delivery[delivery]

    def results(self) -> list[Result]:
        """The outcome of every rule: header, tables, rows, positions."""
        judged = (*self._plan.row_rules, *self._plan.point_rules)
        counted = [Result.of(rule, self._counts[rule.id].evaluated, self._counts[rule.id].passed) for rule in judged]
        return [*self._results, *counted]

    def _placed(self, batch: pa.RecordBatch) -> tuple[dict[str, pa.Array], dict[str, pa.Array]]:
        """The technical columns of the positions, and for each point rule which rows pass."""
        point = self._contract.point
        if point is None:
            return {}, {}
        from lakehouse.geo.points import place  # numba costs half a second: only datasets with positions pay it

        found = place(batch.column(point.x), batch.column(point.y), point.crs, districts(self._layers))
        placed = {"_lon": found.lon, "_lat": found.lat, "_cell": found.cell, "_district": found.district}
        flags = {rule.id: rule.check.function(found.lon, found.lat, found.district) for rule in self._plan.point_rules}
        return placed, flags

    def _count(self, batch: pa.RecordBatch, flags: Mapping[str, pa.Array]) -> None:
        skipped = np.asarray(batch.column("_skipped"))
        for mask in range(self._plan.masks):
            failed = np.asarray(batch.column(f"_failed_{mask}"))
            hits = np.flatnonzero(failed)
            values = failed[hits]
            for bit, rule in enumerate(self._plan.row_rules[mask * BITS : (mask + 1) * BITS]):
                broken = hits[(values >> bit) & 1 == 1] if len(hits) else hits
                place = self._plan.skippable.index(mask * BITS + bit) if rule.check.kind == "row" else None
                self._counts[rule.id].add(self._evaluated(batch, rule, skipped, place, len(broken)), len(broken))
                self._keep_keys(batch, rule, broken)
        for rule in self._plan.point_rules:
            passes = flags[rule.id]
            broken = np.flatnonzero(np.asarray(pc.invert(pc.fill_null(passes, True))))
            self._counts[rule.id].add(len(passes) - passes.null_count, len(broken))
            self._keep_keys(batch, rule, broken)

    def _evaluated(self, batch: pa.RecordBatch, rule: Rule, skipped: Any, place: int | None, broken: int) -> int:
        """How many rows of the batch the rule had something to judge in."""
        rows = batch.num_rows
        if place is not None:
            return rows - int(np.count_nonzero((skipped >> place) & 1)) if skipped.any() else rows
        if rule.check.name == "required":
            return rows
        empty = [pc.is_null(batch.column(name)) for name in rule.columns if batch.column(name).null_count]
        filled = rows - (pc.sum(reduce(pc.or_, empty)).as_py() if empty else 0)
        return filled + broken if rule.check.name == "type" else filled

    def _keep_keys(self, batch: pa.RecordBatch, rule: Rule, broken: Any) -> None:
        room = MOST_FAILING_KEYS - self._kept_keys[rule.id]
        if room <= 0 or not len(broken):
            return
        self._kept_keys[rule.id] += min(room, len(broken))
        named = batch.select(list(dict.fromkeys((*ROW_ID, *self._contract.key))))
        for row in named.take(pa.array(broken[:room])).to_pylist():
            self.failing.append(Failing.of(self._contract, rule.id, row))

    def _set_aside(self, batch: pa.RecordBatch) -> None:
        self.quarantined += batch.num_rows
        self._by_delivery.update(_counted(batch.column("_delivery_id")))
        texts = {name: batch.column(f"_text_{name}") for name in self._contract.columns}
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
        return _batch({**given, **placed, **added}, schema)

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


@cache
def districts(layers: Path) -> Any:
    """The city's districts, read once per process."""
    from lakehouse.geo.regions import Regions

    return Regions.load(layers / "districts.geojson")


def _spelled(combination: Any, rules: list[list[str]]) -> list[str]:
    return [
        name
        for value, names in zip(combination, rules, strict=True)
        for bit, name in enumerate(names)
        if int(value) >> bit & 1
    ]


def _counted(column: pa.Array) -> dict[str, int]:
    plain = column.cast(pa.string()) if pa.types.is_dictionary(column.type) else column
    return {entry["values"]: entry["counts"] for entry in pc.value_counts(plain).to_pylist()}


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
