"""Questions about where and when: what `Lake.within`, `Lake.track` and `Lake.nearest` answer, and what was read for it.

A question becomes bounds and stretches of the columns by which the table lies on disk (`lakehouse.geo.curve`); only row
groups that can hold an answer are read, and every row of them is tested exactly.
"""

import math
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from lakehouse import pruning, queries
from lakehouse.document import read_document
from lakehouse.errors import ContractError, UsageError
from lakehouse.geo import curve
from lakehouse.geo.layer import feature, read_layer, said
from lakehouse.geo.nearest import EARTH_RADIUS_M, NONE, Near
from lakehouse.geo.regions import NOWHERE, Regions
from lakehouse.lake import Found, Lake, Moment
from lakehouse.pruning import Read, Sought
from lakehouse.settings import ZONE
from lakehouse.table import Table


def within(
    lake: Lake, name: str, polygon: Any, start: Moment | None, end: Moment | None, at: str | None, masked: bool
) -> Found:
    """The rows of one table in a polygon, its border included, from `start` until before `end`."""
    version, table = lake.version(name), _table(lake, name)
    columns = table.open(version).to_pyarrow_dataset().schema.names
    lon, lat = _position(name, columns)
    at = at or _fix(lake, name).get("at")
    first, last = instant(start), instant(end)
    if (first or last) and at not in columns:
        known = "it describes no fix with an instant" if at is None else f"it has no column '{at}'"
        raise UsageError(f"{name} can't be asked for a time: {known}", hint="name its column of instants: `at=...`")
    regions = _regions(lake, polygon)
    stretches = curve.of_cells(regions.cells()[0])
    west, south, east, north = regions.bounds
    bounds: dict[str, tuple[Any, Any]] = {lon: (west, east), lat: (south, north)}
    if first or last:
        bounds[str(at)] = (first, last)
    ranges = {"_space": stretches, "_space_time": curve.of_hours(stretches, first, last)}

    def test(rows: pa.Table) -> NDArray[np.bool_]:
        held = regions.locate(_floats(rows, lon), _floats(rows, lat)) != NOWHERE
        return held & _in_time(rows, at, first, last) & _there(rows)

    threads = lake.settings.threads
    rows, read = pruning.read(table, version, Sought(bounds, ranges), test, (lon, lat, str(at), "_op"), threads=threads)
    return Found(queries.masked(lake.settings, name, rows) if masked else rows, read)


def track(lake: Lake, vehicle: str, start: Moment | None, end: Moment | None, masked: bool) -> Found:
    """The fixes of one vehicle from `start` until before `end`, of all datasets that describe fixes of vehicles."""
    first, last = instant(start), instant(end)
    found, read = [_FIXES.empty_table()], Read()
    for name in sorted(lake.release.tables):
        fix = _fix(lake, name) if name.startswith("silver.") else {}
        if not {"vehicle", "at", "point"} <= fix.keys():
            continue
        who, at = fix["vehicle"], fix["at"]
        bounds = {who: (vehicle, vehicle), **({at: (first, last)} if first or last else {})}
        ranges = {"_track": curve.of_vehicle(vehicle, first, last)}

        def test(rows: pa.Table, who: str = who, at: str = at) -> NDArray[np.bool_]:
            ours = np.asarray(pc.fill_null(pc.equal(rows[who], vehicle), False))
            return ours & _in_time(rows, at, first, last)

        columns = (who, at, "_lon", "_lat", "_district")
        threads = lake.settings.threads
        table = Table(lake.settings.home / "silver" / name.partition(".")[2])
        rows, more = pruning.read(
            table, lake.version(name), Sought(bounds, ranges), test, (who, at), columns=columns, threads=threads
        )
        rows = queries.masked(lake.settings, name, rows) if masked else rows
        whose = pa.repeat(pa.scalar(_dataset(name)), len(rows))
        found.append(pa.Table.from_arrays([whose, *rows.columns], names=_FIXES.names).cast(_FIXES))
        read += more
    return Found(pa.concat_tables(found).sort_by([("at", "ascending"), ("dataset", "ascending")]), read)


