"""What civil affairs delivers."""

from datetime import date, timedelta

import numpy as np
import pyarrow as pa

from samples import draw
from samples.city import DAYS, REFERABLE_PEOPLE, City


def addresses(city: City, day: date) -> pa.Table:
    """The standard addresses of the week."""
    places = city.places
    return pa.table({
        "address_id": [f"DZ{k:06d}" for k in range(1, len(places.lon) + 1)],
        "address": places.address,
        "street": places.street,
        "community": places.community,
        "division": places.division,
        "postcode": places.postcode,
        "x": places.lon,
        "y": places.lat,
    }).slice(0, 5_900 + day.day)  # fmt: skip


def elder_care(city: City, day: date) -> pa.Table:
    """All 1,200 people in care on the first day, then the 100 whose record changed on the day before."""
    fixed, n = city.always("elder_care"), 1_200
    person = fixed.permutation(REFERABLE_PEOPLE)[:n]
    care = fixed.choice(["居家", "社区", "机构"], n, p=[0.6, 0.25, 0.15])
    rng = city.draw("elder_care", day)
    changed = np.arange(n) if day <= DAYS[0] else np.sort(rng.choice(n, 100, replace=False))
    return pa.table({
        "person_id": city.people.id[person],
        "name": city.people.name[person],
        "reported_on": np.full(n, str(day)),
        "care": care,
        "ability": fixed.integers(0, 5, n),
        "community": city.places.community[city.people.place[person]],
        "phone": city.people.phone[person],
        "allowance_yuan": pa.array(fixed.integers(1, 30, n) * 100, mask=(care == "居家") & (fixed.random(n) < 0.3)),
        "lives_alone": fixed.choice(["true", "false"], n),
        "updated_at": draw.text(draw.moments(rng, day, n), zone="+08:00"),
    }).take(changed).sort_by("person_id")  # fmt: skip


def welfare_payments(city: City, day: date) -> pa.Table:
    """The month's 2,000 payments."""
    rng, n = city.draw("welfare_payments", day), 2_000
    person = np.sort(rng.permutation(REFERABLE_PEOPLE)[:n])
    people = rng.integers(1, 6, n)
    return pa.table({
        "person_id": city.people.id[person],
        "name": city.people.name[person],
        "amount_yuan": people * 200 + rng.integers(0, 400, n),
        "people": people,
        "paid_on": draw.dates(rng, n, day - timedelta(12), day - timedelta(3)),
        "division": city.places.division[city.people.place[person]],
    })  # fmt: skip
