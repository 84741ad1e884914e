"""What the 12345 hotline delivers."""

from datetime import date

import numpy as np
import pyarrow as pa

from samples import draw
from samples.city import DAYS, City
from samples.layers import WORDS

_DEPARTMENTS = np.array(["城管局", "住建局", "公安局", "市监局", "生态环境局", "水利局", "人社局", "交通局"])


def tickets(city: City, day: date) -> pa.Table:
    """Tickets accepted on the day before, and those of the day before that in their new state."""
    fresh = _accepted(city, day)
    if day <= DAYS[0]:
        return fresh
    rng = city.draw("tickets again", day)
    earlier = _accepted(city, date.fromordinal(day.toordinal() - 1)).slice(0, 600)
    closed = draw.text(draw.moments(rng, day, len(earlier), first_hour=8, last_hour=20))
    rating = rng.choice(["满意", "基本满意", "不满意"], len(earlier), p=[0.7, 0.2, 0.1])
    again = {"closed_at": closed, "satisfaction": rating, "updated_at": closed}
    for name, values in again.items():
        earlier = earlier.set_column(earlier.schema.get_field_index(name), name, pa.array(values))
    return pa.concat_tables([fresh, earlier])


def _accepted(city: City, day: date) -> pa.Table:
    rng = city.draw("tickets", day)
    n = int(rng.integers(2_350, 2_450))
    complaint = rng.integers(0, len(WORDS["complaints"]), n)
    place = rng.integers(0, len(city.places.lon), n)
    caller = rng.integers(0, len(city.people.id), n)
    accepted = draw.text(draw.moments(rng, day, n))
    contents = [
        f"{city.people.name[who][0]}先生/女士反映：{city.places.address[where]}，{WORDS['complaints'][what]['text']}。"
        + ("\n希望尽快回复。" if who % 7 == 0 else "")
        for who, where, what in zip(caller, place, complaint, strict=True)
    ]
    return pa.table({
        "ticket_no": draw.numbered("RX", day, n),
        "caller_phone": draw.gaps(rng, city.people.phone[caller], 0.03),
        "content": contents,
        "topic": [WORDS["complaints"][what]["topic"] for what in complaint],
        "address": city.places.address[place],
        "division": city.places.division[place],
        "department": rng.choice(_DEPARTMENTS, n),
        "accepted_at": accepted,
        "closed_at": pa.nulls(n, pa.string()),
        "satisfaction": pa.nulls(n, pa.string()),
        "updated_at": accepted,
    })  # fmt: skip


def online_posts(city: City, day: date) -> pa.Table:
    """About 800 posts of the day before."""
    rng = city.draw("online_posts", day)
    n = int(rng.integers(780, 820))
    complaint = rng.integers(0, len(WORDS["complaints"]), n)
    street = rng.choice(WORDS["streets"], n)
    posted = draw.moments(rng, day, n)
    return pa.table({
        "post_id": draw.numbered("TZ", day, n),
        "forum": rng.choice(["濠滨论坛", "市长信箱", "微博"], n),
        "title": [f"{s}{WORDS['complaints'][what]['topic']}" for s, what in zip(street, complaint, strict=True)],
        "content": [f"{s}：{WORDS['complaints'][what]['text']}。" for s, what in zip(street, complaint, strict=True)],
        "likes": rng.poisson(6, n),
        "posted_at": draw.text(posted, separator="T", zone="+08:00"),
        "replied_at": pa.array(
            draw.text(posted + rng.integers(600, 90_000, n), separator="T", zone="+08:00"), mask=rng.random(n) < 0.4
        ),
    })  # fmt: skip
