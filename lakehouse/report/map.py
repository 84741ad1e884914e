"""Rows on a map: one HTML document with everything it needs, so that it draws without tile server, network or library.

Behind the rows lie the catalogue's own layers, boundaries and roads. Everything is drawn in metres around the middle of the
view (an equirectangular projection true to scale at its latitude: over a city of 100 km a distance is wrong by less than 1 %).
"""

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import shapely

from lakehouse.errors import UsageError
from lakehouse.geo.write import Shapes, columns_of, shapes_of
from lakehouse.report.keys import Key, is_number, key_of
from lakehouse.report.render import map_html

_MOST_SHAPES, _MOST_VERTICES = 5_000, 200_000
"""What a browser draws and moves without stuttering; beyond it cells are drawn."""

_CELLS_ACROSS = 70
_TOLD, _LONGEST = 8, 80  # columns in a tooltip, characters of a value
_METRES = 111_195.0  # a degree on a sphere of 6,371 km
_ROADS = {"motorway": 3, "trunk": 3, "primary": 2, "secondary": 2, "tertiary": 1}  # others, 0, are drawn finest
_DRAWN = ("dot", "way", "area")  # by the geometry's dimension
_FRAME = "width:100%;height:38rem;border:1px solid #d9d4c8;border-radius:4px"

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Map:
    """A map as an HTML document, and what it shows in words. A notebook shows it in a frame of its own."""

    html: str = field(repr=False)
    says: str

    def save(self, path: Path | str) -> None:
        """Write it as a page. Raises UsageError where the folder can't be written."""
        try:
            Path(path).write_text(self.html, "utf-8")
        except OSError as error:
            raise UsageError(f"'{path}' can't be written: {error.strerror}", hint="name another folder") from error

    def _repr_html_(self) -> str:
        return f'<iframe srcdoc="{escape(self.html)}" sandbox="allow-scripts" title="map" style="{_FRAME}"></iframe>'


class Drawn(NamedTuple):
    """One thing on the map: `dot`, `way`, `area` or `cell`, its path in metres, its colour's class, and its tooltip, a line a
    column."""

    kind: str
    path: str
    colour: str
    told: str


@dataclass(frozen=True)
class _Plane:
    """Metres east and south of a position."""

    lon: float
    lat: float

    def metres(self, positions: Floats) -> Floats:
        """Of rows `lon lat`."""
        scale = _METRES * np.array([math.cos(math.radians(self.lat)), -1])
        return (positions - (self.lon, self.lat)) * scale

    def path(self, geometries: Any) -> str:
        """Geometries as one SVG path, to the metre; a point is a line of no length."""
        parts = shapely.get_parts(shapely.get_parts(geometries))
        areas = shapely.get_type_id(parts) == shapely.GeometryType.POLYGON
        return self._lines(parts[~areas], "h0") + self._lines(shapely.get_rings(parts[areas]), "z")

    def _lines(self, lines: Any, end: str) -> str:
        positions, line = shapely.get_coordinates(lines, return_index=True)
        points = np.rint(self.metres(positions)).astype(np.int64)
        begins = np.diff(line, prepend=-1) != 0
        moves = np.where(begins[:, None], points, np.diff(points, axis=0, prepend=points[:1]))
        kept = begins | moves.any(axis=1)
        each = zip(begins[kept].tolist(), moves[kept].tolist(), strict=True)
        path = "".join(f"{end}M{x} {y}" if begin else f"l{x} {y}" for begin, (x, y) in each)
        return path.removeprefix(end) + end if path else ""

    def drawn(self, geometry: Any, colour: str, told: str) -> Drawn:
        return Drawn(_DRAWN[shapely.get_dimensions(geometry)], self.path(geometry), colour, told)


