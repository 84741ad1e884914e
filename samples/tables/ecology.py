"""What ecology and environment delivers."""

from datetime import date, timedelta

import numpy as np
import pyarrow as pa

from samples.city import City

_LEVELS = np.array(["优", "良", "轻度污染", "中度污染", "重度污染", "严重污染"])
_STATIONS = 24


def air_hourly(city: City, day: date) -> pa.Table:
    """24 hourly values of 24 stations of the day before, in order of time; a few are missing."""
    rng = city.draw("air_hourly", day)
    n = 24 * _STATIONS
    hours = np.datetime64(day - timedelta(1), "m") + np.repeat(np.arange(24), _STATIONS) * 60
    pm25 = rng.gamma(4, 9, n).round(1).clip(1, 400)
    aqi = (pm25 * 1.3).astype(int)
    gone = rng.random(n) < 0.01
    return pa.table({
        "station": np.tile([f"A{k:03d}" for k in range(1, _STATIONS + 1)], 24),
        "observed_at": np.char.replace(np.char.replace(np.datetime_as_string(hours), "-", "/"), "T", " "),
        "pm25": pa.array(pm25, mask=gone),
        "pm10": (pm25 * rng.uniform(1.1, 2.2, n)).round(1),
        "so2": rng.gamma(3, 3, n).round(1),
        "no2": rng.gamma(4, 8, n).round(1),
        "co_mg": rng.gamma(4, 0.2, n).round(2),
        "o3": rng.gamma(5, 14, n).round(1),
        "aqi": pa.array(aqi, mask=gone),
        "level": pa.array(_LEVELS[np.searchsorted([50, 100, 150, 200, 300], aqi)], mask=gone),
    })  # fmt: skip
