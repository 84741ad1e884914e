"""From a contract to one pass over a slice: typed columns, a bit per broken rule, and the text of what has to be kept.

The pass is an ibis expression over the view `bronze`; the engine compiles it and runs it. Which bits quarantine a row,
and what a check counts, is decided by the rules of the plan, so every engine counts the same.
"""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, time
from functools import cached_property, reduce
from operator import or_

import ibis
import ibis.expr.types as ir

from expectations.catalog import Standard
from expectations.checks import norm
from expectations.checks.measure import Slice
from expectations.rules import FILLED_IN, Rule, rules
from lakehouse.contract import Column, Contract
from lakehouse.engine import embedded as engine
from lakehouse.instants import is_fixed_width
from lakehouse.settings import ZONE

ROW_ID = ("_delivery_id", "_source_file", "_source_row")
"""What identifies a delivered row."""

BITS = 62
"""Rules per mask column: what fits a signed 64-bit integer with room for the sum."""

_TECHNICAL = {"_extra": "string", "_delivery_id": "string", "_source_file": "string", "_source_row": "int64"}


@dataclass(frozen=True)
class Plan:
    """The pass over one slice of a dataset."""

    contract: Contract
    standards: Mapping[str, Standard]
    day: date
    history: tuple[tuple[date, int], ...] = ()

    @cached_property
    def rules(self) -> tuple[Rule, ...]:
        return rules(self.contract)

    @cached_property
    def row_rules(self) -> tuple[Rule, ...]:
        """The rules judged row by row: rule i is bit i % 62 of mask `_failed_{i // 62}`."""
        return tuple(r for r in self.rules if r.check.kind in ("column", "row"))

    @cached_property
    def table_rules(self) -> tuple[Rule, ...]:
        return tuple(r for r in self.rules if r.check.kind == "table" and r.id != "declared")

    @cached_property
    def point_rules(self) -> tuple[Rule, ...]:
        return tuple(r for r in self.rules if r.check.kind == "point")

    @cached_property
    def unique_sets(self) -> tuple[tuple[int, tuple[str, ...]], ...]:
        """Bit and columns of every rule that wants distinct values."""
        found = []
        for bit, rule in enumerate(self.row_rules):
            if rule.check.name == "unique":
                versions = (self.contract.order,) if self.contract.order and rule.id == "key.unique" else ()
                found.append((bit, tuple(dict.fromkeys((*rule.columns, *versions)))))
        return tuple(found)

    @property
    def code_lists(self) -> dict[str, str]:
        """Columns whose standard has a closed list, and the standard's name: the engine provides view `codes_<standard>`."""
        named = {name: column.standard for name, column in self.contract.columns.items() if column.standard}
        return {name: standard for name, standard in named.items() if self.standards[standard].codes}

    def rejecting(self, mask: int) -> int:
        """The bits of `_failed_{mask}` that quarantine a row."""
        bits = range(mask * BITS, min((mask + 1) * BITS, len(self.row_rules)))
        return sum(1 << (bit % BITS) for bit in bits if self.row_rules[bit].level == "error")

    @property
    def masks(self) -> int:
        """How many mask columns there are."""
        return max(1, -(-len(self.row_rules) // BITS))

    @cached_property
    def typed(self) -> ir.Table:
        """Every declared column typed, its text as `_text_<column>` (null where empty), and the technical columns."""
        schema = {name: "string" for name in self.contract.columns} | _TECHNICAL | {"_loaded_at": "timestamp('UTC')"}
        bronze = ibis.table(schema, name="bronze")
        raw = bronze.select(
            *[bronze[n] for n in (*_TECHNICAL, "_loaded_at")],
            **{f"_text_{n}": bronze[n] for n in self.contract.columns},
        )
        tried = {n: engine.quick(raw[f"_text_{n}"], column) for n, column in self.contract.columns.items()}
        first = raw.mutate(**{f"_quick_{n}": value for n, value in tried.items() if value is not None})
        return first.select(
            *[first[n] for n in raw.columns],
            **{name: self._value(first, name, column) for name, column in self.contract.columns.items()},
        )

    def _value(self, rows: ir.Table, name: str, column: Column) -> ir.Value:
        raw = rows[f"_text_{name}"]
        nulls = self.contract.source.null
        if column.type != "string":
            value = engine.cast(raw, rows[f"_quick_{name}"] if f"_quick_{name}" in rows.columns else None, column)
            return engine.text(raw, nulls).notnull().ifelse(value, ibis.null(value.type())) if nulls else value
        text = engine.text(raw, nulls)
        return norm.normalised(text, self.standards[column.standard]) if column.standard else text

    def hashes(self, columns: tuple[str, ...]) -> ir.Table:
        """A hash `h` of `columns` per row. Equal values have equal hashes; `repeated` sorts out chance and nulls."""
        rows = self.typed
        return rows.select(h=engine.key_hash([self._comparable(rows, name) for name in columns]))

    def _comparable(self, rows: ir.Table, name: str) -> ir.Value:
        """What to compare a column's values by: their text, uncast, where equal instants are always written alike."""
        column = self.contract.columns[name]
        if column.type == "timestamp" and column.format and is_fixed_width(column.format):
            raw = rows[f"_text_{name}"]
            return (raw.length() == len(column.format)).ifelse(raw, engine.text(raw))
        return rows[name]

    def repeated(self, bit: int, columns: tuple[str, ...]) -> ir.Table:
        """Row ids of every row but the first with the same `columns`, among rows that no other rule rejects.

        Reads the view `repeats` (column h) made of the hashes that occur more than once.
        """
        rows = self._judged(self.typed.mutate(_repeated=ibis.literal(0, "int64")))
        rows = rows.filter(_all_filled(rows, columns))
        repeats = ibis.table({"h": engine.HASH}, name="repeats")
        hashed = rows.mutate(_h=engine.key_hash([self._comparable(rows, name) for name in columns]))
        candidates = hashed.semi_join(repeats, hashed._h == repeats.h)
        sound = reduce(lambda a, b: a & b, [~self._hit(candidates, m) for m in range(self.masks)])
        kept = candidates.filter(sound) if self.row_rules[bit].level == "error" else candidates
        order = [kept["_loaded_at"], kept["_delivery_id"], kept["_source_file"], kept["_source_row"]]
        numbered = kept.mutate(_n=ibis.row_number().over(group_by=[kept[name] for name in columns], order_by=order))
        late = numbered.filter(numbered._n > 0)
        return late.select(*[late[name] for name in ROW_ID], bit=ibis.literal(1 << bit, "int64"))

    def rows(self, *, repeats: bool) -> ir.Table:
        """The pass: row ids, typed columns, `_failed_*`, `_skipped`, and `_text_*` of rejected rows and misfits only.

        With `repeats` it reads the view `repeated` (row ids and `bits`) for the unique rules.
        """
        rows = self.typed
        if repeats:
            found = ibis.table({**{n: _TECHNICAL[n] for n in ROW_ID}, "bits": "int64"}, name="repeated")
            joined = rows.left_join(found, list(ROW_ID))
            rows = joined.select(*[joined[n] for n in rows.columns], _repeated=joined.bits.fill_null(0))
        else:
            rows = rows.mutate(_repeated=ibis.literal(0, "int64"))
        judged = self._judged(rows)
        rejected = reduce(or_, [self._hit(judged, m) for m in range(self.masks)])
        judged = judged.mutate(_rejected=rejected)
        texts = {f"_text_{n}": self._kept_text(judged, n) for n in self.contract.columns}
        extra = judged._rejected.ifelse(judged["_extra"], ibis.null("string"))
        names = [
            *ROW_ID,
            "_loaded_at",
            *self.contract.columns,
            "_rejected",
            "_skipped",
            *(f"_failed_{m}" for m in range(self.masks)),
        ]
        kept = judged["_extra"] if self.contract.drift.columns == "evolve" else extra
        return judged.select(*[judged[n] for n in names], **texts, _extra=kept)

    def tables(self) -> list[ir.Table]:
        """One query per table rule, each of one row: rule (its place), evaluated, passed, observed."""
        slice_ = Slice(self.typed, self.day, self.history)
        return [
            rule.check.function(slice_, **rule.args).mutate(rule=ibis.literal(number, "int64"))
            for number, rule in enumerate(self.table_rules)
        ]

    def _hit(self, rows: ir.Table, mask: int) -> ir.BooleanValue:
        """Whether a rule of `_failed_{mask}` that quarantines is broken."""
        return (rows[f"_failed_{mask}"] & ibis.literal(self.rejecting(mask), "int64")) != 0

    def _kept_text(self, rows: ir.Table, name: str) -> ir.StringValue:
        text = rows[f"_text_{name}"]
        misfit: ir.BooleanValue = ibis.literal(False)
        if self.contract.columns[name].type != "string":
            misfit = rows[name].isnull().ifelse(self._present(rows, name).notnull(), False)
        return (rows._rejected | misfit).ifelse(text, ibis.null("string"))

    def _judged(self, rows: ir.Table) -> ir.Table:
        for name, standard in self.code_lists.items():
            codes = ibis.table({"code": "string"}, name=f"codes_{standard}").view()
            joined = rows.left_join(codes, rows[name] == codes.code)
            rows = joined.select(*[joined[n] for n in rows.columns], **{f"_listed_{name}": joined.code.notnull()})
        columns: dict[str, ir.Value] = {}
        for mask in range(self.masks):
            bits = range(mask * BITS, min((mask + 1) * BITS, len(self.row_rules)))
            columns[f"_failed_{mask}"] = self._mask(rows, list(bits))
        judgements = [self._passes(rows, bit) for bit in self.skippable]
        columns["_skipped"] = _sum([_weighed(passes.isnull(), place) for place, passes in enumerate(judgements)])
        return rows.mutate(**columns)

    def _mask(self, rows: ir.Table, bits: list[int]) -> ir.IntegerValue:
        """The sum of the bits of broken rules. A column's rules look at the null case or at the value, never at both: half the work."""
        terms = []
        for name in dict.fromkeys(self.row_rules[bit].columns[0] for bit in bits if self._single(bit)):
            ours = [bit for bit in bits if self._single(bit) and self.row_rules[bit].columns[0] == name]
            absent = [bit for bit in ours if self.row_rules[bit].check.name in ("required", "type")]
            empty = _sum([self._broken(rows, bit) for bit in absent])
            filled = _sum([self._broken(rows, bit) for bit in ours if bit not in absent])
            terms.append(rows[name].isnull().ifelse(empty, filled))
        terms += [self._broken(rows, bit) for bit in bits if not self._single(bit)]
        return _sum(terms)

    def _single(self, bit: int) -> bool:
        rule = self.row_rules[bit]
        return rule.check.kind == "column" and rule.check.name != "unique"

    def _broken(self, rows: ir.Table, bit: int) -> ir.IntegerValue:
        return _weighed((~self._passes(rows, bit)).fill_null(False), bit % BITS)

    @cached_property
    def skippable(self) -> tuple[int, ...]:
        """The row rules (bits) that can have nothing to judge in a row: bit i of `_skipped` is the i-th of them."""
        return tuple(bit for bit, rule in enumerate(self.row_rules) if rule.check.kind == "row")

    def _passes(self, rows: ir.Table, bit: int) -> ir.BooleanValue:
        rule = self.row_rules[bit]
        if rule.check.kind == "row":
            known = {
                "day": datetime.combine(self.day, time(), ZONE),
                "sent": lambda column: self._present(rows, column),
            }
            wanted = inspect.signature(rule.check.function).parameters
            return rule.check.function(rows, **rule.args, **{n: known[n] for n in FILLED_IN if n in wanted})
        name = rule.columns[0]
        column, check = self.contract.columns[name], rule.check
        match check.name:
            case "required":
                return check.function(self._present(rows, name))
            case "type":
                return check.function(self._present(rows, name), rows[name])
            case "unique":
                return check.function((rows["_repeated"] & ibis.literal(1 << bit, "int64")) != 0)
            case "standard":
                listed = rows[f"_listed_{name}"] if name in self.code_lists else None
                return check.function(rows[name], self.standards[str(column.standard)], listed)
            case "between":
                return check.function(rows[name], *column.between, column.zone or str(ZONE))  # type: ignore[misc]
            case "in":
                return check.function(rows[name], *column.in_)  # type: ignore[misc]
            case "length":
                return check.function(rows[name], *column.length)  # type: ignore[misc]
            case _:
                return check.function(rows[name], getattr(column, check.name))

    def _present(self, rows: ir.Table, name: str) -> ir.Value:
        """The cell's text without outer white space, null where it is empty. Judged only where the value is null."""
        if self.contract.columns[name].type == "string":
            return rows[name]
        return engine.text(rows[f"_text_{name}"], self.contract.source.null)


def together(queries: list[ir.Table]) -> ir.Table:
    """Several queries with the same columns as one."""
    return reduce(lambda one, other: one.union(other), queries)


def _weighed(flag: ir.BooleanValue, bit: int) -> ir.IntegerValue:
    return flag.ifelse(ibis.literal(1 << bit, "int64"), ibis.literal(0, "int64"))


def _sum(terms: list[ir.IntegerValue]) -> ir.IntegerValue:
    return reduce(lambda a, b: a + b, terms, ibis.literal(0, "int64"))


def _all_filled(rows: ir.Table, columns: tuple[str, ...]) -> ir.BooleanValue:
    return reduce(lambda a, b: a & b, [rows[name].notnull() for name in columns])
