"""Runs one step: the clock, the settings and the catalogue come in here, the run record goes out."""

import importlib
import time
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


def run(
    step: str, day: date, department: str | None = None, *, dataset: str | None = None, forced: bool = False
) -> None:
    """Run `step` for `day`; a department step needs the `department`. Raises what failed, after it is recorded.

    `dataset` (`department.dataset`) runs a department step for that one only; `forced` repeats what is done already.
    """
    if step not in STEPS:
        raise UsageError(f"no step '{step}'", hint=f"known: {', '.join(STEPS)}")
    row = STEPS[step]
    logs.configure()
    settings = Settings.from_environment()
    prepare(settings)
    staging.sweep(settings.home)
    catalog = catalogue.load_usable(settings.catalog)
    started = Run.start(step, day, clock(), settings, forced=forced)
    module, _, function = row.target.partition(":")
    work = getattr(importlib.import_module(module), function)
    if row.scope == "department":
        if department is None:
            raise UsageError(f"step '{step}' runs per department", hint="name one")
        catalog.of(department)
        work(started, catalog.only(dataset) if dataset else catalog, department)
    else:
        _recorded(row, started, lambda: work(started, catalog))


def _recorded(row: Step, started: Run, work: object) -> None:
    begun = time.monotonic()
    fault: Exception | None = None
    outcome = Outcome("failed")
    try:
        outcome = work() or Outcome("succeeded")  # type: ignore[operator]
    except Exception as error:
        fault = error
        ours = isinstance(error, CitylakeError)
        _log.error("step failed", step=row.name, day=str(started.day), error=said(error), exc_info=not ours)
    started.ops.note(
        "runs",
        at=started.now,
        run_id=started.id,
        step=row.name,
        department="",
        dataset="",
        day=started.day,
        seconds=round(time.monotonic() - begun, 3),
        code=code_version(),
        error=said(fault) if fault else None,
        **vars(outcome),
    )
    started.close()
    if fault:
        raise fault
