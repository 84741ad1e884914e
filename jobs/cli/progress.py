"""What people see while steps run: a bar in a terminal, elsewhere one plain line for each dataset."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from typing import TYPE_CHECKING

from jobs.cli import screen

if TYPE_CHECKING:
    from lakehouse.logs import Event

_ENDED = {"dataset done", "dataset failed"}


@contextmanager
def shown(day: date, step: str, datasets: int | None) -> Iterator[None]:
    """Show on stderr how far a step is that works on so many datasets; None where it isn't done by dataset."""
    from lakehouse.logs import heard

    show = _bar if sys.stderr.isatty() else _lines
    with show(day, step, datasets) as ended, heard(lambda said: ended(said) if said["event"] in _ENDED else None):
        yield


@contextmanager
def _lines(day: date, step: str, datasets: int | None) -> Iterator[Callable[["Event"], None]]:
    def ended(said: "Event") -> None:
        status, seconds = said.get("status", "failed"), said.get("seconds") or 0
        screen.progress(f"{day}  {step:<10} {said['dataset']:<40} {status:<10} {seconds:7.1f} s")

    yield ended


@contextmanager
def _bar(day: date, step: str, datasets: int | None) -> Iterator[Callable[["Event"], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (
        SpinnerColumn(), TextColumn(f"{day}  {step:<10}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
        TextColumn("{task.description}", markup=False),
    )  # fmt: skip
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=datasets)

        def ended(said: "Event") -> None:
            progress.update(task, advance=1, description=said["dataset"])

        yield ended
