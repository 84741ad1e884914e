import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lakehouse.contract import Movement
from lakehouse.geo import tracks
from lakehouse.geo.stays import DAY_US, REASONS, Fixes, advance, checksums, finished, floors, stays, unknown

MINUTE = 60_000_000
HOME, PLANT = (121.0, 32.0), (121.05, 32.02)
START = 1_700_000_000_000_000 // DAY_US * DAY_US
PLAIN = {"rejoin_minutes": 0, "max_speed_mps": None}
METRE = 1 / 111_195  # of latitude, in degrees


@dataclass(frozen=True)
class Fix:
    minute: float
    lon: float
    lat: float
    vehicle: str = "a"


def parked(place: tuple[float, float], begin: float, end: float, step: float = 1, vehicle: str = "a") -> list[Fix]:
    return [Fix(minute, *place, vehicle) for minute in np.arange(begin, end + step / 2, step)]


def driving(begin: float, end: float, step: float = 1) -> list[Fix]:
    """From HOME to PLANT at an even speed, ends left out."""
    steps = np.arange(begin + step, end - step / 2, step)
    shares = (steps - begin) / (end - begin)
    (x, y), (u, v) = HOME, PLANT
    return [Fix(m, x + s * (u - x), y + s * (v - y)) for m, s in zip(steps, shares, strict=True)]


def found(fixes: list[Fix], **rules: Any) -> list[dict[str, Any]]:
    columns = (
        pa.array([f.vehicle for f in fixes], pa.string()),
        pa.array([START + round(f.minute * MINUTE) for f in fixes], pa.timestamp("us", "UTC")),
        pa.array([f.lon for f in fixes], pa.float64()),
        pa.array([f.lat for f in fixes], pa.float64()),
    )
    return stays(*columns, Movement(**rules)).to_pylist()


def minutes(stay: dict[str, Any]) -> tuple[float, float]:
    return tuple((stay[name].timestamp() * 1e6 - START) / MINUTE for name in ("began_at", "ended_at"))  # type: ignore[return-value]


def test_a_vehicle_that_stops_twice_has_two_stays_and_the_last_is_open() -> None:
    first, last = found([*parked(HOME, 0, 20), *driving(20, 30), *parked(PLANT, 30, 60)])
    assert (minutes(first), first["fixes"], first["is_open"]) == ((0, 20), 21, False)
    assert (minutes(last), last["fixes"], last["is_open"]) == ((30, 60), 31, True)
    assert (last["lon"], last["lat"]) == pytest.approx(PLANT)


def test_left_outside_means_until_the_first_fix_outside() -> None:
    track = [*parked(HOME, 0, 20), *driving(20, 30), *parked(PLANT, 30, 60)]
    assert [minutes(stay) for stay in found(track, leave="outside", **PLAIN)] == [(0, 21), (30, 60)]


def test_a_short_stop_is_no_stay() -> None:
    assert found([*parked(HOME, 0, 4.9, 0.1), *driving(4.9, 15)]) == []


def test_a_silence_longer_than_the_gap_ends_a_stay_with_its_last_fix() -> None:
    track = [*parked(HOME, 0, 20), *parked(HOME, 36, 60)]
    assert [minutes(stay) for stay in found(track)] == [(0, 20), (36, 60)]
    assert [minutes(stay) for stay in found(track, leave="outside", **PLAIN)] == [(36, 60)], "as trackintel has it"
    assert [minutes(stay) for stay in found(track, gap_minutes=16)] == [(0, 60)]


def test_drift_does_not_cut_a_stay() -> None:
    track = parked(HOME, 0, 600)
    for minute in range(50, 600, 50):
        track[minute] = Fix(minute, HOME[0], HOME[1] + 400 * METRE)
    assert [minutes(stay) for stay in found(track)] == [(0, 600)]
    slow = [Fix(m, HOME[0], HOME[1] + 150 * METRE * math.sin(m / 60)) for m in range(600)]
    assert len(found(slow, radius_m=200)) == 1


