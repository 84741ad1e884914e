"""What a contract asks for, as a list of rules: each column's keys, the key, and the items under `expect:` and `gx:`."""

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from expectations.checks import REGISTRY, Check
from expectations.suite import vocabulary
from lakehouse.contract import Column, Contract, Expectation

IMPLIED = frozenset({"declared", "references", "operation", "new", "known"})
"""Checks that follow from other keys of a contract and don't stand under `expect:`."""

Level = Literal["error", "warn", "fail"]
"""What a broken rule does: quarantine the row, mark it, or keep the whole slice from being served."""


@dataclass(frozen=True)
class Rule:
    """One check of one contract."""

    id: str
    check: Check
    columns: tuple[str, ...]
    level: Level
    share: float = 1.0
    args: Mapping[str, Any] = field(default_factory=dict)


def rules(contract: Contract) -> tuple[Rule, ...]:
    """Every rule the contract makes, in the order of the contract: columns, key, expectations, those for GX."""
    found = [rule for name, column in contract.columns.items() for rule in _column_rules(contract, name, column)]
    if contract.operations:
        found.append(Rule("operation", REGISTRY["operation"], (), "error"))
        found += [Rule(f"key.{name}", REGISTRY[name], contract.key, "warn") for name in ("new", "known")]
    elif contract.key:
        found.append(Rule("key.unique", REGISTRY["unique"], contract.key, "error"))
    if contract.drift.columns == "quarantine":
        found.append(Rule("declared.row", REGISTRY["declared"], (), "error"))
    found += [rule_of(item, "fail") for item in contract.expect.fail]
    found += [rule_of(item, "warn") for item in contract.expect.warn]
    found += [gx_rule_of(item) for item in contract.gx]
    return tuple(found)


def _column_rules(contract: Contract, name: str, column: Column) -> Iterator[Rule]:
    fate: Level = "error" if contract.rejects(name) else "warn"
    required = column.required or name in contract.placing
    level: Level = column.level or "warn"
    if required:
        yield Rule(f"{name}.required", REGISTRY["required"], (name,), column.level or "error")
    if column.type != "string":
        modes: dict[str, Level] = {"quarantine": "error", "freeze": "fail"}
        kept: Level = column.level or modes.get(contract.drift.types, fate)
        yield Rule(f"{name}.type", REGISTRY["type"], (name,), kept)
    for word, asked in (("length", column.length), ("pattern", column.pattern), ("standard", column.standard),
                        ("in", column.in_), ("between", column.between)):  # fmt: skip
        if asked is not None:
            yield Rule(f"{name}.{word}", REGISTRY[word], (name,), level)
    if column.unique:
        yield Rule(f"{name}.unique", REGISTRY["unique"], (name,), level)
    if column.references:
        yield Rule(f"{name}.references", REGISTRY["references"], (name,), "warn", args={"to": column.references})


def rule_of(item: Expectation, level: Level) -> Rule:
    """The rule of one item under `expect:`. Its id is `check` or `check(name)`, the name by default the columns it speaks of."""
    check = REGISTRY[item.check]
    args = {"values" if name == "in" else name: value for name, value in item.args.items()}
    named = args.pop("name", None) or ",".join(columns_of(item)[:2])
    share = 1.0 if "share" in _own_parameters(check) else float(args.pop("share", 1.0))
    if item.check == "duplicate_rows":
        share = 1 - float(
            item.args.get("share", 0)
        )  # a contract says how many rows may repeat, a rule how many must not
    return Rule(f"{item.check}({named})" if named else item.check, check, tuple(columns_of(item)), level, share, args)


def gx_rule_of(item: Expectation) -> Rule:
    """The rule of one item under `gx:`; its id is made as that of an item under `expect:`."""
    columns = vocabulary.columns_of(item)
    dimension = item.args.get("dimension") or vocabulary.words()[item.check].dimension
    check = Check(item.check, "gx", dimension, vocabulary.INDICATORS[dimension], _left_to_gx)
    named = item.args.get("name") or ",".join(columns[:2])
    args = {name: value for name, value in item.args.items() if name not in ("name", "dimension")}
    share = float(args.get("mostly", 1.0))
    return Rule(f"{item.check}({named})" if named else item.check, check, tuple(columns), "warn", share, args)


def _left_to_gx() -> None:
    """Expectations under `gx:` have no expression of ours: Great Expectations runs them in the step `gx`."""


def columns_of(item: Expectation) -> list[str]:
    """The columns of its own dataset that an item names."""
    if item.check == "agrees":
        return [*item.args.get("on", {}), *[item.args[k] for k in ("left",) if k in item.args]]
    named: list[str] = []
    for key in ("column", "columns", "left", "right", "by", "at", "then"):
        value = item.args.get(key)
        named += value if isinstance(value, list) else [value] if isinstance(value, str) else []
    return named


def parameters_of(check: Check) -> dict[str, inspect.Parameter]:
    """What may stand under an item: the check's own parameters, its `name`, and the `share` that must pass."""
    own = {"in" if name == "values" else name: p for name, p in _own_parameters(check).items()}
    optional = {"name": str, "share": float} | ({"layer": Literal["city"]} if check.name == "inside" else {})
    joined = {"dataset": str, "on": dict[str, str], "left": str, "right": str} if check.name == "agrees" else {}
    return {
        **{name: _by_name(name, kind, default=None) for name, kind in optional.items()},
        **{name: _by_name(name, kind) for name, kind in joined.items()},
        **own,
    }


def _by_name(name: str, kind: Any, **default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=kind, **default)


def _own_parameters(check: Check) -> dict[str, inspect.Parameter]:
    """The parameters of the check itself that a contract may fill: those by name only that the plan doesn't fill in."""
    parameters = inspect.signature(check.function).parameters.items()
    return {name: p for name, p in parameters if p.kind is p.KEYWORD_ONLY and name not in FILLED_IN}


FILLED_IN = ("day", "sent", "received")
"""What the plan tells a check: the slice's day (midnight in Asia/Shanghai), the text of a column's cells as sent, and
when a row's delivery was received (UTC without zone)."""
