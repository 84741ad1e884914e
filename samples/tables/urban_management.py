"""What urban management delivers."""

from datetime import date

import numpy as np
import pyarrow as pa

from samples import draw, fleets, movement
from samples.city import City
from samples.datum import gcj02

_CATEGORIES = ("暴露垃圾", "占道经营", "违规停车", "渣土撒漏", "井盖缺失", "非法小广告")


def cases(city: City, day: date) -> pa.Table:
    """About 1,600 cases reported on the day before."""
    rng = city.draw("cases", day)
    n = int(rng.integers(1_570, 1_630))
    place = rng.integers(0, len(city.places.lon), n)
    reported = draw.moments(rng, day, n, first_hour=5, last_hour=23)
    category = rng.choice(_CATEGORIES, n)
    return pa.table({
        "case_no": draw.numbered("AJ", day, n),
        "source": rng.choice(["巡查", "市民上报", "12319", "视频"], n),
        "category": category,
        "detail": np.char.add(np.char.add(city.places.address[place], "附近有"), category),
        "division": city.places.division[place],
        "reported_at": draw.text(reported),
        "due_at": draw.text(reported + rng.choice([4, 24, 72], n) * 3_600),
        "lon": city.places.lon[place],
        "lat": city.places.lat[place],
    })  # fmt: skip


def muck_trucks(city: City, day: date) -> pa.Table:
    """A fix every four minutes of 400 trucks on the day before, vehicle by vehicle."""
    tracks = fleets.tracks(city, fleets.TRUCKS, day, fixes=300)
    return pa.table({
        "plate": city.muck_trucks[tracks.vehicle],
        "gps_at": movement.clock(day).take(pa.array(tracks.second + movement.DAY_S)),
        "lon": tracks.lon.round(6),
        "lat": tracks.lat.round(6),
        "speed_kmh": tracks.speed_kmh.round(1),
        "loaded": np.array(["0", "1"])[(tracks.second // 7_200) % 2],
    })  # fmt: skip


def street_lights(city: City, day: date) -> pa.Table:
    """The week's list of 5,000 lights."""
    rng, n = city.always("street_lights"), 5_000
    place = rng.integers(0, len(city.places.lon), n)
    installed = np.datetime64("2008-01-01") + rng.integers(0, 6_000, n)
    return pa.table({
        "light_no": [f"LD{k:06d}" for k in range(1, n + 1)],
        "road": city.places.street[place],
        "power_w": rng.choice([60, 90, 120, 150, 250], n),
        "is_led": rng.random(n) < 0.8,
        "installed_on": pa.array(installed.astype(object).tolist(), pa.date32()),
        "lon": (city.places.lon[place] + rng.normal(0, 0.001, n)).round(6),
        "lat": (city.places.lat[place] + rng.normal(0, 0.001, n)).round(6),
    })  # fmt: skip


def shared_bikes(city: City, day: date) -> pa.Table:
    """About 15,000 bikes parked on the day before, on GCJ-02."""
    rng = city.draw("shared_bikes", day)
    n = int(rng.integers(14_800, 15_200))
    place = rng.integers(0, len(city.places.lon), n)
    lon, lat = gcj02(city.places.lon[place] + rng.normal(0, 0.002, n), city.places.lat[place] + rng.normal(0, 0.002, n))
    operator = rng.integers(0, 2, n)
    return pa.table({
        "bike_no": [f"{'AB'[o]}{k:07d}" for o, k in zip(operator, rng.choice(10**7, n, replace=False), strict=True)],
        "operator": np.array(["甲单车", "乙单车"])[operator],
        "parked_at": draw.text(draw.moments(rng, day, n), separator="T", zone="+08:00"),
        "battery": rng.integers(1, 101, n),
        "lon": lon.round(6),
        "lat": lat.round(6),
    })  # fmt: skip
