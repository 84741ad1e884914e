"""A contract as an ExpectationSuite and the outcome of its checks as an ExpectationSuiteValidationResult, as plain JSON.

Each rule is the core expectation that says the same of the slice's typed rows (instants in UTC), or, where none does, an
entry of its own name. Great Expectations refuses a suite with a type it doesn't know, so a suite keeps those entries in
its `meta`, where any tool reads them; a validation result holds both kinds. Counts are ours: they agree with what Great
Expectations counts on the same rows but for two definitions. Of rows that repeat a value we count the later ones, it
counts all of them. A value that doesn't fit its type we count under `type` alone; it sees a null.
"""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache
from importlib.metadata import version
from typing import Any

from expectations.catalog import Standard
from expectations.checks.accurate import instant_of
from expectations.rules import Rule, rules
from lakehouse.contract import Contract
from lakehouse.settings import ZONE

Document = dict[str, Any]
"""A JSON object in the form Great Expectations gives it."""

PLACE = ("_source_file", "_source_row")
"""What a validation result names a failing row by, beside its masked key; values stay in the lake."""

_SEVERITIES = {"fail": "critical", "error": "critical", "warn": "warning"}
_WHOLE = frozenset({"row_count", "volume", "varied", "fresh"})
"""Checks that judge one figure of the slice."""


@dataclass(frozen=True)
class Judged:
    """The slice that results speak of: `rows` judged, when, and what each is called that broke a check."""

    day: date
    at: datetime
    rows: int
    failing: Mapping[str, Sequence[Mapping[str, Any]]]


def suite(contract: Contract, standards: Mapping[str, Standard]) -> Document:
    """The contract as an ExpectationSuite."""
    said = [(rule, core(rule, contract, standards)) for rule in rules(contract)]
    return {
        "name": contract.name,
        "expectations": [entry(rule, *known) for rule, known in said if known],
        "meta": {
            "great_expectations_version": _version(),
            "citylake": {
                "title": contract.title,
                "contract": contract.fingerprint,
                "checks": [entry(rule, *_own(rule)) for rule, known in said if not known],
            },
        },
        "notes": contract.description,
        "id": None,
    }


def validation(
    contract: Contract, standards: Mapping[str, Standard], results: Iterable[Mapping[str, Any]], judged: Judged
) -> Document:
    """Rows of `ops.results` about one slice as an ExpectationSuiteValidationResult, in their order.

    A result of a rule that the contract no longer makes is told by its own words.
    """
    known = {rule.id: rule for rule in rules(contract)}
    told = [_result(row, _expectation(row, known, contract, standards), judged) for row in results]
    facts = {"title": contract.title, "contract": contract.fingerprint, "rows": judged.rows}
    return _together(contract.name, told, judged.at, {"day": judged.day.isoformat()}, facts)


@dataclass(frozen=True)
class Noted:
    """Something that looks wrong in a file without a contract: `said` in words, `count` rows, the first of them."""

    kind: str
    column: str | None
    said: str
    count: int
    rows: tuple[int, ...]


def described(file: str, at: datetime, rows: int, filled: Mapping[str, int], noted: Iterable[Noted]) -> Document:
    """A file without a contract as a validation result: its rows, how far its columns (name -> filled rows) are filled, and
    each thing `noted` as an expectation of ours that isn't met."""
    told = [_told("expect_table_row_count_to_be_between", {}, True, {"observed_value": rows})]
    for name, count in filled.items():
        counted = _counted(rows, rows, count, every=True)
        told.append(_told("expect_column_values_to_not_be_null", {"column": name, "mostly": 0.0}, True, counted))
    for each in noted:
        about = {"column": each.column} if each.column else {}
        places = [{"_source_file": file, "_source_row": row} for row in each.rows]
        counted = _counted(rows, rows, rows - each.count, places)
        told.append(_told(f"expect_citylake_{each.kind}", about, False, counted, {"said": each.said}))
    return _together(file, told, at, {"file": file}, {"rows": rows})


def _together(name: str, told: list[Document], at: datetime, batch: Document, facts: Document) -> Document:
    passed = sum(each["success"] for each in told)
    return {
        "success": passed == len(told),
        "results": told,
        "suite_name": name,
        "suite_parameters": {},
        "statistics": {
            "evaluated_expectations": len(told),
            "successful_expectations": passed,
            "unsuccessful_expectations": len(told) - passed,
            "success_percent": 100 * passed / len(told) if told else None,
        },
        "meta": {
            "great_expectations_version": _version(),
            "active_batch_definition": {
                "datasource_name": "citylake",
                "data_connector_name": "fluent",
                "data_asset_name": name,
                "batch_identifiers": batch,
            },
            "run_id": {"run_name": " ".join(batch.values()), "run_time": at.isoformat()},
            "citylake": facts,
        },
        "id": None,
    }


