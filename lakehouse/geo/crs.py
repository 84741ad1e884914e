"""Coordinate systems of Chinese data, to WGS-84 and back.

- CGCS2000 (EPSG:4490) is taken for WGS-84: flattenings of 1/298.257222101 and 1/298.257223563 differ by 0.1 mm at the
  pole; the frames agree within centimetres at epoch 2000.0 and plate motion since then stays below a metre.
- GCJ-02 has no public definition. The formula in common use shifts a WGS-84 position by a polynomial and sines, as
  metres on the Krasovsky 1940 ellipsoid.
- BD-09 is Baidu's, a second shift on top of GCJ-02.

Inside the box where the shift applies the way back is found by fixed-point iteration; outside it all are WGS-84.
"""

import math
from typing import Literal

import numpy as np

from lakehouse.geo.kernels import Floats, FloatsIn, helper, kernel

Crs = Literal["wgs84", "cgcs2000", "gcj02", "bd09"]
Pair = tuple[float, float]

# Krasovsky 1940: semi-major axis in m and squared eccentricity, with the digits the GCJ-02 formula is published with.
_AXIS_M = 6378245.0
_ECCENTRICITY2 = 0.00669342162296594323
# The origin of the GCJ-02 polynomial (a point near Lanzhou).
_LON0, _LAT0 = 105.0, 35.0
_SIN0, _COS0 = math.sin(math.radians(_LAT0)), math.cos(math.radians(_LAT0))
# The box outside which nothing is shifted, as every published implementation has it.
_WEST, _EAST, _SOUTH, _NORTH = 72.004, 137.8347, 0.8293, 55.8271
# BD-09: shift in degrees, amplitudes of the wobble in radius (degrees) and angle (radians), its turns per degree.
_BD_LON, _BD_LAT, _BD_RADIUS, _BD_ANGLE = 0.0065, 0.006, 0.00002, 0.000003
_BD_TURNS = 3000.0 / 360.0

_RADIANS = math.pi / 180.0
# Steps of the way back: each divides the error by 100 or more (by 40 with the wobble), which leaves 3e-9 degrees.
_STEPS = {"wgs84": 0, "cgcs2000": 0, "gcj02": 3, "bd09": 4}


def to_wgs84(crs: Crs, x: FloatsIn, y: FloatsIn) -> tuple[Floats, Floats]:
    """Longitude and latitude in WGS-84 degrees; both NaN where `x` or `y` is not finite. Leaves its input as it is."""
    lon, lat = _finite(x, y)
    for _ in range(_STEPS[crs]):
        _come_nearer(x, y, crs == "bd09", lon, lat)
    return lon, lat


def from_wgs84(crs: Crs, lon: FloatsIn, lat: FloatsIn) -> tuple[Floats, Floats]:
    """Positions in `crs` of WGS-84 degrees; both NaN where `lon` or `lat` is not finite. Leaves its input as it is."""
    x, y = _finite(lon, lat)
    if _STEPS[crs]:
        _shift(lon, lat, crs == "bd09", x, y)
    return x, y


def _finite(x: FloatsIn, y: FloatsIn) -> tuple[Floats, Floats]:
    lon, lat = np.empty(len(x)), np.empty(len(x))
    _same(x, y, lon, lat)
    return lon, lat


@helper
def _is_shifted(lon: float, lat: float) -> bool:
    """Whether a position lies in the box where GCJ-02 and BD-09 differ from WGS-84. NaN does not."""
    return _WEST <= lon <= _EAST and _SOUTH <= lat <= _NORTH


@helper
def _sine_cosine(angle: float) -> Pair:
    """Sine and cosine of at most 0.8 rad by their power series, to the last digit but one.

    Plain arithmetic lets the compiler work on several positions at once, 2.5 times as fast as with the library's
    functions, and is the same on every machine.
    """
    square = angle * angle
    sine, cosine = 1.0, 1.0
    for n in (16.0, 14.0, 12.0, 10.0, 8.0, 6.0, 4.0, 2.0):
        sine = 1.0 - sine * square / (n * (n + 1.0))
        cosine = 1.0 - cosine * square / (n * (n - 1.0))
    return angle * sine, cosine


@helper
def _twice(sine: float, cosine: float) -> Pair:
    return 2.0 * sine * cosine, cosine * cosine - sine * sine


@helper
def _thrice(sine: float, cosine: float) -> Pair:
    return sine * (3.0 - 4.0 * sine * sine), cosine * (4.0 * cosine * cosine - 3.0)


@helper
def _plus(sine1: float, cosine1: float, sine2: float, cosine2: float) -> Pair:
    return sine1 * cosine2 + cosine1 * sine2, cosine1 * cosine2 - sine1 * sine2


