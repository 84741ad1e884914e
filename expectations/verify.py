"""Fits the checks of contracts to their signatures, columns and neighbours: what the shape of the YAML can't tell."""

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import TypeAdapter, ValidationError

from expectations.catalog import Catalog, nearest
from expectations.checks import REGISTRY
from expectations.checks.consistent import OPERATORS
from expectations.rules import IMPLIED, columns_of, gx_rule_of, parameters_of, rule_of
from expectations.suite import vocabulary
from lakehouse.contract import Contract, Expectation
from lakehouse.declared import duration
from lakehouse.document import Place, located
from lakehouse.errors import ContractError

_TEMPORAL = {"within_day": "column", "fresh": "column", "not_future": "column", "sequence": "at"}
"""Checks of dates and instants, and the argument that names the column."""


def verify(catalog: Catalog) -> None:
    """Fit every check of every contract. Raises ContractError with every mistake: file, line, key, nearest valid name."""
    mistakes = []
    for contract in catalog.contracts:
        path = catalog.file(contract)
        mistakes += [*misfits(contract, path), *_loose_ends(contract, path, catalog)]
    if mistakes:
        count = f"{len(mistakes)} mistake{'s' if len(mistakes) > 1 else ''}"
        raise ContractError(f"{count} in checks\n  " + "\n  ".join(mistakes), hint="mend the lines named above")


def misfits(contract: Contract, path: Path) -> Iterator[str]:
    """What is wrong with the checks of one contract in the file `path`, a line each with file, line and key."""
    for name, column in contract.columns.items():
        if column.pattern and (fault := _not_re2(column.pattern)):
            yield f"{located(path, ('columns', name, 'pattern'))}: {fault}"
    for place, item in _items(contract):
        yield from (f"{located(path, (*place, *key))}: {fault}" for key, fault in _misfits(contract, item))
    for place, item in _gx_items(contract):
        yield from (f"{located(path, (*place, *key))}: {fault}" for key, fault in vocabulary.misfits(contract, item))
    yield from (f"{located(path, place)}: {fault}" for place, fault in _namesakes(contract))


def _items(contract: Contract) -> Iterator[tuple[Place, Expectation]]:
    for level, items in (("fail", contract.expect.fail), ("warn", contract.expect.warn)):
        yield from ((("expect", level, number, item.check), item) for number, item in enumerate(items))


def _gx_items(contract: Contract) -> Iterator[tuple[Place, Expectation]]:
    return ((("gx", number, item.check), item) for number, item in enumerate(contract.gx))


def _misfits(contract: Contract, item: Expectation) -> Iterator[tuple[Place, str]]:
    """What is wrong with one item, and under which of its keys."""
    check = REGISTRY.get(item.check)
    if check is None or check.kind == "column" or item.check in IMPLIED:
        known = [name for name, c in REGISTRY.items() if c.kind != "column" and name not in IMPLIED]
        yield (), f"no such check; {nearest(item.check, known)}"
        return
    parameters = parameters_of(check)
    for name, value in item.args.items():
        if name not in parameters:
            yield (name,), f"no such argument; {nearest(name, parameters)}"
        elif fault := _unfit(name, value, parameters[name]):
            yield (name,), fault
    needed = (name for name, p in parameters.items() if p.default is p.empty)
    yield from (((), f"argument '{name}' is missing") for name in needed if name not in item.args)
    if check.kind in ("point", "positions") and not contract.point:
        yield (), "the contract declares no point"
    unknown = [name for name in columns_of(item) if name not in contract.columns]
    yield from (((), f"no column '{name}'; {nearest(name, contract.columns)}") for name in unknown)
    if not unknown:
        yield from (((), fault) for fault in _unlike(contract, item))


def _unfit(name: str, value: Any, parameter: inspect.Parameter) -> str | None:
    try:
        TypeAdapter(parameter.annotation).validate_python(value, strict=True)
        if name in ("within", "back"):
            duration(value)
    except ValidationError as error:
        return f"{value!r}: {error.errors(include_url=False)[0]['msg'].lower()}"
    except ValueError as error:
        return str(error)
    if name == "op" and value not in OPERATORS:
        return f"'{value}' is not one of {' '.join(OPERATORS)}"
    if name == "share" and not 0 <= value <= 1:
        return f"{value} is not a share from 0 to 1"
    return None


def _unlike(contract: Contract, item: Expectation) -> Iterator[str]:
    """Columns of a type the check can't judge."""
    kinds = {name: contract.columns[name].type for name in columns_of(item)}
    at = item.args.get(_TEMPORAL.get(item.check, ""))
    if at in kinds and kinds[at] not in ("date", "timestamp"):
        yield f"'{at}' is a {kinds[at]}, not a date or timestamp"
    if item.check == "compare" and len({_family(kind) for kind in kinds.values()}) > 1:
        yield f"{' and '.join(f'{name} ({kind})' for name, kind in kinds.items())} can't be compared"
    if item.check == "clean_text":
        yield from (f"'{name}' is a {kind}, not a string" for name, kind in kinds.items() if kind != "string")


def _namesakes(contract: Contract) -> Iterator[tuple[Place, str]]:
    """Items that would go by the same check id."""
    taken: set[str] = set()
    named = [(place, rule_of(item, "warn").id) for place, item in _items(contract) if item.check in REGISTRY]
    fitting = ((place, item) for place, item in _gx_items(contract) if not any(vocabulary.misfits(contract, item)))
    named += [(place, gx_rule_of(item).id) for place, item in fitting]
    for place, name in named:
        if name in taken:
            yield place, f"another check is called '{name}'; give one of them a 'name'"
        taken.add(name)


def _loose_ends(contract: Contract, path: Path, catalog: Catalog) -> Iterator[str]:
    """What `agrees` names in the other dataset and isn't there."""
    others = {other.name: other for other in catalog.contracts}
    for place, item in _items(contract):
        if item.check != "agrees" or "dataset" not in item.args:
            continue
        other = others.get(item.args["dataset"])
        if other is None:
            yield f"{located(path, (*place, 'dataset'))}: no dataset '{item.args['dataset']}'; {nearest(item.args['dataset'], others)}"
            continue
        for key, name in (
            *((("on",), n) for n in dict(item.args.get("on", {})).values()),
            (("right",), item.args.get("right")),
        ):
            if name is not None and name not in other.columns:
                yield f"{located(path, (*place, *key))}: no column '{name}' in {other.name}; {nearest(name, other.columns)}"


def _not_re2(pattern: str) -> str | None:
    """Why the engines can't search with the pattern; Python's look-around and back references aren't theirs."""
    try:
        pc.match_substring_regex(pa.array([""]), pattern)
    except pa.ArrowInvalid as error:
        return f"not a regular expression of RE2 ({str(error).removeprefix('Invalid regular expression: ')})"
    return None


def _family(kind: str) -> str:
    return "number" if kind in ("integer", "double", "decimal") else kind
