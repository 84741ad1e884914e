"""Geometry as text: well-known text, the axes of points, and the coordinate system a file says they are in."""

import re

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import shapely

from lakehouse.contract import Contract
from lakehouse.errors import DeliveryUnreadable

_NAME = re.compile(r'"([^"]+)"')
_EXACT = 17
"""Digits after which a double's text is exact; fewer are written where fewer are."""

_DEGREES = frozenset({"EPSG:4326", "EPSG:4979", "OGC:CRS84", "OGC:CRS84H"})
_CODES = {"wgs84": _DEGREES, "cgcs2000": frozenset({"EPSG:4490", "EPSG:4480"})}
"""What files may call a contract's coordinate system. GCJ-02 and BD-09 have no code: files in them say WGS-84 or nothing."""

UNREADABLE = "a geometry that can't be read"

Geometries = npt.NDArray[np.object_]


def columns(contract: Contract, column: str = "geometry") -> list[str]:
    """Names of a geometry's columns: its own, and of `.x .y .crs` behind it those the contract declares."""
    return [
        column,
        *(name for name in (f"{column}.{part}" for part in ("x", "y", "crs")) if name in contract.sent_names),
    ]


def parsed(stored: pa.Array, faults: dict[int, str]) -> Geometries:
    """Geometries of a well-known binary column, null where there is none; one that can't be read is a fault of its row."""
    values = np.array([*stored.to_pylist(), None], dtype=object)[:-1]  # the None keeps numpy from guessing a type
    geometries: Geometries = shapely.from_wkb(values, on_invalid="ignore")
    lost = shapely.is_missing(geometries) & pc.is_valid(stored).to_numpy(zero_copy_only=False)
    faults |= dict.fromkeys(np.flatnonzero(lost).tolist(), UNREADABLE)
    return geometries


def texts(geometries: Geometries, crs: str | None, names: list[str]) -> list[pa.Array]:
    """One text column for each of those names. Axes are null but for points, all is null where there is no geometry."""
    wkt = pa.array(shapely.to_wkt(geometries, rounding_precision=_EXACT), pa.string())
    places = geometries.copy()
    places[shapely.is_empty(geometries)] = None  # shapely raises for empty points
    made = {
        "x": lambda: _axis(shapely.get_x(places)),
        "y": lambda: _axis(shapely.get_y(places)),
        "crs": lambda: pa.array([crs and short(crs)] * len(geometries), pa.string()),
    }
    return [wkt, *(made[name.rpartition(".")[2]]() for name in names[1:])]


def _axis(values: npt.NDArray[np.float64]) -> pa.Array:
    return pa.array(values, from_pandas=True).cast(pa.string())


def short(crs: str) -> str:
    """A coordinate system's code as it is, or of its definition the name."""
    name = _NAME.search(crs)
    return name[1] if name else crs


def refuse_other_crs(crs: str | None, contract: Contract, where: str, column: str = "geometry") -> None:
    """Raises DeliveryUnreadable when the contract's position is taken from geometry that the file says is elsewhere."""
    point = contract.point
    if not point or contract.sent_name(point.x) != f"{column}.x" or crs is None:
        return
    if crs.upper() not in _CODES.get(point.crs, _DEGREES):
        raise DeliveryUnreadable(
            f"its positions are in {short(crs)}, the contract's are in {point.crs}",
            where=where,
            hint="ask the department for that system, or change 'point.crs' in the contract",
        )
