"""What a pass over a slice, or over a part of one, has counted: the same numbers however the slice was cut."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from expectations.checks import REGISTRY
from expectations.plan import BITS, ROW_ID, Plan
from expectations.rules import Rule
from jobs.results import Count, Failing, Result, visible

if TYPE_CHECKING:
    from lakehouse.geo.infer import Sample

MOST_FAILING_KEYS = 1_000
"""Failing rows kept per check and slice: enough to mend by, little enough to read."""


@dataclass
class Tally:
    """Rows and where they went, per rule what was judged and passed, the first failing rows of each rule, and a `sample` of
    the positions where a rule asks what they are in."""

    rows: int = 0
    accepted: int = 0
    quarantined: int = 0
    counts: dict[str, Count] = field(default_factory=dict)
    quarantined_of: Counter[str] = field(default_factory=Counter)
    failing: list[Failing] = field(default_factory=list)
    sample: "Sample | None" = None
    _kept: Counter[str] = field(default_factory=Counter)

    def count(self, plan: Plan, batch: pa.RecordBatch, flags: Mapping[str, pa.Array]) -> None:
        """Take in judged rows; `flags` says of each point rule which rows pass."""
        self.rows += batch.num_rows
        skipped = np.asarray(batch.column("_skipped"))
        for mask in range(plan.masks):
            failed = np.asarray(batch.column(f"_failed_{mask}"))
            hits = np.flatnonzero(failed)
            values = failed[hits]
            for bit, rule in enumerate(plan.row_rules[mask * BITS : (mask + 1) * BITS]):
                broken = hits[(values >> bit) & 1 == 1] if len(hits) else hits
                place = plan.skippable.index(mask * BITS + bit) if rule.check.kind == "row" else None
                self._add(rule, _evaluated(plan, batch, rule, skipped, place, len(broken)), len(broken))
                self._keep_keys(plan, batch, rule, broken)
        for rule in plan.point_rules:
            passes = flags[rule.id]
            broken = np.flatnonzero(np.asarray(pc.invert(pc.fill_null(passes, True))))
            self._add(rule, len(passes) - passes.null_count, len(broken))
            self._keep_keys(plan, batch, rule, broken)

    @classmethod
    def of_unsound(cls, plan: Plan, batches: Iterable[pa.RecordBatch], rows: int) -> "Tally":
        """The tally of a slice of `rows` rows from those that aren't sound. For plans that judge no positions."""
        tally = cls()
        for batch in batches:
            tally.count(plan, batch, {})
            tally.set_aside(batch.filter(batch.column("_rejected")).column("_delivery_id"))
        sound = rows - tally.rows
        for rule in plan.row_rules:
            tally._add(rule, sound, 0)
        tally.rows, tally.accepted = rows, rows - tally.quarantined
        return tally

    def set_aside(self, deliveries: pa.Array) -> None:
        """Take in rows for quarantine, by the deliveries they came with."""
        plain = deliveries.cast(pa.string()) if pa.types.is_dictionary(deliveries.type) else deliveries
        self.quarantined += len(plain)
        self.quarantined_of.update({e["values"]: e["counts"] for e in pc.value_counts(plain).to_pylist()})

    def look_at(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> None:
        """Take in positions as they were sent."""
        from lakehouse.geo.infer import Sample  # numba costs half a second: only datasets with positions pay it

        self.sample = self.sample or Sample()
        self.sample.add(x, y)

    def refuse(self) -> None:
        """Forget where rows went: the slice isn't served, all of them are going to be set aside."""
        self.accepted, self.quarantined, self.quarantined_of = 0, 0, Counter()

    def add(self, rule: Rule, evaluated: int, broken: int, failing: Sequence[Failing]) -> None:
        """Take in what a rule found that isn't judged by the pass."""
        self._add(rule, evaluated, broken)
        self.failing += failing

    def absorb(self, part: "Tally") -> None:
        """Add the next part of the slice."""
        self.rows, self.accepted = self.rows + part.rows, self.accepted + part.accepted
        self.quarantined += part.quarantined
        self.quarantined_of.update(part.quarantined_of)
        if part.sample:
            self.sample = self.sample or type(part.sample)()
            self.sample.absorb(part.sample)
        for rule, count in part.counts.items():
            self.counts.setdefault(rule, Count()).add(count.evaluated, count.evaluated - count.passed)
        for row in part.failing:
            if self._kept[row.check_id] < MOST_FAILING_KEYS:
                self._kept[row.check_id] += 1
                self.failing.append(row)

    def _add(self, rule: Rule, evaluated: int, broken: int) -> None:
        self.counts.setdefault(rule.id, Count()).add(evaluated, broken)

    def _keep_keys(self, plan: Plan, batch: pa.RecordBatch, rule: Rule, broken: Any) -> None:
        if not len(broken):
            return
        room = MOST_FAILING_KEYS - self._kept[rule.id]
        if room <= 0:
            return
        named = batch.select(list(dict.fromkeys((*ROW_ID, *plan.contract.key))))
        rows = named.take(pa.array(broken[:room])).to_pylist()
        self.failing += Failing.all_of(plan.contract, rule.id, rows)
        self._kept[rule.id] += len(rows)


def _evaluated(plan: Plan, batch: pa.RecordBatch, rule: Rule, skipped: Any, place: int | None, broken: int) -> int:
    """How many rows of the batch the rule had something to judge in."""
    rows = batch.num_rows
    if place is not None:
        return rows - int(np.count_nonzero((skipped >> place) & 1)) if skipped.any() else rows
    if rule.check.name == "required":
        if "_op" not in batch.schema.names or rule.columns[0] in plan.contract.placing:
            return rows
        return rows - (pc.sum(pc.equal(batch.column("_op"), "D")).as_py() or 0)
    empty = [pc.is_null(batch.column(name)) for name in rule.columns if batch.column(name).null_count]
    filled = rows - (pc.sum(reduce(pc.or_, empty)).as_py() if empty else 0)
    return filled + broken if rule.check.name == "type" else filled


class Header(Protocol):
    """How a delivery's header differs from the contract."""

    @property
    def undeclared(self) -> Sequence[str]: ...

    @property
    def missing(self) -> Sequence[str]: ...


class Verdict:
    """The outcome of every rule of a slice: of its headers, of the table as a whole, and of the rows a tally has counted.

    `layers` is the folder of the catalogue's layers.
    """

    def __init__(
        self, plan: Plan, headers: Sequence[Header], measured: Mapping[int, Mapping[str, Any]], layers: Path
    ) -> None:
        self._plan, self._layers = plan, layers
        self._of_slice = [*_tables(plan, measured), _header(plan, headers)]

    def results(self, tally: Tally) -> list[Result]:
        """The outcome of every rule: tables, header, rows, positions, changes."""
        judged = (*self._plan.row_rules, *self._plan.point_rules)
        counts = [tally.counts.get(rule.id, Count()) for rule in judged]
        rows = [Result.of(rule, count.evaluated, count.passed) for rule, count in zip(judged, counts, strict=True)]
        changes = [_of_changes(rule, tally) for rule in self._plan.change_rules]
        return [*self._of_slice, *rows, *self._of_positions(tally), *changes]

    def _of_positions(self, tally: Tally) -> Iterator[Result]:
        """Rules about what the positions are in; where nothing tells they have nothing to judge."""
        if not self._plan.positions_rules:
            return
        from jobs.layers import inferred

        declared = self._plan.contract.point
        found = inferred(tally.sample, self._layers, self._plan.day) if tally.sample else None
        for rule in self._plan.positions_rules:
            passes = rule.check.function(found, declared.crs) if found and declared else None
            seen = found.named if found else None
            judged = passes is not None
            yield Result.of(rule, int(judged), int(passes or 0), observed=seen, message=found.why if found else None)

    def broken(self, tally: Tally) -> list[Rule]:
        """The `fail:` rules that the slice breaks."""
        return [r.rule for r in self.results(tally) if r.rule.level == "fail" and r.status == "failed"]


def _tables(plan: Plan, measured: Mapping[int, Mapping[str, Any]]) -> list[Result]:
    """Table rules by their counts under their place in the plan; one without counts could not be computed."""
    results = []
    for number, rule in enumerate(plan.table_rules):
        row = measured.get(number)
        if row is None:
            results.append(Result(rule, "unknown", 0, 0, message="the check could not be computed"))
        else:
            observed = visible(plan.contract, rule, row["observed"])
            results.append(Result.of(rule, row["evaluated"], row["passed"], observed=observed))
    return results


def _of_changes(rule: Rule, tally: Tally) -> Result:
    """A rule about changes, which only a slice that is served is judged by."""
    if (count := tally.counts.get(rule.id)) is None:
        return Result(rule, "unknown", 0, 0, message="not merged, so not compared with what is there")
    return Result.of(rule, count.evaluated, count.passed)


def _header(plan: Plan, headers: Sequence[Header]) -> Result:
    """Declared columns that came, against all that came or should have."""
    undeclared = sorted({name for header in headers for name in header.undeclared})
    missing = sorted({name for header in headers for name in header.missing})
    declared = len(plan.contract.columns) * len(headers)
    absent, surplus = sum(len(h.missing) for h in headers), sum(len(h.undeclared) for h in headers)
    rule = Rule("declared", REGISTRY["declared"], (), "warn")
    said = "; ".join(
        f"{what}: {', '.join(names)}" for what, names in (("undeclared", undeclared), ("missing", missing)) if names
    )
    return Result.of(rule, declared + surplus, declared - absent, message=said or None)
