"""What came after its night: once a day, hours after the night, deliveries of the last days that stayed away are looked for
again, as long as their contracts look back. A day for which something came gets its next revision.

It waits for the one place on Spark, so a night that is late and this run don't meet there.
"""

from datetime import timedelta

from airflow.sdk import DAG, CronTriggerTimetable

from dags._task import DAY, SPARK_POOL, step

with DAG(
    "late",
    description="Deliveries of the last days that stayed away, looked for again",
    schedule=CronTriggerTimetable("0 18 * * *", timezone="Asia/Shanghai", run_immediately=timedelta(hours=1)),
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=8),
    params={"day": DAY},
    default_args={"owner": "citylake"},
    tags=["citylake", "daily"],
    doc_md=__doc__,
) as late:
    step("late", pool=SPARK_POOL, timeout=timedelta(hours=6))
