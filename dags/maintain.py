"""The lake's upkeep, every Sunday after the night: small files joined, what is over deleted, one slice read again.

Nothing a reader of a release sees changes, and nights may run meanwhile: writers of a table take turns.
"""

from datetime import datetime, timedelta

from airflow.sdk import DAG, CronTriggerTimetable

from dags._task import DAY, SPARK_POOL, ZONE, step

with DAG(
    "maintain",
    description="Small files joined, what is over deleted, one slice read again",
    schedule=CronTriggerTimetable("30 12 * * SUN", timezone="Asia/Shanghai"),
    start_date=datetime(2026, 1, 1, tzinfo=ZONE),
    catchup=False,
    max_active_runs=1,
    params={"day": DAY},
    default_args={"owner": "citylake"},
    tags=["citylake"],
    doc_md=__doc__,
) as maintain:
    step("maintain", pool=SPARK_POOL, timeout=timedelta(hours=6))