def _told(kind: str, kwargs: Document, success: bool, result: Document, said: Document | None = None) -> Document:
    config = {"type": kind, "kwargs": kwargs, "meta": {"citylake": said or {}}, "severity": "info"}
    return {
        "success": success,
        "expectation_config": config,
        "result": result,
        "meta": {},
        "exception_info": _fault(None),
    }


def core(rule: Rule, contract: Contract, standards: Mapping[str, Standard]) -> tuple[str, Document] | None:
    """Type and arguments of the core expectation that says what `rule` says; None where there is none."""
    if rule.check.kind == "gx":
        return rule.check.name, dict(rule.args)
    found = _of_column(rule, contract, standards) if rule.check.kind == "column" else _of_slice(rule, contract)
    if found and rule.share < 1:
        found[1]["mostly"] = rule.share
    return found


def _of_column(rule: Rule, contract: Contract, standards: Mapping[str, Standard]) -> tuple[str, Document] | None:
    column = contract.columns[rule.columns[0]]
    about: Document = {"column": rule.columns[0]}
    match rule.check.name:
        case "required" if not contract.operations or rule.columns[0] in contract.placing:
            return "expect_column_values_to_not_be_null", about
        case "between" if column.between:
            low, high = column.between
            if column.type == "timestamp":
                low, high = (instant_of(bound, column.zone or str(ZONE)).isoformat() for bound in (low, high))
            return "expect_column_values_to_be_between", about | {"min_value": low, "max_value": high}
        case "in" if column.in_:
            values = [int(v) for v in column.in_] if column.type == "integer" else list(column.in_)
            return "expect_column_values_to_be_in_set", about | {"value_set": values}
        case "length" if column.length:
            least, most = column.length
            return "expect_column_value_lengths_to_be_between", about | {"min_value": least, "max_value": most}
        case "pattern" if regex := portable(f"^(?:{column.pattern})$"):
            return "expect_column_values_to_match_regex", about | {"regex": regex}
        case "standard":
            standard = standards[str(column.standard)]
            regex = portable(standard.pattern)
            if regex and not (standard.digit or standard.codes):  # an algorithm or a list of codes is more than that
                return "expect_column_values_to_match_regex", about | {"regex": regex}
        case "unique" if not contract.rank or rule.id == "key.unique":
            columns = list(rule.columns) + [n for n in (contract.order,) if n and rule.id == "key.unique"]
            if len(columns) == 1:
                return "expect_column_values_to_be_unique", about
            together: Document = {"column_list": columns, "ignore_row_if": "any_value_is_missing"}
            return "expect_compound_columns_to_be_unique", together
    return None


def _of_slice(rule: Rule, contract: Contract) -> tuple[str, Document] | None:
    args = rule.args
    match rule.check.name:
        case "row_count":
            bounds = {"min_value": args.get("min", 0), "max_value": args.get("max")}
            return "expect_table_row_count_to_be_between", {k: v for k, v in bounds.items() if v is not None}
        case "filled" if not contract.operations:  # a delete isn't asked for more than its place
            return "expect_column_values_to_not_be_null", {"column": args["column"]}
        case "duplicate_rows" if rule.share == 1 and len(contract.columns) > 1:
            every = {"column_list": list(contract.columns), "ignore_row_if": "never"}
            return "expect_compound_columns_to_be_unique", every
        case "compare":
            return _pair(str(args["op"]), str(args["left"]), str(args["right"]))
        case "when" if {contract.columns[args[name]].type for name in ("column", "then")} == {"string"}:
            asked = {"column": {"name": args["column"]}, "operator": "IN", "parameter": list(args["values"])}
            where = {"row_condition": {"type": "comparison"} | asked}
            return "expect_column_values_to_not_be_null", {"column": args["then"]} | where
    return None


def _pair(op: str, left: str, right: str) -> tuple[str, Document] | None:
    if op == "!=":
        return None
    greater, smaller = (left, right) if op[0] in ">=" else (right, left)
    given: Document = {"column_A": greater, "column_B": smaller, "ignore_row_if": "either_value_is_missing"}
    if op == "==":
        return "expect_column_pair_values_to_be_equal", given
    return "expect_column_pair_values_a_to_be_greater_than_b", given | {"or_equal": op.endswith("=")}


