"""Kernels over the fixes of vehicles: which are noise, and where stays and trips begin and end.

Fixes stand in rows of one vehicle and business day, sorted by instant; the rows of a vehicle follow each other. What is
known at the end of a row is a state: the next row of the vehicle begins with it, in the same call or in a later one, so that
cutting the fixes anywhere changes nothing. A state is a handful of numbers, however long a vehicle is parked.

Distances are great-circle ones by the haversine formula on a sphere of 6,371 km, as trackintel takes them. Near by, the
squares of the differences in degrees tell them to 1 part in 100,000; where that leaves open which side of the radius a
fix is on, the formula itself decides.
"""

import math

import numpy as np

from lakehouse.geo.kernels import FloatsIn, Indexes, IndexesIn, Ints, IntsIn, Rows, helper, kernel

RADIUS_M = 6_371_000.0
_RADIANS = math.pi / 180.0
_DEGREE_M = RADIUS_M * _RADIANS
_FLAT = 0.5  # degrees: with differences up to here (sin x / x)^2 is above 1 - 7e-6
_ROUNDING = 1e-5

# --- what becomes of a fix ---
USED = 0
ANEW = 1
"""Used, but what came before was a wrong track: no way leads here from there."""
REASONS = ("nowhere", "null_island", "outside", "repeated", "jump")
"""Why a fix is dropped, as `2 +` the place in this list: no position on the globe; at 0,0; outside the box; an earlier one has
its instant; not to be reached at the highest speed."""
_NOWHERE, _NULL_ISLAND, _OUTSIDE, _REPEATED, _JUMP = range(2, 7)
_ANEW_AFTER = 3
"""So many jumps in a row that fit each other: it was the position before them that was wrong."""

# --- the rules: durations in microseconds, speed in metres a microsecond ---
RULES = 11
(R_RADIUS, R_SHORTEST, R_GAP, R_OUTSIDE, R_REJOIN, R_TRIP_GAP, R_SPEED, R_WEST, R_SOUTH, R_EAST, R_NORTH) = range(RULES)

# --- the state of the noise filter: the last used fix, the last jump, and how many of those there were in a row ---
NOISE = 7
(_N_AT, _N_LON, _N_LAT, _J_AT, _J_LON, _J_LAT, _JUMPS) = range(NOISE)

# --- the state of stays and trips; NaN where there is none ---
STATE = 20
(AT, _LON, _LAT, _COS) = range(4)  # the last used fix, and the cosine of its latitude
(ANCHOR_AT, _A_LON, _A_LAT, _A_COS, _SUM_LON, _SUM_LAT, _FIXES, _INSIDE_M) = range(4, 12)  # sums from the anchor on
(HELD_BEGAN, _H_ENDED, _H_LON, _H_LAT, _H_FIXES) = range(12, 17)  # a stay that the next may belong to
(TRIP_BEGAN, _TRIP_M, _FROM) = range(17, 20)  # since the last stay or gap; `_FROM` is when that stay began


@helper
def _haversine_m(lon0: float, lat0: float, lon1: float, lat1: float) -> float:
    x, y = math.sin((lon1 - lon0) * _RADIANS / 2.0), math.sin((lat1 - lat0) * _RADIANS / 2.0)
    half = y * y + math.cos(lat0 * _RADIANS) * math.cos(lat1 * _RADIANS) * x * x
    return 2.0 * RADIUS_M * math.asin(math.sqrt(min(half, 1.0)))


@helper
def _metres(lon0: float, lat0: float, cos0: float, lon1: float, lat1: float, cos1: float) -> float:
    """The distance, to 1 part in 100,000."""
    x, y = lon1 - lon0, lat1 - lat0
    if abs(x) < _FLAT and abs(y) < _FLAT:
        return _DEGREE_M * math.sqrt(y * y + cos0 * cos1 * x * x)
    return _haversine_m(lon0, lat0, lon1, lat1)


