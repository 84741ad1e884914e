from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lakehouse.geo.nearest import EARTH_RADIUS_M, NONE, Near

PLACES = {
    "city": ((120, 120.5), (32, 32.4)),
    "globe": ((-180, 180), (-90, 90)),
    "pole": ((-180, 180), (89.9, 90)),
    "antimeridian": ((179, 181), (-1, 1)),
}
RADII = (0.0, 500.0, 5_000.0, 100_000.0, 30_000_000.0)


def metres(lon, lat, other_lon, other_lat):
    a, b = np.radians(lat), np.radians(other_lat)
    across = np.sin(np.radians(other_lon - lon) / 2)
    h = np.sin((b - a) / 2) ** 2 + np.cos(a) * np.cos(b) * across**2
    return 2 * EARTH_RADIUS_M * np.arcsin(np.minimum(1, np.sqrt(h)))


def some(place: str, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    (west, east), (south, north) = PLACES[place]
    return (random.uniform(west, east, count) + 180) % 360 - 180, random.uniform(south, north, count)


@pytest.mark.parametrize("place", PLACES)
def test_what_measuring_every_distance_says(place):
    lon, lat = some(place, 400, 1)
    x, y = some(place, 150, 2)
    lon[5], lat[6], lon[10:14], lat[10:14] = np.nan, 91, lon[9], lat[9]  # missing, off the globe, four at one place
    x[:3], y[:3], x[4], y[5] = lon[9], lat[9], np.nan, 120
    away = metres(x[:, None], y[:, None], lon, lat)
    away[:, [5, 6]], away[[4, 5]] = np.inf, np.inf
    order = np.lexsort((np.broadcast_to(np.arange(400), away.shape), away))
    near = Near(lon, lat)
    for radius in RADII:
        starts, index, distance = near.within(x, y, radius)
        found = [index[start:end] for start, end in pairwise(starts)]
        assert [sorted(some.tolist()) for some in found] == [np.flatnonzero(row <= radius).tolist() for row in away]
        assert np.allclose(distance, away[np.repeat(np.arange(150), np.diff(starts)), index], rtol=0, atol=1e-6)
        for k in (1, 4):
            index, distance = near.nearest(x, y, k, radius)
            expected = [[i if row[i] <= radius else NONE for i in at[:k]] for at, row in zip(order, away, strict=True)]
            assert index.tolist() == expected
            assert (np.isnan(distance) == (index == NONE)).all() and (np.nan_to_num(distance) <= radius).all()


position = st.tuples(st.floats(119.9, 120.1), st.floats(31.9, 32.1))


@settings(max_examples=50)
@given(st.lists(position), st.lists(position, min_size=1), st.integers(1, 3), st.floats(0, 20_000))
def test_the_nearest_are_the_first_of_all_within(places, points, k, radius):
    near = Near(*np.array(places, float).reshape(-1, 2).T)
    x, y = (np.ascontiguousarray(side) for side in np.array(points).T)
    starts, index, distance = near.within(x, y, radius)
    found, away = near.nearest(x, y, k, radius)
    for i in range(len(points)):
        mine = sorted(zip(distance[starts[i] : starts[i + 1]], index[starts[i] : starts[i + 1]], strict=True))[:k]
        assert found[i].tolist() == [at for _, at in mine] + [NONE] * (k - len(mine))
        assert away[i][: len(mine)].tolist() == [metres for metres, _ in mine]
