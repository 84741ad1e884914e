"""The contract reference says what the code does, and its examples work."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from expectations import reference
from expectations.checks import REGISTRY
from expectations.rules import IMPLIED
from expectations.verify import misfits
from lakehouse.contract import Contract

ROOT = Path(__file__).parents[2]
MEANINGS: dict[str, Any] = yaml.safe_load((ROOT / "expectations" / "reference.yml").read_text("utf-8"))
COLUMNS = (
    "phone",
    "opened_on",
    "name",
    "address",
    "closed_at",
    "opened_at",
    "status",
    "measured_at",
    "gps_at",
    "plate",
    "firm",
)


def contract(**keys: Any) -> Contract:
    columns = {name: {"type": "timestamp" if name.endswith(("_at", "_on")) else "string"} for name in COLUMNS}
    content = {
        "department": "transport",
        "dataset": "things",
        "title": "things",
        "kind": "government",
        "sharing": "unconditional",
        "source": {"type": "file", "uri": "{inbox}/things/{day}/*.csv"},
        "load": "append",
        "columns": columns | {"lon": {"type": "double"}, "lat": {"type": "double"}},
        "point": {"x": "lon", "y": "lat"},
    }
    return Contract.model_validate(content | keys)


def test_the_page_is_up_to_date() -> None:
    written = (ROOT / "docs" / "contract-reference.md").read_text("utf-8")
    assert written == reference.markdown(), "run: python -m expectations.reference > docs/contract-reference.md"


def test_no_meaning_is_left_over() -> None:
    page = reference.markdown()
    records = {record.__name__: record for _, _, record in reference._SECTIONS} | {"Department": None, "Standard": None}
    assert set(MEANINGS) == {*records, "roles", "letters", "words", "examples"}
    for name, record in records.items():
        if record is not None:
            known = {field.alias or key for key, field in record.model_fields.items()}
            assert set(MEANINGS[name]) == known - reference._GIVEN.get(record, set()), name
    assert all(f"`{key}`" in page for record in records for key in MEANINGS[record])


def test_every_check_has_one_example() -> None:
    wanted = {name for name, check in REGISTRY.items() if check.kind != "column"} - IMPLIED
    assert set(MEANINGS["examples"]) == wanted


@pytest.mark.parametrize("example", MEANINGS["examples"].values())
def test_the_examples_of_checks_are_accepted(example: str, tmp_path: Path) -> None:
    file = tmp_path / "things.yml"
    file.write_text(f"expect: {{warn: [{example}]}}", "utf-8")
    item = yaml.safe_load(example.replace("on:", '"on":'))  # YAML 1.1 takes a bare `on` for true; the catalogue doesn't
    assert list(misfits(contract(expect={"warn": [item]}), file)) == []