def test_a_jump_is_noise_and_a_wrong_first_position_is_given_up() -> None:
    track = parked(HOME, 0, 30)
    track[10] = Fix(10, 120.0, 31.0)
    assert [(minutes(stay), stay["fixes"]) for stay in found(track)] == [((0, 30), 30)]
    wrong = [Fix(0, 120.0, 31.0), *parked(HOME, 1, 30)]
    assert [minutes(stay) for stay in found(wrong)] == [(3, 30)]


def test_what_cannot_be_used_is_dropped_and_counted() -> None:
    bad = [
        Fix(0.5, math.nan, 32.0),
        Fix(1.5, 0, 0),
        Fix(2.5, 200, 32),
        Fix(3, 121.5, 32.0),
        Fix(4.5, 119, 32.0),
        Fix(6.5, 121.5, 32),
    ]
    track = [*parked(HOME, 0, 30), *bad]
    codes, at = np.zeros(len(track), np.int32), np.array([START + round(f.minute * MINUTE) for f in track])
    lon, lat = np.array([f.lon for f in track]), np.array([f.lat for f in track])
    movement = Movement(box=(120, 31, 122, 33))
    done = advance(Fixes.sorted(codes, at, lon, lat), unknown(1), movement)
    told = dict(zip(("used", *REASONS), done.counts.sum(axis=0).tolist(), strict=True))
    assert told == {"used": 31, "nowhere": 2, "null_island": 1, "outside": 1, "repeated": 1, "jump": 1}
    assert minutes(found(track, box=(120, 31, 122, 33))[0]) == (0, 30)


def test_of_fixes_at_one_instant_one_counts_in_whatever_order_they_come() -> None:
    twice = [*parked(HOME, 0, 30), *parked((121.0001, 32.0), 0, 30)]
    assert found(twice) == found(twice[::-1])
    assert found(twice)[0]["lon"] == pytest.approx(121.0)


def test_parked_for_months_or_half_a_million_fixes_is_one_stay() -> None:
    count = 500_000
    at = START + np.arange(count) * 15_000_000
    random = np.random.default_rng(3)
    lon, lat = HOME[0] + random.normal(0, 5e-5, count), HOME[1] + random.normal(0, 5e-5, count)
    (stay,) = stays(
        pa.array(np.zeros(count, np.int8)), pa.array(at).cast(pa.timestamp("us", "UTC")), pa.array(lon), pa.array(lat)
    ).to_pylist()
    assert stay["fixes"] == count and (stay["ended_at"] - stay["began_at"]).days == 86
    at_once = stays(
        pa.array(np.zeros(count, np.int8)),
        pa.array(at[:1].repeat(count)).cast(pa.timestamp("us", "UTC")),
        pa.array(lon),
        pa.array(lat),
    )
    assert at_once.num_rows == 0


@pytest.mark.parametrize("lon, lat", [(180.0, 0.0), (-180.0, 10.0), (0.0, 90.0), (77.0, -90.0)])
def test_stays_at_the_date_line_and_the_poles(lon: float, lat: float) -> None:
    side = [((lon + 180 + (-1) ** i * 1e-4) % 360 - 180, max(-90, min(90, lat + (-1) ** i * 1e-5))) for i in range(31)]
    (stay,) = found([Fix(i, x, y) for i, (x, y) in enumerate(side)])
    assert stay["fixes"] == 31 and abs(stay["lat"] - lat) < 1e-3
    if abs(lat) < 89:
        assert abs(abs(stay["lon"]) - 180) < 1e-3


def test_nothing_gives_nothing() -> None:
    assert found([]) == []
    assert found([Fix(0, *HOME)]) == []


# --- against an independent reading of the rules ---


def haversine(one: tuple[float, float], other: tuple[float, float]) -> float:
    (a, b), (c, d) = ((math.radians(x) for x in place) for place in (one, other))
    half = math.sin((d - b) / 2) ** 2 + math.cos(b) * math.cos(d) * math.sin((c - a) / 2) ** 2
    return 2 * 6_371_000 * math.asin(math.sqrt(half))


