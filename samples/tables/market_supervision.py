"""What market supervision delivers."""

from datetime import date

import numpy as np
import pyarrow as pa

from samples import draw
from samples.city import DAYS, REFERABLE_FIRMS, City
from samples.datum import gcj02

_CLOSED = ("注销", "吊销")


def firms(city: City, day: date) -> pa.Table:
    """Every firm known on the day; 20 more each day."""
    rng = city.always("firms")
    n = len(city.firms.uscc)
    known = draw.known_on(day, DAYS[0], 2_960, 20)
    place = city.firms.place
    lon, lat = gcj02(city.places.lon[place], city.places.lat[place])
    registered = draw.dates(rng, n, date(1995, 1, 1), date(2023, 12, 31))
    closed = draw.dates(rng, n, date(2024, 1, 1), date(2026, 2, 20))
    table = {
        "uscc": city.firms.uscc,
        "name": city.firms.name,
        "legal_person": city.people.name[city.firms.person],
        "phone": draw.gaps(rng, city.firms.phone, 0.02),
        "status": city.firms.status,
        "industry": city.firms.industry,
        "capital_wan": np.round(rng.lognormal(5, 1.2, n), 2),
        "registered_on": registered,
        "closed_on": pa.array(closed, mask=~np.isin(city.firms.status, _CLOSED)),
        "division": city.places.division[place],
        "address": city.places.address[place],
        "lon": lon.round(6),
        "lat": lat.round(6),
        "导出时间": np.full(n, f"{day} 04:10:00"),
    }
    return pa.table(table).slice(0, known)


def inspections(city: City, day: date) -> pa.Table:
    """About 450 inspections of the day before."""
    rng = city.draw("inspections", day)
    n = int(rng.integers(440, 460))
    firm = rng.integers(0, REFERABLE_FIRMS, n)
    result = rng.choice(["合格", "整改", "立案"], n, p=[0.8, 0.17, 0.03])
    deadline = draw.dates(rng, n, date(2026, 3, 15), date(2026, 4, 15))
    return pa.table({
        "inspection_no": draw.numbered("JC", day, n),
        "uscc": city.firms.uscc[firm],
        "firm_name": city.firms.name[firm],
        "inspected_at": draw.text(draw.moments(rng, day, n, first_hour=8, last_hour=18), separator="T", zone="+08:00"),
        "result": result,
        "rectify_by": pa.array(deadline, mask=result != "整改"),
        "score": rng.integers(60, 101, n),
        "inspector": rng.choice(city.people.name[:200], n),
    })  # fmt: skip


def food_licences(city: City, day: date) -> pa.Table:
    """All 1,500 licences on the first day, then the 150 that were changed the day before."""
    fixed, n = city.always("food_licences"), 1_500
    firm = fixed.permutation(REFERABLE_FIRMS)[:n]
    since = draw.dates(fixed, n, date(2023, 1, 1), date(2025, 12, 31))
    until = draw.dates(fixed, n, date(2027, 1, 1), date(2030, 12, 31))
    rng = city.draw("food_licences", day)
    changed = np.arange(n) if day <= DAYS[0] else np.sort(rng.choice(n, 150, replace=False))
    return pa.table({
        "licence_no": [f"JY1{fixed.integers(10**12, 10**13)}" for _ in range(n)],
        "uscc": city.firms.uscc[firm],
        "firm_name": city.firms.name[firm],
        "business": fixed.choice(["食品销售经营者", "餐饮服务经营者", "单位食堂"], n),
        "valid_from": [f"{s[:4]}年{s[5:7]}月{s[8:]}日" for s in since],
        "valid_until": [f"{s[:4]}年{s[5:7]}月{s[8:]}日" for s in until],
        "state": np.full(n, "有效"),
        "updated_at": draw.text(draw.moments(rng, day, n)),
    }).take(changed)  # fmt: skip


def online_shops(city: City, day: date) -> pa.Table:
    """2,000 shops as a crawler saw them in the week."""
    rng, n = city.draw("online_shops", day), 2_000
    place = rng.integers(0, len(city.places.lon), n)
    lon, lat = gcj02(city.places.lon[place], city.places.lat[place])
    kind = rng.choice(["面馆", "小吃店", "饭店", "奶茶铺", "烘焙坊"], n)
    return pa.table({
        "platform": np.resize(["外卖甲", "外卖乙"], n),
        "shop_id": [f"{k:08d}" for k in rng.choice(10**8, n, replace=False)],
        "shop_name": np.char.add(np.char.add(rng.choice(city.people.name, n), "家"), kind),
        "licence_no": draw.gaps(rng, [f"JY1{k}" for k in rng.integers(10**12, 10**13, n)], 0.15),
        "address": city.places.address[place],
        "rating": rng.uniform(3, 5, n).round(1),
        "monthly_orders": rng.integers(0, 5_000, n),
        "lon": lon.round(6),
        "lat": lat.round(6),
    })  # fmt: skip
