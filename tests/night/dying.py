"""A process of its own that runs one step for the shops and is killed at a given moment: `python dying.py STEP MOMENT`."""

import importlib
import os
import signal
import sys
from collections.abc import Callable, Iterator
from typing import Any

from tests.jobs.small_city import DAY
from tests.night.town import SHOPS


def die(*args: Any, **options: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_after(work: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any, **options: Any) -> Any:
        work(*args, **options)
        die()

    return call


def die_amid(batches: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
    def call(*args: Any, **options: Any) -> Iterator[Any]:
        for batch in batches(*args, **options):
            yield batch
            die()

    return call


def die_before_runs(append: Callable[..., Any]) -> Callable[..., Any]:
    def call(table: Any, *args: Any, **options: Any) -> Any:
        return die() if table.path.name == "runs" else append(table, *args, **options)

    return call


MOMENTS: dict[str, tuple[str, str, Callable[..., Any]]] = {
    "while it is copied": ("lakehouse.sources.files", "_copied", die_after),
    "after landing": ("jobs.pull", "land", die_after),
    "during the bronze write": ("jobs.load", "_bronze", die_amid),
    "before the books": ("lakehouse.ops:Ops", "flush", lambda _: die),
    "between the books": ("lakehouse.table:Table", "append_once", die_before_runs),
    "during the silver write": ("jobs.split:Split", "accepted_batches", die_amid),
    "between silver and quarantine": ("jobs.slices", "_quarantine", lambda _: die),
}
"""Where to die: the module (and class), the function, and what becomes of it."""

if __name__ == "__main__":
    from jobs.run import run

    step, moment = sys.argv[1:]
    place, name, how = MOMENTS[moment]
    module, _, kind = place.partition(":")
    owner = importlib.import_module(module)
    owner = getattr(owner, kind) if kind else owner
    setattr(owner, name, how(getattr(owner, name)))
    run(step, DAY, SHOPS)
