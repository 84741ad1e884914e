"""The reference of everything a contract can say, as Markdown.

`python -m expectations.reference > docs/contract-reference.md` writes it anew. Types, defaults and the vocabulary of
checks come from the records and the registry, meanings and examples from `reference.yml`.
"""

import inspect
import sys
from collections.abc import Iterator
from datetime import time, timedelta
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import yaml
from pydantic.fields import FieldInfo

from expectations.catalog import Department, Standard, standards_of
from expectations.checks import REGISTRY, Check
from expectations.rules import IMPLIED, parameters_of
from expectations.suite.vocabulary import words
from lakehouse.api import ApiSince, Next, Ok, Paging, Window
from lakehouse.contract import (
    ROLES,
    Arrival,
    Column,
    Contract,
    DriftModes,
    Expectations,
    Limits,
    Movement,
    Operations,
    Point,
)
from lakehouse.declared import Record, Since
from lakehouse.instants import translated
from lakehouse.source import Dialect, ExchangeSource, FileSource, HttpSource, JdbcSource

_HERE = Path(__file__).parent

_SECTIONS: tuple[tuple[str, str, type[Record]], ...] = (
    ("The file", "One dataset is one file, `expectations/contracts/<department>/<dataset>.yml`.", Contract),
    ("`source`: files", "", FileSource),
    ("`source`: HTTP", "", HttpSource),
    ("`source.page` of HTTP", "", Paging),
    ("`source.next` of HTTP", "", Next),
    ("`source.window` of HTTP", "", Window),
    ("`source.since` of HTTP", "", ApiSince),
    ("`source.ok` of HTTP", "", Ok),
    ("`source`: databases", "", JdbcSource),
    ("`source.since` of databases", "", Since),
    ("`source`: exchange packages", "How the data files are written is said as for files.", ExchangeSource),
    ("`cdc`", "", Operations),
    ("`arrives`", "", Arrival),
    ("`drift`", "", DriftModes),
    ("A column", "One entry of `columns`. Every rule given here is a check with the id `<column>.<check>`.", Column),
    ("`point`", "", Point),
    ("`movement`", "Of datasets that describe a `fix`; how they are used: [movement](movement.md).", Movement),
    ("`expect`", "", Expectations),
    ("`limits`", "", Limits),
)

_GIVEN = {Contract: {"department", "dataset"}, Standard: {"name"}, ExchangeSource: set(Dialect.model_fields)}
"""What the names of folder and file say already, or another section of the page."""

_KINDS = {
    "row": "each row",
    "point": "each position",
    "table": "the slice as a whole",
    "positions": "the slice's positions together",
    "reference": "each row beside another dataset, in the step `relate`",
}
_FATE = """\
## Row fate

A row goes to **quarantine**, with the ids of the rules it broke in `_errors`, when a column of the key or a
`required` column is empty or doesn't fit its type, when it repeats an earlier row's key, or when it breaks a rule of a
column with `level: error`. Every other broken rule leaves the row in silver and notes the rule's id in `_warnings`.

An empty cell passes every check but `required`, and a value that failed `type` isn't tested again: no fault counts
twice. A broken `fail` rule keeps the slice from being served. A rule that can't be computed is `unknown`: neither
passed nor failed.
"""


def markdown() -> str:
    """The whole reference."""
    meanings = yaml.safe_load((_HERE / "reference.yml").read_text("utf-8"))
    return "\n".join(_lines(meanings)).rstrip() + "\n"


def _lines(meanings: dict[str, Any]) -> Iterator[str]:
    yield "# Contract reference"
    yield "\n<!-- Made by `python -m expectations.reference` from the records, the checks and reference.yml. -->"
    yield "\nKeys that aren't listed here are refused with file, line and the nearest valid name."
    for title, about, record in _SECTIONS:
        yield from _section(title, about, record, meanings)
    yield "\n### `describes`: roles\n"
    yield from _table("role", "slots", "what it is")
    for role, slots in sorted(ROLES.items()):
        yield _row(f"`{role}`", " ".join(f"`{slot}`" for slot in sorted(slots)), meanings["roles"][role])
    yield "\nA slot names a column, or `point` for the contract's point.\n"
    yield _FATE
    yield from _checks(meanings)
    yield from _formats(meanings)
    yield from _standards(meanings)
    yield from _section("A row of `departments.yml`", "", Department, meanings)


def _section(title: str, about: str, record: type[Record], meanings: dict[str, Any]) -> Iterator[str]:
    yield f"\n## {title}\n"
    yield from [f"{about}\n"] if about else []
    yield from _table("key", "type", "default", "meaning", "example")
    for name, field in record.model_fields.items():
        if name in _GIVEN.get(record, ()):
            continue
        key = field.alias or name
        meaning, example = meanings[record.__name__][key]
        yield _row(f"`{key}`", _type(field.annotation), _default(field), meaning, f"`{example}`")


