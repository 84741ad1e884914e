"""Looking at one file before it is delivered: `check`."""

from datetime import date
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jobs.cli import screen
from jobs.cli.screen import AsJson, Day

if TYPE_CHECKING:
    from jobs.check import Checked
    from jobs.profile import Profile
    from lakehouse.settings import Settings

_ROWS_SHOWN = 3
_WORTH_SHOWING = ("failed", "unknown")
_UNJUDGED = {
    "reference": "not judged here, they look into other datasets",
    "change": "not judged here, they look at what is there already",
    "gx": "left to Great Expectations, add --gx",
}


def enter(app: typer.Typer) -> None:
    """Add these commands to the application."""
    app.command("check")(check)


def check(
    file: Annotated[Path, typer.Argument(help="CSV, XLSX, JSON lines or Parquet, as it would be delivered.")],
    contract: Annotated[
        str | None,
        typer.Option(metavar="PATH|DEPARTMENT.DATASET", help="The contract; without one the file is described."),
    ] = None,
    day: Day = None,
    gate: Annotated[
        bool, typer.Option("--gate", help="Exit 1 when rows would be quarantined or the file not served.")
    ] = False,
    json: AsJson = False,
    gx: Annotated[
        bool,
        typer.Option("--gx", help="Print a validation result of Great Expectations; runs the contract's gx: as well."),
    ] = False,
) -> None:
    """Check a file as the night would, or describe it. Needs no lake and keeps nothing.

    Without --day a file in a folder named like 2026-03-01 is checked as that day's delivery, any other as today's.

    \b
    For example:
    citylake check firms.csv
    citylake check firms.csv --contract market_supervision.firms --gate
    citylake check firms.csv --contract market_supervision.firms --gx > firms.validation.json
    """
    from lakehouse.errors import UsageError
    from lakehouse.settings import Settings, clock

    if contract is None and gate:
        raise UsageError("--gate needs a contract", hint="add --contract")
    if json and gx:
        raise UsageError("--json and --gx are two forms of one answer", hint="ask for one of them")
    settings = Settings.from_environment()
    if contract is None:
        _describe(file, settings, json=json, gx=gx)
        return
    from jobs.check import check as judge
    from jobs.cli.contract import read

    agreed, standards = read(contract, settings)
    found = judge(file, agreed, standards, screen.day_of(day, lambda: _folder_day(file)), settings, gx=gx)
    if gx:
        from jobs.validation import of_check

        screen.as_json(of_check(found, standards, clock()))
    elif json:
        screen.as_json(_record(found))
    else:
        _show(found)
    if gate and (found.broken or found.rows.unparsable):
        raise typer.Exit(1)


def _folder_day(file: Path) -> date:
    try:
        return date.fromisoformat(file.resolve().parent.name)
    except ValueError:
        return screen.today()


def _record(found: "Checked") -> dict[str, Any]:
    return {
        "file": found.file,
        "contract": found.contract.name,
        "day": found.day,
        "rows": {name: getattr(found.rows, name) for name in ("received", "accepted", "quarantined", "unparsable")},
        "served": found.served,
        "undeclared": list(found.undeclared),
        "missing": list(found.missing),
        "checks": [
            {**result.row(), "failing": [{"row": f.source_row, "key": f.key} for f in _failing(found, result.rule.id)]}
            for result in found.results
        ],
        "unparsable": [{"row": lost.source_row, "reason": lost.reason} for lost in found.lost],
        "unjudged": [rule.id for rule in found.unjudged],
    }


