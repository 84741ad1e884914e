import math

import numpy as np
import pytest
import shapely

from lakehouse.geo.lines import METRES, NOTHING, Pieces

EAST = METRES * math.cos(math.radians(32.0))


def metres(*points: tuple[float, float]) -> np.ndarray:
    """A line given in metres east and north of 120, 32."""
    return np.array([(120 + x / EAST, 32 + y / METRES) for x, y in points])


def ask(pieces: Pieces, *points: tuple[float, float], **options) -> tuple[list[int], list[float]]:
    lon, lat = np.ascontiguousarray(metres(*points).T)
    found = pieces.nearest(lon, lat, **options)
    return found.piece.tolist(), found.distance_m.tolist()


def test_nearest_is_what_shapely_finds_among_all():
    random = np.random.default_rng(2)
    starts = random.uniform(0, 3000, (400, 2))
    lines = [metres(*line) for line in np.stack([starts, starts + random.normal(0, 250, (400, 2))], axis=1)]
    lines.append(metres((-20_000, 10_000), (30_000, -5_000)))  # through hundreds of cells
    pieces = Pieces(lines)
    points = random.uniform(-500, 3500, (500, 2))
    lon, lat = np.ascontiguousarray(metres(*points).T)
    found = pieces.nearest(lon, lat, radius_m=250.0)
    for i in range(len(lon)):
        scale = np.array([METRES * math.cos(math.radians(lat[i])), METRES])
        flat = shapely.linestrings((pieces.ends.reshape(-1, 2, 2) - [lon[i], lat[i]]) * scale)
        away = shapely.distance(flat, shapely.Point(0, 0))
        if away.min() > 250:
            assert found.piece[i] == NOTHING and math.isinf(found.distance_m[i])
        else:
            assert found.distance_m[i] == pytest.approx(away.min(), abs=1e-6)
            assert away[found.piece[i]] == pytest.approx(away.min(), abs=1e-6)


def test_heading_decides_between_roads_that_cross_or_lie_side_by_side():
    north, east, south = metres((0, -500), (0, 500)), metres((-500, 0), (500, 0)), metres((15, 500), (15, -500))
    pieces = Pieces([north, east, south])
    one_way = {"both_ways": np.zeros(3, bool)}
    assert ask(pieces, (4, 40))[0] == [0]
    assert ask(pieces, (4, 40), heading=np.array([92.0]), **one_way)[0] == [1]
    assert ask(pieces, (4, 40), heading=np.array([181.0]), **one_way)[0] == [2]
    assert ask(pieces, (4, 40), heading=np.array([181.0]), both_ways=np.ones(3, bool))[0] == [0]
    assert ask(pieces, (4, 40), heading=np.array([math.nan]), **one_way)[0] == [0]
    assert ask(pieces, (14, 40), heading=np.array([359.0]), **one_way)[0] == [0]


def test_of_equally_near_pieces_the_first_counts():
    pieces = Pieces([metres((0, 0), (100, 0)), metres((0, 0), (0, 100)), metres((0, 0), (100, 0))])
    assert ask(pieces, (-30, -30), (50, 10))[0] == [0, 0]


def test_nothing_is_near_for_bad_positions_and_without_pieces():
    pieces = Pieces([metres((0, 0), (100, 0))])
    lon, lat = np.array([math.nan, 120.0, 0.0, 32.0, 120.0]), np.array([32.0, math.inf, 0.0, 120.0, -90.0])
    assert pieces.nearest(lon, lat).piece.tolist() == [NOTHING] * 5
    assert ask(Pieces([]), (0, 0))[0] == [NOTHING]
    assert ask(Pieces([metres((5, 5), (5, 5)), metres((1, 1))]), (5, 5))[0] == [NOTHING]


def test_any_radius_takes_bounded_time():
    pieces = Pieces([metres((0, 0), (100, 0))])
    lon, lat = np.full(10_000, -60.0), np.full(10_000, 89.999)
    assert (pieces.nearest(lon, lat, radius_m=2.1e7).piece == 0).all()


def test_parts_of_lines_go_from_one_distance_to_another():
    pieces = Pieces([metres((0, 0), (100, 0), (100, 50)), metres((0, 10), (40, 10))])
    parts, part = pieces.between(np.array([0, 1, 1]), np.array([80.0, -5.0, 7.0]), np.array([130.0, 99.0, 7.0]))
    assert part.tolist() == [0, 0, 1]
    expected = [*metres((80, 0), (100, 0)), *metres((100, 0), (100, 30)), *metres((0, 10), (40, 10))]
    assert parts.reshape(-1, 2) == pytest.approx(np.array(expected), abs=1e-7)
