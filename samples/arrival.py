"""When a delivery is first seen, planned ahead so that a replay of the week always meets the same arrivals."""

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

import numpy as np

from lakehouse.contract import Contract
from lakehouse.settings import ZONE

NIGHT = time(8, 30)
"""The nightly run of a day starts at this hour (Asia/Shanghai)."""


@dataclass(frozen=True)
class Arrival:
    """One row of `arrivals.csv`: `path` below the inbox, empty for servers; no `received_at` when nothing ever comes."""

    department: str
    dataset: str
    day: date
    path: str
    received_at: datetime | None
    due_at: datetime


def usual(contract: Contract, day: date, rng: np.random.Generator) -> datetime:
    """In time: 15 to 75 minutes before it is due, and before the night starts."""
    latest = min(contract.arrives.due(day), datetime.combine(day, NIGHT, ZONE))
    return latest - timedelta(minutes=int(rng.integers(15, 75)))
