"""Consistency (GB/T 36344: 04): do the data agree with themselves and with other departments' data?"""

import operator
from collections.abc import Callable
from typing import Any

import ibis
import ibis.expr.types as ir

from expectations.checks.registry import check

OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "<": operator.lt,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
    ">=": operator.ge,
    ">": operator.gt,
}


@check("row", "consistent", "0402")
def compare(rows: ir.Table, *, left: str, op: str, right: str) -> ir.BooleanValue:
    """Two columns of a row stand in the relation `op`."""
    return OPERATORS[op](rows[left], rows[right])


@check("change", "consistent", "0402")
def new(done: ir.StringValue, before: ir.StringValue) -> ir.BooleanValue:
    """The key of an inserted row wasn't there before."""
    return (done == "I").ifelse(before.isnull() | (before == "D"), ibis.null("boolean"))


@check("change", "consistent", "0402")
def known(done: ir.StringValue, before: ir.StringValue) -> ir.BooleanValue:
    """The key of an updated or deleted row was there before."""
    return (done == "I").ifelse(ibis.null("boolean"), before.notnull() & (before != "D"))


@check("reference", "consistent", "0402")
def references(found: ir.BooleanValue) -> ir.BooleanValue:
    """The value exists in the referenced column (stage relate joins it)."""
    return found


@check("reference", "consistent", "0401")
def agrees(ours: ir.Value, theirs: ir.Value, *, op: str) -> ir.BooleanValue:
    """Our value and the other dataset's, joined by key, stand in the relation `op` (stage relate joins them)."""
    return OPERATORS[op](ours, theirs)