def draw(
    rows: pa.Table, layers: Path, color: str | None = None, geometry: str | None = None, tooltip: Sequence[str] = ()
) -> Map:
    """The rows over the layers of a catalogue, coloured by a column: categories by what they are, numbers and instants in
    classes of equally many rows.

    Rows beyond the city are left out when they are the smaller part, more rows than a browser likes are drawn as cells;
    both is said. Raises UsageError for unknown columns, no geometry, and for rows that all lie nowhere.
    """
    for name in (*([color] if color else []), *tooltip):
        if name not in rows.schema.names:
            raise UsageError(f"no column '{name}'", hint=f"the columns are {', '.join(rows.schema.names)}")
    columns = columns_of(rows.schema, geometry)
    shapes = _shapes(rows, columns)
    background = _Background.load(layers)
    kept, view = _view(shapes.bounds, background.extent)
    if not kept.any():
        raise UsageError("none of the rows has a position", hint="look at their `lon` and `lat`, or choose other rows")
    plane = _Plane((view[0] + view[2]) / 2, (view[1] + view[3]) / 2)
    wkb, rows, bounds = shapes.wkb.filter(pa.array(kept)), rows.filter(pa.array(kept)), shapes.bounds[kept]
    west, south, east, north = plane.metres(view.reshape(2, 2)).ravel()
    values = _values(rows[color]) if color else None
    drawable = _drawable(wkb, max(view[2:] - view[:2]))
    if drawable is None:
        drawn, key, says = _cells(plane.metres((bounds[:, :2] + bounds[:, 2:]) / 2), east - west, values, color)
    else:
        told = list(_told(rows, tooltip or _columns(rows.schema, color, columns)))
        key = key_of(values, str(color)) if values is not None else Key("", ["c0"] * len(told), [])
        small = np.ptp(bounds.reshape(-1, 2, 2), axis=1).max(axis=1) < (view[2] - view[0]) / 100
        small &= shapely.get_dimensions(drawable) > 0
        each = list(zip(drawable, key.classes, told, strict=True))
        drawn = [plane.drawn(*one) for one in each]
        dots = [plane.drawn(shapely.centroid(one[0]), *one[1:]) for one, dot in zip(each, small, strict=True) if dot]
        # small ones above large ones; those that would hardly be seen have a dot besides
        drawn = [*sorted(drawn, key=lambda one: -len(one.path)), *dots]
        says = f"{len(each):,} row{'s' * (len(each) != 1)}"
    left_out = [
        f"{count:,} {why}"
        for count, why in (
            (shapes.wkb.null_count, "without a position"),
            (len(kept) - int(kept.sum()) - shapes.wkb.null_count, "beyond the map"),
        )
        if count
    ]
    says = ", ".join([says, *left_out])
    box = [round(west), round(north), round(east - west), round(south - north)]
    return Map(map_html(box, background.drawn(plane), drawn, key, says), says)


def _values(column: pa.ChunkedArray) -> pa.Array:
    values = column.combine_chunks()
    return values.dictionary_decode() if pa.types.is_dictionary(values.type) else values


def _shapes(rows: pa.Table, columns: tuple[str, ...]) -> Shapes:
    found = [shapes_of(batch, columns) for batch in rows.to_batches()]
    if not found:
        raise UsageError("no rows to draw", hint="choose other rows")
    wkb = pa.chunked_array([each.wkb for each in found]).combine_chunks()
    return Shapes(wkb, frozenset().union(*(each.kinds for each in found)), np.concatenate([e.bounds for e in found]))


def _view(bounds: Floats, extent: Floats | None) -> tuple[npt.NDArray[np.bool_], Floats]:
    """Which rows are drawn, and `west south east north` around them with a margin."""
    kept = ~np.isnan(bounds[:, 0])
    if extent is not None:
        margin = 0.2 * (extent[2:] - extent[:2])
        near = kept & (bounds[:, 2:] > extent[:2] - margin).all(1) & (bounds[:, :2] < extent[2:] + margin).all(1)
        kept = near if 2 * near.sum() >= kept.sum() else kept
    if not kept.any():
        return kept, np.zeros(4)
    low, high = bounds[kept, :2].min(axis=0), bounds[kept, 2:].max(axis=0)
    margin = np.maximum(0.05 * (high - low), 0.002)  # at least 200 m
    return kept, np.concatenate([low - margin, high + margin])


def _drawable(wkb: pa.Array, across: float) -> Any:
    """The geometries, simplified where they have very many vertices; None where there are too many to draw."""
    if len(wkb) > _MOST_SHAPES:
        return None
    geometries = shapely.from_wkb(wkb.to_numpy(zero_copy_only=False))
    if shapely.get_num_coordinates(geometries).sum() > _MOST_VERTICES:
        geometries = shapely.simplify(geometries, across / 5_000)
    return geometries if shapely.get_num_coordinates(geometries).sum() <= _MOST_VERTICES else None


