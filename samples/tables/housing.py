"""What housing and construction delivers."""

from datetime import date

import numpy as np
import pyarrow as pa

from samples import draw
from samples.city import DAYS, REFERABLE_FIRMS, REFERABLE_PEOPLE, City
from samples.datum import bd09


def rental_contracts(city: City, day: date) -> pa.Table:
    """All 3,000 tenancies on the first day, then the 200 registered anew or changed on the day before."""
    fixed, n = city.always("rental_contracts"), 3_000
    tenant, landlord = fixed.integers(0, REFERABLE_PEOPLE, (2, n))
    place = fixed.integers(0, len(city.places.lon), n)
    rng = city.draw("rental_contracts", day)
    changed = np.arange(n) if day <= DAYS[0] else np.sort(rng.choice(n, 200, replace=False))
    return pa.table({
        "contract_no": [f"ZL2025{k:06d}" for k in range(n)],
        "tenant_id": city.people.id[tenant],
        "tenant_name": city.people.name[tenant],
        "landlord_id": city.people.id[landlord],
        "address": [f"{a}{k % 30 + 1}幢{k % 18 + 1}0{k % 4 + 1}室" for k, a in enumerate(city.places.address[place])],
        "rent_yuan": fixed.gamma(6, 400, n).round(0).clip(300, 50_000),
        "area_m2": fixed.gamma(8, 9, n).round(1).clip(8, 800),
        "people": fixed.integers(1, 6, n),
        "starts_on": draw.dates(fixed, n, date(2024, 1, 1), date(2025, 12, 31)),
        "ends_on": draw.dates(fixed, n, date(2026, 6, 1), date(2028, 12, 31)),
        "updated_at": draw.text(draw.moments(rng, day, n)),
    }).take(changed)  # fmt: skip


def rental_listings(city: City, day: date) -> pa.Table:
    """About 1,800 offers posted on the day before, on BD-09."""
    rng = city.draw("rental_listings", day)
    n = int(rng.integers(1_750, 1_850))
    place = rng.integers(0, len(city.places.lon), n)
    lng, lat = bd09(city.places.lon[place], city.places.lat[place])
    rooms = rng.integers(1, 5, n)
    moments = draw.midnight(day) + np.sort(rng.integers(0, 86_400, n))
    offers = zip(city.places.community[place], rooms, rng.integers(30, 200, n), strict=True)
    return pa.table({
        "listing_id": draw.numbered("FY", day, n),
        "title": [f"{community}{count}室精装{area}平" for community, count, area in offers],
        "rent_yuan": rng.gamma(6, 400, n).astype(int).clip(300, 50_000),
        "rooms": rooms,
        "community": city.places.community[place],
        "address": city.places.address[place],
        "posted_at": moments,
        "lng": lng.round(6),
        "lat": lat.round(6),
    })  # fmt: skip


def construction_sites(city: City, day: date) -> pa.Table:
    """About 400 sites, each a little further every day; two more each day."""
    rng, place = city.always("progress"), city.construction_sites
    n = len(place)
    age = (day - DAYS[0]).days
    started = np.datetime64("2024-01-01") + rng.integers(0, 600, n)
    planned = np.datetime64("2026-06-01") + rng.integers(0, 800, n)
    return pa.table({
        "site_no": [f"GD{k:06d}" for k in range(1, n + 1)],
        "name": [f"{c}{k + 1}号地块项目" for k, c in enumerate(city.places.community[place])],
        "builder": city.firms.uscc[rng.integers(0, REFERABLE_FIRMS, n)],
        "area_m2": rng.integers(2_000, 200_000, n),
        "progress": (rng.integers(0, 90, n) + age).clip(0, 100),
        "started_on": pa.array(started.astype(object).tolist(), pa.date32()),
        "planned_end_on": pa.array(planned.astype(object).tolist(), pa.date32()),
        "address": city.places.address[place],
        "lon": city.places.lon[place],
        "lat": city.places.lat[place],
    }).slice(0, draw.known_on(day, DAYS[0], 400, 2))  # fmt: skip
