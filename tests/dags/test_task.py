import sys
from collections.abc import Callable
from datetime import UTC, date, datetime
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowFailException

from dags._task import business_day, step
from lakehouse.errors import SliceRefused, SourceUnavailable


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Stands in for `jobs.run`: what it was asked to run; an error put in first is raised."""
    asked: list[object] = []

    def run(name: str, day: date, department: str | None = None) -> None:
        if asked and isinstance(asked[0], Exception):
            raise asked[0]
        asked.append((name, day, department))

    module = ModuleType("jobs.run")
    module.run = run  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "jobs.run", module)
    return asked


def body(name: str, department: str | None = None) -> Callable[[], Any]:
    """The task's own code, as a worker calls it."""
    with DAG("probe", schedule=None):
        operator = step(name, department=department).operator
    return lambda: operator.python_callable(department=department, params={"day": "2026-03-01"})


def test_a_task_runs_its_step_for_day_and_department(ran: list[object]) -> None:
    body("bring", "water")()
    body("release")()
    assert ran == [("bring", date(2026, 3, 1), "water"), ("release", date(2026, 3, 1), None)]


def test_what_may_pass_is_left_to_the_retries(ran: list[object]) -> None:
    ran.append(SourceUnavailable("port closed", where="water.levels"))
    with pytest.raises(SourceUnavailable):
        body("bring", "water")()


def test_bad_data_is_not_tried_again(ran: list[object]) -> None:
    ran.append(SliceRefused("too few rows", where="water.levels", hint="ask the department"))
    with pytest.raises(AirflowFailException, match=r"water.levels: too few rows; ask the department"):
        body("clean", "water")()


@pytest.mark.parametrize(
    ("context", "day"),
    [
        ({"params": {"day": "2026-03-01"}, "data_interval_start": datetime(2026, 9, 9, tzinfo=UTC)}, date(2026, 3, 1)),
        ({"params": {"day": None}, "data_interval_start": datetime(2026, 3, 1, 21, 30, tzinfo=UTC)}, date(2026, 3, 2)),
        ({"params": {"day": None}, "data_interval_start": datetime(2026, 3, 1, 15, 59, tzinfo=UTC)}, date(2026, 3, 1)),
        (
            {"params": {"day": None}, "dag_run": SimpleNamespace(run_after=datetime(2026, 3, 1, 16, 0, tzinfo=UTC))},
            date(2026, 3, 2),
        ),
    ],
)
def test_the_business_day_is_the_one_asked_for_or_the_runs_own_in_shanghai(context: Any, day: date) -> None:
    assert business_day(context) == day