def nearest(lake: Lake, name: str, points: Any, k: int, radius_m: float, masked: bool) -> Found:
    """Each point with the rows of one table that are nearest to it: every point is there at least once."""
    if k < 1 or not 0 <= radius_m < math.inf:
        raise UsageError(
            f"k: {k}, radius_m: {radius_m}", hint="ask for at least one within a finite distance in metres"
        )
    asked = _points(points)
    version, table = lake.version(name), _table(lake, name)
    lon, lat = _position(name, table.open(version).to_pyarrow_dataset().schema.names)
    x, y = _floats(asked, "lon"), _floats(asked, "lat")

    def test(rows: pa.Table) -> NDArray[np.bool_]:
        return np.isfinite(_floats(rows, lon)) & _there(rows)

    bounds = dict(zip((lon, lat), _around(x, y, radius_m), strict=True))
    rows, read = pruning.read(table, version, Sought(bounds), test, (lon, lat, "_op"), threads=lake.settings.threads)
    index, distance = Near(_floats(rows, lon), _floats(rows, lat)).nearest(x, y, k, radius_m)
    kept = index != NONE
    kept[:, 0] = True
    of = np.nonzero(kept)[0]
    found = pa.array(index[kept], mask=index[kept] == NONE)
    rows = queries.masked(lake.settings, name, rows) if masked else rows
    theirs = rows.take(found).rename_columns([f"near_{column}" for column in rows.column_names])
    told = asked.take(of).append_column("distance_m", pa.array(distance[kept], mask=index[kept] == NONE))
    return Found(
        pa.Table.from_arrays([*told.columns, *theirs.columns], [*told.column_names, *theirs.column_names]), read
    )


def _points(points: Any) -> pa.Table:
    """A table, a data frame or columns, with `lon` and `lat`. Raises UsageError for anything else."""
    try:
        asked = points if isinstance(points, pa.Table) else pa.table(points)
        return asked.set_column(asked.column_names.index("lon"), "lon", asked["lon"].cast(pa.float64())).set_column(
            asked.column_names.index("lat"), "lat", asked["lat"].cast(pa.float64())
        )
    except (pa.ArrowException, LookupError, TypeError, ValueError) as error:
        hint = "give a table or data frame with columns `lon` and `lat` in WGS-84 degrees"
        raise UsageError(f"not points to look from: {error}", hint=hint) from error


def _around(
    lon: NDArray[np.float64], lat: NDArray[np.float64], radius_m: float
) -> tuple[tuple[Any, Any], tuple[Any, Any]]:
    """Bounds of longitude and latitude of everything within the radius of any point that is on the globe."""
    known = (np.abs(lon) <= 180) & (np.abs(lat) <= 90)
    if not known.any():
        return (0.0, 0.0), (0.0, 0.0)
    angle = radius_m / EARTH_RADIUS_M
    up = math.degrees(angle) + 1e-9
    south, north = float(lat[known].min()) - up, float(lat[known].max()) + up
    across = 360.0
    if max(-south, north) < 90 and angle < math.pi / 2:
        widest = math.cos(math.radians(max(-south, north)))
        across = math.degrees(math.asin(min(1.0, math.sin(angle) / widest))) + 1e-9
    west, east = float(lon[known].min()) - across, float(lon[known].max()) + across
    return ((west, east) if west >= -180 and east <= 180 else (None, None)), (south, north)


_FIXES = pa.schema(
    {
        "dataset": pa.string(),
        "vehicle": pa.string(),
        "at": pa.timestamp("us", "UTC"),
        "lon": pa.float64(),
        "lat": pa.float64(),
        "district": pa.string(),
    }
)