@helper
def _is_near(lon0: float, lat0: float, cos0: float, lon1: float, lat1: float, cos1: float, radius_m: float) -> bool:
    """Whether the distance is below the radius: what the haversine formula says."""
    x, y = lon1 - lon0, lat1 - lat0
    if abs(x) < _FLAT and abs(y) < _FLAT:
        square, limit = y * y + cos0 * cos1 * x * x, (radius_m / _DEGREE_M) ** 2
        if square < limit * (1.0 - _ROUNDING):
            return True
        if square > limit * (1.0 + _ROUNDING):
            return False
    return _haversine_m(lon0, lat0, lon1, lat1) < radius_m


@kernel
def are_near(lon0: FloatsIn, lat0: FloatsIn, lon1: FloatsIn, lat1: FloatsIn, radius_m: float, found: Indexes) -> None:
    """1 where two positions are nearer than the radius, else 0."""
    for i in range(len(lon0)):
        cos0, cos1 = math.cos(lat0[i] * _RADIANS), math.cos(lat1[i] * _RADIANS)
        found[i] = _is_near(lon0[i], lat0[i], cos0, lon1[i], lat1[i], cos1, radius_m)


@helper
def _marked(at: int, lon: float, lat: float, rules: FloatsIn, state: FloatsIn) -> int:
    if not (-180.0 <= lon <= 180.0 and -90.0 <= lat <= 90.0):
        return _NOWHERE
    mark = USED
    if rules[R_SPEED] < math.inf:
        if lon == 0.0 and lat == 0.0:
            return _NULL_ISLAND
        if not (rules[R_WEST] <= lon <= rules[R_EAST] and rules[R_SOUTH] <= lat <= rules[R_NORTH]):
            return _OUTSIDE
        elapsed = at - state[_N_AT]
        if elapsed == 0.0:
            return _REPEATED
        if elapsed <= rules[R_GAP]:  # after a longer silence it may be anywhere
            x, y, reach = lon - state[_N_LON], lat - state[_N_LAT], rules[R_SPEED] * elapsed
            known, cosine = 1.0, 1.0
            if (x * x + y * y) * (_DEGREE_M * _DEGREE_M) > reach * reach:  # at the equator it would be too far
                known, cosine = math.cos(state[_N_LAT] * _RADIANS), math.cos(lat * _RADIANS)
            if _metres(state[_N_LON], state[_N_LAT], known, lon, lat, cosine) > reach:
                known, elapsed = math.cos(state[_J_LAT] * _RADIANS), at - state[_J_AT]
                way = _metres(state[_J_LON], state[_J_LAT], known, lon, lat, cosine)
                fits = state[_JUMPS] > 0.0 and way <= rules[R_SPEED] * elapsed
                state[_JUMPS] = state[_JUMPS] + 1.0 if fits else 1.0
                state[_J_AT], state[_J_LON], state[_J_LAT] = at, lon, lat
                if state[_JUMPS] < _ANEW_AFTER:
                    return _JUMP
                mark = ANEW
    state[_N_AT], state[_N_LON], state[_N_LAT] = at, lon, lat
    state[_J_AT], state[_J_LON], state[_J_LAT], state[_JUMPS] = math.nan, math.nan, math.nan, 0.0
    return mark


@kernel
def mark_noise(
    at: IntsIn, lon: FloatsIn, lat: FloatsIn, vehicle: IndexesIn, starts: IntsIn, rules: FloatsIn, states: Rows,
    marks: Indexes,
) -> None:  # fmt: skip
    """What becomes of each fix. Row `r`, of `vehicle[r]`, has the fixes `starts[r]:starts[r + 1]`.

    `states` holds, in the first row of each vehicle, the state it begins with; every row ends with its own.
    """
    for r in range(len(vehicle)):
        if r > 0 and vehicle[r] == vehicle[r - 1]:
            states[r] = states[r - 1]
        for i in range(starts[r], starts[r + 1]):
            marks[i] = _marked(at[i], lon[i], lat[i], rules, states[r])


@helper
def _around(lon: float) -> float:
    """A longitude that was counted on beyond the date line."""
    if lon > 180.0:
        return lon - 360.0
    return lon + 360.0 if lon < -180.0 else lon


@helper
def _east(lon0: float, lon1: float) -> float:
    """From one longitude to another, the short way."""
    x = lon1 - lon0
    if x > 180.0:
        return x - 360.0
    return x + 360.0 if x < -180.0 else x