@given(
    lon=st.floats(-180, 180), lat=st.floats(-90, 90), radius=st.sampled_from([1.0, 50.0, 100.0, 5_000.0, 50_000.0]),
    share=st.floats(0.9999, 1.0001) | st.floats(0, 100), turn=st.floats(0, 2 * math.pi),
)  # fmt: skip
@settings(max_examples=300, deadline=None)
def test_near_is_what_the_haversine_formula_says(
    lon: float, lat: float, radius: float, share: float, turn: float
) -> None:
    way = share * radius * METRE
    x, y = lon + way * math.sin(turn) / max(math.cos(math.radians(lat)), 1e-9), lat + way * math.cos(turn)
    x, y = (x + 180) % 360 - 180, max(-90.0, min(90.0, y))
    near = np.empty(1, np.int32)
    tracks.are_near(*(np.array([v]) for v in (lon, lat, x, y)), radius, near)
    exact = haversine((lon, lat), (x, y))
    assert abs(exact - radius) < 1e-6 or near[0] == (exact < radius)


def by_hand(track: list[Fix], rules: Movement) -> list[tuple[float, float, int]]:
    """The stays of one vehicle: whole history, lists, no state."""
    shortest, gap = rules.minutes, rules.gap_minutes
    runs: list[list[Fix]] = []
    for before, fix in zip([None, *track], track, strict=False):
        if before is None or fix.minute - before.minute > gap:
            runs.append([])
        runs[-1].append(fix)
    every: list[tuple[float, float, int]] = []
    for run in runs:
        groups: list[list[Fix]] = []
        for fix in run:
            near = groups and haversine((groups[-1][0].lon, groups[-1][0].lat), (fix.lon, fix.lat)) < rules.radius_m
            groups[-1].append(fix) if near else groups.append([fix])
        merged: list[list[list[Fix]]] = []
        for n, group in enumerate(groups):
            following = groups[n + 1][0] if n + 1 < len(groups) else None
            if rules.leave == "outside" and following is None and run is not runs[-1]:
                continue
            ended = following.minute if rules.leave == "outside" and following else group[-1].minute
            if ended - group[0].minute < shortest:
                continue
            last = merged[-1] if merged else None
            soon = last and rules.rejoin_minutes and group[0].minute - last[-1][-1].minute <= rules.rejoin_minutes
            if soon and haversine(mean([f for g in last for f in g]), mean(group)) < rules.radius_m:
                last.append(group)
                every[-1] = (every[-1][0], ended, every[-1][2] + len(group))
                continue
            merged.append([group])
            every.append((group[0].minute, ended, len(group)))
    return every


def mean(group: list[Fix]) -> tuple[float, float]:
    return sum(f.lon for f in group) / len(group), sum(f.lat for f in group) / len(group)


@st.composite
def walks(draw: st.DrawFn) -> list[Fix]:
    """A vehicle that stops, drives and falls silent, at whole seconds."""
    minute, x, y, track = 0.0, *HOME, []
    for kind, steps, metres in draw(
        st.lists(st.tuples(st.sampled_from("sdgj"), st.integers(1, 12), st.integers(20, 900)), min_size=1, max_size=14)
    ):
        for i in range(steps):
            minute += {"g": 7.5, "s": 0.75, "d": 0.75, "j": 0.75}[kind] if i or kind != "g" else 17
            if kind == "d":
                x, y = x + metres * METRE, y + metres * METRE / 3
            drift = metres * METRE * (i % 3 == 1) if kind == "j" else 0
            track.append(Fix(minute, x + drift, y + (i % 5) * METRE))
    return track


@given(walks(), st.sampled_from([{}, PLAIN, {**PLAIN, "leave": "outside"}, {"minutes": 2, "radius_m": 300}]))
@settings(max_examples=150, deadline=None)
def test_stays_are_those_found_by_hand(track: list[Fix], given_rules: dict[str, Any]) -> None:
    rules = Movement(**{**given_rules, "max_speed_mps": None})
    ours = [(*minutes(stay), stay["fixes"]) for stay in found(track, **{**given_rules, "max_speed_mps": None})]
    assert ours == by_hand(track, rules)


