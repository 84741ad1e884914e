"""What public security delivers."""

from datetime import date

import numpy as np
import pyarrow as pa

from samples import draw
from samples.city import CARS, DAYS, PEOPLE, REFERABLE_PEOPLE, City

_VIN = np.array(list("ABCDEFGHJKLMNPRTUVWXYZ0123456789"))


def vehicles(city: City, day: date) -> pa.Table:
    """The registered cars; six more each day."""
    rng, n = city.always("vehicles"), CARS
    vin = np.array(["".join(row) for row in rng.choice(_VIN, (n, 10))])
    registered = np.datetime64("2010-01-01") + rng.integers(0, 5_400, n)
    inspected = np.datetime64("2026-04-01") + rng.integers(0, 700, n)
    return pa.table({
        "plate": city.cars,
        "vin": [f"L{v}{k:06d}" for k, v in enumerate(vin)],
        "owner_id": draw.gaps(rng, city.people.id[rng.integers(0, REFERABLE_PEOPLE, n)], 0.03),
        "make": rng.choice(["大众", "丰田", "比亚迪", "吉利", "奇瑞", "本田"], n),
        "colour": rng.choice(["白", "黑", "灰", "红", "蓝"], n),
        "registered_on": pa.array(registered.astype(object).tolist(), pa.date32()),
        "inspected_until": pa.array(inspected.astype(object).tolist(), pa.date32()),
        "is_electric": [len(plate) == 8 for plate in city.cars],
    }).slice(0, draw.known_on(day, DAYS[0], CARS - 50, 6))  # fmt: skip


def residents(city: City, day: date) -> pa.Table:
    """Everybody on the first day, then the 250 whose record changed on the day before."""
    rng, people = city.draw("residents", day), city.people
    changed = np.arange(PEOPLE) if day <= DAYS[0] else np.sort(rng.choice(PEOPLE, 250, replace=False))
    return pa.table({
        "id": people.id,
        "name": people.name,
        "sex": np.where(np.array([int(i[16]) for i in people.id]) % 2 == 1, "男", "女"),
        "born_on": [i[6:14] for i in people.id],
        "phone": draw.gaps(city.always("residents"), people.phone, 0.1),
        "address": city.places.address[people.place],
        "division": city.places.division[people.place],
        "updated_at": draw.text(draw.moments(rng, day, PEOPLE)),
    }).take(changed)  # fmt: skip


def police_calls_110(city: City, day: date) -> pa.Table:
    """About 2,200 calls of the day before."""
    rng = city.draw("police_calls_110", day)
    n = int(rng.integers(2_150, 2_250))
    place = rng.integers(0, len(city.places.lon), n)
    called = draw.moments(rng, day, n)
    arrived = called + rng.integers(200, 2_400, n)
    return pa.table({
        "call_no": draw.numbered("BJ", day, n),
        "category": rng.choice(["刑事", "治安", "交通", "纠纷", "求助", "其他"], n),
        "phone": city.people.phone[rng.integers(0, len(city.people.id), n)],
        "called_at": draw.text(called, separator="T", zone="+08:00"),
        "arrived_at": pa.array(draw.text(arrived, separator="T", zone="+08:00"), mask=rng.random(n) < 0.1),
        "lon": city.places.lon[place],
        "lat": city.places.lat[place],
    })  # fmt: skip


def checkpoint_passes(city: City, day: date) -> pa.Table:
    """About 100,000 passes of 120 checkpoints on the day before; some plates can't be read."""
    rng = city.draw("checkpoint_passes", day)
    n = int(rng.integers(99_000, 101_000))
    seconds = np.sort(rng.integers(0, 86_400, n))
    moments = np.datetime64(draw.midnight(day), "s") + seconds
    return pa.table({
        "pass_id": pa.array(np.char.add(f"GC{day:%Y%m%d}-", np.char.zfill(np.arange(n).astype(str), 6))),
        "checkpoint": np.array([f"K{k:03d}" for k in range(120)])[rng.integers(0, 120, n)],
        "passed_at": pa.array(moments, type=pa.timestamp("s", "UTC")),
        "plate": draw.gaps(rng, city.cars[rng.integers(0, len(city.cars), n)], 0.02),
        "lane": rng.integers(1, 5, n),
        "speed_kmh": rng.normal(52, 12, n).round(1).clip(3, 160),
    })  # fmt: skip
