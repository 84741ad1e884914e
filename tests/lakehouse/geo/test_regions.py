import json
import time
from datetime import date
from pathlib import Path

import numpy as np
import pytest
import shapely

from lakehouse.errors import ContractError
from lakehouse.geo.cells import PER_DEGREE, cells
from lakehouse.geo.regions import NOWHERE, Regions

SQUARE = [[120.0, 32.0], [120.1, 32.0], [120.1, 32.1], [120.0, 32.1], [120.0, 32.0]]
EAST = [[120.1, 32.0], [120.2, 32.0], [120.2, 32.1], [120.1, 32.1], [120.1, 32.0]]
HOLE = [[120.02, 32.02], [120.02, 32.06], [120.06, 32.06], [120.06, 32.02], [120.02, 32.02]]


def layer(
    folder: Path, *geometries: dict, codes: list[str] | None = None, valid: list[dict[str, str]] | None = None
) -> Path:
    names = codes or [f"r{i}" for i in range(len(geometries))]
    features = [
        {"type": "Feature", "properties": {"code": code, **days}, "geometry": geometry}
        for code, geometry, days in zip(names, geometries, valid or [{}] * len(geometries), strict=True)
    ]
    path = folder / "layer.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return path


def polygon(*rings: list) -> dict:
    return {"type": "Polygon", "coordinates": list(rings)}


def where(regions: Regions, *positions: tuple[float, float]) -> list[int]:
    lon, lat = np.array(positions, float).reshape(-1, 2).T
    return regions.locate(np.ascontiguousarray(lon), np.ascontiguousarray(lat)).tolist()


def districts(columns: int, rows: int, steps: int) -> list[dict]:
    """Districts side by side over one and a half degrees; neighbours share every vertex of a crooked border."""
    random = np.random.default_rng(5)
    across, up = np.linspace(120, 121.5, columns + 1), np.linspace(31.5, 32.7, rows + 1)
    bend = 0.3 * min(across[1] - across[0], up[1] - up[0]) / steps

    def border(start: tuple[float, float], end: tuple[float, float]) -> np.ndarray:
        line = np.linspace(start, end, steps + 1)
        line[1:-1] += random.uniform(-bend, bend, (steps - 1, 2))
        return line

    level = {
        (i, j): border((across[i], up[j]), (across[i + 1], up[j])) for i in range(columns) for j in range(rows + 1)
    }
    upright = {
        (i, j): border((across[i], up[j]), (across[i], up[j + 1])) for i in range(columns + 1) for j in range(rows)
    }
    found = []
    for i in range(columns):
        for j in range(rows):
            sides = [level[i, j], upright[i + 1, j], level[i, j + 1][::-1], upright[i, j][::-1]]
            found.append(polygon([*np.concatenate([side[:-1] for side in sides]).tolist(), sides[0][0].tolist()]))
    return found


def exact(geometries: list[dict], lon: np.ndarray, lat: np.ndarray) -> np.ndarray:
    """The first region that intersects each position, by shapely."""
    tree = shapely.STRtree(shapely.from_geojson([json.dumps(geometry) for geometry in geometries]))
    position, region = tree.query(shapely.points(lon, lat), predicate="intersects")
    found = np.full(len(lon), len(geometries))
    np.minimum.at(found, position, region)
    return np.where(found == len(geometries), NOWHERE, found)


def test_equal_to_exact_geometry_on_any_position_borders_included(tmp_path):
    geometries = districts(4, 3, 40)
    geometries += [polygon(SQUARE, HOLE), {"type": "MultiPolygon", "coordinates": [[HOLE], [[*EAST]]]}]
    regions = Regions.load(layer(tmp_path, *geometries))
    corners = shapely.get_coordinates(shapely.from_geojson([json.dumps(geometry) for geometry in geometries]))
    random = np.random.default_rng(6)
    lon = np.concatenate([random.uniform(119.9, 121.6, 50_000), corners[:, 0], (corners[1:, 0] + corners[:-1, 0]) / 2])
    lat = np.concatenate([random.uniform(31.4, 32.8, 50_000), corners[:, 1], (corners[1:, 1] + corners[:-1, 1]) / 2])
    for nudged in (lon, np.nextafter(lon, 0), np.nextafter(lon, 200)):
        assert regions.locate(nudged, lat).tolist() == exact(geometries, nudged, lat).tolist()