def _cells(
    positions: Floats, across: float, values: pa.Array | None, color: str | None
) -> tuple[list[Drawn], Key, str]:
    """The rows counted in square cells, coloured by their number, the mean of numbers or the commonest category."""
    side = _round_up(across / _CELLS_ACROSS)
    x, y = np.floor(positions.T / side).astype(np.int64)
    of = (x << 32) + (y & 0xFFFFFFFF)  # one number a cell: sorted much faster than pairs
    _, first, cell, counts = np.unique(of, return_index=True, return_inverse=True, return_counts=True)
    summed, title = (pa.array(counts), "rows a cell") if values is None else _summed(cell, values, str(color))
    key = key_of(summed, title)
    told = [f"{count:,} rows" for count in counts.tolist()]
    if color:
        told = [f"{rows}\n{title}: {_text(value)}" for rows, value in zip(told, summed.to_pylist(), strict=True)]
    paths = [f"M{x} {y}h{side}v{side}h-{side}z" for x, y in np.column_stack([x, y])[first] * side]
    drawn = [Drawn("cell", *each) for each in zip(paths, key.classes, told, strict=True)]
    return drawn, key, f"{len(positions):,} rows in cells of {side:,} m"


def _summed(cell: npt.NDArray[np.int64], values: pa.Array, color: str) -> tuple[pa.Array, str]:
    """One value a cell: the mean of numbers (NaN counts as null), else the commonest; and what it is."""
    if is_number(values.type):
        known = pa.array(values.cast(pa.float64()).to_numpy(zero_copy_only=False), from_pandas=True)
        means = pa.table({"cell": cell, "value": known}).group_by("cell").aggregate([("value", "mean")])
        return means.sort_by("cell")["value_mean"].combine_chunks(), f"mean {color}"
    tally = pa.table({"cell": cell, "value": values}).group_by(["cell", "value"]).aggregate([([], "count_all")])
    tally = tally.sort_by([("cell", "ascending"), ("count_all", "descending")])
    first = np.unique(tally["cell"].to_numpy(), return_index=True)[1]
    return tally["value"].take(pa.array(first)).combine_chunks(), f"commonest {color}"


def _round_up(metres: float) -> int:
    """The next of 1, 2, 5, 10, 20 ... metres."""
    power = 10 ** max(math.floor(math.log10(max(metres, 1))), 0)
    return int(next(power * step for step in (1, 2, 5, 10) if power * step >= metres))


def _columns(schema: pa.Schema, color: str | None, drawn: tuple[str, ...]) -> list[str]:
    """What a tooltip tells where nothing is asked for: the first columns that are neither drawn, technical nor binary."""
    left = {color, *drawn, *(column.name for column in schema if pa.types.is_binary(column.type))}
    plain = [name for name in schema.names if name not in left and not name.startswith("_")]
    return ([color] if color else []) + plain[: _TOLD - bool(color)]


def _told(rows: pa.Table, names: Sequence[str]) -> Iterator[str]:
    for row in rows.select(list(dict.fromkeys(names))).to_pylist():
        yield "\n".join(f"{name}: {_text(value)}" for name, value in row.items() if value is not None)


def _text(value: object) -> str:
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


@dataclass(frozen=True)
class _Background:
    """Regions with their names, and roads with their rank."""

    regions: list[tuple[Any, str]]
    roads: list[tuple[Any, int]]

    @classmethod
    def load(cls, layers: Path) -> "_Background":
        """The layers `districts` and `roads` of a catalogue; one that isn't there is left out."""
        regions = [
            (geometry, str(next((said[n] for n in ("zh", "name", "en", "code") if said.get(n)), "")))
            for geometry, said in _features(layers / "districts.geojson")
        ]
        roads = [
            (geometry, _ROADS.get(str(said.get("highway", "")).removesuffix("_link"), 0))
            for geometry, said in _features(layers / "roads.geojson")
        ]
        return cls(regions, roads)

    @property
    def extent(self) -> Floats | None:
        """`west south east north` of the regions."""
        return shapely.total_bounds([geometry for geometry, _ in self.regions]) if self.regions else None

    def drawn(self, plane: _Plane) -> dict[str, list[Any]]:
        """Paths of regions and of roads by rank, the finest first, and names with the place for each."""
        ranks = sorted({rank for _, rank in self.roads})
        places = [plane.metres(shapely.get_coordinates(shapely.point_on_surface(g)))[0] for g, _ in self.regions]
        return {
            "regions": [plane.path(shapely.simplify(geometry, 1e-4)) for geometry, _ in self.regions],
            "roads": [
                (rank, plane.path(shapely.simplify([road for road, of in self.roads if of == rank], 5e-5)))
                for rank in ranks
            ],
            "names": [(round(x), round(y), name) for (x, y), (_, name) in zip(places, self.regions, strict=True)],
        }


def _features(path: Path) -> list[tuple[Any, dict[str, Any]]]:
    if not path.is_file():
        return []
    features = json.loads(path.read_text("utf-8"))["features"]
    shapes = shapely.from_geojson([json.dumps(feature["geometry"]) for feature in features])
    return [(shape, feature["properties"] or {}) for shape, feature in zip(shapes, features, strict=True)]
