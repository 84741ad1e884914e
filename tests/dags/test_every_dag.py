import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from airflow.sdk import DAG

from jobs.steps import STEPS

POOLS = Path(__file__).parents[2] / "dags" / "pools.json"


def test_every_step_of_the_table_is_a_task_of_one_dag(parsed: dict[str, DAG]) -> None:
    tasks = [task.task_id.rpartition(".")[2] for dag in parsed.values() for task in dag.tasks]
    by_hand = {"reload"}  # of `citylake rebuild` for a lake that has lost its tables
    assert sorted(tasks) == sorted(STEPS.keys() - by_hand)


@pytest.mark.parametrize("name", ["nightly", "late", "maintain"])
def test_every_task_has_what_an_operator_needs(parsed: dict[str, DAG], name: str) -> None:
    pools = set(json.loads(POOLS.read_text()))
    for task in parsed[name].tasks:
        assert task.owner == "citylake", task.task_id
        assert task.doc_md, task.task_id
        assert task.retries == 3, task.task_id
        assert task.retry_exponential_backoff, task.task_id
        assert timedelta(0) < task.execution_timeout < parsed[name].dagrun_timeout, task.task_id
        assert task.pool in pools, task.task_id
        assert task.on_failure_callback, task.task_id


@pytest.mark.parametrize("name", ["nightly", "late", "maintain"])
def test_a_dag_says_what_it_is(parsed: dict[str, DAG], name: str) -> None:
    dag = parsed[name]
    assert dag.description and dag.doc_md and dag.tags and dag.dagrun_timeout
    assert dag.max_active_runs == 1
    assert not dag.catchup
    dag.check_cycle()


@pytest.mark.parametrize("name", ["nightly", "late", "maintain"])
def test_switched_on_for_the_first_time_it_waits_for_its_hour(parsed: dict[str, DAG], name: str) -> None:
    from airflow.serialization.decoders import decode_timetable
    from airflow.serialization.encoders import encode_timetable
    from airflow.timetables.base import TimeRestriction

    timetable = decode_timetable(encode_timetable(parsed[name].timetable))
    first = timetable.next_dagrun_info(
        last_automated_data_interval=None, restriction=TimeRestriction(None, None, catchup=False)
    )
    assert first is not None
    assert first.run_after > datetime.now(UTC) - timedelta(hours=1)
    assert parsed[name].start_date is None