def _show(found: "Checked") -> None:
    screen.line(f"{found.file.name} as {found.contract.name} of {found.day}", "bold")
    screen.line(screen.equation(found.rows))
    for names, what in ((found.undeclared, "not declared"), (found.missing, "declared but missing")):
        if names:
            screen.line(f"columns {what}: {', '.join(names)}", "yellow")
    screen.line()
    rows = [
        (r.status, r.rule.level, r.rule.id, f"{r.passed:,} of {r.evaluated:,}" if r.evaluated else "nothing to judge",
         _rows_of(found, r.rule.id) or r.message or (r.observed if r.status == "failed" else None))
        for r in sorted(found.results, key=lambda r: (r.status not in _WORTH_SHOWING, r.status))
    ]  # fmt: skip
    screen.table(["", "level", "check", "passed#", "first failing rows"], rows)
    for lost in found.lost[:_ROWS_SHOWN]:
        screen.line(f"row {lost.source_row} can't be read: {lost.reason}", "yellow")
    for kind, why in _UNJUDGED.items():
        if listed := [rule.id for rule in found.unjudged if rule.check.kind == kind]:
            screen.line(f"{why}: {', '.join(listed)}", "dim")
    screen.line()
    screen.line(*_verdict(found))


def _verdict(found: "Checked") -> tuple[str, str]:
    failed = [r.rule.id for r in found.results if r.rule.level == "fail" and r.status == "failed"]
    if not found.served:
        return f"Would not be served: {', '.join(failed)} must hold.", "bold red"
    if lost := found.rows.quarantined + found.rows.unparsable:
        return f"Would be served without {lost:,} rows.", "yellow"
    return "Would be served whole.", "green"


def _failing(found: "Checked", check_id: str) -> "list[Any]":
    return list(islice((f for f in found.failing if f.check_id == check_id), _ROWS_SHOWN))


def _rows_of(found: "Checked", check_id: str) -> str:
    return " · ".join(f"row {f.source_row}" + (f" {f.key}" if f.key else "") for f in _failing(found, check_id))


def _describe(file: Path, settings: "Settings", *, json: bool, gx: bool) -> None:
    from dataclasses import asdict

    from expectations.catalog import standards_of
    from jobs.profile import profile

    found = profile(file, standards_of(settings.catalog), screen.today(), settings)
    if gx:
        from jobs.validation import of_profile
        from lakehouse.settings import clock

        screen.as_json(of_profile(found, clock()))
    elif json:
        screen.as_json({**asdict(found), "source": _source(found)})
    else:
        _show_profile(found)


def _source(found: "Profile") -> dict[str, Any]:
    """What a contract's `source` would have to say."""
    text = ("encoding", "delimiter", "header") if getattr(found.source, "format", None) == "csv" else ()
    names = ("format", *text, *(name for name in ("sheet", "skip") if getattr(found.source, name)))
    return {name: getattr(found.source, name) for name in names}


def _show_profile(found: "Profile") -> None:
    said = [f"{name} {value!r}" if name == "delimiter" else f"{name} {value}" for name, value in _source(found).items()]
    screen.line(f"{found.file.name} · {', '.join(said)}", "bold")
    lost = f", {found.unparsable:,} can't be read" if found.unparsable else ""
    again = f", {found.duplicates:,} repeat an earlier one" if found.duplicates else ""
    screen.line(f"{found.rows:,} rows{lost}{again}, {len(found.columns)} columns")
    screen.line()
    rows = found.rows - found.unparsable
    cells = [
        (
            c.name,
            f"{c.type} {c.format or ''}".strip(),
            c.standard,
            _percent(c.filled, rows),
            c.distinct,
            c.least,
            c.most,
        )
        for c in found.columns
    ]
    screen.table(["column", "type", "looks like", "filled#", "distinct#", "least", "most"], cells)
    screen.line()
    if found.crs and found.crs.positions:
        screen.line(f"positions in {found.crs.named}: {found.crs.why}")
        screen.line()
    if found.suspicions:
        looks = [(s.column, f"{s.count:,}", s.said, ", ".join(map(str, s.rows)) or None) for s in found.suspicions]
        screen.table(["suspicious", "rows#", "", "seen in rows"], looks)
    else:
        screen.line("Nothing looks suspicious.", "green")


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "-"
