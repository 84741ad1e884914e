"""What is within some minutes by road: `citylake reach`."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from jobs.cli import screen, where
from jobs.cli.screen import AsJson, Day
from jobs.cli.where import AsGeoJson

if TYPE_CHECKING:
    from lakehouse.geo.reach import Area
    from lakehouse.geo.roads import Roads
    from lakehouse.settings import Settings


@dataclass(frozen=True)
class _Unit:
    """A place of a dataset that describes places."""

    dataset: str
    name: str | None
    lon: float
    lat: float


def enter(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("reach")(reach)


def reach(
    position: Annotated[str, typer.Argument(metavar="LON,LAT", help="From where (WGS-84).")],
    minutes: Annotated[float, typer.Option(help="For how long.")] = 5,
    off_road_kmh: Annotated[float, typer.Option(help="How fast the way to the road goes.")] = 5,
    day: Day = None,
    limit: Annotated[int, typer.Option(min=1, help="At most this many places.")] = 20,
    json: AsJson = False,
    geojson: AsGeoJson = False,
) -> None:
    """The area that is reached by road from a position, and the places in it: firms and whatever else a release describes.

    The roads are the catalogue's layer `roads.geojson`.

    \b
    For example:
    citylake reach 121.05,32.08 --minutes 5
    """
    import shapely

    from lakehouse.geo.reach import Reach
    from lakehouse.geo.roads import Roads
    from lakehouse.settings import Settings

    where.one_of(json, geojson)
    lon, lat = where.position(position)
    settings = Settings.from_environment()
    roads = Roads.load(settings.catalog / "standards" / "layers" / "roads.geojson")
    area = Reach(roads).area(lon, lat, minutes, off_road_kmh=off_road_kmh)
    units, released = _units(settings, area, day)
    facts = {
        "lon": lon, "lat": lat, "minutes": minutes, "says": _said(area, roads, minutes, off_road_kmh),
        "km2": _km2(area), "junctions": len(area.nodes), "units": len(units), "release": released,
    }  # fmt: skip
    if json:
        screen.as_json(facts | {"units": [vars(unit) for unit in units]})
    elif geojson:
        shapes = [(area.polygon, facts)] if area.polygon else []
        where.as_geojson([*shapes, *((shapely.Point(unit.lon, unit.lat), vars(unit)) for unit in units)])
    else:
        screen.line(str(facts["says"]))
        if units:
            screen.line()
            screen.table(
                ["place", "dataset", "lon lat"],
                [(u.name, u.dataset, f"{u.lon:.5f} {u.lat:.5f}") for u in units[:limit]],
            )
        if area.polygon:
            _end(len(units), limit, released)
        if roads.left_out:
            told = "; ".join(f"{count:,} {reason}" for reason, count in roads.left_out.most_common())
            screen.line(f"of the layer's roads {told}", "dim")


def _said(area: "Area", roads: "Roads", minutes: float, off_road_kmh: float) -> str:
    """What is reached, in a sentence."""
    if not roads.roads:
        return "The layer has no road that can be driven: nothing is reached."
    if area.polygon is None:
        on_foot = minutes / 60 * off_road_kmh * 1000
        return f"No road within {on_foot:,.0f} m, as far as one gets in {minutes:g} minutes at {off_road_kmh:g} km/h: nothing is reached."
    road = roads.roads[area.road]
    return (
        f"{minutes:g} minutes from {area.lon:.5f}, {area.lat:.5f}, {area.off_road_m:,.0f} m off {road.name or road.id} ({road.highway}): "
        f"{len(area.nodes):,} junctions, {_km2(area):,.1f} km²."
    )


def _end(count: int, limit: int, released: str | None) -> None:
    if released is None:
        screen.line("Nothing is released yet: which places are there isn't known.", "dim")
    elif count > limit:
        screen.line(
            f"{limit:,} of {count:,} places in the release of {released}, nearest first; --limit shows more", "dim"
        )
    else:
        screen.line(f"{count:,} place{'' if count == 1 else 's'} in the release of {released}", "dim")


def _km2(area: "Area") -> float:
    import math

    from lakehouse.geo.lines import METRES

    if area.polygon is None:
        return 0.0
    return float(area.polygon.area * METRES**2 * math.cos(math.radians(area.lat)) / 1e6)


def _units(settings: "Settings", area: "Area", day: str | None) -> tuple[list[_Unit], str | None]:
    """The places in the area, nearest first as the crow flies, and the day of the release they are from, None without one."""
    import numpy as np

    from expectations.catalog import load_usable
    from lakehouse import Lake
    from lakehouse.errors import LakeError

    try:
        lake = Lake.open()
    except LakeError:
        if day:
            raise
        return [], None
    if day:
        lake = lake.at(screen.day_of(day, screen.today))
    found: list[_Unit] = []
    if area.polygon is None:
        return found, str(lake.release.day)
    west, south, east, north = area.polygon.bounds
    for contract in load_usable(settings.catalog).contracts:
        slots = contract.describes.get("place", {})
        if "point" not in slots or f"silver.{contract.table}" not in lake.release.tables:
            continue
        table = f"silver.{contract.table}"
        name = f'CAST("{slots["name"]}" AS VARCHAR)' if "name" in slots else "NULL"
        last = lake.release.day
        first = where.newest_day(lake, table) if contract.load == "snapshot" else None
        rows = lake.sql(
            f"""SELECT DISTINCT {name} AS name, _lon, _lat FROM {table}
            WHERE _lon BETWEEN $west AND $east AND _lat BETWEEN $south AND $north
                AND _day <= $last AND ($first::DATE IS NULL OR _day = $first)""",
            west=west, south=south, east=east, north=north, first=first, last=last,
        ).to_arrow()  # fmt: skip
        inside = area.holds(rows["_lon"].to_numpy(), rows["_lat"].to_numpy())
        found += [_Unit(contract.name, r["name"], r["_lon"], r["_lat"]) for r in rows.filter(inside).to_pylist()]
    shrunk = np.cos(np.radians(area.lat))
    return sorted(
        found, key=lambda u: (np.hypot((u.lon - area.lon) * shrunk, u.lat - area.lat), u.dataset, u.name or "")
    ), str(lake.release.day)