def _checks(meanings: dict[str, Any]) -> Iterator[str]:
    yield "## Checks of a column\n"
    yield "The key in the column is the check's name; `type` and, under `key`, `unique` are always on.\n"
    yield from _table("check", "passes when", "dimension", "indicator")
    columns = [check for check in REGISTRY.values() if check.kind == "column" or check.name == "references"]
    for check in sorted(columns, key=lambda c: c.name):
        yield _row(f"`{check.name}`", _said(check), check.dimension, check.indicator)
    yield "\n## Checks under `expect:`\n"
    yield "Dimension and indicator are those of GB/T 36344-2018. `name` tells two items of a kind apart: the id is"
    yield "`<check>(<name>)`. `share` is the share of rows or positions that must pass (default 1.0); of"
    yield "`duplicate_rows` the share that may repeat (default 0).\n"
    yield from _table("check", "judges", "passes when", "arguments", "dimension", "indicator", "example")
    others = [check for check in REGISTRY.values() if check.kind != "column" and check.name not in IMPLIED]
    for check in sorted(others, key=lambda c: c.name):
        example = f"`{meanings['examples'][check.name]}`"
        yield _row(
            f"`{check.name}`",
            _KINDS[check.kind],
            _said(check),
            _arguments(check),
            check.dimension,
            check.indicator,
            example,
        )
    yield f"\nAlways on: `declared` ({REGISTRY['declared'].indicator}), the columns sent are the columns declared. Of"
    yield "changes (`load: cdc`) also:\n"
    yield from _table("check", "passes when", "level", "dimension", "indicator")
    for name, level in (("operation", "error"), ("key.new", "warn"), ("key.known", "warn")):
        check = REGISTRY[name.removeprefix("key.")]
        yield _row(f"`{name}`", _said(check), level, check.dimension, check.indicator)
    yield from _gx()


def _gx() -> Iterator[str]:
    yield "\n## Expectations under `gx:`\n"
    yield "Great Expectations runs these itself on the accepted rows of the day: where no check of ours says it. `name` tells"
    yield "two of a kind apart; `dimension` (`norm`, `complete`, `accurate`, `consistent`, `timely`) overrules the one listed."
    yield "`row_condition` is a mapping such as"
    yield "`{type: comparison, column: {name: status}, operator: ==, parameter: open}`; instants are UTC.\n"
    yield from _table("expectation", "what it asks", "arguments", "dimension")
    for word in words().values():
        arguments = " ".join(f"`{name}`" for name in sorted(word.arguments, key=lambda a: (a not in word.needed, a)))
        yield _row(f"`{word.name}`", word.said, arguments, word.dimension)


def _formats(meanings: dict[str, Any]) -> Iterator[str]:
    yield "\n## Formats of dates and instants\n"
    yield "A pattern of these letters, or one of the words; several are joined by ` | ` and tried in turn.\n"
    yield from _table("letters", "meaning")
    for letter, meaning in meanings["letters"].items():
        translated(letter if "yy" in letter else f"yyyy{letter}")  # a letter the lake doesn't know has no place here
        yield _row(f"`{letter}`", meaning)
    for word, meaning in meanings["words"].items():
        translated(word)
        yield _row(f"`{word}`", meaning)


def _standards(meanings: dict[str, Any]) -> Iterator[str]:
    yield "\n## Column standards\n"
    yield "One file each in `expectations/standards/`. The shipped ones:\n"
    yield from _table("standard", "", "source", "class", "closed list")
    for name, standard in sorted(standards_of(_HERE).items()):
        codes = f"`{standard.codes}`" if standard.codes else ""
        yield _row(f"`{name}`", f"{standard.zh} · {standard.en}", standard.source, standard.class_, codes)
    yield from _section("A standard's file", "", Standard, meanings)


def _table(*headings: str) -> tuple[str, str]:
    return _row(*headings), _row(*["---"] * len(headings))


def _row(*cells: str) -> str:
    inner = " | ".join(cell.replace("|", "\\|") for cell in cells)
    return f"| {inner} |"


def _said(check: Check) -> str:
    """The first paragraph of a check's docstring, on one line."""
    return " ".join((inspect.getdoc(check.function) or "").split("\n\n")[0].split())


def _arguments(check: Check) -> str:
    given = {name: p for name, p in parameters_of(check).items() if name != "name"}
    own = {name: p for name, p in given.items() if name != "share" or p.default is not None}
    return ", ".join(
        f"`{name}` {_type(p.annotation)}" + ("" if p.default in (p.empty, None) else f" ({p.default})")
        for name, p in own.items()
    )


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "**must be given**"
    value = field.get_default(call_default_factory=True)
    if value in (None, (), {}, "") or isinstance(value, Record):
        return ""
    match value:
        case bool():
            return str(value).lower()
        case time():
            return f"{value:%H:%M}"
        case timedelta():
            return f"{int(value.total_seconds() // 3600)}h" if value else "0h"
        case _:
            return f"`{value}`"


def _type(kind: Any) -> str:
    """A type as people say it."""
    origin, parts = get_origin(kind), get_args(kind)
    if origin is Literal:
        return " or ".join(f"`{part}`" for part in parts)
    if origin is Annotated:
        return _type(parts[0])
    if origin in (Union, UnionType):
        return " or ".join(dict.fromkeys(_type(part) for part in parts if part is not type(None)))
    if origin in (tuple, list):
        pair = len(parts) == 2 and parts[1] is not Ellipsis
        return f"[{_type(parts[0])}, {_type(parts[1])}]" if pair else f"list of {_type(parts[0])}"
    if origin is dict:
        return f"{_type(parts[1])} by name"
    return _NAMES.get(kind, "section" if isinstance(kind, type) and issubclass(kind, Record) else str(kind))


_NAMES = {
    str: "text",
    int: "whole number",
    float: "number",
    bool: "true or false",
    time: "time",
    timedelta: "duration like 90m, 2h, 3d",
    Any: "anything",
}


if __name__ == "__main__":
    sys.stdout.write(markdown())
