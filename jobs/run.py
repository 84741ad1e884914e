"""Runs one step: the clock, the settings and the catalogue come in here, the run record goes out."""

import importlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date

import structlog

from expectations import catalog as catalogue
from jobs.department import Outcome, said
from jobs.steps import STEPS, Step
from lakehouse import logs, staging
from lakehouse.errors import CitylakeError, UsageError
from lakehouse.layout import prepare
from lakehouse.runs import Run, code_version
from lakehouse.settings import Settings, clock

_log = structlog.get_logger()


class StepBroke(CitylakeError):
    """Something nobody foresaw. Its own words, which may hold values of the data, are not told."""

    transient = True


def run(
    step: str, day: date, department: str | None = None, *, dataset: str | None = None, forced: bool = False
) -> None:
    """Run `step` for `day`; a department step needs the `department`. Raises what failed, after it is recorded.

    `dataset` (`department.dataset`) runs a department step for that one only; `forced` repeats what is done already.
    """
    if step not in STEPS:
        raise UsageError(f"no step '{step}'", hint=f"known: {', '.join(STEPS)}")
    row = STEPS[step]
    settings = Settings.from_environment()
    logs.configure(settings.home)
    prepare(settings)
    staging.sweep(settings.home)
    catalog = catalogue.load_usable(settings.catalog)
    started = Run.start(step, day, clock(), settings, forced=forced)
    module, _, function = row.target.partition(":")
    work = getattr(importlib.import_module(module), function)
    with logs.bound(**logs.of_airflow(), run_id=started.id, step=step, day=day, department=department), _told(step):
        if row.scope == "city":
            _recorded(row, started, lambda: work(started, catalog))
            return
        if department is None:
            raise UsageError(f"step '{step}' runs per department", hint="name one")
        catalog.of(department)
        work(started, catalog.only(dataset) if dataset else catalog, department)


def _recorded(row: Step, started: Run, work: object) -> None:
    begun = time.monotonic()
    fault: Exception | None = None
    outcome = Outcome("failed")
    try:
        outcome = work() or Outcome("succeeded")  # type: ignore[operator]
    except Exception as error:
        fault = error
        _log.error("step failed", error=said(error), seconds=_since(begun))
    else:
        _log.info("step done", status=outcome.status, seconds=_since(begun), rows_in=outcome.rows_in)
    started.ops.note(
        "runs",
        at=started.now,
        run_id=started.id,
        step=row.name,
        department="",
        dataset="",
        day=started.day,
        seconds=_since(begun),
        code=code_version(),
        error=said(fault) if fault else None,
        **vars(outcome),
    )
    started.close()
    if fault:
        raise fault


@contextmanager
def _told(step: str) -> Iterator[None]:
    """What isn't an error of ours is logged here and leaves as one: whoever logs that shall not find its words."""
    try:
        yield
    except CitylakeError:
        raise
    except Exception as error:
        _log.error("step broke", exc_info=error)
        if os.environ.get("CITYLAKE_DEBUG"):
            raise
        raise StepBroke(said(error), where=step) from None


def _since(begun: float) -> float:
    return round(time.monotonic() - begun, 3)
