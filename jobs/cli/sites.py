"""Where vehicles stay again and again: `citylake sites`."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from jobs.cli import screen, where
from jobs.cli.screen import AsJson, Day
from jobs.cli.where import AsGeoJson

if TYPE_CHECKING:
    import pyarrow as pa

_SHAPE = ("geometry", "xmin", "ymin", "xmax", "ymax")


def enter(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("sites")(sites)


def sites(
    near: Annotated[
        str | None, typer.Option(metavar="LON,LAT", help="Only sites near this position, nearest first.")
    ] = None,
    radius_m: Annotated[float, typer.Option(min=0, help="How near, in metres to the site's outline.")] = 1000,
    day: Day = None,
    limit: Annotated[int, typer.Option(min=1, help="At most this many sites.")] = 20,
    json: AsJson = False,
    geojson: AsGeoJson = False,
) -> None:
    """Sites, where vehicles stay again and again, as the newest release (or that of --day) has them; the busiest first.

    Dwell is the median of the stays, night the share of them that began between 22 and 6 o'clock.

    \b
    For example:
    citylake sites --near 121.05,32.08 --radius-m 500
    """
    import shapely

    from lakehouse import Lake
    from lakehouse.errors import UsageError

    where.one_of(json, geojson)
    position = where.position(near) if near else None
    lake = Lake.open()
    if day:
        lake = lake.at(screen.day_of(day, screen.today))
    if "gold.sites" not in lake.release.tables:
        raise UsageError(
            f"the release of {lake.release.day} has no sites",
            hint="`citylake run sites --day DAY` finds them, then release the day",
        )
    newest = where.newest_day(lake, "gold.sites")
    found = lake.sql("SELECT * FROM gold.sites WHERE _day = $day ORDER BY stays DESC, site_id", day=newest).to_arrow()
    if position:
        found = _near(found, position, radius_m)
    rows = found.slice(0, limit).to_pylist()
    shown = [{name: value for name, value in row.items() if name not in _SHAPE} for row in rows]
    if json:
        screen.as_json(shown)
    elif geojson:
        where.as_geojson((shapely.from_wkb(r["geometry"]), row) for row, r in zip(shown, rows, strict=True))
    elif not rows:
        screen.line(f"No sites {'there ' if near else ''}in the release of {lake.release.day}.")
    else:
        screen.table(
            ["site", "lon lat", "district", "stays#", "vehicles#", "dwell min#", "night %#", "first", "last"]
            + (["metres#"] if near else []),
            [_cells(row) for row in shown],
        )
        if found.num_rows > len(rows):
            screen.line(f"{len(rows):,} of {found.num_rows:,} sites; --limit shows more", "dim")


def _cells(row: dict[str, Any]) -> tuple[object, ...]:
    shown = (
        row["site_id"], f"{row['lon']:.5f} {row['lat']:.5f}", row["district"], row["stays"], row["vehicles"],
        row["dwell_median_s"] / 60, round(100 * row["night_share"]), row["first_at"], row["last_at"],
    )  # fmt: skip
    return (*shown, round(row["distance_m"])) if "distance_m" in row else shown


def _near(found: "pa.Table", position: tuple[float, float], radius_m: float) -> "pa.Table":
    """The sites within the radius of a position and `distance_m` to each, nearest first."""
    import numpy as np
    import pyarrow.compute as pc
    import shapely

    from lakehouse.geo.lines import METRES

    lon, lat = position
    scale = np.array([METRES * np.cos(np.radians(lat)), METRES])
    shapes = shapely.from_wkb(found["geometry"].to_numpy())
    flat = shapely.transform(shapes, lambda degrees: (degrees - [lon, lat]) * scale)
    found = found.append_column("distance_m", [shapely.distance(flat, shapely.Point(0, 0)).astype(float)])
    return found.filter(pc.field("distance_m") <= radius_m).sort_by("distance_m")
