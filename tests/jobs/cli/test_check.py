"""`citylake check`: a file judged by a contract, or described; no lake is made."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jobs.cli import call
from tests.jobs.cli.conftest import BRIDGES, HEADER

Told = Callable[..., Any]

ROWS = "B1,一号桥,13800000001,120\nB1,二号桥,138,9000\nB2,,13800000002,x\nB3,三号桥\n"
CONTRACT = ("--contract", "works.bridges")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "bridges.csv"
    path.write_text(HEADER + ROWS, "utf-8")
    return path


def test_every_check_has_its_counts_and_first_failing_rows(catalog: Path, home: Path, file: Path, told: Told) -> None:
    found = told("check", str(file), *CONTRACT)
    assert found["rows"] == {"received": 4, "accepted": 1, "quarantined": 2, "unparsable": 1}
    checks = {c["check_id"]: c for c in found["checks"]}
    assert (checks["name.required"]["status"], checks["name.required"]["passed"]) == ("failed", 2)
    assert checks["name.required"]["failing"] == [{"row": 4, "key": "id=B2"}]
    assert checks["key.unique"]["failing"] == [{"row": 3, "key": "id=B1"}]
    assert checks["length_m.type"]["evaluated"] == 3
    assert found["unparsable"][0]["row"] == 5
    assert found["served"] and not any(home.iterdir())


def test_a_contract_outside_the_catalogue_does_as_well(catalog: Path, tmp_path: Path, file: Path, told: Told) -> None:
    own = tmp_path / "Drafts" / "bridges.yml"
    own.parent.mkdir()
    own.write_text(BRIDGES.replace("{min: 1}", "{min: 100}"), "utf-8")
    assert not told("check", str(file), "--contract", str(own))["served"]


def test_the_gate_fails_only_where_rows_or_the_slice_are_lost(
    catalog: Path, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(["check", str(file), *CONTRACT]) == 0
    assert "Would be served without 3 rows." in capsys.readouterr().out
    assert call(["check", str(file), *CONTRACT, "--gate"]) == 1
    file.write_text(HEADER + "B1,一号桥,138,9000\n", "utf-8")
    assert call(["check", str(file), *CONTRACT, "--gate"]) == 0
    assert "Would be served whole." in capsys.readouterr().out
    file.write_text(HEADER, "utf-8")
    assert call(["check", str(file), *CONTRACT, "--gate"]) == 1
    assert "Would not be served: row_count must hold." in capsys.readouterr().out


def test_an_unreadable_file_is_one_line(catalog: Path, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_bytes(b"")
    assert call(["check", str(file), *CONTRACT]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_the_day_is_asked_for_or_the_folders(catalog: Path, tmp_path: Path, file: Path, told: Told) -> None:
    assert told("check", str(file), *CONTRACT, "--day", "2026-03-05")["day"] == "2026-03-05"
    folder = tmp_path / "2026-03-04"
    folder.mkdir()
    assert told("check", str(file.rename(folder / file.name)), *CONTRACT)["day"] == "2026-03-04"


def test_without_a_contract_the_file_is_described(
    catalog: Path, home: Path, file: Path, told: Told, capsys: pytest.CaptureFixture[str]
) -> None:
    found = told("check", str(file))
    assert found["rows"] == 4 and [c["name"] for c in found["columns"]] == HEADER.strip().split(",")
    assert call(["check", str(file)]) == 0
    assert "4 rows, 1 can't be read, 4 columns" in capsys.readouterr().out
    assert not any(home.iterdir())


def test_neither_airflow_nor_spark_is_loaded(catalog: Path, file: Path) -> None:
    heavy = ("airflow", "great_expectations", "pyspark", "numba", "samples")
    for contract in ([], list(CONTRACT)):
        script = (
            f"import sys; from jobs.cli import call; assert call(['check', {str(file)!r}, *{contract}]) == 0; "
            f"print([m for m in {heavy} if m in sys.modules])"
        )
        run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
        assert run.stdout.splitlines()[-1] == "[]"


def validation(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """What `--gx` prints, read by Great Expectations and written again."""
    from great_expectations.core.expectation_validation_result import expectationSuiteValidationResultSchema

    assert call([*arguments, "--gx"]) == 0
    read: dict[str, Any] = expectationSuiteValidationResultSchema.loads(capsys.readouterr().out).to_json_dict()
    return read


def test_a_validation_result_says_what_the_check_says(
    catalog: Path, home: Path, file: Path, told: Told, capsys: pytest.CaptureFixture[str]
) -> None:
    said = {c["check_id"]: c for c in told("check", str(file), *CONTRACT)["checks"]}
    found = validation(["check", str(file), *CONTRACT], capsys)
    results = {r["expectation_config"]["meta"]["citylake"]["id"]: r for r in found["results"]}
    assert {name: r["success"] for name, r in results.items()} == {n: c["status"] == "passed" for n, c in said.items()}
    name = results["name.required"]
    assert name["expectation_config"]["type"] == "expect_column_values_to_not_be_null"
    assert (name["result"]["element_count"], name["result"]["unexpected_count"]) == (3, 1)
    assert name["result"]["partial_unexpected_index_list"] == [
        {"_source_file": "bridges.csv", "_source_row": 4, "key": "id=B2"}
    ]
    assert "13800000001" not in str(found) and not any(home.iterdir())


def test_expectations_of_its_own_are_run_where_they_are_asked_for(
    catalog: Path, tmp_path: Path, file: Path, told: Told, capsys: pytest.CaptureFixture[str]
) -> None:
    own = tmp_path / "works" / "bridges.yml"
    own.parent.mkdir()
    own.write_text(
        f"{BRIDGES}gx: [{{expect_column_max_to_be_between: {{column: length_m, max_value: 100}}}}]\n", "utf-8"
    )
    arguments = ["check", str(file), "--contract", str(own)]
    assert told(*arguments)["unjudged"] == ["expect_column_max_to_be_between(length_m)"]
    assert call(arguments) == 0
    assert "left to Great Expectations, add --gx: expect_column_max" in capsys.readouterr().out
    last = validation(arguments, capsys)["results"][-1]
    assert (last["success"], last["result"]) == (False, {"observed_value": 120.0})


def test_a_described_file_has_a_validation_result_as_well(
    catalog: Path, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = validation(["check", str(file)], capsys)
    assert found["results"][0]["result"] == {"observed_value": 3}
    columns = {r["expectation_config"]["kwargs"].get("column"): r["result"] for r in found["results"][1:5]}
    assert columns["name"]["unexpected_count"] == 1


def test_one_form_at_a_time(catalog: Path, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["check", str(file), "--gx", "--json"]) == 2
    assert "ask for one of them" in capsys.readouterr().err
