"""How far a vehicle was from the route declared for it, and how long outside the route's corridor."""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lakehouse.errors import UsageError
from lakehouse.geo.kernels import Floats, FloatsIn, IntsIn
from lakehouse.geo.lines import Pieces

GAP_S = 600.0
"""Seconds between two fixes after which nothing is known of the time between: as tracks are cut into segments."""

_AROUND_THE_WORLD_M = 2.1e7

PARTS = pa.schema(
    [
        ("began_at", pa.timestamp("us", tz="UTC")),
        ("ended_at", pa.timestamp("us", tz="UTC")),
        ("seconds", pa.float64()),
        ("fixes", pa.int64()),
        ("furthest_m", pa.float64()),
        ("furthest_at", pa.timestamp("us", tz="UTC")),
    ]
)
"""Columns of `outside`: one row per part."""


def distances(route: NDArray[np.float64], lon: FloatsIn, lat: FloatsIn) -> Floats:
    """Metres from each WGS-84 position to the route, a line (n, 2); NaN for NaN.

    Raises UsageError for a route that has no length, holds NaN or leaves the globe.
    """
    on_globe = (np.abs(route[:, 0]) <= 180) & (np.abs(route[:, 1]) <= 90)
    pieces = Pieces([route]) if on_globe.all() else None
    if pieces is None or not len(pieces.ends):
        what = "has no length" if pieces else "has a position that is not on the globe"
        raise UsageError(f"the declared route {what}", hint="give a line of longitudes and latitudes (WGS-84)")
    found = pieces.nearest(lon, lat, radius_m=_AROUND_THE_WORLD_M).distance_m
    return np.where(np.isfinite(found), found, np.nan)


def outside(at_us: IntsIn, distance_m: FloatsIn, corridor_m: float, *, gap_s: float = GAP_S) -> pa.Table:
    """The parts of one vehicle's track outside the corridor, in time order; columns as `PARTS`. Time out is their `seconds`.

    `at_us`: microseconds since 1970, in any order; fixes without a distance (NaN) tell nothing. The border is taken to be
    crossed half-way in time between a fix inside and one outside. Across a gap nothing is known: a part ends there.
    """
    known = np.flatnonzero(np.isfinite(distance_m))
    order = known[np.argsort(at_us[known], kind="stable")]
    at, away = at_us[order], distance_m[order]
    out, step = away > corridor_m, np.diff(at)
    joined = step <= gap_s * 1e6
    begins = np.flatnonzero(out & ~np.append(False, joined & out[:-1]))
    ends = np.flatnonzero(out & ~np.append(joined & out[1:], False))
    half = np.where(joined, step // 2, 0)
    began = at[begins] - np.append(0, half)[begins]
    ended = at[ends] + np.append(half, 0)[ends]
    furthest = np.array([b + np.argmax(away[b : e + 1]) for b, e in zip(begins, ends, strict=True)], np.int64)
    columns = [began, ended, (ended - began) / 1e6, ends - begins + 1, away[furthest], at[furthest]]
    return pa.table([pa.array(c).cast(f.type) for c, f in zip(columns, PARTS, strict=True)], schema=PARTS)
