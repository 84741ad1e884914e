"""Fixes of vehicles out of silver: a slice in parts of whole vehicles, or what some vehicles have between two instants.

Where a slice's files lie by vehicle, a part is a few of their row groups: by `_track`, whose upper half is a hash of the
vehicle, else by the vehicle itself. Where they don't, they are sorted first, outside memory, by DuckDB. Vehicles leave here
as pseudonyms.
"""

import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from lakehouse.contract import Contract
from lakehouse.engine import embedded as engine
from lakehouse.geo.stays import DAY_US, ZONE_US, Fixes
from lakehouse.privacy import pseudonym
from lakehouse.queries import quoted
from lakehouse.runs import Run

PART_ROWS, MOST_ROWS = 4_000_000, 12_000_000
"""Fixes of a part, unless one vehicle has more: a 16th of the slice, but at least and at most so many. While one is worked on
it takes some 100 bytes a fix; fewer parts reach less often into a row group of a neighbour."""

_MOST_READ = 3
"""How many times a row may be read, on average, before sorting the slice costs less: the row groups of neighbouring parts
overlap, as the writer takes the batches of a sorted stream out of turn."""

DROPPED = ("unplaced", "untimely")
"""Why a row isn't taken for a fix: no vehicle or no instant; an instant that can't belong to the slice."""

_TRACK_BITS = 32
"""Of `_track` for the instant; those above are the vehicle's hash (`lakehouse.geo.curve.track`)."""

_EPOCH = date(1970, 1, 1).toordinal()


@dataclass(frozen=True)
class Group:
    """One row group: file and place, rows, and the first and last vehicle and instant it holds (None: not told).

    Vehicles stand for themselves or, `by_track`, for their hash in `_track`; `nameless` rows have none there.
    """

    file: str
    place: int
    rows: int
    vehicles: Any
    instants: tuple[int, int] | None
    by_track: bool
    nameless: int


@dataclass(frozen=True)
class Part:
    """The vehicles of a slice after the one and up to the other (None: no bound), all within these row groups."""

    groups: tuple[Group, ...]
    after: Any
    until: Any


@dataclass(frozen=True)
class Read:
    """Fixes and the pseudonyms their vehicles count through; how many rows were `DROPPED`, in that order."""

    fixes: Fixes
    vehicles: tuple[str, ...]
    dropped: tuple[int, int]


