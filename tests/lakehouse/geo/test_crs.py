import numpy as np
import pytest

from lakehouse.geo.crs import from_wgs84, to_wgs84

METRES = 111_320.0  # along one degree of latitude
SYSTEMS = ["wgs84", "cgcs2000", "gcj02", "bd09"]


def city(n: int = 20_000) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(1)
    return random.uniform(73.0, 135.0, n), random.uniform(3.0, 54.0, n)


@pytest.mark.parametrize("crs", SYSTEMS)
def test_there_and_back_is_within_a_centimetre(crs):
    lon, lat = city()
    back_lon, back_lat = to_wgs84(crs, *from_wgs84(crs, lon, lat))
    assert max(abs(back_lon - lon).max(), abs(back_lat - lat).max()) * METRES < 0.01


@pytest.mark.parametrize(
    ("crs", "lon", "lat", "x", "y"),
    [
        # the offset worked out from the published formula in 50-digit arithmetic
        ("gcj02", 120.894, 31.980, 120.8982157297849, 31.97783029790146),
        ("bd09", 120.894, 31.980, 120.9048134362316, 31.98346976451524),
    ],
)
def test_known_positions(crs, lon, lat, x, y):
    found_x, found_y = from_wgs84(crs, np.array([lon]), np.array([lat]))
    assert found_x[0] == pytest.approx(x, abs=1e-11)
    assert found_y[0] == pytest.approx(y, abs=1e-11)


def test_the_shift_inside_china_is_some_hundred_metres():
    lon, lat = city()
    x, y = from_wgs84("gcj02", lon, lat)
    shift_m = np.hypot((x - lon) * np.cos(np.radians(lat)), y - lat) * METRES
    assert shift_m.min() > 20 and shift_m.max() < 1500


@pytest.mark.parametrize("crs", SYSTEMS)
def test_nothing_moves_outside_china(crs):
    lon, lat = np.array([2.35, -73.9, 0.0, 139.7, 120.0]), np.array([48.85, 40.7, 0.0, 35.7, 60.0])
    for convert in (to_wgs84, from_wgs84):
        found_lon, found_lat = convert(crs, lon, lat)
        assert found_lon.tolist() == lon.tolist() and found_lat.tolist() == lat.tolist()


@pytest.mark.parametrize("crs", SYSTEMS)
def test_a_position_that_is_not_finite_is_nan_in_both(crs):
    x = np.array([np.nan, 120.0, np.inf, 120.0])
    y = np.array([32.0, np.nan, 32.0, -np.inf])
    lon, lat = to_wgs84(crs, x, y)
    assert np.isnan(lon).all() and np.isnan(lat).all()


def test_the_input_stays_as_it_is_and_may_be_read_only():
    x, y = np.array([120.9]), np.array([32.0])
    x.flags.writeable = y.flags.writeable = False
    lon, lat = to_wgs84("gcj02", x, y)
    assert (x[0], y[0]) == (120.9, 32.0) and lon[0] != x[0] and lat[0] != y[0]


def test_no_positions():
    lon, lat = to_wgs84("bd09", np.empty(0), np.empty(0))
    assert len(lon) == len(lat) == 0
