"""What a changed contract means for those who deliver and those who read: breaking, stricter or compatible. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from lakehouse.contract import Column, Contract, Expectation
from lakehouse.instants import alternatives

Weight = Literal["breaking", "stricter", "compatible"]
"""breaking: tables are rebuilt or readers change; stricter: what was right may be wrong now; else compatible."""

_DRIFT = ("evolve", "discard_value", "quarantine", "freeze")
_WORDS = ("title", "description", "basis", "kind", "sharing", "describes")


@dataclass(frozen=True)
class Change:
    """One change: `where` is the key in the YAML, `said` what it means."""

    weight: Weight
    where: str
    said: str


def diff(old: Contract, new: Contract) -> tuple[Change, ...]:
    """Every change from `old` to `new`, the heaviest first; nothing when both mean the same."""
    found = [*_table(old, new), *_columns(old, new), *_delivery(old, new), *_expectations(old, new)]
    order: Sequence[Weight] = ("breaking", "stricter", "compatible")
    return tuple(sorted(found, key=lambda change: (order.index(change.weight), change.where)))


def _table(old: Contract, new: Contract) -> Iterator[Change]:
    for name, said in (
        ("key", "rows are told apart differently"),
        ("load", "the table is built differently"),
        ("order", "another column decides which version of a row is newer"),
        ("cdc", "changes say otherwise what was done"),
        ("point", "positions are computed differently"),
    ):
        if getattr(old, name) != getattr(new, name):
            yield Change("breaking", name, f"{said}: the table must be rebuilt")
    for name in _WORDS:
        if getattr(old, name) != getattr(new, name):
            yield Change("compatible", name, "changed; no row is affected")


def _columns(old: Contract, new: Contract) -> Iterator[Change]:
    for name in old.columns.keys() - new.columns.keys():
        yield Change("breaking", f"columns.{name}", "removed: readers lose it")
    for name in new.columns.keys() - old.columns.keys():
        if new.columns[name].required or name in new.key:
            yield Change(
                "breaking", f"columns.{name}", "new and required: rows without it are quarantined, old ones lack it"
            )
        else:
            yield Change("compatible", f"columns.{name}", "new; null in what was delivered before")
    for name in old.columns.keys() & new.columns.keys():
        for change in _column(old.columns[name], new.columns[name], old.sent_name(name), new.sent_name(name)):
            yield Change(change.weight, f"columns.{name}.{change.where}", change.said)


def _column(old: Column, new: Column, old_name: str, new_name: str) -> Iterator[Change]:
    if old.type != new.type:
        yield Change("breaking", "type", f"{old.type} is now {new.type}: the table must be rebuilt")
    if old.zone != new.zone:
        yield Change("breaking", "zone", "the same text is another instant now: the table must be rebuilt")
    if old_name != new_name:
        yield Change("stricter", "from", f"sent as '{new_name}' instead of '{old_name}': the department must rename it")
    yield from _format(old.format, new.format)
    yield from _switch(
        "required", old.required, new.required, "a missing value costs the row", "readers may meet nulls"
    )
    yield from _switch("unique", old.unique, new.unique, "a repeated value is a finding", "values may repeat")
    yield from _listed("in", old.in_, new.in_)
    yield from _range("between", old.between, new.between)
    yield from _range("length", old.length, new.length)
    for name in ("standard", "pattern", "references"):
        before, after = getattr(old, name), getattr(new, name)
        if before != after:
            yield Change(
                "stricter" if after else "compatible", name, f"now {after}" if after else "no longer asked for"
            )
    if old.level != new.level:
        costs = "a finding costs the row" if new.level == "error" else f"now {new.level or 'the usual one'}"
        yield Change("stricter" if new.level == "error" else "compatible", "level", costs)
    if old.class_ != new.class_:
        shown = "masked outside the raw zone" if new.class_ == "sensitive" else "shown where it was not"
        yield Change(
            "compatible",
            "class",
            f"{old.class_} is now {new.class_}" + (f": {shown}" if "sensitive" in (old.class_, new.class_) else ""),
        )
    if old.title != new.title:
        yield Change("compatible", "title", "changed; no row is affected")


def _format(old: str | None, new: str | None) -> Iterator[Change]:
    if (old or "iso") == (new or "iso"):
        return
    before, after = (set(alternatives(form or "iso")) for form in (old, new))
    if lost := before - after:
        yield Change("stricter", "format", f"no longer read: {' | '.join(sorted(lost))}")
    elif more := after - before:
        yield Change("compatible", "format", f"read as well: {' | '.join(sorted(more))}")
    else:
        yield Change("stricter", "format", "tried in another order")


def _switch(name: str, old: bool, new: bool, on: str, off: str) -> Iterator[Change]:
    if old != new:
        yield Change("stricter", name, on) if new else Change("compatible", name, f"no longer asked for: {off}")


def _listed(name: str, old: tuple[str, ...] | None, new: tuple[str, ...] | None) -> Iterator[Change]:
    if old == new:
        return
    if new is None:
        yield Change("compatible", name, "any value is right")
    elif old is None or (lost := set(old) - set(new)):
        yield Change(
            "stricter", name, "a closed list" if old is None else f"no longer right: {', '.join(sorted(lost))}"
        )
    else:
        more = sorted(set(new) - set(old))
        yield Change(
            "compatible", name, f"right as well: {', '.join(more)}" if more else "same values in another order"
        )


def _range(name: str, old: tuple[Any, Any] | None, new: tuple[Any, Any] | None) -> Iterator[Change]:
    if old == new:
        return
    if new is None:
        yield Change("compatible", name, "any value is right")
    elif old is not None and type(old[0]) is type(new[0]) and new[0] <= old[0] and new[1] >= old[1]:
        yield Change("compatible", name, f"wider: {new[0]} to {new[1]}")
    else:
        yield Change("stricter", name, f"{new[0]} to {new[1]}" + (f" instead of {old[0]} to {old[1]}" if old else ""))


def _delivery(old: Contract, new: Contract) -> Iterator[Change]:
    if old.source != new.source:
        yield Change("stricter", "source", "delivered elsewhere or written differently: tell the department")
    if old.arrives != new.arrives:
        earlier = new.arrives.days < old.arrives.days or _due(new) < _due(old)
        yield Change(
            "stricter" if earlier else "compatible", "arrives", "due sooner" if earlier else "due later or as soon"
        )
    for name in set(old.ignore) - set(new.ignore) - {new.sent_name(column) for column in new.columns}:
        yield Change("stricter", "ignore", f"'{name}' is an undeclared column now")
    if more := set(new.ignore) - set(old.ignore):
        yield Change("compatible", "ignore", f"passed over: {', '.join(sorted(more))}")
    for name in ("columns", "types"):
        before, after = (_DRIFT.index(getattr(contract.drift, name)) for contract in (old, new))
        if before != after:
            yield Change("stricter" if after > before else "compatible", f"drift.{name}", f"now {_DRIFT[after]}")
    for name, allowed in dict(new.limits).items():
        if (before := getattr(old.limits, name)) != allowed:
            yield Change(
                "stricter" if allowed < before else "compatible", f"limits.{name}", f"{allowed:,} instead of {before:,}"
            )


def _due(contract: Contract) -> float:
    by = contract.arrives.by
    return by.hour * 3600 + by.minute * 60 + contract.arrives.grace.total_seconds()


def _expectations(old: Contract, new: Contract) -> Iterator[Change]:
    listed = (
        ("expect.fail", "the slice isn't served without it", old.expect.fail, new.expect.fail),
        ("expect.warn", "it scores", old.expect.warn, new.expect.warn),
        ("gx", "it scores", old.gx, new.gx),
    )
    for where, meaning, had, has in listed:
        before, after = _by_name(had), _by_name(has)
        for name in after.keys() - before.keys():
            yield Change("stricter", f"{where}.{name}", f"new: {meaning}")
        for name in before.keys() - after.keys():
            yield Change("compatible", f"{where}.{name}", "no longer asked for")
        for name in before.keys() & after.keys():
            if before[name] != after[name]:
                yield Change("stricter", f"{where}.{name}", f"now {dict(after[name].args)}")


def _by_name(items: Sequence[Expectation]) -> Mapping[str, Expectation]:
    """Items by check and `name`, else by check and what tells them apart: their place among the same checks."""
    found: dict[str, Expectation] = {}
    for item in items:
        name = f"{item.check}({item.args['name']})" if "name" in item.args else item.check
        while name in found:
            name += "'"
        found[name] = item
    return found
