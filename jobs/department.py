"""One department's datasets side by side, each with its own run record, so that one's failure never stops another."""

import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import dataclass
from datetime import date

import pyarrow.compute as pc
import structlog

from expectations.catalog import Catalog, Unusable
from lakehouse.contract import Contract
from lakehouse.errors import CitylakeError
from lakehouse.logs import bound
from lakehouse.runs import Run, code_version

_log = structlog.get_logger()


@dataclass(frozen=True)
class Outcome:
    """How one dataset's step ended, as its run record says it."""

    status: str
    rows_in: int | None = None
    accepted: int | None = None
    quarantined: int | None = None
    unparsable: int | None = None
    fingerprint: str | None = None
    reads: str | None = None
    writes: str | None = None


class DatasetsFailed(CitylakeError):
    """Some datasets of a department failed; the others are done. Transient if any failure is: what is done isn't done again."""

    def __init__(self, failures: Sequence[tuple[str, Exception]]) -> None:
        lines = "; ".join(f"{dataset}: {said(error)}" for dataset, error in failures)
        super().__init__(
            lines, hint=f"the other datasets are done; `citylake run` repeats only what failed ({len(failures)})"
        )
        self.transient = any(getattr(error, "transient", False) for _, error in failures)

    def __reduce__(self) -> tuple[object, ...]:
        return CitylakeError, (self.what,)


def each_dataset(run: Run, catalog: Catalog, department: str, work: Callable[[Contract], Outcome]) -> None:
    """Do `work` for every contract on the process's threads, record each, flush the books, then raise what failed.

    A contract that can't be used fails by itself, like any other dataset.
    """
    contracts = catalog.of(department)
    unusable = [each for each in catalog.unusable if each.department == department]
    failures = [(each.name, _failed(run, each, each.fault())) for each in unusable]
    try:
        with ThreadPoolExecutor(max_workers=run.settings.threads) as pool, _stopping_with_us():
            said_by = [copy_context() for _ in contracts]  # what a thread says carries the ids of the run
            done = pool.map(lambda of, contract: of.run(_recorded, run, contract, work), said_by, contracts)
            for contract, error in zip(contracts, done, strict=True):
                if error is not None:
                    failures.append((contract.name, error))
    finally:
        run.close()
    if failures:
        raise DatasetsFailed(failures)


@contextmanager
def _stopping_with_us() -> Iterator[None]:
    """Ctrl-C ends what sources are asked: the threads that wait for them would be waited for."""
    try:
        yield
    except KeyboardInterrupt:
        if used := sys.modules.get("lakehouse.sources.patience"):
            used.stop_all()
        raise


def last_success(run: Run, tables: str | tuple[str, ...] = "ops.", *, day: date | None = None) -> str | None:
    """The fingerprint with which the city's step last succeeded for a day, the run's if None.

    None if a table whose name begins like one of `tables` was restored since: left out, a book that has lost rows of the day.
    """
    wrote = pc.field("step").isin([run.step, "restore"]) & (pc.field("status") == "succeeded")
    rows = run.ops.read("runs", day=day or run.day).filter(wrote).select(["step", "fingerprint", "writes"]).to_pylist()
    for row in reversed(rows):
        if row["step"] == run.step or any(name.startswith(tables) for name in json.loads(row["writes"])):
            return None if row["step"] == "restore" else row["fingerprint"]
    return None


def _recorded(run: Run, contract: Contract, work: Callable[[Contract], Outcome]) -> Exception | None:
    started = time.monotonic()
    with bound(dataset=contract.name):
        try:
            outcome = work(contract)
        except Exception as error:  # whatever one dataset does, the others go on; it is raised again once they are done
            return _failed(run, contract, error, seconds=_since(started), contract=contract.fingerprint)
        seconds = _since(started)
        _log.info("dataset done", status=outcome.status, seconds=seconds, rows_in=outcome.rows_in)
        _note(run, contract, seconds=seconds, contract=contract.fingerprint, **vars(outcome))
    return None


def _failed(run: Run, dataset: Contract | Unusable, error: Exception, **facts: object) -> Exception:
    ours = isinstance(error, CitylakeError)
    said_so = said(error)
    seconds = facts.get("seconds")
    exc_info = None if ours else error
    _log.error("dataset failed", dataset=dataset.name, error=said_so, seconds=seconds, exc_info=exc_info)
    _note(run, dataset, status="failed", error=said_so, **facts)
    return error


def _note(run: Run, dataset: Contract | Unusable, **facts: object) -> None:
    where = {"department": dataset.department, "dataset": dataset.dataset, "day": run.day}
    run.ops.note("runs", at=run.now, run_id=run.id, step=run.step, code=code_version(), **where, **facts)


def _since(started: float) -> float:
    return round(time.monotonic() - started, 3)


def said(error: Exception) -> str:
    """The error as one line: ours speak for themselves, others are named by kind without the values they may hold."""
    return (
        str(error)
        if isinstance(error, CitylakeError)
        else f"{type(error).__name__} in Citylake itself; the log has the details"
    )
