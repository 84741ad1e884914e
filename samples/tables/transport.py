"""What transport delivers."""

from datetime import date

import numpy as np
import pyarrow as pa

from samples import draw, fleets, movement
from samples.city import (
    DAYS,
    HAZMAT_FIRMS,
    REFERABLE_CARS,
    REFERABLE_FIRMS,
    REFERABLE_PEOPLE,
    REFERABLE_TANKERS,
    TANKERS,
    City,
)
from samples.datum import gcj02

DENSE_DAYS = (DAYS[0], DAYS[3])
"""Days of close watch: a fix every 20 seconds instead of every minute, over 200 MB."""
_FIXES = {True: 3_060, False: 950}
_VIN = np.array(list("ABCDEFGHJKLMNPRTUVWXYZ0123456789"))
_GOODS = {
    "1203": "汽油", "1202": "柴油", "1230": "甲醇", "1294": "甲苯", "1075": "液化石油气", "1972": "冷冻液态甲烷",
    "1830": "硫酸", "1789": "盐酸", "1824": "氢氧化钠溶液", "1005": "无水氨",
}  # fmt: skip


def hazmat_vehicles(city: City, day: date) -> pa.Table:
    """The licensed vehicles; one more each day."""
    rng = city.always("hazmat_vehicles")
    n = len(city.tankers)
    owner = city.tanker_owners
    return pa.table({
        "plate": city.tankers,
        "vin": ["L" + "".join(rng.choice(_VIN, 10)) + f"{k:06d}" for k in range(n)],
        "firm": city.firms.uscc[owner],
        "firm_name": city.firms.name[owner],
        "hazmat_class": rng.choice(["2.1", "3", "8", "5.1", "6.1"], n),
        "licence_until": draw.dates(rng, n, date(2026, 6, 1), date(2028, 12, 31)),
        "load_t": rng.uniform(5, 33, n).round(1),
        "is_tanker": rng.choice(["true", "false"], n, p=[0.8, 0.2]),
    }).slice(0, draw.known_on(day, DAYS[0], TANKERS - 10, 1))  # fmt: skip


def waybills(city: City, day: date) -> pa.Table:
    """About 800 waybills of goods loaded the day before."""
    rng = city.draw("waybills", day)
    n = int(rng.integers(790, 815))
    loaded = draw.moments(rng, day, n, first_hour=4, last_hour=18)
    under_way = rng.integers(1_200, 18_000, n)
    un_number = rng.choice(list(_GOODS), n)
    driver = rng.integers(0, REFERABLE_PEOPLE, n)
    return pa.table({
        "waybill_no": draw.numbered("YD", day, n),
        "reported_on": np.full(n, day.isoformat()),
        "plate": rng.choice(city.tankers[:REFERABLE_TANKERS], n),
        "driver_id": city.people.id[driver],
        "driver_name": city.people.name[driver],
        "un_number": un_number,
        "goods": [_GOODS[number] for number in un_number],
        "load_t": rng.uniform(1, 30, n).round(2),
        "shipper": city.firms.uscc[rng.integers(0, HAZMAT_FIRMS, n)],
        "consignee": city.firms.uscc[rng.integers(0, REFERABLE_FIRMS, n)],
        "loaded_at": draw.text(loaded, zone="+08:00"),
        "unloaded_at": pa.array(draw.text(loaded + under_way, zone="+08:00"), mask=rng.random(n) < 0.05),
    })  # fmt: skip


def hazmat_gps(city: City, day: date) -> pa.Table:
    """Fixes of all tankers on the day before, vehicle by vehicle, on GCJ-02; about 85 bytes a row of CSV."""
    tracks = fleets.tracks(city, fleets.TANKERS, day, fixes=_FIXES[day in DENSE_DAYS])
    vehicle = pa.array(tracks.vehicle)
    lon, lat = gcj02(tracks.lon, tracks.lat)
    firmware = np.array(["v2.1", "v2.3", "v3.0"])[np.arange(TANKERS) % 3]
    return pa.table({
        "plate": pa.array(city.tankers).take(vehicle),
        "gps_at": movement.clock(day).take(pa.array(tracks.second + movement.DAY_S)),
        "lon": lon.round(6),
        "lat": lat.round(6),
        "speed_kmh": tracks.speed_kmh.round(1),
        "heading": tracks.heading,
        "firm": pa.array(city.firms.uscc[city.tanker_owners]).take(vehicle),
        "device_fw": pa.array(firmware).take(vehicle),
    })  # fmt: skip


def bus_arrivals(city: City, day: date) -> pa.Table:
    """60,000 arrivals of the day before: 250 buses, each in order of time."""
    rng, buses, each = city.draw("bus_arrivals", day), 250, 240
    n = buses * each
    times = np.sort(rng.choice(17 * 3_600, (buses, each)), axis=1) + 5 * 3_600
    return pa.table({
        "route": np.repeat([f"{k % 60 + 1}路" for k in range(buses)], each),
        "plate": np.repeat(city.cars[REFERABLE_CARS : REFERABLE_CARS + buses], each),
        "stop_no": np.tile(np.arange(each) % 40 + 1, buses),
        "arrived_at": (draw.midnight(day) + times.ravel()) * 1_000,
        "delay_s": rng.normal(40, 90, n).astype(int).clip(-600, 1_800),
        "boarded": rng.poisson(4, n),
    })  # fmt: skip


def ride_orders(city: City, day: date) -> pa.Table:
    """About 40,000 rides begun on the day before."""
    rng = city.draw("ride_orders", day)
    n = int(rng.integers(39_500, 40_500))
    place = rng.integers(0, len(city.places.lon), n)
    lon, lat = gcj02(city.places.lon[place] + rng.normal(0, 0.002, n), city.places.lat[place] + rng.normal(0, 0.002, n))
    started = draw.moments(rng, day, n)
    minutes = rng.gamma(4, 5, n) + 1
    distance = (minutes * rng.uniform(0.3, 0.9, n)).round(1).clip(0.3, 200)
    return pa.table({
        "order_no": draw.numbered("WY", day, n),
        "plate": rng.choice(city.cars[:REFERABLE_CARS], n),
        "started_at": draw.text(started),
        "ended_at": draw.text(started + (minutes * 60).astype(int)),
        "start_lon": lon.round(6),
        "start_lat": lat.round(6),
        "distance_km": distance,
        "fare_yuan": (9 + distance * 2.4).round(2),
        "is_shared": rng.random(n) < 0.1,
    })  # fmt: skip
