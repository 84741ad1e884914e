"""How Citylake logs: JSON lines in `CITYLAKE_HOME/logs/citylake-<day>.jsonl`, plain lines for people on standard error.

Whatever is said while a step runs carries the ids bound by `bound`: night, run_id, step, day, department, dataset, in its
threads too, and inside Airflow those of the task. Errors that aren't our own are told by their kind and the lines of
code they passed: their words may hold values of the data.
"""

import json
import logging
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager, suppress
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import structlog

from lakehouse.errors import CitylakeError

Event = Mapping[str, Any]
"""One thing said: `event`, `level`, the bound ids and the facts of the event itself."""

_AIRFLOW = {
    "AIRFLOW_CTX_DAG_RUN_ID": "night",
    "AIRFLOW_CTX_TASK_ID": "task",
    "AIRFLOW_CTX_TRY_NUMBER": "attempt",
}
"""What Airflow tells the processes of its tasks, and what we call it. A night is a run of its DAG."""

_WITHOUT_VALUES = (OSError, ImportError, NameError, AttributeError, MemoryError, NotImplementedError)
"""Errors whose words name files and code, never values."""


def configure(home: Path) -> None:
    """Keep events from INFO on in the logs of `home`; lines on stderr begin at `CITYLAKE_LOG_LEVEL` (default WARNING).

    Where Airflow's worker has set structlog up, its own lines go where they went.
    """
    if not structlog.is_configured():
        _configure()
    processors = structlog.get_config()["processors"]
    kept = next((each for each in processors if isinstance(each, _Kept)), None)
    if kept is None:
        kept = _Kept()
        structlog.configure(processors=[kept, *processors])
    kept.folder = home / "logs"


@contextmanager
def bound(**ids: object) -> Iterator[None]:
    """Everything said in this block by this thread (and by threads given a copy of its context) carries the ids."""
    with structlog.contextvars.bound_contextvars(**{name: str(value) for name, value in ids.items() if value}):
        yield


@contextmanager
def heard(listener: Callable[[Event], None]) -> Iterator[None]:
    """The listener is told every event of this block, from whatever thread it comes."""
    _LISTENERS.append(listener)
    try:
        yield
    finally:
        _LISTENERS.remove(listener)


def of_airflow() -> dict[str, str]:
    """The ids of the Airflow task this process works for; empty outside."""
    return {ours: os.environ[theirs] for theirs, ours in _AIRFLOW.items() if theirs in os.environ}


def run_id() -> str:
    """The id of the run that goes on in this thread, empty when there is none."""
    return str(structlog.contextvars.get_contextvars().get("run_id", ""))


def read(home: Path, day: date | None = None) -> Iterator[Event]:
    """The events of a business day (of all, oldest first, when None). A line cut short by a full disk is left out."""
    for path in sorted((home / "logs").glob(_file(home, day.isoformat() if day else "*").name)):
        with path.open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                with suppress(ValueError):
                    yield json.loads(line)


def traced(error: BaseException) -> str:
    """The lines of code the error passed and its kind, with its words where they can't hold values; causes first."""
    earlier = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    said = f": {error}" if isinstance(error, (CitylakeError, *_WITHOUT_VALUES)) else ""
    frames = "".join(traceback.format_list(traceback.extract_tb(error.__traceback__)))
    return (f"{traced(earlier)}\nthen\n" if earlier else "") + f"{frames}{type(error).__name__}{said}"


_LISTENERS: list[Callable[[Event], None]] = []


class _Kept:
    """A structlog processor: writes what is said during a run into the day's file, tells it to who listens, passes it on.

    What Airflow says before and after is its own.
    """

    folder: Path

    def __call__(self, logger: object, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        ids = structlog.contextvars.get_contextvars()
        if "day" not in ids:  # a run id alone is what Airflow binds
            return event
        if error := _error(event.pop("exc_info", None)):
            event["exception"] = traced(error)
        now = datetime.now(UTC)
        said = {"at": now.isoformat(timespec="milliseconds"), "level": method}
        said |= {**ids, **event}
        with suppress(OSError):  # a full disk ends the step itself, which says so
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            _append(_file(self.folder, said["day"]), json.dumps(said, ensure_ascii=False, default=str))
        for listener in tuple(_LISTENERS):
            listener(said)
        return event


def _file(folder: Path, day: str) -> Path:
    return folder / f"citylake-{day}.jsonl"


def _append(path: Path, line: str) -> None:
    """One write at the end of the file: lines of several processes don't mix."""
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(handle, f"{line}\n".encode(errors="backslashreplace"))
    finally:
        os.close(handle)


def _error(given: object) -> BaseException | None:
    if isinstance(given, tuple):
        given = given[1]
    return given if isinstance(given, BaseException) else sys.exc_info()[1] if given else None


def _shorter(logger: object, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """For people: what the run's id or the dataset's name say already, and what only Airflow asks for, is left out."""
    for name in ("night", "department", *(("step", "day") if "run_id" in event else ()), *_AIRFLOW.values()):
        event.pop(name, None)
    return event


def _shown(logger: object, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Drops what isn't worth a line for people."""
    levels = logging.getLevelNamesMapping()
    asked = levels.get(os.environ.get("CITYLAKE_LOG_LEVEL", "").upper(), logging.WARNING)
    if levels.get(method.upper(), logging.ERROR) < asked:
        raise structlog.DropEvent
    return event


def _configure() -> None:
    structlog.configure(
        processors=[
            _shown,
            structlog.contextvars.merge_contextvars,
            _shorter,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="%Y-%m-%d %H:%M:%S", utc=False),
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
            ),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=lambda *_: structlog.WriteLogger(sys.stderr),  # the one of the moment: it may be replaced
        cache_logger_on_first_use=False,
    )
