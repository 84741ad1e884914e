"""The DAG end to end, without services, over a stand-in for `jobs.run`."""

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from tests.dags.conftest import write_register

ROOT = Path(__file__).parents[2]
NIGHT = """
import sys, types
from datetime import date
from lakehouse.errors import SliceRefused, SourceUnavailable

broken = {tuple(each.split("/")) for each in sys.argv[2:]}
asked = []

def run(step, day, department=None):
    print("said by the step")
    asked.append(step)
    if ("flaky", step) in broken and asked.count(step) == 1:
        raise SourceUnavailable("port closed", where=step)
    if (step, department or "city") in broken:
        raise SliceRefused("too few rows", where=f"{department}.levels")

sys.modules["jobs.run"] = types.ModuleType("jobs.run")
sys.modules["jobs.run"].run = run
from dags.embedded import main
sys.exit(main(date.fromisoformat(sys.argv[1])))
"""


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("lake")


def night(lake: Path, day: str, *broken: str) -> subprocess.CompletedProcess[str]:
    env = os.environ | {
        "CITYLAKE_HOME": str(lake),
        "CITYLAKE_CATALOG": str(write_register(lake / "catalog")),
        "CITYLAKE_RETRY_SECONDS": "1",
    }
    command = [sys.executable, "-c", NIGHT, day, *broken]
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)


def states(lake: Path, day: str) -> dict[str, str]:
    """Task (with its department's number) to state, as Airflow's books have it."""
    with sqlite3.connect(lake / "airflow" / "airflow.db") as books:
        query = """select t.task_id, t.map_index, t.state from task_instance t join dag_run r using (run_id)
                   where date(r.logical_date, '+8 hours') = ?"""
        found = {f"{task}{index if index >= 0 else ''}": state for task, index, state in books.execute(query, [day])}
        (run,) = books.execute("select state from dag_run where date(logical_date, '+8 hours') = ?", [day]).fetchone()
    return found | {"run": run}


def test_a_department_that_fails_stays_red_inside_a_night_that_succeeds(lake: Path) -> None:
    ended = night(lake, "2026-03-01", "bring/fire", "clean/water", "flaky/relate")
    assert ended.returncode == 0, ended.stderr
    found = states(lake, "2026-03-01")
    assert found.pop("department.bring0") == found.pop("department.clean1") == "failed"
    assert set(found.values()) == {"success"}

    lines = ended.stdout.splitlines()
    assert len([line for line in lines if line.startswith(("bring", "clean"))]) == 6
    assert any("clean      water" in line and "failed" in line and "too few rows" in line for line in lines)
    assert [line.split()[2] for line in lines if line.startswith("relate")] == ["again", "ok"]
    assert "night of 2026-03-01: released, 11 of 13 tasks done" in lines[-1]
    assert ended.stderr == ""
    log = (lake / "logs" / "nightly-2026-03-01.log").read_text()
    assert "said by the step" in log
    assert "connection citylake_alerts is not set" in log


def test_a_night_without_release_fails_and_scores_nothing(lake: Path) -> None:
    ended = night(lake, "2026-03-02", "release/city")
    assert ended.returncode == 1
    found = states(lake, "2026-03-02")
    assert found["run"] == found["release"] == "failed"
    assert found["score"] == "upstream_failed"
    assert found["department.clean0"] == found["relate"] == "success"
    assert "not released" in ended.stdout
