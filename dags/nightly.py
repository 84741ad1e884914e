"""The night: every department's deliveries in, one release of the lake out, the scorecards after it.

Each department waits only for its own: a mapped group brings its deliveries (pull, load) and cleans what has come (and
checks it). Steps over the whole city run when every department is done, however it went; what failed stays red inside
the night, and the night itself succeeds when its release is written and scored.

The business day is the day of delivery in Asia/Shanghai: the run of 08:30 works on its own calendar day. For a
delivery that came later or was mended, trigger the DAG with `{"day": "2026-03-01"}`: the day's next revision follows.
A backfill runs the days of its range, one run a day.
"""

from datetime import timedelta

from airflow.sdk import DAG, Asset, CronTriggerTimetable, TriggerRule, chain, task_group

from dags._task import DAY, SPARK_POOL, step
from expectations.catalog import departments

RELEASE = Asset("citylake_release", uri="citylake://gold/release")

with DAG(
    "nightly",
    description="Deliveries of all departments to one release and its scorecards",
    # Without a start date the first run is the next one to come (or one that came due within the hour).
    schedule=CronTriggerTimetable("30 8 * * *", timezone="Asia/Shanghai", run_immediately=timedelta(hours=1)),
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=8),
    params={"day": DAY},
    default_args={"owner": "citylake", "depends_on_past": False},
    tags=["citylake", "nightly"],
    doc_md=__doc__,
) as nightly:

    @task_group
    def department(department: str) -> None:
        """One department's deliveries: brought, then cleaned and checked."""
        chain(
            step("bring", department=department, timeout=timedelta(hours=2)),
            step("clean", department=department, timeout=timedelta(hours=3), trigger_rule=TriggerRule.ALL_DONE),
        )

    chain(
        department.expand(department=[each.id for each in departments()]),
        step("relate", trigger_rule=TriggerRule.ALL_DONE),
        step("gx", pool=SPARK_POOL, timeout=timedelta(hours=2), trigger_rule=TriggerRule.ALL_DONE),
        step("geo_index", pool=SPARK_POOL, timeout=timedelta(hours=3), trigger_rule=TriggerRule.ALL_DONE),
        step("stays", timeout=timedelta(hours=3), trigger_rule=TriggerRule.ALL_DONE),
        step("sites", timeout=timedelta(hours=1), trigger_rule=TriggerRule.ALL_DONE),
        step("release", trigger_rule=TriggerRule.ALL_DONE, outlets=[RELEASE]),
        step("score"),
    )