@dataclass
class Reader:
    """Reads the fixes of one dataset. Keeps the pseudonyms it has made, and what files say of their row groups; threads
    may share it."""

    run: Run
    contract: Contract
    key: bytes = field(repr=False)
    _known: dict[str, str] = field(default_factory=dict, repr=False)
    _told: dict[str, list[Group]] = field(default_factory=dict, repr=False)
    _sorting: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def parts(self, day: date, files: Sequence[str]) -> tuple[list[Part], int]:
        """The slice of `day` in parts, in the order of their vehicles; and how many rows name none."""
        every = [group for file in files for group in self._groups(file)]
        groups = [group for group in every if group.rows > group.nameless]
        alike = len({group.by_track for group in groups}) == 1
        if not self.contract.rank and alike and all(group.vehicles for group in groups):
            parts = list(_cut(groups))
            read = sum(group.rows for part in parts for group in part.groups)
            if read <= _MOST_READ * sum(group.rows for group in groups) + PART_ROWS:
                return parts, sum(group.nameless for group in every)
        file, nameless = self._sorted(day, files)
        return list(_cut([group for group in self._groups(file) if group.rows])), nameless

    def read(self, day: date, part: Part) -> Read:
        """The fixes of a part of the slice of `day`."""
        by_track = part.groups[0].by_track
        rows = pa.concat_tables(self._table(group, "_track" if by_track else None) for group in part.groups)
        vehicle = _coded(rows[0])
        if not by_track:
            names = vehicle.dictionary
            return self._read(day, rows, vehicle, _chosen(vehicle, _within(names, part)))
        track = rows[4].combine_chunks()
        picked = np.flatnonzero(_within(pc.shift_right(track, _TRACK_BITS), part))
        order = np.argsort(_numbers(rows[4])[picked], kind="stable")  # few stretches, each sorted already
        return self._read(day, rows, vehicle, picked[order])

    def between(self, day: date, files: Sequence[str], low: Mapping[str, int], high: int, within: Part | None) -> Read:
        """What the slice of `day` has of the vehicles in `low`, after that instant of each and before `high`.

        `within`: all of them are vehicles of this part of another slice.
        """
        first = min(low.values())
        kept: list[Fixes] = []
        places = {name: i for i, name in enumerate(low)}
        lows = np.array(list(low.values()), np.int64)
        for group in (group for file in files for group in self._groups(file)):
            if group.instants and (group.instants[1] <= first or group.instants[0] >= high):
                continue
            comparable = within and group.vehicles and within.groups[0].by_track == group.by_track
            if comparable and within and not _reaches(group, within.after, within.until):
                continue
            rows = self._table(group)
            if self.contract.rank:
                rows = rows.filter(pc.equal(rows["_day"], pa.scalar(day, pa.date32())))
            vehicle = _coded(rows[0])
            asked = np.array([self._name(name) in low for name in vehicle.dictionary.to_pylist()], bool)
            if not asked.any():
                continue
            part = self._read(day, rows, vehicle, _chosen(vehicle, asked))
            at_home = np.array([places.get(name, -1) for name in part.vehicles], np.int32)[part.fixes.vehicle]
            moved = Fixes(at_home, part.fixes.at, part.fixes.lon, part.fixes.lat)
            kept.append(moved.take((moved.at > lows[moved.vehicle]) & (moved.at < high)))
        return Read(gathered(kept), tuple(low), (0, 0))

    def _read(self, day: date, rows: pa.Table, vehicle: pa.DictionaryArray, picked: NDArray[np.intp]) -> Read:
        """The rows at these places, all with a vehicle, as fixes."""
        known = rows[1].is_valid().to_numpy()[picked] if rows[1].null_count else np.ones(len(picked), bool)
        at = _numbers(rows[1].cast(pa.timestamp("us", "UTC")).cast(pa.int64()))[picked]
        midnight = (day.toordinal() - _EPOCH) * DAY_US - ZONE_US
        timely = (at >= midnight - self.contract.movement.late_days * DAY_US) & (at < midnight + 2 * DAY_US)
        dropped = (int((~known).sum()), int((known & ~timely).sum()))
        if sum(dropped):
            picked, at = picked[known & timely], at[known & timely]
        codes = vehicle.indices.to_numpy(zero_copy_only=False)[picked].astype(np.int32)
        begins = np.diff(codes, prepend=-1) != 0
        used = codes[begins]
        if len(np.unique(used)) == len(used):  # each vehicle's fixes stand together
            codes = np.cumsum(begins, dtype=np.int32) - np.int32(1)
        else:
            used, codes = np.unique(codes, return_inverse=True)
        fixes = Fixes.sorted(codes.astype(np.int32), at, _numbers(rows[2])[picked], _numbers(rows[3])[picked])
        return Read(
            fixes, tuple(self._name(name) for name in vehicle.dictionary.take(pa.array(used)).to_pylist()), dropped
        )

    def _name(self, vehicle: Any) -> str:
        text = str(vehicle)
        if text not in self._known:
            self._known[text] = pseudonym(self.key, text)
        return self._known[text]

    @property
    def _columns(self) -> list[str]:
        slots = self.contract.describes["fix"]
        apart = ["_day"] if self.contract.rank else []
        return [slots["vehicle"], slots["at"], "_lon", "_lat", *apart]

    def _groups(self, file: str) -> list[Group]:
        if file in self._told:
            return self._told[file]
        facts = pq.read_metadata(file)
        names = facts.schema.names
        vehicle, at = (names.index(name) for name in self._columns[:2])
        by_track = "_track" in names
        found = []
        for i in range(facts.num_row_groups):
            group = facts.row_group(i)
            told = group.column(names.index("_track") if by_track else vehicle).statistics
            times = group.column(at).statistics
            bounds = (told.min, told.max) if told and told.has_min_max else None
            if bounds and by_track:
                bounds = bounds[0] >> _TRACK_BITS, bounds[1] >> _TRACK_BITS
            instants = (times.min_raw, times.max_raw) if times and times.has_min_max else None
            nameless = told.null_count or 0 if told else 0
            found.append(Group(file, i, group.num_rows, bounds, instants, by_track, nameless))
        self._told[file] = found
        return found

    def _table(self, group: Group, apart: str | None = None) -> pa.Table:
        columns = [*self._columns, *([apart] if apart else [])]
        with pq.ParquetFile(group.file, read_dictionary=columns[:1]) as file:
            return file.read_row_group(group.place, columns=columns, use_threads=False).select(columns)

    def _sorted(self, day: date, files: Sequence[str]) -> tuple[str, int]:
        """A file with the slice's fixes sorted by vehicle and instant, and how many rows name no vehicle."""
        target = self.run.staging / f"{self.contract.table}-{day}.parquet"
        with self._sorting, engine.session(self.run.settings) as connection:
            engine.read(connection, "fixes", list(files), day if self.contract.rank else None)
            vehicle, at = map(quoted, self._columns[:2])
            apart = ", _day" if self.contract.rank else ""
            columns = f"{vehicle}, {at}, _lon, _lat{apart}"
            rows = connection.sql(f"SELECT {columns} FROM fixes WHERE {vehicle} IS NOT NULL ORDER BY {vehicle}, {at}")
            rows.write_parquet(str(target), compression="snappy", row_group_size=PART_ROWS // 8)
            (nameless,) = connection.sql(f"SELECT count(*) FROM fixes WHERE {vehicle} IS NULL").fetchall()[0]
        return str(target), nameless


def gathered(pieces: Sequence[Fixes]) -> Fixes:
    """The fixes of all pieces, sorted."""
    if not pieces:
        return Fixes(np.empty(0, np.int32), np.empty(0, np.int64), np.empty(0), np.empty(0))
    columns = ((piece.vehicle, piece.at, piece.lon, piece.lat) for piece in pieces)
    return Fixes.sorted(*map(np.concatenate, zip(*columns, strict=True)))


def _cut(groups: Sequence[Group]) -> Iterator[Part]:
    """Ranges of vehicles with about as many fixes each, and the row groups that reach into them."""
    enough = min(max(sum(group.rows for group in groups) // 16, PART_ROWS), MOST_ROWS)
    cuts: list[Any] = [None]
    rows = 0
    for group in sorted(groups, key=lambda group: group.vehicles):
        rows += group.rows
        if rows >= enough and (cuts[-1] is None or group.vehicles[1] > cuts[-1]):
            cuts.append(group.vehicles[1])
            rows = 0
    for after, until in pairwise([*cuts, None]):
        reach = [group for group in groups if _reaches(group, after, until)]
        if reach:
            yield Part(tuple(reach), after, until)


def _reaches(group: Group, after: Any, until: Any) -> bool:
    return (after is None or group.vehicles[1] > after) and (until is None or group.vehicles[0] <= until)


def _coded(column: pa.ChunkedArray) -> pa.DictionaryArray:
    column = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
    coded = column.unify_dictionaries().combine_chunks()
    return coded.chunk(0) if isinstance(coded, pa.ChunkedArray) else coded


def _numbers(column: pa.ChunkedArray) -> NDArray[Any]:
    """The column in one piece; NaN, or 0, for null."""
    return (
        pc.fill_null(column, np.nan if pa.types.is_floating(column.type) else 0) if column.null_count else column
    ).to_numpy()


def _within(values: pa.Array, part: Part) -> NDArray[np.bool_]:
    """Which values lie within the part's bounds; null doesn't."""
    inside = values.is_valid()
    if part.after is not None:
        inside = pc.and_(inside, pc.greater(values, part.after))
    if part.until is not None:
        inside = pc.and_(inside, pc.less_equal(values, part.until))
    found: NDArray[np.bool_] = pc.fill_null(inside, False).to_numpy(zero_copy_only=False)
    return found


def _chosen(vehicle: pa.DictionaryArray, wanted: NDArray[np.bool_]) -> NDArray[np.intp]:
    """The places of the rows whose vehicle is wanted, by its place in the dictionary; null isn't."""
    indices = pc.fill_null(vehicle.indices, len(wanted)).to_numpy()
    return np.flatnonzero(np.append(wanted, False)[indices])
