"""Versions of tables: `maintain`, `history`, `restore`, `diff`."""

import re
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jobs.cli import screen
from jobs.cli.screen import AsJson, Day

if TYPE_CHECKING:
    from jobs.restore import Restored
    from lakehouse.settings import Settings
    from lakehouse.table import Table

TableName = Annotated[str, typer.Argument(metavar="TABLE", help="LAYER.TABLE, as `citylake tables` shows them.")]


def enter(app: typer.Typer) -> None:
    """Add these commands to the application."""
    app.command("history")(history)
    app.command("diff")(diff)
    app.command("restore")(restore)
    app.command("maintain")(maintain)


def maintain(day: Day = None) -> None:
    """Join small files, delete what no release of the last 35 days needs, and read a slice again as a restore drill.

    Harmless at any time; a second run does nothing.
    """
    from jobs.run import run

    run("maintain", screen.day_of(day, screen.today))
    screen.line("The lake is kept; `citylake history TABLE` shows what was done to a table.")


def history(
    table: TableName,
    limit: Annotated[int, typer.Option(min=1, help="At most this many versions.")] = 20,
    json: AsJson = False,
) -> None:
    """The versions of a table, newest first: when, by which run and step, and how many rows there were.

    \b
    For example:
    citylake history silver.transport__hazmat_gps
    """
    from jobs.versions import history as versions

    found = versions(_known(table, _settings()), limit)
    if json:
        screen.as_json([vars(version) for version in found])
    else:
        columns = ["version#", "when", "step", "operation", "rows#", "files#", "run"]
        cells = [(v.version, v.at, v.step, v.operation, v.rows, v.files, v.run_id) for v in found]
        screen.table(columns, cells)


def diff(
    before: Annotated[str, typer.Argument(metavar="TABLE@VERSION", help="For example silver.works__bridges@3")],
    after: Annotated[str, typer.Argument(metavar="TABLE@VERSION")],
    limit: Annotated[int, typer.Option(min=0, help="At most this many examples of each kind.")] = 5,
    json: AsJson = False,
) -> None:
    """What changed between two versions of a table: rows added, removed and changed, by the contract's key.

    Technical columns don't count. Values that may not be shown are masked. Without a key whole rows are compared.

    \b
    For example:
    citylake diff silver.works__bridges@3 silver.works__bridges@5
    """
    from dataclasses import asdict

    from expectations.catalog import load_usable
    from lakehouse.compare import compare
    from lakehouse.errors import UsageError

    settings = _settings()
    (name, one), (other, two) = _at(before), _at(after)
    if name != other:
        raise UsageError(f"{name} and {other} are two tables", hint="compare two versions of one")
    table = _known(name, settings)
    known = {contract.table: contract for contract in load_usable(settings.catalog).contracts}
    contract = known.get(table.path.name)
    found = compare(settings, table, one, two, contract.key if contract else (), limit)
    if json:
        screen.as_json(asdict(found))
        return
    changed = f", {found.changed:,} changed" if found.key else ""
    screen.line(f"{name}: {found.added:,} rows added, {found.removed:,} removed{changed}, {found.same:,} as before")
    for example in found.examples:
        screen.line(
            f"{example.kind:<8} {_shown(example.row)}", {"added": "green", "removed": "red"}.get(example.kind, "")
        )


def restore(
    table: TableName,
    to: Annotated[
        str | None,
        typer.Option("--to", metavar="VERSION|DAY", help="An earlier version, or that of a day's release."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False,
) -> None:
    """Give a table the content of an earlier version; without --to, mend a damaged one as far as it can be read.

    Nothing is lost: it is a new version on top, and what was taken back is made again when its days run again.

    \b
    For example:
    citylake restore silver.works__bridges --to 2026-03-03
    citylake restore silver.works__bridges --to 7 --yes
    citylake restore bronze.works__bridges
    """
    from jobs.restore import mend, version_of
    from jobs.restore import restore as take_back
    from lakehouse import damage
    from lakehouse.errors import LakeError
    from lakehouse.runs import Run
    from lakehouse.settings import clock

    settings = _settings()
    of = _known(table, settings)
    run = Run.start("restore", screen.today(), clock(), settings)
    try:
        if to is None:
            found = damage.find(of)
            if found is None:
                screen.line(f"{table} is whole: nothing to mend. --to gives it the content of an earlier version.")
                return
            _agreed(f"Mend {table}: {found.said()}?", yes)
            done = mend(run, found)
        else:
            version = int(to) if to.isdecimal() else version_of(run, table, screen.day_of(to, screen.today))
            now = of.version()
            _agreed(f"Give {table} (now version {now}) the content of version {version}?", yes)
            done = take_back(run, table, version)
    finally:
        run.close()
    _say(table, done)
    if done.gone:
        hint = "bring these back from your backup, or leave them: silver keeps their rows"
        raise LakeError(f"{done.gone} deliveries aren't whole in bronze and no longer landed", where=table, hint=hint)


def _say(name: str, done: "Restored") -> None:
    if done.version is None:
        screen.line(f"{name} had no usable log left and was set aside in the lake's folder `damaged`.")
    else:
        screen.line(f"{name} is at version {done.version} now.")
    if done.days:
        first, last = min(done.days), max(done.days)
        days = f"{len(done.days)} days" if len(done.days) > 1 else str(first)
        screen.line(f"To make again: {days}.")
        screen.line(f"next       citylake backfill --from {first} --to {last}")


def _agreed(question: str, yes: bool) -> None:
    from lakehouse.errors import UsageError

    if not yes:
        if not sys.stdin.isatty():
            raise UsageError("this changes a table", hint="add --yes")
        typer.confirm(question, abort=True)


def _settings() -> "Settings":
    from lakehouse.settings import Settings

    return Settings.from_environment()


def _known(name: str, settings: "Settings") -> "Table":
    """The table of this name. Raises UsageError with the nearest one."""
    import difflib

    from lakehouse.errors import UsageError
    from lakehouse.table import tables

    there = {table.name: table for table in tables(settings.home)}
    name = re.sub(r"^(\w+)\.(\w+)\.(\w+)$", r"\1.\2__\3", name)  # silver.works.bridges, as datasets are written
    if name not in there:
        near = difflib.get_close_matches(name, there, 1)
        raise UsageError(
            f"no table '{name}'", hint=f"did you mean {near[0]}?" if near else "`citylake tables` lists them"
        )
    return there[name]


def _at(text: str) -> tuple[str, int]:
    from lakehouse.errors import UsageError

    name, _, version = text.partition("@")
    if not version.isdecimal():
        raise UsageError(f"'{text}' names no version", hint="write it like silver.works__bridges@3")
    return name, int(version)


def _shown(row: dict[str, Any]) -> str:
    return "  ".join(f"{name}={value}" for name, value in row.items() if value is not None)
