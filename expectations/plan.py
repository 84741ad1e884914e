"""From a contract to one pass over a slice: typed columns, a bit per broken rule, and the text of what has to be kept.

The pass is SQL over the view `bronze`: its layers stand here, its pieces (casts, checks) are compiled from ibis for the
engine that runs it. Which bits quarantine a row, and what a check counts, is decided by the rules of the plan, so every
engine counts the same.
"""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, time
from functools import cached_property

import ibis
import ibis.expr.types as ir

from expectations import fragments
from expectations.catalog import Standard
from expectations.checks.measure import Slice
from expectations.fragments import about
from expectations.rules import FILLED_IN, Rule, rules
from lakehouse.contract import Column, Contract
from lakehouse.engine import embedded as engine
from lakehouse.settings import ZONE

ROW_ID = ("_delivery_id", "_source_file", "_source_row")
"""What identifies a delivered row."""

BITS = 62
"""Rules per mask column: what fits a signed 64-bit integer with room for the sum."""

TECHNICAL = {
    "_extra": "string",
    "_delivery_id": "string",
    "_source_file": "string",
    "_source_row": "int64",
    "_loaded_at": "timestamp('UTC')",
}
"""The columns of bronze that the pass reads beside the declared ones."""


@dataclass(frozen=True)
class Plan:
    """The pass over one slice of a dataset."""

    contract: Contract
    standards: Mapping[str, Standard]
    day: date
    history: tuple[tuple[date, int], ...] = ()
    received: tuple[tuple[str, datetime], ...] = ()

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
    def positions_rules(self) -> tuple[Rule, ...]:
        """The rules about what the slice's positions are in."""
        return tuple(r for r in self.rules if r.check.kind == "positions")

    @cached_property
    def change_rules(self) -> tuple[Rule, ...]:
        """The rules about what a change's key was before."""
        return tuple(r for r in self.rules if r.check.kind == "change")

    @cached_property
    def unique_sets(self) -> tuple[tuple[int, tuple[str, ...]], ...]:
        """Bit and columns of every rule that wants distinct values."""
        found = []
        for bit, rule in enumerate(self.row_rules):
            if rule.check.name == "unique":
                versions = (self.contract.order,) if self.contract.order and rule.id == "key.unique" else ()
                found.append((bit, tuple(dict.fromkeys((*rule.columns, *versions)))))
        return tuple(found)

    def _place(self, bit: int) -> int:
        """Which bit of `_repeats` tells that a unique rule is broken."""
        return next(place for place, (unique, _) in enumerate(self.unique_sets) if unique == bit)

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
    def typed(self) -> str:
        """SQL: every declared column typed, its text as `_text_<column>` (null where empty), and the technical columns."""
        return self._typed("bronze", tuple(self.contract.columns))

    @cached_property
    def sent(self) -> tuple[str, ...]:
        """The columns of bronze that hold what was sent: those declared and, of changes, `_op`."""
        return (*self.contract.columns, *(["_op"] if self.contract.operations else []))

    def _typed(self, source: str, names: tuple[str, ...]) -> str:
        """SQL: the rows of `source`, a table like bronze, with the columns `names` typed beside the texts of all.

        Of changes also `_op`; of a delete only what places it has a value.
        """
        columns = {name: self.contract.columns[name] for name in names}
        texts = [f'"{name}" AS "_text_{name}"' for name in self.sent]
        raw = f"SELECT {', '.join([*TECHNICAL, *texts])} FROM {source}"
        tried = [self._quick(name, column) for name, column in columns.items()]
        done = [f"{about(fragments.operation(o), '_op')} AS _op"] if (o := self.contract.operations) else []
        first = f"SELECT {', '.join(['t0.*', *filter(None, tried), *done])} FROM ({raw}) AS t0"
        kept = [*TECHNICAL, *(f'"_text_{name}"' for name in self.sent), *(["_op"] if done else [])]
        values = [f'{self._value(name, column)} AS "{name}"' for name, column in columns.items()]
        return f"SELECT {', '.join([*kept, *values])} FROM ({first}) AS t0"

    def _of_records(self, name: str, piece: str, otherwise: str) -> str:
        """The piece, which is about a column, where the row holds a record; `otherwise` in a delete that needn't have it."""
        if not self.contract.operations or name in self.contract.placing:
            return piece
        return f"CASE WHEN t0._op = 'D' THEN {otherwise} ELSE {piece} END"

    def _quick(self, name: str, column: Column) -> str | None:
        piece = fragments.quick(column.type, column.format)
        return piece and f'{about(piece, name)} AS "_quick_{name}"'

    def _value(self, name: str, column: Column) -> str:
        nulls = self.contract.source.null
        if column.type == "string":
            piece = fragments.text(nulls, self.standards[column.standard] if column.standard else None)
        else:
            piece = fragments.cast(column.type, column.format, column.zone, nulls)
        return self._of_records(name, about(piece, name), "NULL")

    def hashes(self, columns: tuple[str, ...]) -> str:
        """SQL: a hash `h` of `columns` per row. Equal values have equal hashes; `repeated` sorts out chance and nulls."""
        return f"SELECT {self._key_hash(columns)} AS h FROM ({self.typed}) AS t0"

    def _key_hash(self, columns: tuple[str, ...]) -> str:
        declared = self.contract.columns
        pieces = [about(fragments.comparable(declared[n].type, declared[n].format), n) for n in columns]
        return engine.key_hash(pieces)

    def candidates(self, columns: tuple[str, ...]) -> str:
        """SQL: the rows of bronze whose hash of `columns` occurs more than once: those in the view `repeats` (column h)."""
        sent = [*TECHNICAL, *(f'"_text_{name}" AS "{name}"' for name in self.sent)]
        keyed = f"{self._key_hash(columns)} IN (SELECT h FROM repeats)"
        return f"SELECT {', '.join(sent)} FROM ({self._typed('bronze', columns)}) AS t0 WHERE {keyed}"

    def repeated(self, bit: int, columns: tuple[str, ...]) -> str:
        """SQL: row ids of every row but the first with the same `columns`, among rows that no other rule rejects.

        Of upserts and changes the first row of a value may come again under its key. Reads the view `candidates`, a table like bronze.
        """
        typed = self._typed("candidates", tuple(self.contract.columns))
        wanted = [f't0."{name}" IS NOT NULL' for name in columns]
        if self.row_rules[bit].level == "error":
            wanted += [f"NOT {self._hit(mask)}" for mask in range(self.masks)]
        same = ", ".join(f't0."{name}"' for name in columns)
        order = "_loaded_at, _delivery_id, _source_file, _source_row"
        window = f"OVER (PARTITION BY {same} ORDER BY {order})"
        again = f"row_number() {window} > 1"
        if self.contract.rank and self.row_rules[bit].id != "key.unique":  # a newer version of the same row may keep it
            key = "row(" + ", ".join(f't0."{name}"' for name in self.contract.key) + ")"
            again = f"first_value({key}) {window} IS DISTINCT FROM {key}"
        judged = self._judged(typed, repeats=False)
        rows = f"SELECT t0.*, {again} AS _again FROM ({judged}) AS t0 WHERE {' AND '.join(wanted)}"
        return f"SELECT {', '.join(ROW_ID)}, CAST({1 << self._place(bit)} AS BIGINT) AS bit FROM ({rows}) AS t0 WHERE _again"

    @property
    def follows(self) -> bool:
        """Whether a rule compares a row with the one before it: then the slice can't be judged in parts."""
        return any(rule.check.name == "sequence" for rule in self.row_rules)

    def rows(self, *, repeats: bool) -> str:
        """SQL, the pass: row ids, typed columns, `_failed_*`, `_skipped`, and `_text_*` of rejected rows and misfits only.

        With `repeats` it reads the view `repeated` (row ids and `bits`) for the unique rules.
        """
        judged = f"SELECT t0.*, {self._rejected} AS _rejected FROM ({self._judged(self.typed, repeats=repeats)}) AS t0"
        columns = [f'"{name}"' for name in self.contract.columns]
        texts = [self._kept_text(name) for name in self.contract.columns]
        done = ["_op", 'CASE WHEN _rejected THEN "_text__op" END AS "_text__op"'] if self.contract.operations else []
        evolving = self.contract.drift.columns == "evolve"
        told = self._of_records("_extra", "_extra", "NULL") if evolving else "NULL"
        extra = f"CASE WHEN _rejected THEN _extra ELSE {told} END"
        wanted = [*ROW_ID, "_loaded_at", *columns, "_rejected", "_skipped", *self._masks, *texts, *done]
        return f"SELECT {', '.join(wanted)}, {extra} AS _extra FROM ({judged}) AS t0"

    def unsound(self, *, repeats: bool) -> str:
        """SQL, the pass for counting alone: the rows that break a rule or lack a value, as all others count the same.

        Row ids, `_rejected`, `_skipped`, `_failed_*`, the columns of the key, and of the others whether there is a value.
        """
        done = ["_op"] if self.contract.operations else []
        wanted = [*ROW_ID, f"{self._rejected} AS _rejected", "_skipped", *self._masks, *done]
        for name in self.contract.columns:
            wanted.append(
                f'"{name}"'
                if name in self.contract.key
                else f'CASE WHEN "{name}" IS NOT NULL THEN TRUE END AS "{name}"'
            )
        lacking = [f'"{name}" IS NULL' for name in self.contract.columns]
        unlike = " OR ".join([*(f"{mask} <> 0" for mask in self._masks), "_skipped <> 0", *lacking])
        return f"SELECT {', '.join(wanted)} FROM ({self._judged(self.typed, repeats=repeats)}) AS t0 WHERE {unlike}"

    def tables(self) -> list[str]:
        """SQL: one query per table rule, each of one row: rule (its place), evaluated, passed, observed."""
        slice_ = Slice(self._typed_table, self.day, self.history)
        measured = [engine.sql(rule.check.function(slice_, **rule.args)) for rule in self.table_rules]
        return [f"SELECT {number} AS rule, * FROM ({query}) AS t0" for number, query in enumerate(measured)]

    def together(self, queries: list[str]) -> str:
        """SQL: queries over the typed rows as one."""
        return f"WITH typed AS ({self.typed}) {' UNION ALL '.join(queries)}"

    @cached_property
    def _typed_table(self) -> ir.Table:
        """The typed rows as checks see them."""
        values = {name: fragments.TYPES[column.type] for name, column in self.contract.columns.items()}
        texts = {f"_text_{name}": "string" for name in self.sent}
        done = {"_op": "string"} if self.contract.operations else {}
        return ibis.table({**TECHNICAL, **texts, **done, **values}, name="typed")

    @property
    def _masks(self) -> list[str]:
        return [f"_failed_{mask}" for mask in range(self.masks)]

    @property
    def _rejected(self) -> str:
        """Whether a rule that quarantines is broken."""
        return " OR ".join(self._hit(mask) for mask in range(self.masks))

    def _hit(self, mask: int) -> str:
        """Whether a rule of `_failed_{mask}` that quarantines is broken."""
        return f"(_failed_{mask} & {self.rejecting(mask)}) <> 0"

    def _kept_text(self, name: str) -> str:
        misfit = ""
        if self.contract.columns[name].type != "string":
            sent = about(fragments.sent(self.contract.source.null), name)
            unlike = f'CASE WHEN "{name}" IS NULL THEN {sent} IS NOT NULL ELSE FALSE END'
            misfit = f" OR {self._of_records(name, unlike, 'FALSE')}"
        return f'CASE WHEN _rejected{misfit} THEN "_text_{name}" END AS "_text_{name}"'

    def _judged(self, typed: str, *, repeats: bool) -> str:
        """SQL: the typed rows with `_failed_*` and `_skipped`."""
        columns = ["t0.*"]
        joins = []
        for number, (name, standard) in enumerate(sorted(self.code_lists.items())):
            columns.append(f'c{number}.code IS NOT NULL AS "_listed_{name}"')
            joins.append(f'LEFT JOIN codes_{standard} AS c{number} ON t0."{name}" = c{number}.code')
        if repeats:
            columns.append("COALESCE(r.bits, 0) AS _repeats")
            joins.append(f"LEFT JOIN repeated AS r ON {' AND '.join(f't0.{name} = r.{name}' for name in ROW_ID)}")
        else:
            columns.append("CAST(0 AS BIGINT) AS _repeats")
        known = f"SELECT {', '.join(columns)} FROM ({typed}) AS t0 {' '.join(joins)}"
        masks = [f"{self._mask(mask)} AS _failed_{mask}" for mask in range(self.masks)]
        skipped = [_weighed(f"({self._passes(bit)}) IS NULL", place) for place, bit in enumerate(self.skippable)]
        return f"SELECT t0.*, {', '.join([*masks, f'{_sum(skipped)} AS _skipped'])} FROM ({known}) AS t0"

    def _mask(self, mask: int) -> str:
        """The sum of the bits of broken rules. A column's rules look at the null case or at the value, never at both."""
        bits = range(mask * BITS, min((mask + 1) * BITS, len(self.row_rules)))
        single = [bit for bit in bits if self._is_single(bit)]
        terms = []
        for name in dict.fromkeys(self.row_rules[bit].columns[0] for bit in single):
            ours = [bit for bit in single if self.row_rules[bit].columns[0] == name]
            absent = [bit for bit in ours if self.row_rules[bit].check.name in ("required", "type")]
            filled = [bit for bit in ours if bit not in absent]
            empty, full = (_sum([self._broken(bit) for bit in some]) for some in (absent, filled))
            broken = f'CASE WHEN t0."{name}" IS NULL THEN {empty} ELSE {full} END'
            terms.append(self._of_records(name, broken, "0"))
        terms += [self._broken(bit) for bit in bits if bit not in single]
        return _sum(terms)

    def _is_single(self, bit: int) -> bool:
        rule = self.row_rules[bit]
        return rule.check.kind == "column" and rule.check.name != "unique"

    def _broken(self, bit: int) -> str:
        return _weighed(f"COALESCE(NOT {self._passes(bit)}, FALSE)", bit % BITS)

    @cached_property
    def skippable(self) -> tuple[int, ...]:
        """The row rules (bits) that can have nothing to judge in a row: bit i of `_skipped` is the i-th of them."""
        return tuple(bit for bit, rule in enumerate(self.row_rules) if rule.check.kind == "row")

    def _passes(self, bit: int) -> str:
        rule = self.row_rules[bit]
        if rule.check.kind == "row":
            return self._row_passes(rule)
        if rule.check.name == "unique":
            return fragments.is_first(self._place(bit))
        name = rule.columns[0]
        column = self.contract.columns[name]
        if rule.check.name == "standard":
            return about(fragments.conforms(self.standards[str(column.standard)]), name)
        args = {
            "between": (*(column.between or ()), column.zone or str(ZONE)),
            "in": column.in_ or (),
            "length": column.length or (),
            "pattern": (column.pattern,),
        }.get(rule.check.name, ())
        return about(fragments.passes(rule.check.name, column.type, args, self.contract.source.null), name)

    def _row_passes(self, rule: Rule) -> str:
        known = {"day": datetime.combine(self.day, time(), ZONE), "sent": self._sent, "received": self._received}
        wanted = inspect.signature(rule.check.function).parameters
        given = {name: known[name] for name in FILLED_IN if name in wanted}
        return engine.fragment(rule.check.function(self._typed_table, **rule.args, **given))

    @property
    def _received(self) -> ir.TimestampValue:
        """When the row's delivery was received; when it was loaded where nobody knows."""
        rows = self._typed_table
        loaded = rows["_loaded_at"].cast("timestamp")
        known = [(rows["_delivery_id"] == name, ibis.timestamp(at)) for name, at in self.received]
        return ibis.cases(*known, else_=loaded) if known else loaded

    def _sent(self, name: str) -> ir.Value:
        """The cell's text without outer white space, null where it is empty."""
        rows = self._typed_table
        if self.contract.columns[name].type == "string":
            return rows[name]
        return engine.text(rows[f"_text_{name}"], self.contract.source.null)


def _weighed(flag: str, bit: int) -> str:
    return f"CASE WHEN {flag} THEN CAST({1 << bit} AS BIGINT) ELSE 0 END"


def _sum(terms: list[str]) -> str:
    return " + ".join(terms) if terms else "CAST(0 AS BIGINT)"
