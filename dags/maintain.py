"""The lake kept small and readable: once a week, away from the night.

Small files are joined, what is past its retention is deleted, a slice of the newest release is read again as a drill.
It waits for the one place on Spark, so a night that is late and this run don't meet there.
"""

from datetime import timedelta

from airflow.sdk import DAG, CronTriggerTimetable

from dags._task import DAY, SPARK_POOL, step

with DAG(
    "maintain",
    description="Files joined, what is past its retention deleted, one slice read again",
    schedule=CronTriggerTimetable("0 14 * * 6", timezone="Asia/Shanghai", run_immediately=timedelta(hours=1)),
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=8),
    params={"day": DAY},
    default_args={"owner": "citylake"},
    tags=["citylake", "weekly"],
    doc_md=__doc__,
) as maintain:
    step("maintain", pool=SPARK_POOL, timeout=timedelta(hours=6))
