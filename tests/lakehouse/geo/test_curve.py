from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from lakehouse.geo import curve
from lakehouse.geo.cells import ROW

MOMENT = datetime(2026, 3, 1, 8, tzinfo=UTC)
US = pa.timestamp("us", "UTC")


def cell(column: np.ndarray, row: np.ndarray) -> pa.Array:
    return pa.array(row * ROW + column, pa.int64())


def test_every_cell_of_a_square_once_and_each_beside_the_last():
    row, column = np.divmod(np.arange(64 * 64), 64)
    along = np.asarray(curve.space(cell(column, row)))
    order = np.argsort(along)
    assert along[order].tolist() == list(range(64 * 64))
    assert (np.abs(np.diff(row[order])) + np.abs(np.diff(column[order])) == 1).all()


def test_the_ends_of_the_globe_and_no_place():
    last = curve.space(pa.array([0, 46080 * ROW + 92160, None]))
    assert last[0].as_py() == 0 and 0 < last[1].as_py() < 1 << 34 and last[2].as_py() is None


cells = st.tuples(st.integers(77_000, 77_060), st.integers(31_000, 31_060))


@given(st.lists(cells, min_size=1), st.lists(cells, min_size=1))
def test_stretches_meet_exactly_the_cells_they_are_made_of(some, others):
    stretches = curve.of_cells(np.array([row * ROW + column for column, row in some]))
    along = np.asarray(curve.space(cell(*map(np.array, zip(*others, strict=True)))))
    assert stretches.meet(along, along).tolist() == [other in some for other in others]
    assert (stretches.first[1:] > stretches.last[:-1] + 1).all()  # in order, and apart from one another


@given(st.integers(-30, 30), st.integers(1, 60), st.integers(-40, 100))
def test_hours_from_start_until_before_end(first, length, hour):
    start, end = (MOMENT + timedelta(minutes=30 * n) for n in (first, first + length))
    at = MOMENT + timedelta(minutes=30 * hour)
    here = curve.of_cells(np.array([31_000 * ROW + 77_000]))
    along = np.asarray(curve.space_time(pa.array([31_000 * ROW + 77_000]), pa.array([at], US)))
    met = bool(curve.of_hours(here, start, end).meet(along, along)[0])
    assert met or not start <= at < end
    assert not met or start - timedelta(hours=1) < at < end + timedelta(hours=1)
    assert curve.of_hours(here, None, None).meet(along, along)[0]
    assert curve.of_hours(here, None, end).meet(along, along)[0] == met or at < start
    assert curve.of_hours(here, start, None).meet(along, along)[0] == met or at >= end


def test_a_vehicle_in_order_of_time_and_apart_from_others():
    at = [MOMENT + timedelta(seconds=n) for n in (3, 1, 2)]
    along = curve.track(pa.array(["a", "a", "b"]), pa.array(at, US)).to_pylist()
    assert along[1] == along[0] - 2 and abs(along[2] - along[0]) > 1 << 31
    stretch = curve.of_vehicle("a", MOMENT + timedelta(seconds=1), MOMENT + timedelta(seconds=3))
    assert stretch.meet(np.array(along), np.array(along)).tolist() == [False, True, False]


def test_what_is_missing_is_nowhere_and_what_is_far_off_stays_in_order():
    at = pa.array([None, MOMENT, datetime(1066, 10, 14, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)], US)
    assert curve.track(pa.array(["a", None, "a", "a"]), at).is_null().to_pylist() == [True, True, False, False]
    everything = curve.of_vehicle("a", None, None)
    ends = np.asarray(curve.track(pa.array(["a"] * 2), at[2:]))
    assert everything.meet(ends, ends).all() and ends[0] < ends[1]
    hours = curve.space_time(pa.array([5] * 4), at)
    assert hours.is_null().to_pylist() == [True, False, False, False]
    known = np.asarray(hours[1:])
    assert curve.of_hours(curve.of_cells(np.array([5])), None, None).meet(known, known).all()
