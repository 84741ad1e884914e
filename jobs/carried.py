"""What gold knows of the vehicles of one dataset: where each stood at the end of every day, and what it was told by a slice."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from lakehouse.geo import stays
from lakehouse.geo.kernels import Ints, Rows
from lakehouse.table import Table

NEVER = -(1 << 62)
"""Earlier than any instant."""


@dataclass(frozen=True)
class Told:
    """What a slice had of a vehicle when it was last worked on: first and last instant, and a checksum, None while the work
    on it isn't done."""

    first: int
    last: int
    checksum: int | None


@dataclass(frozen=True)
class Standing:
    """States of vehicles, each after its fix of the instant `last` (`NEVER`: nothing is known), the counts of that day, and
    whether nothing later is known."""

    states: Rows
    last: Ints
    counts: NDArray[np.int64]
    newest: NDArray[np.bool_]


class Carried:
    """The rows of `gold.vehicle_days` of one dataset. Threads may share it."""

    def __init__(self, table: Table, dataset: str) -> None:
        self._table, self._dataset = table, dataset
        self._of: dict[str, tuple[Ints, Ints]] = {}
        self._days: dict[int, dict[str, tuple[Rows, Ints]]] = {}
        self._loading = threading.Lock()
        if table.exists():
            rows = self._read(None, ["vehicle", "last_at", "_day"])
            order = pc.sort_indices(rows, [("vehicle", "ascending"), ("last_at", "ascending")])
            rows = rows.take(order)
            last, day = (
                rows[name].cast(kind).to_numpy() for name, kind in (("last_at", pa.int64()), ("_day", pa.int32()))
            )
            names = rows["vehicle"].combine_chunks().dictionary_encode()
            codes = names.indices.to_numpy()
            starts = np.append(np.flatnonzero(np.diff(codes, prepend=-1)), len(codes))
            for name, low, high in zip(names.dictionary.to_pylist(), starts[:-1], starts[1:], strict=True):
                self._of[name] = last[low:high], day[low:high].astype(np.int64)

    def before(self, vehicles: Sequence[str], instants: Ints) -> Standing:
        """Each vehicle as it stood before an instant."""
        found = Standing(
            stays.unknown(len(vehicles)),
            np.full(len(vehicles), NEVER),
            np.zeros((len(vehicles), 1 + len(stays.REASONS)), np.int64),
            np.ones(len(vehicles), bool),
        )
        for i, vehicle in enumerate(vehicles):
            if vehicle in self._of:
                last, day = self._of[vehicle]
                place = int(np.searchsorted(last, instants[i])) - 1
                found.newest[i] = place == len(last) - 1
                if place >= 0:
                    found.last[i] = last[place]
                    found.states[i], found.counts[i] = self._day(int(day[place]))[vehicle]
        return found

    def next_day(self, vehicle: str, instant: int) -> int | None:
        """The first day after an instant that has fixes of the vehicle, as days since 1970."""
        last, day = self._of.get(vehicle, (np.empty(0, np.int64), np.empty(0, np.int64)))
        place = int(np.searchsorted(last, instant))
        return int(day[place]) if place < len(day) else None

    def _day(self, day: int) -> dict[str, tuple[Rows, Ints]]:
        with self._loading:
            if day not in self._days:
                rows = self._read(day, ["vehicle", "state", "used", *stays.REASONS])
                flat = rows["state"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
                states = flat.reshape(rows.num_rows, stays.STATE)
                counts = np.stack([rows[name].to_numpy() for name in ("used", *stays.REASONS)], axis=1)
                names = rows["vehicle"].to_pylist()
                self._days[day] = dict(zip(names, zip(states, counts, strict=True), strict=True))
            return self._days[day]

    def _read(self, day: int | None, columns: list[str]) -> pa.Table:
        condition = pc.field("dataset") == self._dataset
        if day is not None:
            condition = condition & (pc.field("_day") == pa.scalar(day, pa.int32()).cast(pa.date32()))
        return self._table.open().to_pyarrow_dataset().to_table(columns=columns, filter=condition)


def told(table: Table, dataset: str, day: date) -> dict[str, Told]:
    """Vehicle -> what `gold.vehicle_slices` says the slice of the day had of it."""
    if not table.exists():
        return {}
    rows = table.read(day=day, columns=["dataset", "vehicle", "first_at", "last_at", "checksum"])
    rows = rows.filter(pc.field("dataset") == dataset)
    first, last = (rows[name].cast(pa.int64()).to_pylist() for name in ("first_at", "last_at"))
    found = zip(rows["vehicle"].to_pylist(), first, last, rows["checksum"].to_pylist(), strict=True)
    return {vehicle: Told(*facts) for vehicle, *facts in found}