def test_a_position_on_a_shared_border_belongs_to_the_first_region_only(tmp_path):
    on_border = (120.1, 32.05)
    first = Regions.load(layer(tmp_path, polygon(SQUARE), polygon(EAST)))
    assert where(first, on_border, (120.1, 32.0), (120.1, 32.1)) == [0, 0, 0]
    other = Regions.load(layer(tmp_path, polygon(EAST), polygon(SQUARE)))
    assert where(other, on_border) == [0]


def test_a_border_between_two_numbers_of_the_machine_is_decided_exactly(tmp_path):
    slanted = polygon([[120.0, 32.0], [120.3, 32.1], [120.0, 32.1], [120.0, 32.0]])
    regions = Regions.load(layer(tmp_path, slanted))
    shape = shapely.from_geojson(json.dumps(slanted))
    lon = np.repeat(120.0 + np.arange(1, 300) * 0.001, 5)
    lat = 32.0 + (lon - 120.0) / 3
    lat += np.tile(np.arange(-2, 3), 299) * np.spacing(lat)
    assert (regions.locate(lon, lat) == 0).tolist() == shapely.intersects_xy(shape, lon, lat).tolist()


def test_inside_outside_and_in_the_hole(tmp_path):
    regions = Regions.load(layer(tmp_path, polygon(SQUARE, HOLE)))
    assert where(regions, (120.08, 32.08), (120.04, 32.04), (120.02, 32.04), (119.99, 32.05), (0, 0)) == [
        0,
        -1,
        0,
        -1,
        -1,
    ]


def test_overlapping_regions_go_to_the_first(tmp_path):
    wide = [[119.5, 31.5], [120.5, 31.5], [120.5, 32.5], [119.5, 32.5], [119.5, 31.5]]
    inner_first = Regions.load(layer(tmp_path, polygon(SQUARE), polygon(wide)))
    assert where(inner_first, (120.05, 32.05), (120.0, 32.0), (119.6, 31.6)) == [0, 0, 1]
    wide_first = Regions.load(layer(tmp_path, polygon(wide), polygon(SQUARE)))
    assert where(wide_first, (120.05, 32.05), (120.0, 32.0), (119.6, 31.6)) == [0, 0, 0]


def test_no_position_is_nowhere(tmp_path):
    regions = Regions.load(layer(tmp_path, polygon(SQUARE)))
    assert (
        where(regions, (np.nan, 32.05), (120.05, np.nan), (1e300, 32.05), (120.05, -1e300), (32.05, 120.05)) == [-1] * 5
    )
    assert where(regions) == []


def test_cells_say_who_owns_all_of_them(tmp_path):
    regions = Regions.load(layer(tmp_path, polygon(SQUARE), polygon(EAST)))
    found, owner = regions.cells()
    middle = cells(np.array([120.05, 120.15, 120.1]), np.array([32.05, 32.05, 32.05]))
    owners = dict(zip(found.tolist(), owner.tolist(), strict=True))
    assert [owners[cell] for cell in middle.tolist()] == [0, 1, NOWHERE]
    assert len(owners) == len(found) and (owner == NOWHERE).sum() < len(owner) / 4
    random = np.random.default_rng(7)
    lon, lat = random.uniform(119.9, 120.3, 20_000), random.uniform(31.9, 32.2, 20_000)
    told = np.array([owners.get(cell, -2) for cell in cells(lon, lat).tolist()])
    found = regions.locate(lon, lat)
    assert (found[told >= 0] == told[told >= 0]).all() and (found[told == -2] == NOWHERE).all()


def test_a_city_of_300_districts_is_drawn_in_time(tmp_path):
    path = layer(tmp_path, *districts(20, 15, 100))
    start = time.process_time()
    Regions.load(path)
    assert time.process_time() - start < 5


def test_a_sliver_along_a_row_of_the_grid(tmp_path):
    south = 32.0 + 1 / PER_DEGREE
    sliver = polygon([[120.0, south], [120.2, south], [120.2, south + 1e-12], [120.0, south]])
    regions = Regions.load(layer(tmp_path, sliver))
    assert where(regions, (120.1, south), (120.1, np.nextafter(south, 0)), (120.1999, south + 5e-13)) == [0, -1, 0]


