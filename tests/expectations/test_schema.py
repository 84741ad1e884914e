"""The JSON Schema of contracts says what the record says."""

from pathlib import Path
from typing import Any

import yaml

from expectations.catalog import standards_of
from expectations.checks import REGISTRY
from expectations.rules import IMPLIED
from expectations.schema import json_schema
from lakehouse.contract import Column, Contract

CATALOG = Path(__file__).parents[2] / "expectations"


def schema() -> dict[str, Any]:
    return json_schema(standards_of(CATALOG))


def test_keys_are_written_as_in_yaml() -> None:
    columns = schema()["$defs"]["Column"]["properties"]
    assert {"from", "in", "class"} <= columns.keys() and not {"from_", "in_", "class_"} & columns.keys()
    assert columns.keys() == {field.alias or name for name, field in Column.model_fields.items()}
    assert schema()["properties"].keys() == {field.alias or name for name, field in Contract.model_fields.items()}


def test_what_the_path_says_may_be_left_out() -> None:
    assert set(schema()["required"]) == {"title", "kind", "sharing", "source", "load", "columns"}


def test_standards_and_checks_can_be_completed() -> None:
    parts = schema()["$defs"]
    assert "uscc" in parts["Column"]["properties"]["standard"]["enum"]
    bare, named = parts["Expectation"]["oneOf"]
    assert "clean_text" in bare["enum"] and "compare" not in bare["enum"]
    assert named["properties"]["compare"]["required"] == ["left", "op", "right"]
    assert named["properties"].keys() == {name for name, check in REGISTRY.items() if check.kind != "column"} - IMPLIED


def test_every_word_of_the_catalogue_is_in_it() -> None:
    described = schema()
    named = described["$defs"]["Expectation"]["oneOf"][1]["properties"]
    for path in sorted(CATALOG.glob("contracts/*/*.yml")):
        contract = yaml.safe_load(path.read_text("utf-8"))
        assert contract.keys() <= described["properties"].keys(), path
        for item in [i for items in contract.get("expect", {}).values() for i in items if isinstance(i, dict)]:
            ((check, args),) = item.items()
            assert (args or {}).keys() <= named[check]["properties"].keys(), path
