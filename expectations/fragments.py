"""Pieces of SQL for one column, compiled from ibis once per process and used for every column that asks for the same.

Compiling a whole dataset's pass through ibis takes half a second; its pieces repeat from column to column and from
dataset to dataset. A piece speaks of the row as `t0` and of its column through the names below, put in by `about`.
"""

from functools import cache
from typing import Any

import ibis
import ibis.expr.types as ir

from expectations.catalog import Standard
from expectations.checks import REGISTRY, norm
from lakehouse.contract import Column, Operations
from lakehouse.engine import embedded as engine
from lakehouse.instants import is_fixed_width

_VALUE, _TEXT, _QUICK, _LISTED = "_value", "_text", "_quick", "_listed"

TYPES = {
    "string": "string",
    "integer": "int64",
    "double": "float64",
    "decimal": "decimal(38, 10)",
    "boolean": "boolean",
    "date": "date",
    "timestamp": "timestamp",
}
"""The types of typed columns inside the pass; instants are UTC without zone."""


def about(piece: str, name: str) -> str:
    """The piece for column `name`: its value, its text `_text_<name>`, and what the pass knows of it."""
    piece = piece.replace(f'"t0"."{_VALUE}"', f'"t0"."{name}"')
    for word in (_TEXT, _QUICK, _LISTED):
        piece = piece.replace(f'"t0"."{word}"', f'"t0"."{word}_{name}"')
    return piece


@cache
def quick(type_: str, form: str | None) -> str | None:
    """The first try at a type, from the text; None for types without one."""
    tried = engine.quick(_row({_TEXT: "string"})[_TEXT], Column.model_validate({"type": type_, "format": form}))
    return None if tried is None else engine.fragment(tried)


@cache
def cast(type_: str, form: str | None, zone: str | None, nulls: tuple[str, ...]) -> str:
    """The value of a column that isn't text, from its text and the first try."""
    column = Column.model_validate({"type": type_, "format": form, "zone": zone})
    has_quick = quick(type_, form) is not None
    row = _row({_TEXT: "string"} | ({_QUICK: TYPES[type_]} if has_quick else {}))
    value = engine.cast(row[_TEXT], row[_QUICK] if has_quick else None, column)
    if nulls:
        value = engine.text(row[_TEXT], nulls).notnull().ifelse(value, ibis.null(value.type()))
    return engine.fragment(value)


@cache
def text(nulls: tuple[str, ...], standard: Standard | None) -> str:
    """The value of a text column: stripped, null where empty, normalised as its standard says."""
    stripped = engine.text(_row({_TEXT: "string"})[_TEXT], nulls)
    return engine.fragment(norm.normalised(stripped, standard) if standard else stripped)


@cache
def sent(nulls: tuple[str, ...]) -> str:
    """The text of a column without outer white space, null where it is empty."""
    return engine.fragment(engine.text(_row({_TEXT: "string"})[_TEXT], nulls))


@cache
def operation(known: Operations) -> str:
    """What a change did, from the word sent: `I`, `U` or `D`, null for a word that stands for none."""
    word = engine.text(_row({_TEXT: "string"})[_TEXT]).lower()
    told = [(word.isin(words), done) for done, words in known.words.items()]
    return engine.fragment(ibis.cases(*told, else_=ibis.null("string")))


@cache
def comparable(type_: str, form: str | None) -> str:
    """What to compare values by: their text, uncast, where equal instants are always written alike."""
    row = _row({_TEXT: "string", _VALUE: TYPES[type_]})
    if type_ == "timestamp" and form and is_fixed_width(form):
        raw = row[_TEXT]
        return engine.fragment((raw.length() == len(form)).ifelse(raw, engine.text(raw)))
    return engine.fragment(row[_VALUE])


@cache
def passes(check: str, type_: str, args: tuple[Any, ...], nulls: tuple[str, ...] = ()) -> str:
    """Whether a column passes a check; `required` and `type` look at the text as well."""
    row = _row({_TEXT: "string", _VALUE: TYPES[type_]})
    function = REGISTRY[check].function
    present = row[_VALUE] if type_ == "string" else engine.text(row[_TEXT], nulls)
    given = {"required": (present,), "type": (present, row[_VALUE])}.get(check, (row[_VALUE], *args))
    return engine.fragment(function(*given))


@cache
def conforms(standard: Standard) -> str:
    """Whether a column's value conforms to its standard."""
    row = _row({_VALUE: "string", _LISTED: "boolean"})
    listed = row[_LISTED] if standard.codes else None
    return engine.fragment(REGISTRY["standard"].function(row[_VALUE], standard, listed))


@cache
def follows(check: str) -> str:
    """Whether a change, by its `_op`, can come after what was `_before` it."""
    row = _row({"_op": "string", "_before": "string"})
    return engine.fragment(REGISTRY[check].function(row["_op"], row["_before"]))


@cache
def is_first(bit: int) -> str:
    """Whether the row doesn't repeat an earlier one, by its bit of `_repeats`."""
    repeated = _row({"_repeats": "int64"})["_repeats"]
    return engine.fragment(REGISTRY["unique"].function((repeated & ibis.literal(1 << bit, "int64")) != 0))


def _row(schema: dict[str, str]) -> ir.Table:
    return ibis.table(schema, name="typed")