@pytest.mark.parametrize(
    ("geometry", "said"),
    [
        ({"type": "Point", "coordinates": [120.0, 32.0]}, "a Point is no region"),
        (polygon(SQUARE[:-1]), "end where it began"),
        (polygon([[3000.0, 1.0], *SQUARE[1:-1], [3000.0, 1.0]]), "not on the globe"),
        ({"type": "Polygon"}, "'coordinates' is missing"),
        (polygon([[-100.0, -50.0], [100.0, -50.0], [100.0, 50.0], [-100.0, -50.0]]), "more than a city has"),
        (polygon([[120.0, 32.0]] * 4), "no extent"),
        (polygon(), "no extent"),
        (None, "no geometry"),
        (polygon([[120.0, 32.0], [120.2, 32.2], [120.2, 32.0], [120.0, 32.2], [120.0, 32.0]]), "Self-intersection"),
        (polygon(SQUARE, [[x + 1, y] for x, y in SQUARE]), "Hole lies outside"),
        ({"type": "MultiPolygon", "coordinates": [[SQUARE], [SQUARE]]}, "is no region"),
        (polygon([[y, x] for x, y in SQUARE]), "longitude comes first"),
    ],
)
def test_what_is_not_a_layer_is_refused_with_file_and_reason(tmp_path, geometry, said):
    path = layer(tmp_path, geometry)
    with pytest.raises(ContractError, match=said) as refused:
        Regions.load(path)
    assert str(path) in str(refused.value)


def test_a_tangle_of_a_polygon_is_refused_in_bounded_time(tmp_path):
    random = np.random.default_rng(8)
    tangle = random.uniform((120.0, 32.0), (121.0, 33.0), (20_000, 2)).tolist()
    path = layer(tmp_path, polygon([*tangle, tangle[0]]))
    start = time.process_time()
    with pytest.raises(ContractError, match="Self-intersection"):
        Regions.load(path)
    assert time.process_time() - start < 5


def test_regions_are_those_of_the_day(tmp_path):
    both = [[120.0, 32.0], [120.2, 32.0], [120.2, 32.1], [120.0, 32.1], [120.0, 32.0]]
    until, since = {"valid_to": "2020-06-30"}, {"valid_from": "2020-07-01"}
    geometries, codes = [polygon(SQUARE), polygon(EAST), polygon(both)], ["320602", "320611", "320613"]
    path = layer(tmp_path, *geometries, codes=codes, valid=[until, until, since])

    def code(day: date) -> str:
        regions = Regions.load(path, day)
        return regions.codes[where(regions, (120.15, 32.05))[0]]

    assert [code(date(2020, 6, 30)), code(date(2020, 7, 1))] == ["320611", "320613"]
    moved = layer(tmp_path, polygon(SQUARE), polygon(EAST), codes=["320684"] * 2, valid=[until, since])
    assert [where(Regions.load(moved, day), (120.15, 32.05)) for day in (date(2020, 1, 1), date(2021, 1, 1))] == [
        [-1],
        [0],
    ]


@pytest.mark.parametrize(
    ("valid", "said"),
    [
        ([{"valid_to": "2020-06-30"}, {"valid_from": "2020-06-30"}], "'a' stands there twice"),
        ([{"valid_from": "2020-07-01", "valid_to": "2020-06-30"}, {"valid_from": "2021-01-01"}], "lies after"),
        ([{"valid_from": "July 2020"}, {"valid_to": "2020-06-30"}], "feature 1"),
        ([{"valid_from": "2027-01-01"}, {"valid_to": "2020-06-30"}], "no region that is valid on 2026-03-01"),
    ],
)
def test_days_that_do_not_fit_are_refused(tmp_path, valid, said):
    path = layer(tmp_path, polygon(SQUARE), polygon(EAST), codes=["a", "a"], valid=valid)
    with pytest.raises(ContractError, match=said):
        Regions.load(path, date(2026, 3, 1))


def test_every_mistake_is_told_at_once(tmp_path):
    path = layer(tmp_path, polygon(SQUARE), polygon(SQUARE[:2]), polygon(EAST), codes=["a", "b", "a"])
    with pytest.raises(ContractError, match=r"feature 2: .*; code 'a' stands there twice"):
        Regions.load(path)


@pytest.mark.parametrize("text", ["", "[]", '{"type": "FeatureCollection", "features": []}', "{"])
def test_a_file_without_features_is_refused(tmp_path, text):
    path = tmp_path / "layer.geojson"
    path.write_text(text)
    with pytest.raises(ContractError, match=r"layer\.geojson"):
        Regions.load(path)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(ContractError, match=r"nowhere\.geojson"):
        Regions.load(tmp_path / "nowhere.geojson")
