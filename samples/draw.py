"""Columns drawn at random: moments, choices, positions. Pure functions of the random numbers given."""

from collections.abc import Sequence
from datetime import date, datetime, time, timedelta

import numpy as np
import pyarrow as pa

from lakehouse.settings import ZONE

Random = np.random.Generator


def moments(rng: Random, day: date, n: int, *, first_hour: float = 0, last_hour: float = 24) -> np.ndarray:
    """`n` sorted instants (whole seconds, Asia/Shanghai wall clock) of the day before `day`."""
    seconds = np.sort(rng.integers(int(first_hour * 3600), int(last_hour * 3600), n))
    return np.datetime64(day - timedelta(1), "s") + seconds


def text(instants: np.ndarray, *, separator: str = " ", zone: str = "") -> np.ndarray:
    """Instants as `2026-03-01 08:00:00`; ISO 8601 with `separator="T", zone="+08:00"`."""
    plain = np.datetime_as_string(instants.astype("datetime64[s]"))
    return np.char.add(np.char.replace(plain, "T", separator), zone)


def dates(rng: Random, n: int, first: date, last: date) -> np.ndarray:
    """`n` dates from `first` to `last` as `2026-03-01`."""
    span = (last - first).days + 1
    return np.datetime_as_string(np.datetime64(first, "D") + rng.integers(0, span, n))


def numbered(prefix: str, day: date, n: int) -> np.ndarray:
    """Serial numbers like `RX20260301-00001`, unique over days."""
    stem = f"{prefix}{day:%Y%m%d}-"
    return np.array([f"{stem}{k:05d}" for k in range(1, n + 1)])


def gaps(rng: Random, values: Sequence[object] | np.ndarray, share: float) -> pa.Array:
    """The values with about `share` of them null."""
    return pa.array(np.asarray(values), mask=rng.random(len(values)) < share)


def known_on(day: date, first: date, base: int, growth: int) -> int:
    """How many members a register has on a day: `base` on `first`, `growth` more every day."""
    return base + growth * max(0, (day - first).days)


def midnight(day: date) -> int:
    """The first second of the day before `day` in Asia/Shanghai, since 1970 in UTC."""
    return int(datetime.combine(day - timedelta(1), time(), ZONE).timestamp())