def instant(moment: Moment | None) -> datetime | None:
    """What was meant. Raises UsageError for a text that is no instant."""
    if isinstance(moment, str):
        try:
            moment = datetime.fromisoformat(moment)
        except ValueError as error:
            raise UsageError(f"'{moment}' is no instant", hint="write it like 2026-03-01T08:00") from error
    if isinstance(moment, date) and not isinstance(moment, datetime):
        moment = datetime.combine(moment, time())
    return moment if moment is None or moment.tzinfo else moment.replace(tzinfo=ZONE)


def _table(lake: Lake, name: str) -> Table:
    layer, _, table = name.partition(".")
    if layer == "ops":
        raise UsageError(f"{name} has no positions", hint="`lake.tables()` lists the tables of the release")
    return Table(lake.settings.home / layer / table)


def _position(name: str, columns: Sequence[str]) -> tuple[str, str]:
    """The columns of WGS-84 positions: silver's own, elsewhere `lon` and `lat`."""
    for lon, lat in (("_lon", "_lat"), ("lon", "lat")):
        if lon in columns and lat in columns and (lon == "_lon" or not name.startswith(queries.RAW_LAYERS)):
            return lon, lat
    raise UsageError(f"{name} has no positions", hint="a contract with a `point` gives its silver `_lon` and `_lat`")


def _dataset(name: str) -> str:
    return name.partition(".")[2].replace("__", ".", 1)


def _fix(lake: Lake, name: str) -> Mapping[str, str]:
    """The columns that play the parts of a fix in a table of silver; nothing where its contract says nothing of it."""
    department, _, dataset = name.partition(".")[2].partition("__")
    document = read_document(lake.settings.catalog / "contracts" / department / f"{dataset}.yml", [])
    try:
        return dict(document.content["describes"]["fix"]) if document else {}
    except (LookupError, TypeError, ValueError):
        return {}


def _regions(lake: Lake, polygon: Any) -> Regions:
    """The polygon alone: GeoJSON, whatever gives itself as such (`__geo_interface__`), or a code of the city's districts."""
    if isinstance(polygon, str):
        districts = read_layer(lake.settings.catalog / "standards/layers/districts.geojson")
        named = tuple(d for d in districts if d.code == polygon and d.valid(lake.release.day))
        if not named:
            hint = f"there are {', '.join(sorted({d.code for d in districts}))}"
            raise UsageError(f"no district '{polygon}' on {lake.release.day}", hint=hint)
        return Regions(named)
    try:
        geometry = getattr(polygon, "__geo_interface__", polygon)
        return Regions((feature({"properties": {"code": "asked"}, "geometry": geometry}),))
    except (LookupError, TypeError, ValueError, ContractError) as error:
        hint = "give a Polygon or MultiPolygon in WGS-84, longitude first, or a district's code"
        raise UsageError(f"not a polygon to look in: {said(error)}", hint=hint) from error


def _floats(rows: pa.Table, name: str) -> NDArray[np.float64]:
    column = rows[name].cast(pa.float64()).combine_chunks()
    return (pc.fill_null(column, np.nan) if column.null_count else column).to_numpy(zero_copy_only=False)


def _in_time(rows: pa.Table, at: str | None, first: datetime | None, last: datetime | None) -> NDArray[np.bool_]:
    found = np.ones(len(rows), np.bool_)
    for moment, holds in ((first, pc.greater_equal), (last, pc.less)):
        if moment is not None:
            limit = pa.scalar(moment, pa.timestamp("us", "UTC"))
            found &= np.asarray(pc.fill_null(holds(rows[at].cast(limit.type), limit), False))
    return found


def _there(rows: pa.Table) -> NDArray[np.bool_]:
    """Rows that aren't what is remembered of deleted ones."""
    if "_op" not in rows.column_names:
        return np.ones(len(rows), np.bool_)
    return np.asarray(pc.fill_null(pc.not_equal(rows["_op"], "D"), True))
