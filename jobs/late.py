"""Deliveries that come after the night of their day: the step `late`, on a schedule of its own."""

from collections.abc import Callable, Iterator
from datetime import date, timedelta
from functools import partial

from expectations.arrivals import Told, newest
from expectations.catalog import Catalog
from jobs.department import Outcome
from jobs.night import releases
from jobs.run import run as run_step
from jobs.steps import STEPS
from lakehouse.contract import Contract
from lakehouse.errors import CitylakeError
from lakehouse.runs import Run


def late(run: Run, catalog: Catalog) -> Outcome:
    """Look again for what was due on the released days within each contract's `look_back` and hasn't come. A day for
    which something came is cleaned, released and scored anew.

    What still can't be had is no fault: its own night has told it. Raises what other steps failed with, at the end.
    """
    faults: list[CitylakeError] = []
    came: dict[date, list[Contract]] = {}
    for contract, days in _missing(run, catalog):
        for day in days:
            fault = _tried(partial(run_step, "bring", day, contract.department, dataset=contract.name))
            if _has_come(newest(run.ops.read("deliveries", day=day).to_pylist()), contract, day):
                came.setdefault(day, []).append(contract)
            if fault and fault.transient:
                break  # its system doesn't answer today: the other days needn't be asked for
    for day in sorted(came):
        todo = [partial(run_step, "clean", day, each.department, dataset=each.name) for each in came[day]]
        todo += [partial(run_step, step.name, day) for step in STEPS.values() if step.scope == "city" and step.nightly]
        faults += filter(None, map(_tried, todo))
    if faults:
        raise faults[0]
    return Outcome("succeeded" if came else "unchanged")


def _missing(run: Run, catalog: Catalog) -> Iterator[tuple[Contract, list[date]]]:
    """Every dataset with the released days, the newest first, on which a delivery was due and nothing could be loaded."""
    farthest = max((contract.arrives.look_back for contract in catalog.contracts), default=timedelta(0))
    told = newest(run.ops.read("deliveries", since=run.day - farthest).to_pylist())
    released = sorted((day for day in releases(run.ops) if day <= run.day), reverse=True)
    for contract in catalog.contracts:
        due = (day for day in released if contract.arrives.expected_on(day))
        asked = (day for day in due if run.day - day <= contract.arrives.look_back)
        yield contract, [day for day in asked if not _has_come(told, contract, day)]


def _has_come(told: Told, contract: Contract, day: date) -> bool:
    found = told.get((contract.department, contract.dataset), {}).get(day, ())
    return any(delivery.loaded or delivery.unchanged for delivery in found)


def _tried(step: Callable[[], None]) -> CitylakeError | None:
    try:
        step()
    except CitylakeError as fault:
        return fault
    return None
