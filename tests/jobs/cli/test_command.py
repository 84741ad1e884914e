"""Exit codes, one line an error, and a help that loads nothing."""

import subprocess
import sys
from pathlib import Path

import pytest

from jobs.cli import call, command
from jobs.steps import STEPS
from lakehouse.errors import (
    CitylakeError,
    ContractError,
    DeliveryUnreadable,
    EnvironmentFault,
    LakeError,
    UsageError,
)


def failing(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def app(*args: object, **options: object) -> None:
        raise error

    monkeypatch.setattr(command, "app", app)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError("no"), 2),
        (ContractError("no"), 2),
        (EnvironmentFault("no"), 3),
        (LakeError("no"), 3),
        (DeliveryUnreadable("no"), 1),
        (CitylakeError("no"), 1),
        (ZeroDivisionError("secret value"), 3),
    ],
)
def test_every_error_is_one_line_and_an_exit_code(
    error: Exception, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    failing(monkeypatch, error)
    assert call(["status"]) == code
    said = capsys.readouterr()
    assert said.err.startswith("citylake: ") and said.err.count("\n") == 1
    assert said.out == "" and "secret" not in said.err


def test_debug_shows_where_it_happened(monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, LakeError("no"))
    monkeypatch.setenv("CITYLAKE_DEBUG", "1")
    with pytest.raises(LakeError):
        call(["status"])


def test_ctrl_c_says_how_to_go_on(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("jobs.night.releases", interrupted)
    assert call(["status"]) == 130
    assert capsys.readouterr().err == "citylake: stopped; run the same command again\n"


@pytest.mark.parametrize(
    "args",
    [
        ["nothing"],
        ["run"],
        ["run", "nothing"],
        ["status", "--night", "yesterday"],
        ["backfill", "--from", "2026-03-02", "--to", "2026-03-01"],
        ["run", "release", "--department", "works"],
        ["run", "bring", "--department", "nobody"],
        ["check", "missing.csv"],
        ["check", "missing.csv", "--gate"],
        ["contract", "show", "works.nothing"],
    ],
)
def test_wrong_usage_is_2(args: list[str], catalog: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(args) == 2
    assert capsys.readouterr().err.startswith("citylake: ")


def test_help_names_every_command_and_step(capsys: pytest.CaptureFixture[str]) -> None:
    assert call([]) == 0
    shown = capsys.readouterr().out
    names = "init doctor run backfill status deliveries tables check quarantine scorecard contract sample"
    names += " maintain history restore diff export"
    assert all(name in shown for name in names.split())
    assert call(["run", "--help"]) == 0
    shown = capsys.readouterr().out
    assert all(step in shown for step in STEPS)


def test_help_loads_nothing_heavy() -> None:
    heavy = ("airflow", "deltalake", "duckdb", "ibis", "numba", "pandas", "pyarrow", "pydantic", "pyspark", "samples")
    script = f"import sys; from jobs.cli import call; call(['--help']); print([m for m in {heavy} if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.splitlines()[-1] == "[]"


def test_a_reader_that_stops_early_is_no_error(catalog: Path) -> None:
    script = "from jobs.cli import main; main()"
    run = subprocess.run(
        f"{sys.executable} -c '{script}' contract schema | head -1",
        shell=True,
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout == "{\n" and run.stderr == ""
