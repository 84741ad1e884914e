"""What water resources delivers."""

from datetime import date, timedelta

import numpy as np
import pyarrow as pa

from samples import draw
from samples.city import City


def river_levels(city: City, day: date) -> pa.Table:
    """24 hourly values of 60 gauges on the day before, in order of time."""
    rng, gauges = city.draw("river_levels", day), 60
    n = 24 * gauges
    hours = np.datetime64(day - timedelta(1), "s") + np.repeat(np.arange(24), gauges) * 3_600
    tide = 1.2 * np.sin(np.repeat(np.arange(24), gauges) / 24 * 4 * np.pi)
    mean = np.tile(city.always("river_levels").uniform(1.5, 4, gauges), 24)
    return pa.table({
        "gauge": np.tile([f"R{k:03d}" for k in range(1, gauges + 1)], 24),
        "observed_at": [moment[:16] for moment in draw.text(hours)],
        "level_m": (mean + tide + rng.normal(0, 0.05, n)).round(2),
        "flow_m3s": draw.gaps(rng, rng.normal(50, 30, n).round(1), 0.02),
        "rain_mm": rng.exponential(0.3, n).round(1),
        "exported_at": np.full(n, f"{day} 01:05"),
    })  # fmt: skip


def pump_stations(city: City, day: date) -> pa.Table:
    """The register of 260 stations."""
    rng, n = city.always("pump_stations"), 260
    place = rng.permutation(len(city.places.lon))[:n]
    return pa.table({
        "station_no": [f"BZ{k:04d}" for k in range(1, n + 1)],
        "name": [f"{community}{k}号泵站" for k, community in enumerate(city.places.community[place], 1)],
        "capacity_m3s": rng.gamma(3, 4, n).round(1),
        "built_year": rng.integers(1965, 2025, n),
        "address": city.places.address[place],
        "lon": city.places.lon[place],
        "lat": city.places.lat[place],
    })  # fmt: skip


def pipe_pressure(city: City, day: date) -> pa.Table:
    """A value every five minutes from 350 sensors on the day before, sensor by sensor."""
    rng, sensors, each = city.draw("pipe_pressure", day), 350, 288
    n = sensors * each
    moments = np.datetime64(draw.midnight(day), "s") + np.arange(each) * 300
    base = np.repeat(city.always("pipe_pressure").uniform(0.25, 0.45, sensors), each)
    swing = 0.04 * np.sin(np.tile(np.arange(each), sensors) / each * 4 * np.pi)
    return pa.table({
        "sensor": np.repeat([f"P{k:04d}" for k in range(1, sensors + 1)], each),
        "observed_at": pa.array(np.tile(moments, sensors), type=pa.timestamp("s", "UTC")),
        "pressure_mpa": draw.gaps(rng, (base + swing + rng.normal(0, 0.004, n)).round(4), 0.005),
        "battery_v": rng.normal(3.6, 0.05, n).round(2),
    })  # fmt: skip
