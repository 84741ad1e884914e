"""Vehicles that drive between stops, stay, and drive on."""

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import pyarrow as pa

from samples.city import City

_KM_PER_DEGREE = 111.2
_JITTER_DEG = 3e-5  # about 3 m, a receiver's own noise
_FIRST_HOUR, _HOURS = 4.5, 15.9
_STOPS = 7


@dataclass(frozen=True)
class Tracks:
    """One element per fix, vehicle by vehicle, in order of time; WGS-84; `second` of the day."""

    vehicle: np.ndarray
    second: np.ndarray
    lon: np.ndarray
    lat: np.ndarray
    speed_kmh: np.ndarray
    heading: np.ndarray


def tracks(rng: np.random.Generator, city: City, *, stops: np.ndarray, vehicles: int, fixes: int) -> Tracks:
    """`fixes` evenly timed fixes a vehicle between 04:30 and 20:30; stays of 10 to 90 minutes at random `stops`."""
    route = rng.choice(stops, (vehicles, _STOPS))
    lon, lat = city.places.lon[route], city.places.lat[route]
    interval = _HOURS * 3600 / fixes
    since = _FIRST_HOUR * 3600 + rng.integers(0, int(interval), (vehicles, 1))
    second = (since + np.arange(fixes) * interval).astype(int)
    times = _timetable(rng, lon, lat)
    x = np.stack([np.interp(s, t, np.repeat(v, 2)) for s, t, v in zip(second, times, lon, strict=True)])
    y = np.stack([np.interp(s, t, np.repeat(v, 2)) for s, t, v in zip(second, times, lat, strict=True)])
    step = np.diff(x, axis=1, append=x[:, -1:]) * 0.85, np.diff(y, axis=1, append=y[:, -1:])
    speed = np.hypot(*step) * _KM_PER_DEGREE / (interval / 3600)
    heading = np.degrees(np.arctan2(*step)).astype(int) % 360
    noise = rng.normal(0, _JITTER_DEG, (2, *x.shape))
    return Tracks(
        vehicle=np.repeat(np.arange(vehicles), fixes),
        second=second.ravel(),
        lon=(x + noise[0]).ravel(),
        lat=(y + noise[1]).ravel(),
        speed_kmh=np.clip(speed, 0, 110).ravel(),
        heading=heading.ravel(),
    )


def _timetable(rng: np.random.Generator, lon: np.ndarray, lat: np.ndarray) -> np.ndarray:
    """Arrival and departure second at every stop, per vehicle; 30 to 70 km/h in between."""
    distance = np.hypot(np.diff(lon, axis=1) * 0.85, np.diff(lat, axis=1)) * _KM_PER_DEGREE
    driving = distance / rng.uniform(30, 70, distance.shape) * 3600 + 1
    staying = rng.uniform(600, 5_400, lon.shape)
    pieces = np.zeros((lon.shape[0], 2 * lon.shape[1]))
    pieces[:, 0] = _FIRST_HOUR * 3600 + rng.uniform(0, 3 * 3600, lon.shape[0])
    pieces[:, 1::2] = staying
    pieces[:, 2::2] = driving
    return pieces.cumsum(axis=1)


def clock(day: date) -> pa.Array:
    """Every second of the day before `day` as `2026-02-28 00:00:00`."""
    seconds = np.datetime64(day - timedelta(1), "s") + np.arange(86_400)
    return pa.array(np.char.replace(np.datetime_as_string(seconds), "T", " "))
