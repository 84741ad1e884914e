"""Rows out to files that other programs read: `export`."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from jobs.cli import screen
from jobs.cli.screen import AsJson, Day


def enter(app: typer.Typer) -> None:
    """Add this command to the application."""
    app.command("export")(export)


def export(
    rows: Annotated[str, typer.Argument(metavar="TABLE|SELECT", help="A table like gold.positions, or a SELECT.")],
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="Ends in .parquet (GeoParquet), .geojson, .gpkg, or .html: a map.")
    ],
    geometry: Annotated[str | None, typer.Option(metavar="COLUMN", help="Well-known binary or text.")] = None,
    color: Annotated[str | None, typer.Option(metavar="COLUMN", help="What colours a map.")] = None,
    masked: Annotated[bool, typer.Option(help="Mask sensitive values.")] = True,
    day: Day = None,
    json: AsJson = False,
) -> None:
    """Write rows of a release (the newest, without --day) that have a geometry to a file for GIS, or as a map to a page.

    \b
    For example:
    citylake export gold.positions positions.gpkg
    citylake export "SELECT * FROM silver.transport__hazmat_gps WHERE _district = '320612'" fixes.geojson
    citylake export gold.positions positions.html --color vehicles
    """
    from lakehouse import Lake

    lake = Lake.open()
    if day:
        lake = lake.at(screen.day_of(day, screen.today))
    asked = lake.sql(rows, masked=masked) if len(rows.split()) > 1 else lake.table(rows, masked=masked)
    if file.suffix == ".html":
        drawn = lake.map(asked, color=color, geometry=geometry)
        drawn.save(file)
        told: dict[str, object] = {"says": drawn.says}
    else:
        written = asked.export(file, geometry=geometry)
        nowhere = f", {written.nowhere:,} of them without a geometry" if written.nowhere else ""
        told = {**asdict(written), "kinds": sorted(written.kinds), "says": f"{written.rows:,} rows{nowhere}"}
    if json:
        screen.as_json({**told, "file": file})
    else:
        screen.line(f"{file}  {told['says']}")
