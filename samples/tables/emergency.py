"""What emergency management delivers."""

from datetime import date, timedelta

import numpy as np
import pyarrow as pa

from samples import draw
from samples.city import DAYS, HAZMAT_FIRMS, REFERABLE_FIRMS, City

_ACTIVITIES = np.array(["生产", "使用", "储存", "经营"])


def hazmat_permits(city: City, day: date) -> pa.Table:
    """One permit for each firm in the dangerous goods trade and for some others; two more each day."""
    rng = city.always("hazmat_permits")
    n = draw.known_on(day, DAYS[0], HAZMAT_FIRMS + 60, 2)
    most = 2 * HAZMAT_FIRMS
    columns = {
        "permit_no": [f"苏F危化经{20230000 + k}" for k in range(most)],
        "uscc": city.firms.uscc[:most],
        "firm_name": city.firms.name[:most],
        "firm_status": city.firms.status[:most],
        "activity": np.resize(_ACTIVITIES, most),
        "valid_until": draw.dates(rng, most, date(2026, 6, 1), date(2029, 5, 31)),
        "storage_t": rng.gamma(2, 150, most).round(1),
        "contact_phone": city.firms.phone[:most],
    }
    return pa.table(columns).slice(0, n)


def alarms(city: City, day: date) -> pa.Table:
    """About 3,000 alarms of the day before."""
    rng = city.draw("alarms", day)
    n = int(rng.integers(2_950, 3_050))
    raised = draw.moments(rng, day, n)
    threshold = rng.choice([60.0, 120.0, 200.0], n)
    level = rng.choice(["一级", "二级", "三级", "四级"], n, p=[0.01, 0.06, 0.33, 0.6])
    unhandled = (rng.random(n) < 0.3) & ~np.isin(level, ["一级", "二级"])
    return pa.table({
        "alarm_id": draw.numbered("AL", day, n),
        "uscc": city.firms.uscc[rng.integers(0, HAZMAT_FIRMS, n)],
        "sensor": np.char.add(rng.choice(list("TPLG"), n), [f"{k:04d}" for k in rng.integers(0, 900, n)]),
        "level": level,
        "value": (threshold + rng.gamma(2, 8, n) + 0.1).round(1),
        "threshold": threshold,
        "raised_at": draw.text(raised, separator="T", zone="+08:00"),
        "cleared_at": pa.array(
            draw.text(raised + rng.integers(30, 3_600, n), separator="T", zone="+08:00"), mask=rng.random(n) < 0.05
        ),
        "handled_by": pa.array(rng.choice(city.people.name[:100], n), mask=unhandled),
    })  # fmt: skip


def hidden_dangers(city: City, day: date) -> pa.Table:
    """300 dangers found on the day before, and those of the day before that once they are repaired."""
    found = _found(city, day)
    if day <= DAYS[0]:
        return found
    earlier = _found(city, day - timedelta(1)).slice(0, 150)
    n = len(earlier)
    news = {
        "repaired_on": pa.array([str(day - timedelta(1))] * n),
        "is_closed": pa.array(["是"] * n),
        "updated_at": pa.array(draw.text(draw.moments(city.draw("repairs", day), day, n, first_hour=8, last_hour=18))),
    }
    for name, values in news.items():
        earlier = earlier.set_column(earlier.schema.get_field_index(name), name, values)
    return pa.concat_tables([found, earlier])


def _found(city: City, day: date) -> pa.Table:
    rng, n = city.draw("hidden_dangers", day), 300
    return pa.table({
        "danger_no": draw.numbered("YH", day, n),
        "uscc": city.firms.uscc[rng.integers(0, REFERABLE_FIRMS, n)],
        "level": rng.choice(["一般", "重大"], n, p=[0.96, 0.04]),
        "found_on": np.full(n, str(day - timedelta(1))),
        "repaired_on": pa.nulls(n, pa.string()),
        "cost_wan": rng.gamma(2, 1.5, n).round(2),
        "is_closed": np.full(n, "否"),
        "updated_at": draw.text(draw.moments(rng, day, n, first_hour=8, last_hour=18)),
    })  # fmt: skip
