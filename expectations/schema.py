"""The JSON Schema of a contract file, for editors: made from the record, the checks and the standards."""

import inspect
from collections.abc import Iterable
from typing import Any

from pydantic import TypeAdapter

from expectations.checks import REGISTRY, Check
from expectations.rules import IMPLIED, parameters_of
from expectations.suite.vocabulary import words
from lakehouse.contract import Contract

_DURATION = {"type": "string", "pattern": r"^\d+\s*[mhdw]$", "examples": ["90m", "2h", "1d"]}
_CLOCK = {"type": "string", "pattern": r"^\d{1,2}:\d{2}(:\d{2})?$", "examples": ["05:00"]}
_FROM_THE_PATH = ("department", "dataset")
"""Keys a file may leave out: its folder's and its own name say them."""


def json_schema(standards: Iterable[str]) -> dict[str, Any]:
    """JSON Schema (2020-12) of one file under `contracts/`, with the names of the catalogue's `standards`."""
    schema = Contract.model_json_schema(by_alias=True)
    parts = schema["$defs"]
    schema["required"] = [name for name in schema["required"] if name not in _FROM_THE_PATH]
    parts["Expectation"] = _expectation()
    schema["properties"]["gx"]["items"] = _gx_expectation()
    parts["Column"]["properties"]["standard"] = {"enum": sorted(standards)}
    parts["Arrival"]["properties"] |= {"by": _CLOCK, "grace": _DURATION}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "Citylake contract"}


def _expectation() -> dict[str, Any]:
    """One item under `expect:`: the bare name of a check that needs nothing, or the name with its arguments."""
    checks = {name: check for name, check in sorted(REGISTRY.items()) if check.kind != "column" and name not in IMPLIED}
    bare = [name for name, check in checks.items() if not _needed(check)]
    arguments = {name: _arguments(check) for name, check in checks.items()}
    named = {
        "type": "object",
        "minProperties": 1,
        "maxProperties": 1,
        "additionalProperties": False,
        "properties": arguments,
    }
    return {"oneOf": [{"enum": bare}, named]}


def _gx_expectation() -> dict[str, Any]:
    """One item under `gx:`: the name with its arguments, as the installed Great Expectations lists them."""
    named = {
        name: {
            "description": word.said,
            "type": "object",
            "additionalProperties": False,
            "properties": dict(word.accepted),
            "required": sorted(word.needed),
        }
        for name, word in words().items()
    }
    return {
        "type": "object",
        "minProperties": 1,
        "maxProperties": 1,
        "additionalProperties": False,
        "properties": named,
    }


def _arguments(check: Check) -> dict[str, Any]:
    needed = _needed(check)
    return {
        "description": (inspect.getdoc(check.function) or "").splitlines()[0],
        "type": "object" if needed else ["object", "null"],
        "additionalProperties": False,
        "properties": {name: TypeAdapter(p.annotation).json_schema() for name, p in parameters_of(check).items()},
        "required": needed,
    }


def _needed(check: Check) -> list[str]:
    return [name for name, parameter in parameters_of(check).items() if parameter.default is parameter.empty]
