"""The nightly DAG run here and now: no scheduler, no services, its books in SQLite under `CITYLAKE_HOME/airflow`.

`python -m dags.embedded 2026-03-01` runs that business day, one task after another in this process, prints a line for
each and puts all else that is said (Airflow, Spark) into `CITYLAKE_HOME/logs`. Exit code 0: the release is written.
"""

import argparse
import gc
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime
from datetime import time as clock_time
from pathlib import Path

from rich.console import Console

from dags import _books, service
from lakehouse.engine.server import end_started
from lakehouse.errors import CitylakeError, LakeError
from lakehouse.locks import alone
from lakehouse.settings import ZONE, Settings

# A missing source is worth waiting for in the night; at a terminal the pauses are short.
RETRY_SECONDS = "5"
# Airflow builds millions of small objects at its start; at the default of 700 a third of it goes to the collector.
COLLECT_EVERY = 200_000


def main(day: date) -> int:
    """Runs the night of `day`; returns 0 when its release is written, else 1."""
    gc.set_threshold(COLLECT_EVERY)
    home = Settings.from_environment().home
    log = home / "logs" / f"nightly-{day}.log"
    try:
        with (
            alone(home / ".nightly.lock", "another night is running", "wait until it has ended"),
            _said_to(log) as screen,
        ):
            _configure(home)
            _books.migrate(home, os.environ)
            try:
                return 0 if _run(day, screen) else 1
            finally:
                end_started()
    except CitylakeError as error:
        print(f"citylake: {error}", file=sys.stderr)
        return 1


def _configure(home: Path) -> None:
    """Airflow reads its settings when it is first imported: here only, and never those of another Airflow."""
    if service.running(home):
        hint = "trigger the night on its pages, or end it with `make down`"
        raise LakeError("Airflow is running on this lake", where=str(home), hint=hint)
    _books.configure(home)
    env = _books.environment(home)
    for name in os.environ.keys() - env.keys():
        del os.environ[name]
    os.environ.update(env)
    os.environ.setdefault("CITYLAKE_RETRY_SECONDS", RETRY_SECONDS)


def _run(day: date, screen: Console) -> bool:
    from airflow.sdk import TaskInstanceState
    from airflow.sdk.listener import get_listener_manager

    from dags._progress import Progress
    from dags.nightly import nightly
    from expectations.catalog import departments

    started = time.monotonic()
    tasks = sum(len(departments()) if task.task_id.startswith("department.") else 1 for task in nightly.tasks)
    with Progress(screen, tasks) as progress:
        get_listener_manager().add_listener(progress)
        run = nightly.test(logical_date=datetime.combine(day, clock_time(5, 30), ZONE))
    instances = run.get_task_instances()
    done = sum(each.state == TaskInstanceState.SUCCESS for each in instances)
    released = all(each.state == TaskInstanceState.SUCCESS for each in instances if each.task_id == "release")
    verdict = "[green]released[/]" if released else "[red]not released[/]"
    screen.print(
        f"night of {day}: {verdict}, {done} of {len(instances)} tasks done in {time.monotonic() - started:.0f} s"
    )
    return released


@contextmanager
def _said_to(log: Path) -> Iterator[Console]:
    """All that this process and its children print goes to `log`; what is left of the screen is handed out."""
    log.parent.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush(), sys.stderr.flush()
    kept = os.dup(1), os.dup(2)
    try:
        with log.open("ab") as file, os.fdopen(os.dup(1), "w") as screen:
            os.dup2(file.fileno(), 1), os.dup2(file.fileno(), 2)
            yield Console(file=screen, highlight=False, soft_wrap=True)
    finally:
        sys.stdout.flush(), sys.stderr.flush()
        for number, original in zip((1, 2), kept, strict=True):
            os.dup2(original, number)
            os.close(original)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m dags.embedded", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("day", type=date.fromisoformat, help="business day, as 2026-03-01")
    sys.exit(main(parser.parse_args().day))
