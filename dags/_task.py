"""The one place where a step of `jobs.steps` becomes an Airflow task."""

import os
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from airflow.sdk import Asset, Param, TriggerRule, XComArg, task
from airflow.sdk.exceptions import AirflowFailException

from dags._alert import alert

ZONE = ZoneInfo("Asia/Shanghai")
EMBEDDED_POOL = "embedded"
SPARK_POOL = "spark"
RETRY_DELAY = timedelta(seconds=int(os.environ.get("CITYLAKE_RETRY_SECONDS", "300")))

DAY = Param(
    None,
    type=["null", "string"],
    format="date",
    pattern=r"^\d{4}-\d{2}-\d{2}$",
    title="业务日 · business day",
    description="The day to run, as 2026-03-01. Empty: the day of the run in Asia/Shanghai.",
)


def step(
    name: str,
    *,
    department: XComArg | str | None = None,
    pool: str = EMBEDDED_POOL,
    timeout: timedelta = timedelta(hours=1),
    trigger_rule: TriggerRule = TriggerRule.ALL_SUCCESS,
    outlets: list[Asset] | None = None,
) -> XComArg:
    """The task that runs step `name` for the run's business day, for one department or for the city.

    What may pass (a source that can't be reached, anything unexpected) is tried three more times with growing pauses;
    what a second try can't mend (bad data, a wrong contract) fails at once.
    """

    @task(
        task_id=name,
        pool=pool,
        execution_timeout=timeout,
        retries=3,
        retry_delay=RETRY_DELAY,
        retry_exponential_backoff=2.0,
        max_retry_delay=timedelta(hours=1),
        trigger_rule=trigger_rule,
        outlets=outlets,
        on_failure_callback=alert,
        doc_md=f"Step `{name}` of `jobs/steps.py`.",
        map_index_template="{{ task.op_kwargs['department'] or '' }}",
    )
    def run_step(department: XComArg | str | None, **context: Any) -> None:
        from jobs.run import run
        from lakehouse.errors import CitylakeError

        try:
            run(name, business_day(context), None if department is None else str(department))
        except CitylakeError as error:
            if error.transient:
                raise
            raise AirflowFailException(str(error)) from None

    return run_step(department=department)


def business_day(context: Any) -> date:
    """The day asked for in the run's parameter `day`, else the day of its data interval in Asia/Shanghai."""
    if asked := context["params"]["day"]:
        return date.fromisoformat(asked)
    instant: datetime = context.get("data_interval_start") or context["dag_run"].run_after
    return instant.astimezone(ZONE).date()
