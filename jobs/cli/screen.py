"""How commands speak: tables for people, JSON for programs. Piped, a table keeps its full width and has no colours."""

import json
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from lakehouse.report.records import Rows

_PIPED_WIDTH = 400
"""Columns of a table that goes into a file or another program: nothing is cut off or wrapped."""

_COLOURS = {
    "passed": "green", "failed": "bold red", "unknown": "yellow", "refused": "red", "missing": "red",
    "unchanged": "dim", "withdrawn": "yellow", "quarantined": "yellow", "breaking": "bold red", "error": "red", "fail": "red",
}  # fmt: skip

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs instead of a table.")]
Day = Annotated[str | None, typer.Option("--day", metavar="YYYY-MM-DD", help="The day of delivery.")]


def table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table without frames. Headings that end with # stand over numbers, set right. None is shown as `-`."""
    from rich.table import Table
    from rich.text import Text

    shown = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    texts = [[cell(value) for value in row] for row in rows]
    for place, heading in enumerate(headings):
        if heading.endswith("#"):  # on a narrow screen text goes on in the next line, numbers never do
            name = heading.rstrip("#")
            widest = max((len(row[place]) for row in texts), default=0)
            shown.add_column(name, justify="right", min_width=max(widest, len(name)))
        else:
            shown.add_column(heading, overflow="fold")
    for row in texts:
        shown.add_row(*[Text(text, style=_COLOURS.get(text, "")) for text in row])
    out = console()
    with out.capture() as captured:
        out.print(shown)
    print("\n".join(text.rstrip() for text in captured.get().splitlines()))


def line(text: str = "", style: str = "") -> None:
    """Print one line; a line longer than the screen wraps between words, piped it doesn't."""
    console().print(text, style=style or None, markup=False, highlight=False)


def as_json(value: object) -> None:
    """Print a value as JSON: dates and instants in ISO 8601, paths as text."""
    print(json.dumps(value, ensure_ascii=False, indent=1, default=_plain))


def progress(text: str) -> None:
    """Say on stderr what is going on, so that the output proper stays clean."""
    sys.stderr.write(f"{text}\n")  # in one piece: threads may speak at once
    sys.stderr.flush()


def cell(value: object) -> str:
    """A value as a table shows it."""
    match value:
        case None | "":
            return "-"
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}"
        case float():
            return f"{value:,.1f}"
        case datetime():
            return local(value)
        case list() | tuple():
            return ", ".join(map(str, value)) or "-"
        case _:
            return str(value)


def points(score: float | None) -> str:
    """A score as the pages show it."""
    from lakehouse.report.records import published

    return "-" if score is None else f"{published(score):.1f}"


def local(instant: datetime) -> str:
    """An instant on the city's wall clock."""
    from lakehouse.settings import ZONE

    return f"{instant.astimezone(ZONE):%Y-%m-%d %H:%M}"


def equation(rows: "Rows") -> str:
    """Where the rows went, in one line."""
    parts = f"{rows.accepted:,} accepted + {rows.quarantined:,} quarantined + {rows.unparsable:,} unparsable"
    return f"{rows.received:,} rows in = {parts}" + (
        f" + {rows.waiting:,} waiting to be cleaned" if rows.waiting else ""
    )


def size(count: int) -> str:
    """Bytes as people read them."""
    number, units = float(count), ["B", "kB", "MB", "GB", "TB"]
    while number >= 1000 and len(units) > 1:
        number, units = number / 1000, units[1:]
    return f"{number:.0f} {units[0]}" if units[0] == "B" else f"{number:.1f} {units[0]}"


def day_of(text: str | None, otherwise: Callable[[], date]) -> date:
    """The day a person wrote, or the other one. Raises UsageError for what isn't a day."""
    from lakehouse.errors import UsageError

    if text is None:
        return otherwise()
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise UsageError(f"'{text}' is not a day", hint="write it like 2026-03-01") from error


def today() -> date:
    """The business day it is now in the city."""
    from lakehouse.settings import ZONE, clock

    return clock().astimezone(ZONE).date()


@cache
def _wide(piped: bool) -> "Console":
    from rich.console import Console

    return Console(width=_PIPED_WIDTH if piped and "COLUMNS" not in os.environ else None, soft_wrap=piped)


def console() -> "Console":
    """The console on the present stdout."""
    return _wide(not sys.stdout.isatty())


def _plain(value: Any) -> str:
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")
