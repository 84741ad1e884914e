"""One line on the screen for each task that has ended, told by Airflow's listener hooks."""

import time
from typing import Any

from airflow.listeners import hookimpl
from airflow.sdk import TaskInstanceState
from rich.console import Console
from rich.markup import escape

from dags._alert import reason


class Progress:
    """A listener that writes to `screen`. Tasks run one after another, so one start time is enough."""

    def __init__(self, screen: Console) -> None:
        self.screen = screen
        self.began = time.monotonic()

    @hookimpl
    def on_task_instance_running(self) -> None:
        self.began = time.monotonic()

    @hookimpl
    def on_task_instance_success(self, task_instance: Any) -> None:
        self._line(task_instance, "[green]ok[/]    ")

    @hookimpl
    def on_task_instance_failed(self, task_instance: Any, error: object) -> None:
        again = task_instance.state == TaskInstanceState.UP_FOR_RETRY
        self._line(task_instance, "[yellow]again[/] " if again else "[red]failed[/]", escape(reason(error)))

    def _line(self, task_instance: Any, outcome: str, why: str = "") -> None:
        step = task_instance.task_id.rpartition(".")[2]
        where = task_instance.task.op_kwargs["department"] or "city"
        seconds = time.monotonic() - self.began
        self.screen.print(f"{step:<10} {where:<24} {outcome} {seconds:6.1f} s  {why}".rstrip())