@helper
def _release(row: int, state: FloatsIn, stays: Rows, written: Ints) -> None:
    """Write the stay that is held: nothing can be added to it any more."""
    if not math.isnan(state[HELD_BEGAN]):
        n = written[0]
        stays[n, 0], stays[n, 5] = row, state[_H_FIXES]
        stays[n, 1], stays[n, 2], stays[n, 3], stays[n, 4] = (
            state[HELD_BEGAN], state[_H_ENDED], state[_H_LON], state[_H_LAT],
        )  # fmt: skip
        written[0] = n + 1
        state[HELD_BEGAN : _H_FIXES + 1] = math.nan  # nothing is left that could tell two equal states apart


@helper
def _end_trip(row: int, ended: float, to: float, state: FloatsIn, trips: Rows, written: Ints) -> None:
    if ended > state[TRIP_BEGAN]:
        n = written[1]
        trips[n, 0], trips[n, 1], trips[n, 2] = row, state[TRIP_BEGAN], ended
        trips[n, 3], trips[n, 4], trips[n, 5] = state[_TRIP_M], state[_FROM], to
        written[1] = n + 1


@helper
def _begin_trip(began: float, from_: float, state: FloatsIn) -> None:
    state[TRIP_BEGAN], state[_TRIP_M], state[_FROM] = began, 0.0, from_


@helper
def _close(
    row: int, ended: float, counts: bool, rules: FloatsIn, state: FloatsIn, stays: Rows, trips: Rows, written: Ints
) -> bool:
    """End the time at the anchor; gives whether it was a stay. One near the held stay and soon after it is part of it."""
    if not (counts and ended - state[ANCHOR_AT] >= rules[R_SHORTEST]):
        state[_TRIP_M] += state[_INSIDE_M]
        return False
    n = state[_FIXES]
    lon, lat = _around(state[_A_LON] + state[_SUM_LON] / n), state[_A_LAT] + state[_SUM_LAT] / n
    soon, cosine = state[ANCHOR_AT] - state[_H_ENDED] <= rules[R_REJOIN], math.cos(lat * _RADIANS)
    held = math.cos(state[_H_LAT] * _RADIANS)
    if soon and _is_near(state[_H_LON], state[_H_LAT], held, lon, lat, cosine, rules[R_RADIUS]):
        share = n / (n + state[_H_FIXES])
        state[_H_LON] = _around(state[_H_LON] + share * _east(state[_H_LON], lon))
        state[_H_LAT] += share * (lat - state[_H_LAT])
        state[_H_FIXES] += n
    else:
        _release(row, state, stays, written)
        _end_trip(row, state[ANCHOR_AT], state[ANCHOR_AT], state, trips, written)
        state[HELD_BEGAN], state[_H_LON], state[_H_LAT], state[_H_FIXES] = state[ANCHOR_AT], lon, lat, n
    state[_H_ENDED] = ended
    _begin_trip(ended, state[HELD_BEGAN], state)
    return True


@helper
def _anchor(at: float, lon: float, lat: float, cosine: float, state: FloatsIn) -> None:
    state[ANCHOR_AT], state[_A_LON], state[_A_LAT], state[_A_COS] = at, lon, lat, cosine
    state[_SUM_LON], state[_SUM_LAT], state[_FIXES], state[_INSIDE_M] = 0.0, 0.0, 1.0, 0.0


@helper
def _leave(
    row: int, at: float, hop_m: float, rules: FloatsIn, state: FloatsIn, stays: Rows, trips: Rows, written: Ints
) -> None:
    """A fix outside the radius: the time at the anchor is over, the way to the fix is part of a trip."""
    outside = rules[R_OUTSIDE] > 0.0
    _close(row, at if outside else state[AT], True, rules, state, stays, trips, written)
    if state[TRIP_BEGAN] < at:
        if at - state[AT] > rules[R_TRIP_GAP]:
            _end_trip(row, state[AT], math.nan, state, trips, written)
            _begin_trip(at, math.nan, state)
        else:
            state[_TRIP_M] += hop_m
    if at - state[_H_ENDED] > rules[R_REJOIN]:
        _release(row, state, stays, written)


