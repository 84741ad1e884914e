"""How far a night is: a line for each task that has ended, told by Airflow's listener hooks, and for each of its datasets
a step in the bar of a terminal or, elsewhere, a line."""

import time
from types import TracebackType
from typing import Any, Self

from airflow.listeners import hookimpl
from airflow.sdk import TaskInstanceState
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

from dags._alert import reason
from lakehouse.logs import Event, heard


class Progress:
    """A listener that writes to `screen` while its block lasts. Tasks run one after another, so one start time is enough."""

    def __init__(self, screen: Console, tasks: int) -> None:
        self.screen = screen
        self.began = time.monotonic()
        self._heard = heard(self._dataset)
        shown = (
            SpinnerColumn(),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.description}"),
        )
        self._bar = Bar(*shown, console=screen, transient=True, redirect_stdout=False, redirect_stderr=False,
                        disable=not screen.is_terminal)  # fmt: skip
        self._done = self._bar.add_task("", total=tasks)

    def __enter__(self) -> Self:
        self._heard.__enter__()
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()
        self._heard.__exit__(kind, error, trace)

    @hookimpl
    def on_task_instance_running(self, task_instance: Any) -> None:
        self.began = time.monotonic()
        self._bar.update(self._done, description=" ".join(_name(task_instance)))

    @hookimpl
    def on_task_instance_success(self, task_instance: Any) -> None:
        self._line(task_instance, "[green]ok[/]    ")
        self._bar.advance(self._done)

    @hookimpl
    def on_task_instance_failed(self, task_instance: Any, error: object) -> None:
        again = task_instance.state == TaskInstanceState.UP_FOR_RETRY
        self._line(task_instance, "[yellow]again[/] " if again else "[red]failed[/]", escape(reason(error)))
        if not again:
            self._bar.advance(self._done)

    def _line(self, task_instance: Any, outcome: str, why: str = "") -> None:
        step, where = _name(task_instance)
        seconds = time.monotonic() - self.began
        self.screen.print(f"{step:<10} {where:<40} {outcome} {seconds:6.1f} s  {why}".rstrip())

    def _dataset(self, said: Event) -> None:
        if said["event"] not in ("dataset done", "dataset failed"):
            return
        if self.screen.is_terminal:
            self._bar.update(self._done, description=f"{said.get('step', '')} {said['dataset']}")
        else:
            status, seconds = said.get("status", "failed"), said.get("seconds") or 0
            self.screen.print(f"{said.get('step', ''):<10} {said['dataset']:<40} {status:<9} {seconds:6.1f} s")


def _name(task_instance: Any) -> tuple[str, str]:
    """Step and department of a task."""
    return task_instance.task_id.rpartition(".")[2], task_instance.task.op_kwargs["department"] or "city"
