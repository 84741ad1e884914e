"""What ecology and environment delivers."""

from datetime import date, timedelta

import numpy as np
import pyarrow as pa

from samples import draw
from samples.city import HAZMAT_FIRMS, REFERABLE_FIRMS, TANKERS, City

_LEVELS = np.array(["优", "良", "轻度污染", "中度污染", "重度污染", "严重污染"])
_WATER_CLASSES = np.array(["Ⅰ", "Ⅱ", "Ⅲ", "Ⅳ", "Ⅴ", "劣Ⅴ"])  # by ammonia alone, GB 3838-2002 table 1
_STATIONS = 24


def air_hourly(city: City, day: date) -> pa.Table:
    """24 hourly values of 24 stations of the day before, in order of time; a few are missing."""
    rng = city.draw("air_hourly", day)
    n = 24 * _STATIONS
    hours = np.datetime64(day - timedelta(1), "m") + np.repeat(np.arange(24), _STATIONS) * 60
    pm25 = rng.gamma(4, 9, n).round(1).clip(1, 300)
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


def water_quality(city: City, day: date) -> pa.Table:
    """A value every four hours from 40 river sections on the day before."""
    rng, sections = city.draw("water_quality", day), 40
    n = 6 * sections
    spot = city.always("water_quality").integers(0, len(city.places.lon), sections)
    hours = np.datetime64(day - timedelta(1), "s") + np.repeat(np.arange(6), sections) * 4 * 3_600
    ammonia = rng.gamma(2, 0.3, n).round(3) + 0.01
    return pa.table({
        "section": np.tile([f"S{k:03d}" for k in range(1, sections + 1)], 6),
        "observed_at": draw.text(hours, separator="T", zone="+08:00"),
        "ph": rng.normal(7.6, 0.3, n).round(2),
        "dissolved_oxygen_mg": rng.normal(8, 1, n).round(2).clip(1, 15),
        "ammonia_mg": pa.array(ammonia.round(3), mask=rng.random(n) < 0.01),
        "phosphorus_mg": rng.gamma(2, 0.05, n).round(3),
        "quality": _WATER_CLASSES[np.searchsorted([0.15, 0.5, 1.0, 1.5, 2.0], ammonia)],
        "lon": np.tile(city.places.lon[spot], 6),
        "lat": np.tile(city.places.lat[spot], 6),
    })  # fmt: skip


def pollution_permits(city: City, day: date) -> pa.Table:
    """The month's list of 600 permits."""
    rng, n = city.always("pollution_permits"), 600
    since = rng.integers(2021, 2026, n)
    return pa.table({
        "permit_no": [f"{code}{k:04d}" for k, code in enumerate(city.firms.uscc[:n])],
        "uscc": city.firms.uscc[:n],
        "firm_name": city.firms.name[:n],
        "industry": city.firms.industry[:n],
        "management": rng.choice(["重点管理", "简化管理"], n, p=[0.3, 0.7]),
        "valid_from": [f"{year}0701" for year in since],
        "valid_until": [f"{year + 5}0630" for year in since],
    })  # fmt: skip


def waste_transfers(city: City, day: date) -> pa.Table:
    """About 400 loads of hazardous waste sent on the day before."""
    rng = city.draw("waste_transfers", day)
    n = int(rng.integers(390, 410))
    sent = rng.uniform(0.5, 30, n).round(2)
    return pa.table({
        "manifest_no": draw.numbered("LD", day, n),
        "reported_on": np.full(n, str(day)),
        "producer": city.firms.uscc[rng.integers(0, REFERABLE_FIRMS, n)],
        "receiver": city.firms.uscc[rng.integers(0, HAZMAT_FIRMS, n)],
        "plate": rng.choice(city.tankers[: TANKERS - 60], n),
        "waste_code": rng.choice(["900-041-49", "900-249-08", "772-006-49", "336-064-17", "261-012-11"], n),
        "sent_t": sent,
        "received_t": pa.array((sent * rng.uniform(0.98, 1, n)).round(2).clip(0, sent), mask=rng.random(n) < 0.05),
        "sent_at": draw.text(draw.moments(rng, day, n, first_hour=7, last_hour=19), zone="+08:00"),
    })  # fmt: skip
