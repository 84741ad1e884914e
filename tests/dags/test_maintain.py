"""The upkeep's own schedule."""

from dags.maintain import maintain


def test_the_upkeep_is_one_task_on_the_pool_of_spark() -> None:
    (task,) = maintain.tasks
    assert (task.task_id, task.pool, task.owner) == ("maintain", "spark", "citylake")
    assert task.on_failure_callback and maintain.max_active_runs == 1 and not maintain.catchup
