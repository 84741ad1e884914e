"""What the meteorological service delivers."""

from datetime import date, timedelta

import numpy as np
import pyarrow as pa

from samples import draw
from samples.city import City


def station_hourly(city: City, day: date) -> pa.Table:
    """24 hourly values of 30 stations on the day before, in order of time."""
    rng, stations = city.draw("station_hourly", day), 30
    n = 24 * stations
    hour = np.repeat(np.arange(24), stations)
    text = draw.text(np.datetime64(day - timedelta(1), "s") + hour * 3_600)
    warmth = 9 + 5 * np.sin((hour - 8) / 24 * 2 * np.pi)
    return pa.table({
        "station": np.tile([f"M{k:04d}" for k in range(1, stations + 1)], 24),
        "observed_at": [moment.translate({45: None, 58: None, 32: None})[:12] for moment in text],
        "temperature_c": draw.gaps(rng, (warmth + rng.normal(0, 1.5, n)).round(1), 0.01),
        "rain_mm": rng.exponential(0.2, n).round(1),
        "wind_ms": rng.gamma(3, 1.2, n).round(1),
        "wind_deg": rng.integers(0, 360, n),
        "humidity": rng.integers(35, 99, n),
    })  # fmt: skip


def warnings(city: City, day: date) -> pa.Table:
    """Six to twelve warnings issued on the day before."""
    rng = city.draw("warnings", day)
    n = int(rng.integers(6, 13))
    issued = draw.moments(rng, day, n)
    return pa.table({
        "warning_no": draw.numbered("QX", day, n),
        "hazard": rng.choice(["大雾", "大风", "暴雨", "雷电", "寒潮", "道路结冰"], n),
        "level": np.char.add(rng.choice(["蓝", "黄", "橙"], n), "色"),
        "division": rng.choice(["320612", "320613", "320614", "320623", "320681", "320682", "320685"], n),
        "issued_at": draw.text(issued, separator="T", zone="+08:00"),
        "lifted_at": draw.text(issued + rng.integers(3_600, 40_000, n), separator="T", zone="+08:00"),
    })  # fmt: skip
