"""Steps with schedules of their own."""

import pytest
from airflow.sdk import DAG

from dags.late import late
from dags.maintain import maintain


@pytest.mark.parametrize("dag", [late, maintain])
def test_it_is_one_task_on_the_pool_of_spark(dag: DAG) -> None:
    (task,) = dag.tasks
    assert (task.task_id, task.pool, task.owner) == (dag.dag_id, "spark", "citylake")
    assert task.on_failure_callback and dag.max_active_runs == 1 and not dag.catchup
