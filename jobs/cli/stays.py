"""Where vehicles stood: `citylake stays`."""

import csv
import sys
from datetime import date, datetime, time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jobs.cli import screen
from jobs.cli.screen import AsJson

if TYPE_CHECKING:
    from lakehouse.settings import Settings

_COLUMNS = (
    "began_at",
    "ended_at",
    "minutes",
    "vehicle",
    "lon",
    "lat",
    "district",
    "fixes",
    "is_open",
    "dataset",
    "stay_id",
)


def enter(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("stays")(stays)


def stays(
    vehicle: Annotated[
        str | None, typer.Option(metavar="PLATE", help="One vehicle, by its plate or its pseudonym.")
    ] = None,
    dataset: Annotated[str | None, typer.Option(metavar="DEPARTMENT.DATASET", help="Only this dataset.")] = None,
    day: Annotated[
        str | None, typer.Option("--day", metavar="YYYY-MM-DD", help="Only stays that reach into this day.")
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(
            "--from", metavar="YYYY-MM-DD[THH:MM]", help="Only stays that end after this instant (Asia/Shanghai)."
        ),
    ] = None,
    until: Annotated[
        str | None,
        typer.Option(
            "--to", metavar="YYYY-MM-DD[THH:MM]", help="Only stays that begin before this instant (Asia/Shanghai)."
        ),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most this many stays.")] = 50,
    json: AsJson = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV instead of a table.")] = False,
) -> None:
    """Where vehicles stood and for how long, as the newest release has it; the newest stays last.

    Vehicles have pseudonyms; who knows a plate finds its stays by it.

    \b
    For example:
    citylake stays --vehicle 苏F12345 --from 2026-03-01 --to 2026-03-03T12:00
    """
    from lakehouse import Lake
    from lakehouse.errors import UsageError

    if json and as_csv:
        raise UsageError("--json and --csv exclude each other", hint="ask for one")
    low, high = _between(day, since, until)
    lake = Lake.open()
    if "gold.stays" not in lake.release.tables:
        raise UsageError(
            "the newest release has no stays", hint="`citylake run stays --day DAY` finds them, then release the day"
        )
    if dataset:
        _known(dataset, lake.settings)
    query = """
        SELECT began_at, ended_at, round(epoch(ended_at - began_at) / 60, 1) AS minutes, vehicle, lon, lat, district, fixes,
               is_open, dataset, stay_id, count(*) OVER () AS found
        FROM gold.stays
        WHERE ($dataset::VARCHAR IS NULL OR dataset = $dataset) AND ($low::TIMESTAMPTZ IS NULL OR ended_at > $low)
            AND ($high::TIMESTAMPTZ IS NULL OR began_at < $high) AND ($plate::VARCHAR IS NULL OR vehicle IN ($plate, $name))
        ORDER BY began_at DESC, vehicle, stay_id LIMIT $count"""
    asked: dict[str, Any] = {
        "plate": vehicle,
        "name": _pseudonym(vehicle, lake.settings) if vehicle else None,
        "dataset": dataset,
    }
    rows = lake.sql(query, low=low, high=high, count=limit, **asked).to_arrow().to_pylist()[::-1]
    shown = [{name: row[name] for name in _COLUMNS} for row in rows]
    if json:
        screen.as_json(shown)
    elif as_csv:
        _print_csv(shown)
    elif not shown:
        screen.line(f"No stays of {vehicle or 'any vehicle'} in the release of {lake.release.day}.")
    else:
        cells = [
            (r["began_at"], r["ended_at"], r["minutes"], r["vehicle"], f"{r['lon']:.5f} {r['lat']:.5f}", r["district"],
             r["fixes"], "open" if r["is_open"] else "", r["dataset"])
            for r in shown
        ]  # fmt: skip
        screen.table(["from", "to", "minutes#", "vehicle", "lon lat", "district", "fixes#", "", "dataset"], cells)
        if rows[0]["found"] > len(rows):
            screen.line(f"the newest {len(rows):,} of {rows[0]['found']:,} stays; --limit shows more", "dim")


def _between(day: str | None, since: str | None, until: str | None) -> tuple[datetime | None, datetime | None]:
    """The bounds somebody asked for. Raises UsageError for what isn't an instant, and for a day with other bounds."""
    from lakehouse.errors import UsageError
    from lakehouse.settings import ZONE

    if day:
        if since or until:
            raise UsageError("--day is a --from and a --to of its own", hint="leave one of them out")
        on = screen.day_of(day, screen.today)
        return datetime.combine(on, time.min, ZONE), datetime.combine(
            date.fromordinal(on.toordinal() + 1), time.min, ZONE
        )
    try:
        low, high = (datetime.fromisoformat(text) if text else None for text in (since, until))
    except ValueError as error:
        raise UsageError(f"not an instant ({error})", hint="write it like 2026-03-01 or 2026-03-01T08:30") from error
    low, high = (at.replace(tzinfo=at.tzinfo or ZONE) if at else None for at in (low, high))
    if low and high and low >= high:
        raise UsageError("--to is not after --from", hint="exchange them")
    return low, high


def _known(dataset: str, settings: "Settings") -> None:
    from expectations.catalog import load_usable
    from lakehouse.errors import UsageError

    if "fix" not in load_usable(settings.catalog).contract(dataset).describes:
        raise UsageError(f"{dataset} describes no fixes of vehicles", hint="its contract says what it describes")


def _pseudonym(plate: str, settings: "Settings") -> str:
    from lakehouse.privacy import pseudonym, pseudonym_key

    return pseudonym(pseudonym_key(settings), plate.strip())


def _print_csv(rows: list[dict[str, Any]]) -> None:
    written = csv.DictWriter(sys.stdout, _COLUMNS)
    written.writeheader()
    written.writerows(
        {name: value.isoformat() if isinstance(value, datetime) else value for name, value in row.items()}
        for row in rows
    )
