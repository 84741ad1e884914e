"""What may stand under `gx:`: the expectations of the installed Great Expectations, as its own schema files list them.

The files are read where the package lies; importing it would take seconds.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from expectations.catalog import nearest
from expectations.checks.registry import Dimension
from lakehouse.contract import Contract, Expectation
from lakehouse.errors import EnvironmentFault

_ENGINES = frozenset({"Pandas", "Spark"})
"""The data sources an expectation must know: which of them runs it depends on the size of the slice."""

_COLUMNS = ("column", "column_A", "column_B", "column_list")
"""Arguments that name columns of the dataset."""

_OURS: dict[str, dict[str, Any]] = {
    "name": {"type": "string"},
    "dimension": {"enum": ["norm", "complete", "accurate", "consistent", "timely"]},
}
"""What a contract may add to an expectation's own arguments."""

INDICATORS: dict[Dimension, str] = {
    "norm": "0101",
    "complete": "0201",
    "accurate": "0301",
    "consistent": "0401",
    "timely": "0501",
}
"""The first indicator of each dimension in GB/T 36344-2018: an expectation of Great Expectations has none of its own."""

_DIMENSIONS: dict[str, Dimension] = {"Completeness": "complete", "Volume": "complete"}
_COMMON = frozenset({
    "id", "meta", "notes", "result_format", "description", "catch_exceptions", "rendered_content", "severity",
    "windows", "batch_id", "metadata", "library_metadata", "condition_parser",
})  # fmt: skip
"""Fields of every expectation that say nothing about the data, and the parser of conditions written for one engine."""


@dataclass(frozen=True)
class Word:
    """One expectation: its arguments, each with its JSON Schema, and the dimension its rules count for unless they say."""

    name: str
    said: str
    dimension: Dimension
    arguments: dict[str, dict[str, Any]]
    needed: frozenset[str]

    @property
    def accepted(self) -> dict[str, dict[str, Any]]:
        """Its arguments and what a contract may add to them."""
        return self.arguments | _OURS


@cache
def words() -> dict[str, Word]:
    """Every expectation that can be asked for, by its name; those about a table's columns can't: the contract makes them.

    Raises EnvironmentFault when the package isn't there.
    """
    spec = find_spec("great_expectations")
    if spec is None or not spec.submodule_search_locations:
        raise EnvironmentFault("great_expectations isn't installed", hint="run `make setup`")
    folder = Path(spec.submodule_search_locations[0]) / "expectations" / "core" / "schemas"
    listed = json.loads((folder / "index.json").read_text("utf-8"))["expectations"]
    return {
        name: _word(name, entry, folder)
        for name, entry in sorted(listed.items())
        if set(entry["supported_data_sources"]) >= _ENGINES and "Schema" not in entry["data_quality_issues"]
    }


def columns_of(item: Expectation) -> list[str]:
    """The columns an item names."""
    named = [item.args[key] for key in _COLUMNS if key in item.args]
    return [name for each in named for name in (each if isinstance(each, list) else [each])]


def misfits(contract: Contract, item: Expectation) -> Iterator[tuple[tuple[str, ...], str]]:
    """What is wrong with one item under `gx:`, and under which of its keys."""
    word = words().get(item.check)
    if word is None:
        yield (), f"no such expectation; {nearest(item.check, words())}"
        return
    for key, value in item.args.items():
        if key not in word.accepted:
            yield (key,), f"no such argument; {nearest(key, word.accepted)}"
        elif not _fits(value, word.accepted[key]):
            yield (key,), f"{value!r}: {_wanted(word.accepted[key])} is expected"
    yield from (((), f"argument '{key}' is missing") for key in sorted(word.needed - item.args.keys()))
    for column in columns_of(item):
        if column not in contract.columns:
            yield (), f"no column '{column}'; {nearest(str(column), contract.columns)}"


def _word(name: str, entry: dict[str, Any], folder: Path) -> Word:
    schema = json.loads((folder / entry["schema_file"]).read_text("utf-8"))
    arguments = {key: _plain(key, value) for key, value in schema["properties"].items() if key not in _COMMON}
    dimension: Dimension = next((_DIMENSIONS[i] for i in entry["data_quality_issues"] if i in _DIMENSIONS), "accurate")
    return Word(name, entry["short_description"], dimension, arguments, frozenset(schema.get("required", ())))


def _plain(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    """What a value must be, without suite parameters: `{"$PARAMETER": ...}` means nothing in a contract.

    A condition on rows is written as a mapping: a text would be read by the engine, each of which has its own language.
    """
    if name == "row_condition":
        return {"type": "object"}
    choices = schema.get("anyOf") or schema.get("oneOf") or [schema]
    if len(choices) > 1:
        choices = [choice for choice in choices if choice != {"type": "object"}]
    if any("$ref" in choice for choice in choices):
        return {}
    kept = [{key: choice[key] for key in _UNDERSTOOD & choice.keys()} for choice in choices]
    return kept[0] if len(kept) == 1 else {"anyOf": kept}


_UNDERSTOOD = frozenset({"type", "enum", "items", "minimum", "maximum", "format"})
_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,), "integer": (int,), "number": (int, float), "boolean": (bool,), "array": (list,), "object": (dict,),
}  # fmt: skip
_SAID = {
    "string": "text", "integer": "a whole number", "number": "a number", "boolean": "true or false", "array": "a list",
    "object": "a mapping",
}  # fmt: skip


def _fits(value: Any, schema: dict[str, Any]) -> bool:
    if "anyOf" in schema:
        return any(_fits(value, choice) for choice in schema["anyOf"])
    if "enum" in schema:
        return value in schema["enum"]
    kind = schema.get("type")
    if kind is None:
        return True
    if not isinstance(value, _TYPES[kind]) or (isinstance(value, bool) and kind != "boolean"):
        return False
    if "format" in schema:
        return _is_instant(str(value))
    if isinstance(value, list) and isinstance(items := schema.get("items"), dict):
        return all(_fits(each, items) for each in value)
    return (
        schema.get("minimum", value) <= value <= schema.get("maximum", value) if kind in ("integer", "number") else True
    )


def _is_instant(text: str) -> bool:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def _wanted(schema: dict[str, Any]) -> str:
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_wanted(choice) for choice in schema["anyOf"]))
    if "enum" in schema:
        return " or ".join(schema["enum"])
    said = "a date or instant" if "format" in schema else _SAID[schema["type"]]
    if isinstance(schema.get("items"), dict) and schema["items"].get("type"):
        said += f" of {_wanted(schema['items'])}"
    bounds = [f"{said} {schema[key]}" for key, said in (("minimum", "from"), ("maximum", "to")) if key in schema]
    return " ".join([said, *bounds])