@helper
def _break(row: int, rules: FloatsIn, state: FloatsIn, stays: Rows, trips: Rows, written: Ints) -> None:
    """A silence, or the end of a wrong track: stay and trip end with the last fix. Nobody saw where it left: as trackintel
    has it (`leave: outside`) that is no stay."""
    _close(row, state[AT], rules[R_OUTSIDE] == 0.0, rules, state, stays, trips, written)
    _end_trip(row, state[AT], math.nan, state, trips, written)
    _release(row, state, stays, written)


@kernel
def find_stays(
    at: IntsIn, lon: FloatsIn, lat: FloatsIn, marks: IndexesIn, vehicle: IndexesIn, starts: IntsIn, rules: FloatsIn,
    states: Rows, stays: Rows, trips: Rows, written: Ints,
) -> None:  # fmt: skip
    """The stays and trips that have come to their end, in the order of their rows.

    `stays` gets `row began ended lon lat fixes`, `trips` gets `row began ended metres from to` (the instants at which the
    stays on either side began, NaN for none); `written` how many of each. Rows and states are as in `mark_noise`.
    """
    for r in range(len(vehicle)):
        if r > 0 and vehicle[r] == vehicle[r - 1]:
            states[r] = states[r - 1]
        state = states[r]
        for i in range(starts[r], starts[r + 1]):
            if marks[i] > ANEW:
                continue
            t, x, y, cosine = float(at[i]), lon[i], lat[i], math.cos(lat[i] * _RADIANS)
            if not (t - state[AT] <= rules[R_GAP]) or marks[i] == ANEW:
                if not math.isnan(state[AT]):
                    _break(r, rules, state, stays, trips, written)
                _begin_trip(t, math.nan, state)
                _anchor(t, x, y, cosine, state)
            else:
                hop_m = _metres(state[_LON], state[_LAT], state[_COS], x, y, cosine)
                if _is_near(state[_A_LON], state[_A_LAT], state[_A_COS], x, y, cosine, rules[R_RADIUS]):
                    state[_SUM_LON] += _east(state[_A_LON], x)
                    state[_SUM_LAT] += y - state[_A_LAT]
                    state[_FIXES] += 1.0
                    state[_INSIDE_M] += hop_m
                else:
                    _leave(r, t, hop_m, rules, state, stays, trips, written)
                    _anchor(t, x, y, cosine, state)
            state[AT], state[_LON], state[_LAT], state[_COS] = t, x, y, cosine


@kernel
def finish(
    rules: FloatsIn, states: Rows, stays: Rows, trips: Rows, open_stays: Indexes, open_trips: Indexes, written: Ints
) -> None:
    """What the states would come to if no fix followed, written as in `find_stays`: at most two stays and two trips a state.

    `open_stays` and `open_trips` are 1 for those that the last fix is part of, else 0. The states are used up.
    """
    for r in range(len(states)):
        state = states[r]
        if math.isnan(state[AT]):
            continue
        stays_at = _close(r, state[AT], True, rules, state, stays, trips, written)
        _release(r, state, stays, written)
        if stays_at:
            open_stays[written[0] - 1] = 1
        before = written[1]
        _end_trip(r, state[AT], math.nan, state, trips, written)
        if written[1] > before:
            open_trips[before] = 1


@kernel
def checksum(at: IntsIn, lon: FloatsIn, lat: FloatsIn, vehicle: IndexesIn, sums: Ints) -> None:
    """Add up 64 bits of each fix under its vehicle: the order in which they come doesn't show."""
    bits_lon, bits_lat = lon.view(np.int64), lat.view(np.int64)
    for i in range(len(at)):
        mixed = np.uint64(at[i])
        for part in (np.uint64(bits_lon[i]), np.uint64(bits_lat[i])):
            mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(
                0xBF58476D1CE4E5B9
            )  # splitmix64 (Steele et al. 2014)
            mixed = ((mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)) ^ part
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        sums[vehicle[i]] += np.int64(mixed ^ (mixed >> np.uint64(31)))
