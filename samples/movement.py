"""Positions of vehicles on their tours, as receivers report them, and the truth about where they stayed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from samples.habits import Hubs, Tour
from samples.roads import EAST, METRES
from samples.routes import Route

DAY_S = 86_400
_JITTER_DEG = 3e-5  # about 3 m, a receiver's own noise
_PARKED_DEG = 8e-5  # about 8 m: every vehicle has a parking place of its own
_WAKES_S, _SLEEPS_S = 16_200, 73_800
"""From 20:30 to 04:30 a receiver reports seldom."""
_LATEST_S = _SLEEPS_S - 600
"""Who would be home later leaves out the last stops."""
_LOST = 0.05
"""The share of vehicles that lose their receiver for a while on the way, once a day."""
_LONG_S = 1_800
"""Only trips longer than this have such a gap, of 15 to 80 % of them."""


@dataclass(frozen=True)
class Tracks:
    """One element per fix, vehicle by vehicle, in order of time; WGS-84; `second` of the day."""

    vehicle: np.ndarray
    second: np.ndarray
    lon: np.ndarray
    lat: np.ndarray
    speed_kmh: np.ndarray
    heading: np.ndarray

    def where(self, kept: np.ndarray) -> "Tracks":
        """Some of the fixes."""
        return Tracks(**{name: values[kept] for name, values in vars(self).items()})

    def then(self, other: "Tracks", *, later_s: int) -> "Tracks":
        """These fixes, and others whose seconds count from a midnight `later_s` later."""
        moved = vars(other) | {"second": other.second + later_s}
        return Tracks(**{name: np.concatenate([values, moved[name]]) for name, values in vars(self).items()})


class Stay(NamedTuple):
    """A vehicle at a hub, from one second of the day to another; the first and last of a day reach to midnight."""

    vehicle: int
    hub: int
    began_s: float
    ended_s: float


@dataclass(frozen=True)
class Driven:
    """A vehicle's day: its stays, the seconds and positions (WGS-84) between which it moves evenly, and when it is silent.

    On the way to stay `astray`, counted from 0, it passed somewhere off the fastest way; 0: on none.
    """

    stays: tuple[Stay, ...]
    astray: int
    seconds: np.ndarray
    line: np.ndarray
    silent: tuple[float, float]


def driven(rng: np.random.Generator, hubs: Hubs, tours: Sequence[Tour], parking: np.ndarray) -> list[Driven]:
    """How the tours went, one a vehicle: home by twenty past eight in the evening. `parking`: see `parking_places`."""
    return [_day(rng, hubs, vehicle, tour, parking[vehicle]) for vehicle, tour in enumerate(tours)]


def parking_places(rng: np.random.Generator, vehicles: int) -> np.ndarray:
    """How far from a hub's position each vehicle parks (degrees): the same for all hubs, and for all days."""
    return rng.normal(0, _PARKED_DEG, (vehicles, 2))


def tracks(rng: np.random.Generator, days: Sequence[Driven], *, fixes: int, asleep_s: int) -> Tracks:
    """About `fixes` fixes a vehicle: one in `asleep_s` seconds by night, evenly timed in between."""
    night = np.append(np.arange(0, _WAKES_S, asleep_s), np.arange(_SLEEPS_S, DAY_S, asleep_s))
    interval = (_SLEEPS_S - _WAKES_S) / (fixes - len(night))
    clock = np.sort(np.append(night, _WAKES_S + np.arange(fixes - len(night)) * interval))
    second = (clock + rng.integers(0, int(interval), (len(days), 1))).astype(int)
    x, y = (
        np.stack([np.interp(s, day.seconds, day.line[:, axis]) for s, day in zip(second, days, strict=True)])
        for axis in (0, 1)
    )
    step = np.diff(x, axis=1, append=x[:, -1:]) * EAST, np.diff(y, axis=1, append=y[:, -1:])
    speed = np.hypot(*step) * METRES / np.diff(second, axis=1, append=DAY_S) * 3.6
    heading = np.degrees(np.arctan2(*step)).astype(int) % 360
    noise = rng.normal(0, _JITTER_DEG, (2, *x.shape))
    silent = np.array([day.silent for day in days])
    heard = (second < silent[:, :1]) | (second >= silent[:, 1:])
    found = Tracks(
        vehicle=np.repeat(np.arange(len(days)), fixes),
        second=second.ravel(),
        lon=(x + noise[0]).ravel(),
        lat=(y + noise[1]).ravel(),
        speed_kmh=np.clip(speed, 0, 110).ravel(),
        heading=heading.ravel(),
    )
    return found.where(heard.ravel())


def clock(day: date) -> pa.Array:
    """Every second of the two days before `day` as `2026-02-28 00:00:00`."""
    seconds = np.datetime64(day - timedelta(2), "s") + np.arange(2 * DAY_S)
    return pa.array(np.char.replace(np.datetime_as_string(seconds), "T", " "))


def _day(rng: np.random.Generator, hubs: Hubs, vehicle: int, tour: Tour, parking: np.ndarray) -> Driven:
    stops, minutes, legs = _in_time(hubs, tour)
    spots = hubs.at[stops] + parking
    ends = np.cumsum([len(leg.seconds) for leg in legs], dtype=int)
    starts = np.append(1, ends[:-1] + 1)[: len(legs)]
    line = np.concatenate([spots[:1], *(leg.line for leg in legs), spots[-1:]])
    line[starts], line[ends] = spots[:-1], spots[1:]
    lasting = np.concatenate([[0.0], *(leg.seconds for leg in legs), [0.0]]) / tour.pace
    lasting[starts] = [tour.starts * 60, *(minute * 60 for minute in minutes)][: len(legs)]
    seconds = lasting.cumsum()
    seconds[-1] = DAY_S
    left, arrived = seconds[starts].tolist(), seconds[ends].tolist()
    stays = tuple(map(Stay, [vehicle] * len(stops), stops, [0.0, *arrived], [*left, DAY_S]))
    silent = next(
        ((begin + (end - begin) * 0.15, begin + (end - begin) * 0.8)
         for begin, end in zip(left, arrived, strict=True) if end - begin > _LONG_S and rng.random() < _LOST),
        (DAY_S, DAY_S),
    )  # fmt: skip
    astray = tour.astray if tour.via >= 0 and tour.astray <= len(legs) else 0
    return Driven(stays, astray, seconds, line, silent)


def _in_time(hubs: Hubs, tour: Tour) -> tuple[list[int], list[float], list[Route]]:
    """The stops, the minutes at those in between and the ways there, without the last stops if they would take too long."""
    stops, minutes = list(tour.stops), list(tour.minutes)
    while len(stops) > 2:
        legs = list(_legs(hubs, stops, tour))
        if (tour.starts + sum(minutes)) * 60 + sum(leg.lasts_s for leg in legs) / tour.pace <= _LATEST_S:
            return stops, minutes, legs
        del stops[-2], minutes[-1]
        if stops[-2] == stops[-1]:
            del stops[-1], minutes[-1:]
    return stops, minutes, [] if stops[0] == stops[-1] else list(_legs(hubs, stops, tour))


def _legs(hubs: Hubs, stops: Sequence[int], tour: Tour) -> Iterator[Route]:
    """The ways from stop to stop."""
    for number, (start, end) in enumerate(pairwise(stops), 1):
        if number == tour.astray and tour.via >= 0:
            yield hubs.routes.between(start, tour.via).then(hubs.routes.between(tour.via, end))
        else:
            yield hubs.routes.between(start, end)
