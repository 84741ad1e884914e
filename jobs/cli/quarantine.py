"""Rows that were held back: `citylake quarantine list | show | replay`."""

import os
from collections import Counter
from datetime import date
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jobs.cli import screen
from jobs.cli.screen import AsJson, Day

if TYPE_CHECKING:
    from lakehouse.contract import Contract
    from lakehouse.settings import Settings
    from lakehouse.table import Table

app = typer.Typer(help="Rows that were held back: which, why, and once more after mending.", no_args_is_help=True)

Dataset = Annotated[str, typer.Argument(metavar="DATASET", help="DEPARTMENT.DATASET")]
OneDay = Annotated[str, typer.Option("--day", metavar="YYYY-MM-DD", help="The day of delivery.")]


@app.command("list")
def listing(
    dataset: Annotated[str | None, typer.Option(metavar="DEPARTMENT.DATASET", help="Only this dataset.")] = None,
    day: Day = None,
    json: AsJson = False,
) -> None:
    """How many rows each check holds back, by dataset and day; records nobody could read are `unparsable`."""
    from expectations.catalog import load_usable
    from lakehouse.settings import Settings

    settings = Settings.from_environment()
    on = screen.day_of(day, screen.today) if day else None
    catalog = load_usable(settings.catalog)
    contracts = [catalog.contract(dataset)] if dataset else catalog.contracts
    found: Counter[tuple[date, str, str]] = Counter()
    for contract in contracts:
        rows = _read(_table(settings, "quarantine", contract.table), on, ["_day", "_errors"])
        found.update((row["_day"], contract.name, check) for row in rows for check in row["_errors"])
    names = {contract.name for contract in contracts}
    for row in _read(_table(settings, "bronze", "unparsable"), on, ["_day", "department", "dataset"]):
        if (name := f"{row['department']}.{row['dataset']}") in names:
            found[row["_day"], name, "unparsable"] += 1
    counts = [{"day": d, "dataset": n, "check": c, "rows": count} for (d, n, c), count in sorted(found.items())]
    if json:
        screen.as_json(counts)
    elif not counts:
        screen.line("Nothing is held back.")
    else:
        screen.table(["day", "dataset", "check", "rows#"], [(str(r["day"]), *list(r.values())[1:]) for r in counts])


@app.command("show")
def show(
    dataset: Dataset,
    day: OneDay,
    check: Annotated[str | None, typer.Option(help="Only rows that break this check.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most this many rows.")] = 20,
    raw: Annotated[
        bool, typer.Option("--raw", help="Sensitive columns too, as delivered. Mind who sees your screen.")
    ] = False,
    json: AsJson = False,
) -> None:
    """The rows held back, with file, row number and the checks they break. Sensitive columns are masked.

    \b
    For example:
    citylake quarantine show market_supervision.firms --day 2026-03-03 --check key.unique
    """
    settings, contract = _asked(dataset)
    rows = _read(_table(settings, "quarantine", contract.table), screen.day_of(day, screen.today))
    kept = [row for row in rows if check is None or check in row["_errors"]][:limit]
    shown = [_shown(contract, row, raw) for row in kept]
    if json:
        screen.as_json(shown)
        return
    if not shown:
        screen.line(f"Nothing of {dataset} on {day} is held back" + (f" by {check}." if check else "."))
        return
    for row in shown:
        screen.line(f"{row['file']} row {row['row']}: {', '.join(row['errors'])}", "yellow")
        values = "  ".join(f"{name}={value}" for name, value in row["values"].items() if value is not None)
        screen.line(f"  {values}")
    if len(rows) > len(shown):
        screen.line(f"{len(shown)} of {len(rows)} rows; --limit shows more", "dim")


@app.command("replay")
def replay(
    dataset: Dataset,
    day: OneDay,
    force: Annotated[bool, typer.Option("--force", help="Even when contract and code are as they were.")] = False,
) -> None:
    """Clean a slice again after its contract was mended, and say how many rows moved.

    \b
    For example:
    citylake quarantine replay market_supervision.firms --day 2026-03-03
    """
    from jobs.run import run

    settings, contract = _asked(dataset)
    on = screen.day_of(day, screen.today)
    held = _table(settings, "quarantine", contract.table)
    before, version = len(_read(held, on, ["_day"])), held.version()
    os.environ.setdefault("CITYLAKE_LOG_LEVEL", "ERROR")
    run("clean", on, contract.department, dataset=contract.name, forced=force)
    after = len(_read(held, on, ["_day"]))
    if held.version() == version and before == after:
        screen.line(
            f"{dataset} {on}: {before:,} rows held back as before."
            + ("" if force else " --force cleans again all the same.")
        )
        return
    moved = before - after
    said = f"{moved:,} moved on to silver" if moved >= 0 else f"{-moved:,} more than before"
    screen.line(f"{dataset} {on}: {before:,} rows were held back, {after:,} are now: {said}.")
    screen.line(f"publish it: citylake backfill --from {on} --to {on}")


def _asked(dataset: str) -> "tuple[Settings, Contract]":
    from expectations.catalog import load_usable
    from lakehouse.settings import Settings

    settings = Settings.from_environment()
    return settings, load_usable(settings.catalog).contract(dataset)


def _table(settings: "Settings", layer: str, name: str) -> "Table":
    from lakehouse.table import Table

    return Table(settings.home / layer / name)


def _read(table: "Table", day: date | None, columns: list[str] | None = None) -> list[dict[str, Any]]:
    return table.read(day=day, columns=columns).to_pylist() if table.exists() else []


def _done(row: dict[str, Any]) -> dict[str, Any]:
    """Of a change its operation, as sent."""
    return {"_op": row["_op"]} if "_op" in row else {}


def _shown(contract: "Contract", row: dict[str, Any], raw: bool) -> dict[str, Any]:
    from lakehouse.privacy import masked

    def value(name: str) -> object:
        hidden = contract.columns[name].class_ == "sensitive" and not raw and row[name] is not None
        return masked(row[name]) if hidden else row[name]

    return {
        "delivery_id": row["_delivery_id"],
        "file": row["_source_file"],
        "row": row["_source_row"],
        "errors": row["_errors"],
        "values": {name: value(name) for name in contract.columns if name in row} | _done(row),
    }