# --- any cut gives the same ---


def columns(track: list[Fix]) -> Fixes:
    names = sorted({fix.vehicle for fix in track})
    codes = np.array([names.index(f.vehicle) for f in track], np.int32)
    at = np.array([START + round(f.minute * MINUTE) for f in track], np.int64)
    return Fixes.sorted(codes, at, np.array([f.lon for f in track]), np.array([f.lat for f in track]))


@given(st.lists(walks(), min_size=1, max_size=3), st.data())
@settings(max_examples=100, deadline=None)
def test_any_cut_gives_the_same_to_the_last_bit(tracks_: list[list[Fix]], data: st.DataObject) -> None:
    fixes = columns([Fix(f.minute, f.lon, f.lat, "abc"[n]) for n, track in enumerate(tracks_) for f in track])
    rules, vehicles = Movement(minutes=3, max_speed_mps=20), len(tracks_)
    whole = advance(fixes, unknown(vehicles), rules)
    cuts = sorted(data.draw(st.lists(st.sampled_from(fixes.at.tolist()), max_size=4)))
    states, pieces = unknown(vehicles), []
    for low, high in zip([-1, *cuts], [*cuts, int(fixes.at.max())], strict=True):
        piece = advance(fixes.take((fixes.at > low) & (fixes.at <= high)), states, rules)
        states[piece.vehicle[piece.final]] = piece.states[piece.final]
        pieces.append(piece)
        early, _ = floors(states)
        assert all(stay[1] < early[int(stay[0])] for stay in piece.events.stays), "what is final began before the floor"
    assert states.tobytes() == whole.states[whole.final].tobytes()
    for kind in ("stays", "trips"):
        rows = np.vstack([getattr(piece.events, kind) for piece in pieces])
        order = np.argsort(rows[:, 0], kind="stable")
        assert rows[order].tobytes() == getattr(whole.events, kind).tobytes()
    assert sum(piece.counts.sum() for piece in pieces) == whole.counts.sum() == len(fixes)


@given(walks())
@settings(max_examples=100, deadline=None)
def test_trips_lie_between_stays_and_never_overlap(track: list[Fix]) -> None:
    rules = Movement(minutes=3, max_speed_mps=None)
    fixes = columns(track)
    done = advance(fixes, unknown(1), rules)
    last = finished(done.states[done.final], rules)
    there = np.vstack([done.events.stays, last.stays])
    trips = np.vstack([done.events.trips, last.trips])
    times = sorted([(s[1], s[2]) for s in there] + [(t[1], t[2]) for t in trips])
    assert all(ended <= began for (_, ended), (began, _) in pairwise(times))
    begins = set(there[:, 1])
    for _, began, ended, metres, from_, to in trips:
        assert (math.isnan(from_) or began in there[there[:, 1] == from_, 2]) and (
            math.isnan(to) or to == ended in begins
        )
        way = fixes.take((fixes.at >= began) & (fixes.at <= ended))
        places = list(zip(way.lon, way.lat, strict=True))
        assert metres == pytest.approx(sum(map(haversine, places, places[1:])), rel=1e-4, abs=1e-3)


def test_a_checksum_tells_contents_apart_and_not_their_order() -> None:
    fixes = columns([*parked(HOME, 0, 5), *parked(PLANT, 0, 5, vehicle="b")])
    order = np.random.default_rng(1).permutation(len(fixes))
    assert checksums(fixes, 2).tolist() == checksums(fixes.take(order), 2).tolist()
    moved = Fixes(fixes.vehicle, fixes.at, fixes.lon + np.eye(1, len(fixes), 3)[0] * 1e-9, fixes.lat)
    assert (checksums(fixes, 2) == checksums(moved, 2)).tolist() == [False, True]