_ASCII = {"d": "0-9", "w": "0-9A-Za-z_", "s": r"\t\n\f\r "}
_OWN_SYNTAX = re.compile(r"\[:|\(\?P<|\\[bBpPxzCQ]|\\[DWS](?=[^\[]*\])")


def portable(pattern: str) -> str | None:
    """An RE2 expression as Python's and Java's engines read it alike: `\\d`, `\\w`, `\\s` mean ASCII alone.

    None where it uses what they understand differently.
    """
    if _OWN_SYNTAX.search(pattern):
        return None
    out, inside, rest = "", False, iter(pattern)
    for character in rest:
        if character == "\\":
            letter = next(rest, "")
            known = _ASCII.get(letter.lower())
            if known is None:
                out += character + letter
            else:
                out += known if inside else f"[{'^' * letter.isupper()}{known}]"
        else:
            inside = character == "[" or (inside and character != "]")
            out += character
    return out


def _own(rule: Rule) -> tuple[str, Document]:
    """The name and arguments of an entry that has no core expectation."""
    about: Document = {"column": rule.columns[0]} if len(rule.columns) == 1 else {}
    if len(rule.columns) > 1:
        about = {"column_list": list(rule.columns)}
    return f"expect_citylake_{rule.check.name}", about | dict(rule.args)


def entry(rule: Rule, kind: str, kwargs: Document) -> Document:
    """The rule as an expectation of type `kind`, with what we know of it in its meta."""
    return {
        "type": kind,
        "kwargs": kwargs,
        "meta": {
            "citylake": {
                "id": rule.id,
                "check": rule.check.name,
                "level": rule.level,
                "dimension": rule.check.dimension,
                "indicator": rule.check.indicator,
            }
        },
        "severity": _SEVERITIES[rule.level],
    }


def _expectation(
    row: Mapping[str, Any], known: Mapping[str, Rule], contract: Contract, standards: Mapping[str, Standard]
) -> Document:
    rule = known.get(row["check_id"])
    if rule is not None:
        return entry(rule, *(core(rule, contract, standards) or _own(rule)))
    about = {"column": row["column"]} if row["column"] else {}
    meta = {name: row[name] for name in ("check", "level", "dimension", "indicator")}
    return {
        "type": f"expect_citylake_{row['check']}",
        "kwargs": about,
        "meta": {"citylake": {"id": row["check_id"], **meta}},
        "severity": _SEVERITIES[row["level"]],
    }


def _result(row: Mapping[str, Any], expectation: Document, judged: Judged) -> Document:
    broke = row["status"] == "unknown"
    return {
        "success": row["status"] == "passed",
        "expectation_config": expectation,
        "result": {} if broke else _outcome(row, expectation, judged),
        "meta": {},
        "exception_info": _fault(row["message"] or "it could not be computed" if broke else None),
    }


def _fault(message: str | None) -> Document:
    return {"raised_exception": message is not None, "exception_traceback": None, "exception_message": message}


def _outcome(row: Mapping[str, Any], expectation: Document, judged: Judged) -> Document:
    if row["check"] in _WHOLE or row["observed"] is not None:
        return {"observed_value": _figure(row["observed"])}
    evaluated, passed = row["evaluated"], row["passed"]
    every = expectation["type"] == "expect_column_values_to_not_be_null"
    elements = evaluated if every or row["check"] == "declared" else max(judged.rows, evaluated)
    return _counted(elements, evaluated, passed, judged.failing.get(row["check_id"], ()), every=every)


def _counted(
    elements: int, evaluated: int, passed: int, places: Iterable[Mapping[str, Any]] = (), *, every: bool = False
) -> Document:
    """Counts in the words of Great Expectations; where `every` row is judged there are no missing ones."""
    unexpected, missing = evaluated - passed, elements - evaluated
    percent = 100 * unexpected / evaluated if evaluated else None
    counted: Document = {
        "element_count": elements,
        "unexpected_count": unexpected,
        "unexpected_percent": percent,
        "partial_unexpected_index_list": [dict(place) for place in places],
        "unexpected_index_column_names": list(PLACE),
    }
    if every:
        return counted
    return counted | {
        "missing_count": missing,
        "missing_percent": 100 * missing / elements if elements else None,
        "unexpected_percent_total": 100 * unexpected / elements if elements else None,
        "unexpected_percent_nonmissing": percent,
    }


def _figure(observed: str | None) -> float | int | str | None:
    """An observed figure as a number where it is one."""
    try:
        number = float(observed or "nan")
    except ValueError:
        return observed
    if not math.isfinite(number):
        return None
    return int(number) if number.is_integer() and "." not in str(observed) else number


@cache
def _version() -> str:
    return version("great_expectations")
