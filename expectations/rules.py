"""What a contract asks for, as a list of rules: each column's keys, the key, and the items under `expect:`."""

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from expectations.catalog import Catalog
from expectations.checks import REGISTRY, Check
from lakehouse.contract import Column, Contract, Expectation
from lakehouse.errors import ContractError

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
    """Every rule the contract makes, in the order of the contract: columns, key, expectations."""
    found = [rule for name, column in contract.columns.items() for rule in _column_rules(contract, name, column)]
    if contract.key:
        found.append(Rule("key.unique", REGISTRY["unique"], contract.key, "error"))
    if contract.drift.columns == "quarantine":
        found.append(Rule("declared.row", REGISTRY["declared"], (), "error"))
    found += [_expected(item, "fail") for item in contract.expect.fail]
    found += [_expected(item, "warn") for item in contract.expect.warn]
    return tuple(found)


def verify(catalog: Catalog) -> None:
    """Fit every expectation to its check's signature and columns. Raises ContractError with every mistake."""
    mistakes = []
    for contract in catalog.contracts:
        mistakes += [f"{contract.name}: {mistake}" for mistake in misfits(contract)]
    if mistakes:
        raise ContractError(
            f"{len(mistakes)} mistakes in checks\n  " + "\n  ".join(mistakes), hint="mend the contracts named above"
        )


def misfits(contract: Contract) -> Iterator[str]:
    """What is wrong with the contract's `expect:` items, one line each."""
    for item in (*contract.expect.fail, *contract.expect.warn):
        check = REGISTRY.get(item.check)
        if check is None or check.kind == "column":
            yield f"expect: no check '{item.check}' (known: {', '.join(sorted(n for n, c in REGISTRY.items() if c.kind != 'column'))})"
            continue
        parameters = {} if item.check == "agrees" else _parameters(check)
        args = _arguments(item)
        if item.check != "agrees":
            yield from (f"expect.{item.check}: no argument '{name}'" for name in args if name not in parameters)
            needed = [n for n, p in parameters.items() if p.default is p.empty and n not in args]
            yield from (f"expect.{item.check}: argument '{name}' is missing" for name in needed)
        if check.kind == "point" and not contract.point:
            yield f"expect.{item.check}: the contract declares no point"
        yield from (
            f"expect.{item.check}: no column '{name}'" for name in _speaks_of(item) if name not in contract.columns
        )


def _column_rules(contract: Contract, name: str, column: Column) -> Iterator[Rule]:
    fate: Level = "error" if contract.rejects(name) else "warn"
    required = column.required or name in contract.key
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


def _expected(item: Expectation, level: Level) -> Rule:
    check = REGISTRY[item.check]
    args = _arguments(item)
    named = args.pop("name", None) or ",".join(_speaks_of(item)[:2])
    share = 1.0 if "share" in _own_parameters(check) else float(args.pop("share", 1.0))
    return Rule(f"{item.check}({named})" if named else item.check, check, tuple(_speaks_of(item)), level, share, args)


def _arguments(item: Expectation) -> dict[str, Any]:
    """The item's arguments by the names of the check's parameters (`in` is a word of Python)."""
    return {"values" if name == "in" else name: value for name, value in item.args.items()}


def _speaks_of(item: Expectation) -> list[str]:
    """The columns an expectation names."""
    if item.check == "agrees":
        return [*item.args.get("on", {}), *[item.args[k] for k in ("left",) if k in item.args]]
    named: list[str] = []
    for key in ("column", "columns", "left", "right", "by", "at", "then"):
        value = item.args.get(key)
        named += value if isinstance(value, list) else [value] if isinstance(value, str) else []
    return named


def _own_parameters(check: Check) -> dict[str, inspect.Parameter]:
    """The parameters of the check itself that a contract may fill: those by name only; the plan fills in the day."""
    return {
        n: p for n, p in inspect.signature(check.function).parameters.items() if p.kind is p.KEYWORD_ONLY and n != "day"
    }


def _parameters(check: Check) -> dict[str, inspect.Parameter]:
    """What may stand under an expectation: the check's own parameters, its `name`, and the `share` that must pass."""
    extra = {n: inspect.Parameter(n, inspect.Parameter.KEYWORD_ONLY, default=None) for n in ("name", "share")}
    return extra | _own_parameters(check)
