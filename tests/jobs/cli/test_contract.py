"""`citylake contract check | draft | show | diff | schema`."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jobs.cli import call
from tests.jobs.cli.conftest import BRIDGES

Told = Callable[..., Any]


def test_a_right_catalogue_is_counted(catalog: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["contract", "check"]) == 0
    assert capsys.readouterr().out == "2 contracts of 2 departments: no mistakes\n"


def test_every_mistake_is_named_at_once(catalog: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = BRIDGES.replace("key: [id]", "key: [identity]").replace("row_count", "row_cout")
    (catalog / "contracts/works/bridges.yml").write_text(wrong.replace("kind:", "kin:"), "utf-8")
    assert call(["contract", "check"]) == 2
    said = capsys.readouterr().err
    assert "bridges.yml:3: kin: unknown key; did you mean 'kind'?" in said
    own = tmp_path / "works" / "bridges.yml"
    own.parent.mkdir()
    own.write_text(BRIDGES.replace("row_count", "row_cout"), "utf-8")
    assert call(["contract", "check", str(own)]) == 2
    assert "row_cout" in capsys.readouterr().err


def test_a_draft_is_a_contract(catalog: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "piers.csv"
    file.write_text("id,built\nP1,2001-05-04\nP2,2011-01-31\n", "utf-8")
    assert call(["contract", "draft", str(file), "--as", "works.piers"]) == 0
    draft = catalog / "contracts/works/piers.yml"
    draft.write_text(capsys.readouterr().out, "utf-8")
    assert call(["contract", "check"]) == 0
    assert call(["check", str(file), "--contract", "works.piers", "--gate"]) == 0
    assert call(["contract", "draft", str(file), "--as", "piers"]) == 2
    assert "write it like" in capsys.readouterr().err


def test_a_contract_is_shown_with_its_checks(catalog: Path, told: Told, capsys: pytest.CaptureFixture[str]) -> None:
    found = told("contract", "show", "works.bridges")
    checks = {c["id"]: c for c in found["checks"]}
    assert checks["name.required"]["level"] == "error" and checks["length_m.between"]["dimension"] == "accurate"
    assert call(["contract", "show", "works.bridges"]) == 0
    assert "row_count" in capsys.readouterr().out


def test_a_contract_is_shown_as_an_expectation_suite(catalog: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from great_expectations.core import ExpectationSuite
    from great_expectations.core.expectation_suite import expectationSuiteSchema

    assert call(["contract", "show", "works.bridges", "--gx"]) == 0
    suite = ExpectationSuite(**expectationSuiteSchema.loads(capsys.readouterr().out))
    kinds = {e.meta["citylake"]["id"]: type(e).__name__ for e in suite.expectations}
    assert (
        kinds["length_m.between"] == "ExpectColumnValuesToBeBetween"
        and kinds["key.unique"] == "ExpectColumnValuesToBeUnique"
    )
    assert [entry["meta"]["citylake"]["id"] for entry in suite.meta["citylake"]["checks"]] == ["length_m.type"]


def test_a_gate_stops_a_breaking_change(catalog: Path, tmp_path: Path, told: Told) -> None:
    new = tmp_path / "works" / "bridges.yml"
    new.parent.mkdir()
    new.write_text(BRIDGES.replace("length_m: {type: double", "length_m: {type: integer"), "utf-8")
    (change,) = told("contract", "diff", "works.bridges", str(new))
    assert (change["weight"], change["where"]) == ("breaking", "columns.length_m.type")
    assert call(["contract", "diff", "works.bridges", str(new), "--gate"]) == 1
    assert call(["contract", "diff", "works.bridges", "works.bridges", "--gate"]) == 0


def test_the_schema_is_json(catalog: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["contract", "schema"]) == 0
    assert json.loads(capsys.readouterr().out)["title"] == "Citylake contract"
