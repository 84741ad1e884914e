"""When a delivery is first seen, planned ahead so that a replay of the week always meets the same arrivals."""

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

import numpy as np

from lakehouse.contract import Contract
from lakehouse.settings import ZONE
from samples.planted import planted

NIGHT = time(8, 30)
"""The nightly run of a day starts at this hour (Asia/Shanghai)."""


@dataclass(frozen=True)
class Arrival:
    """One row of `arrivals.csv`. `path` is below the inbox, empty for servers; no `received_at`: nothing ever comes."""

    department: str
    dataset: str
    day: date
    path: str
    received_at: datetime | None
    due_at: datetime


def planned(contract: Contract, day: date, path: str, rng: np.random.Generator) -> Arrival:
    """When the delivery of `day` is seen: in time, unless `planted.yml` has it late or missing."""
    received: datetime | None = _in_time(contract, day, rng)
    for item in planted(contract.name, day):
        if item.kind == "missing":
            received = None
        if item.kind == "late":
            received = contract.arrives.due(day) + timedelta(minutes=item.args["minutes"])
    return Arrival(contract.department, contract.dataset, day, path, received, contract.arrives.due(day))


def _in_time(contract: Contract, day: date, rng: np.random.Generator) -> datetime:
    """15 to 75 minutes before it is due, and before the night starts."""
    latest = min(contract.arrives.due(day), datetime.combine(day, NIGHT, ZONE))
    return latest - timedelta(minutes=int(rng.integers(15, 75)))