@helper
def _waves(sine: float, cosine: float) -> tuple[float, float, float, float, float]:
    """From the sine and cosine of d degrees: the sines of pi/30 d, pi/12 d, pi/3 d, and both of pi d.

    All are multiples of one small angle.
    """
    s3, c3 = _thrice(sine, cosine)  # pi/60 d
    s6, c6 = _twice(s3, c3)
    s12, c12 = _twice(s6, c6)
    s15, c15 = _plus(s12, c12, s3, c3)
    s30, c30 = _twice(s15, c15)
    s60, c60 = _twice(s30, c30)
    s180, c180 = _thrice(s60, c60)
    return s6, s15, s60, s180, c180


@helper
def _gcj02_offset(lon: float, lat: float) -> Pair:
    """How far GCJ-02 lies from a WGS-84 position, in degrees."""
    x, y = lon - _LON0, lat - _LAT0
    sine, cosine = _sine_cosine(y * _RADIANS)
    y6, y15, y60, y180, _ = _waves(sine, cosine)
    x_sine, x_cosine = _sine_cosine(x * _RADIANS)
    x6, x15, x60, x180, xc180 = _waves(x_sine, x_cosine)
    x360, xc360 = _twice(x180, xc180)
    x1080, _ = _thrice(x360, xc360)
    root, product = math.sqrt(abs(x)), x * y
    ripple = x1080 + x360
    east_m = 300.0 + x + 2.0 * y + 0.1 * x * x + 0.1 * product + 0.1 * root
    east_m += (20.0 * (ripple + x180) + 40.0 * x60 + 150.0 * x15 + 300.0 * x6) * (2.0 / 3.0)
    north_m = -100.0 + 2.0 * x + 3.0 * y + 0.2 * y * y + 0.1 * product + 0.2 * root
    north_m += (20.0 * (ripple + y180) + 40.0 * y60 + 160.0 * y15 + 320.0 * y6) * (2.0 / 3.0)
    sin_lat, cos_lat = _plus(sine, cosine, _SIN0, _COS0)
    flattening = 1.0 - _ECCENTRICITY2 * sin_lat * sin_lat
    prime_vertical_m = _AXIS_M / math.sqrt(flattening)
    meridian_m = prime_vertical_m * (1.0 - _ECCENTRICITY2) / flattening
    return east_m / (prime_vertical_m * cos_lat * _RADIANS), north_m / (meridian_m * _RADIANS)


@helper
def _bd09_offset(x: float, y: float) -> Pair:
    """How far BD-09 lies from a GCJ-02 position, in degrees.

    The position is turned by an angle below 3e-6 around 0,0, for which two terms of sine and cosine are exact.
    """
    _, across = _wobble(x)
    up, _ = _wobble(y)
    angle, stretch = (
        _BD_ANGLE * across,
        1.0 + _BD_RADIUS * up / math.sqrt(x * x + y * y),
    )
    cosine, sine = 1.0 - angle * angle / 2.0, angle - angle * angle * angle / 6.0
    return stretch * (x * cosine - y * sine) + _BD_LON - x, stretch * (y * cosine + x * sine) + _BD_LAT - y


@helper
def _wobble(degrees: float) -> Pair:
    """Sine and cosine of the wobble of BD-09: the quarter of what is left of its last turn, doubled twice."""
    turns = degrees * _BD_TURNS
    sine, cosine = _sine_cosine((turns - math.floor(turns + 0.5)) * (math.pi / 2.0))
    sine, cosine = _twice(sine, cosine)
    return _twice(sine, cosine)


@helper
def _offset(lon: float, lat: float, baidu: bool) -> Pair:
    """How far GCJ-02, or BD-09, lies from a WGS-84 position, in degrees."""
    east, north = _gcj02_offset(lon, lat)
    if baidu:
        east_more, north_more = _bd09_offset(lon + east, lat + north)
        return east + east_more, north + north_more
    return east, north


@kernel
def _same(x: FloatsIn, y: FloatsIn, lon: Floats, lat: Floats) -> None:
    for i in range(len(x)):
        known = math.isfinite(x[i]) and math.isfinite(y[i])
        lon[i] = x[i] if known else math.nan
        lat[i] = y[i] if known else math.nan


@kernel
def _shift(lon: FloatsIn, lat: FloatsIn, baidu: bool, x: Floats, y: Floats) -> None:
    """Fill in the shifted positions where there is a shift."""
    for i in range(len(lon)):
        east, north = _offset(lon[i], lat[i], baidu)
        shifted = _is_shifted(lon[i], lat[i])
        x[i] = lon[i] + east if shifted else x[i]
        y[i] = lat[i] + north if shifted else y[i]


@kernel
def _come_nearer(x: FloatsIn, y: FloatsIn, baidu: bool, lon: Floats, lat: Floats) -> None:
    """Take the offset at the position found so far for the offset at the one looked for."""
    for i in range(len(x)):
        east, north = _offset(lon[i], lat[i], baidu)
        shifted = _is_shifted(x[i], y[i])
        lon[i] = x[i] - east if shifted else lon[i]
        lat[i] = y[i] - north if shifted else lat[i]
