"""Conformance (GB/T 36344: 01): are values written as the standards and the contract say?"""

from collections.abc import Callable

import ibis
import ibis.expr.types as ir

from expectations.catalog import Remove, Standard
from expectations.checks.registry import check

USCC_ALPHABET = "0123456789ABCDEFGHJKLMNPQRTUWXY"
"""GB 32100-2015: the 31 characters of the unified social credit code, in the order of their values."""

RESIDENT_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
"""GB 11643-1999: 2^(18-i) mod 11 for the 17 digits (ISO 7064 MOD 11-2)."""

_FULL = "".join(chr(code) for code in range(0xFF01, 0xFF5F)) + "\u3000"
_HALF = "".join(chr(code) for code in range(0x21, 0x7F)) + " "


@check("column", "norm", "0101", name="type")
def type_(text: ir.StringValue, value: ir.Value) -> ir.BooleanValue:
    """The text, where there is any, was understood as the declared type."""
    return text.isnull().ifelse(ibis.null("boolean"), value.notnull())


@check("row", "norm", "0102")
def declared(rows: ir.Table) -> ir.BooleanValue:
    """The row has no field that the contract doesn't declare."""
    return rows["_extra"].isnull()


@check("row", "norm", "0104")
def operation(rows: ir.Table) -> ir.BooleanValue:
    """The word sent for the operation is one that the contract lists."""
    return rows["_op"].notnull()


@check("column", "norm", "0101")
def length(value: ir.StringValue, least: int, most: int) -> ir.BooleanValue:
    """Between `least` and `most` characters."""
    return value.length().between(least, most)


@check("column", "norm", "0104", name="in")
def in_(value: ir.Value, *allowed: str) -> ir.BooleanValue:
    """One of the values the contract lists."""
    return value.cast("string").isin(allowed)


@check("row", "norm", "0104")
def when(
    rows: ir.Table, *, column: str, values: list[str], then: str, sent: Callable[[str], ir.StringValue]
) -> ir.BooleanValue:
    """Where `column` is one of `values`, `then` has a value; not judged where it was `sent`, but not understood."""
    applies = rows[column].cast("string").isin(values) & (rows[then].notnull() | sent(then).isnull())
    return applies.ifelse(rows[then].notnull(), ibis.null("boolean"))


@check("column", "norm", "0101")
def standard(value: ir.StringValue, rule: Standard, listed: ir.BooleanValue | None) -> ir.BooleanValue:
    """The value is written as the standard says, its check digit is right, and it is `listed` where there is a list."""
    passes = value.re_search(rule.pattern)
    if rule.digit:
        passes = passes & DIGITS[rule.digit](value)
    return passes if listed is None else passes & listed


def normalised(text: ir.StringValue, rule: Standard) -> ir.StringValue:
    """The text as the standard writes it: upper case, half width, without what doesn't count; null if nothing is left."""
    for step in rule.normalise:
        match step:
            case "upper":
                text = text.upper()
            case "strip":
                text = text.strip()
            case "halfwidth":
                # DuckDB builds the table of 95 characters anew for every value it translates: 8 us each
                text = text.re_search("[！-～\u3000]").ifelse(text.translate(_FULL, _HALF), text)
            case Remove(remove=characters):
                for character in characters:
                    text = text.replace(character, "")
    return text.nullif("") if rule.normalise else text


def uscc(value: ir.StringValue) -> ir.BooleanValue:
    """GB 32100-2015: check = (31 - sum(value(i) * 3^i mod 31) mod 31) mod 31."""
    alphabet = ibis.literal(USCC_ALPHABET)
    total = sum((alphabet.find(value.substr(i, 1)) * pow(3, i, 31) for i in range(17)), start=ibis.literal(0))
    return alphabet.find(value.substr(17, 1)) == (31 - total % 31) % 31


def resident_id(value: ir.StringValue) -> ir.BooleanValue:
    """GB 11643-1999: ISO 7064 MOD 11-2 over the first 17 digits, and a birth date that exists."""
    digits = ibis.literal("0123456789")
    total = sum(
        (digits.find(value.substr(i, 1)) * weight for i, weight in enumerate(RESIDENT_WEIGHTS)), start=ibis.literal(0)
    )
    right = value.substr(17, 1).upper() == ibis.literal("10X98765432").substr((total % 11).cast("int64"), 1)
    born = value.substr(6, 4).concat("-", value.substr(10, 2), "-", value.substr(12, 2)).try_cast("date")
    return right.ifelse(born.notnull(), right)


DIGITS = {"uscc": uscc, "resident_id": resident_id}
"""The check-digit algorithms a standard may name under `digit:`."""
