"""The sample city: `citylake sample deliver | serve`."""

import os
import subprocess
import time
from contextlib import AbstractContextManager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from jobs.cli import screen

app = typer.Typer(help="A generated city to try everything on: deliveries, its servers.", no_args_is_help=True)

_CONNECTIONS = ("CITYLAKE_CONN_SAMPLE_API", "CITYLAKE_CONN_SAMPLE_PG")
_FOLDER = "sample"
"""Below the lake's home: what `samples.serve` serves. It marks the lake as the sample's."""


class Scale(StrEnum):
    """What is made: `week`, twelve departments with planted defects; `full`, one night of a whole city."""

    week = "week"
    full = "full"


@app.command("deliver")
def deliver(
    seed: Annotated[int, typer.Option(help="Another seed makes another city.")] = 7,
    scale: Annotated[
        Scale, typer.Option(help="A week of twelve departments, or one night of 75 units and 34 million readings.")
    ] = Scale.week,
) -> None:
    """Write deliveries of the sample city into the inbox. A week, with planted defects, needs about 1 GB; `full` 3 GB.

    \b
    For example:
    citylake sample deliver
    CITYLAKE_HOME=/tmp/city citylake sample deliver --scale full
    """
    from lakehouse.settings import Settings

    home, begun = Settings.from_environment().home, time.monotonic()
    if scale is Scale.full:
        from samples import full

        catalog, first, last = full.deliver(home, seed=seed), full.DAY, full.DAY
    else:
        from samples import DAYS
        from samples import deliver as make

        make(home, seed=seed)
        catalog, first, last = None, DAYS[0], DAYS[-1]
    files = [path for path in (home / "inbox").glob("*/*/*/*") if path.is_file()]
    total = screen.size(sum(path.stat().st_size for path in files))
    screen.line(f"{len(files)} files, {total}, days {first} to {last}, in {time.monotonic() - begun:.0f} s")
    screen.line(f"inbox   {home / 'inbox'}")
    screen.line(f"set     export CITYLAKE_CATALOG={catalog}" if catalog else f"truth   {home / 'inbox' / 'truth.csv'}")
    screen.line(f"next    citylake backfill --from {first} --to {last}")


@app.command("serve", context_settings={"ignore_unknown_options": True, "allow_extra_args": True})
def serve(
    command: Annotated[
        list[str] | None, typer.Argument(help="Serve only while this runs, with the connections set.")
    ] = None,
) -> None:
    """Serve the sample's HTTP API and PostgreSQL on this machine: until Ctrl-C, or while COMMAND runs.

    \b
    For example:
    citylake sample serve -- python -m dags.embedded 2026-03-01
    """
    from lakehouse.errors import UsageError
    from lakehouse.settings import Settings

    home = Settings.from_environment().home
    if not (home / _FOLDER).is_dir():
        raise UsageError("no sample deliveries", where=str(home), hint="run `citylake sample deliver` first")
    with servers(home) as variables:
        if command:
            raise typer.Exit(subprocess.run(command, check=False).returncode)
        for name, value in variables.items():
            screen.line(f"export {name}='{value}'")
        screen.progress("serving until Ctrl-C; the lines above tell another terminal where")
        while True:
            time.sleep(3600)


def needs_servers(home: Path) -> bool:
    """Whether the lake is the sample's and nobody has set the connections to its servers."""
    return (home / _FOLDER).is_dir() and not any(os.environ.get(name) for name in _CONNECTIONS)


def servers(home: Path) -> AbstractContextManager[dict[str, Any]]:
    """The sample's servers, with their connections in the environment until the end."""
    from samples import serve as running

    return running(home)
