"""Places as people write and read them: `LON,LAT`, and GeoJSON out."""

import json
from collections.abc import Iterable, Mapping
from datetime import date
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jobs.cli import screen

if TYPE_CHECKING:
    import shapely

    from lakehouse import Lake

AsGeoJson = Annotated[bool, typer.Option("--geojson", help="Print GeoJSON (RFC 7946), for a GIS.")]


def position(text: str) -> tuple[float, float]:
    """Longitude and latitude (WGS-84). Raises UsageError for what is none."""
    from lakehouse.errors import UsageError

    try:
        lon, lat = (float(part) for part in text.split(","))
        if abs(lon) <= 180 and abs(lat) <= 90:
            return lon, lat
    except ValueError:
        pass
    raise UsageError(f"'{text}' is no position", hint="write longitude, latitude in degrees (WGS-84): 121.05,32.08")


def one_of(json: bool, geojson: bool) -> None:
    """Raise UsageError where both are asked for."""
    from lakehouse.errors import UsageError

    if json and geojson:
        raise UsageError("--json and --geojson exclude each other", hint="ask for one")


def newest_day(lake: "Lake", name: str) -> date | None:
    """The newest day of a table up to that of the release: from the table's log, no file is read."""
    from lakehouse.table import Table

    days = Table(lake.settings.home.joinpath(*name.split("."))).files_by_day(lake.version(name))
    return max((day for day in days if day and day <= lake.release.day), default=None)


def as_geojson(features: Iterable[tuple["shapely.Geometry", Mapping[str, Any]]]) -> None:
    """Print geometries (WGS-84) and their properties as a FeatureCollection."""
    import shapely

    found = [
        {"type": "Feature", "geometry": json.loads(shapely.to_geojson(geometry)), "properties": dict(properties)}
        for geometry, properties in features
    ]
    screen.as_json({"type": "FeatureCollection", "features": found})
