"""What the health commission delivers."""

from datetime import date, timedelta

import numpy as np
import pyarrow as pa

from samples import draw
from samples.city import City
from samples.datum import gcj02

_WARDS = ("内科", "外科", "儿科", "妇产科", "急诊", "发热门诊")
_REASONS = ("疾病", "创伤", "交通事故", "分娩", "中毒", "其他")


def clinics(city: City, day: date) -> pa.Table:
    """The week's register of 700 institutions."""
    rng, n = city.always("clinics"), 700
    place = rng.permutation(len(city.places.lon))[:n]
    lon, lat = gcj02(city.places.lon[place], city.places.lat[place])
    level = np.repeat(["三级", "二级", "一级", "未定级"], [12, 48, 190, 450])
    return pa.table({
        "institution_no": [f"{code}{k:016d}" for k, code in enumerate(city.places.division[place])],
        "name": [f"{c}第{k + 1}卫生服务站" for k, c in enumerate(city.places.community[place])],
        "level": level,
        "beds": np.where(level == "三级", 1_200, rng.integers(0, 90, n)),
        "phone": [f"0513-8{k:07d}" for k in rng.integers(0, 10**7, n)],
        "address": city.places.address[place],
        "postcode": city.places.postcode[place],
        "lon": lon.round(6),
        "lat": lat.round(6),
    })  # fmt: skip


def outpatient_counts(city: City, day: date) -> pa.Table:
    """Patients of 60 hospitals by ward on the day before; a file without a header."""
    rng, hospitals = city.draw("outpatient_counts", day), 60
    n = hospitals * len(_WARDS)
    outpatients = rng.poisson(320, n)
    return pa.table({
        "visited_on": np.full(n, str(day - timedelta(1))),
        "hospital": np.repeat([f"南通市第{k}医院" for k in range(1, hospitals + 1)], len(_WARDS)),
        "ward": np.tile(_WARDS, hospitals),
        "outpatients": draw.gaps(rng, outpatients, 0.01),
        "emergencies": rng.binomial(outpatients, 0.12),
    })  # fmt: skip


def emergency_calls_120(city: City, day: date) -> pa.Table:
    """About 650 calls of the day before."""
    rng = city.draw("emergency_calls_120", day)
    n = int(rng.integers(630, 670))
    place = rng.integers(0, len(city.places.lon), n)
    called = draw.moments(rng, day, n)
    dispatched = called + rng.integers(20, 180, n)
    arrived = dispatched + rng.integers(180, 1_500, n)
    return pa.table({
        "call_no": draw.numbered("JJ", day, n),
        "phone": city.people.phone[rng.integers(0, len(city.people.id), n)],
        "reason": rng.choice(_REASONS, n),
        "address": city.places.address[place],
        "called_at": draw.text(called, separator="T", zone="+08:00"),
        "dispatched_at": draw.text(dispatched, separator="T", zone="+08:00"),
        "arrived_at": pa.array(draw.text(arrived, separator="T", zone="+08:00"), mask=rng.random(n) < 0.04),
        "lon": city.places.lon[place],
        "lat": city.places.lat[place],
    })  # fmt: skip
