import subprocess
import sys
from pathlib import Path

import pytest
from airflow.sdk import DAG, TriggerRule
from airflow.sdk.exceptions import ParamValidationError

from jobs.steps import STEPS

DAGS = Path(__file__).parents[2] / "dags"
HEAVY = ("adbc_driver_manager", "deltalake", "duckdb", "great_expectations", "ibis", "numba", "pyarrow", "pyspark")


def test_every_nightly_step_of_the_table_is_a_task(nightly: DAG) -> None:
    assert {task.task_id.rpartition(".")[2] for task in nightly.tasks} == {n for n, s in STEPS.items() if s.nightly}


def test_a_department_waits_only_for_its_own(nightly: DAG) -> None:
    clean = nightly.get_task("department.clean")
    assert clean.upstream_task_ids == {"department.bring"}
    assert nightly.get_task("department.bring").upstream_task_ids == set()


def test_what_follows_runs_whatever_failed_before_it(nightly: DAG) -> None:
    assert nightly.get_task("relate").upstream_task_ids == {"department.clean"}
    for step in ("department.clean", "relate", "gx", "geo_index", "stays", "sites", "release"):
        assert nightly.get_task(step).trigger_rule == TriggerRule.ALL_DONE, step


def test_the_night_stands_and_falls_with_its_release(nightly: DAG) -> None:
    score = nightly.get_task("score")
    assert score.upstream_task_ids == {"release"}
    assert score.trigger_rule == TriggerRule.ALL_SUCCESS
    assert [task.task_id for task in nightly.tasks if not task.downstream_task_ids] == ["score"]


def test_the_release_is_an_asset(nightly: DAG) -> None:
    assert [asset.name for asset in nightly.get_task("release").outlets] == ["citylake_release"]


@pytest.mark.parametrize("day", ["2026-3-1", "2026-02-30", "today", "2026-03-01; rm -rf /", 20260301, ""])
def test_a_day_that_is_none_is_refused(nightly: DAG, day: object) -> None:
    with pytest.raises(ParamValidationError):
        nightly.params.get_param("day").resolve(day)


@pytest.mark.parametrize("day", [None, "2026-03-01"])
def test_a_day_or_nothing_is_taken(nightly: DAG, day: str | None) -> None:
    assert nightly.params.get_param("day").resolve(day) == day


def test_parsing_loads_no_engine(tmp_path: Path) -> None:
    code = "import airflow.sdk, sys; before = set(sys.modules); import dags.nightly; print(*set(sys.modules) - before)"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=DAGS.parent, capture_output=True, text=True, check=True)
    packages = {name.partition(".")[0] for name in loaded.stdout.split()}
    assert packages.isdisjoint({*HEAVY, "pandas", "jobs"})
