"""Chinese map offsets, forwards only: where a WGS-84 point is drawn on GCJ-02 and BD-09 maps.

Krasovsky 1940 ellipsoid; series and constants as published for GCJ-02 and BD-09.
"""

import numpy as np

_A = 6378245.0
_EE = 0.00669342162296594323
Points = tuple[np.ndarray, np.ndarray]


def gcj02(lon: np.ndarray, lat: np.ndarray) -> Points:
    """GCJ-02 longitudes and latitudes of WGS-84 ones, in degrees."""
    x, y, phi = lon - 105.0, lat - 35.0, np.radians(lat)
    waves = (20 * np.sin(6 * np.pi * x) + 20 * np.sin(2 * np.pi * x)) * 2 / 3
    north = (
        -100 + 2 * x + 3 * y + 0.2 * y * y + 0.1 * x * y + 0.2 * np.sqrt(np.abs(x)) + waves
        + (20 * np.sin(np.pi * y) + 40 * np.sin(np.pi / 3 * y)) * 2 / 3
        + (160 * np.sin(np.pi / 12 * y) + 320 * np.sin(np.pi / 30 * y)) * 2 / 3
    )  # fmt: skip
    east = (
        300 + x + 2 * y + 0.1 * x * x + 0.1 * x * y + 0.1 * np.sqrt(np.abs(x)) + waves
        + (20 * np.sin(np.pi * x) + 40 * np.sin(np.pi / 3 * x)) * 2 / 3
        + (150 * np.sin(np.pi / 12 * x) + 300 * np.sin(np.pi / 30 * x)) * 2 / 3
    )  # fmt: skip
    magic = 1 - _EE * np.sin(phi) ** 2
    d_lat = np.degrees(north / (_A * (1 - _EE) / magic**1.5))
    d_lon = np.degrees(east / (_A / np.sqrt(magic) * np.cos(phi)))
    return lon + d_lon, lat + d_lat


def bd09(lon: np.ndarray, lat: np.ndarray) -> Points:
    """BD-09 longitudes and latitudes of WGS-84 ones, in degrees."""
    x, y = gcj02(lon, lat)
    turn = np.pi * 3000 / 180
    radius = np.hypot(x, y) + 0.00002 * np.sin(y * turn)
    angle = np.arctan2(y, x) + 0.000003 * np.cos(x * turn)
    return radius * np.cos(angle) + 0.0065, radius * np.sin(angle) + 0.006


def _same(lon: np.ndarray, lat: np.ndarray) -> Points:
    return lon, lat


DATUMS = {"wgs84": _same, "cgcs2000": _same, "gcj02": gcj02, "bd09": bd09}
"""What a contract's `point.crs` may say, as a function of WGS-84."""
