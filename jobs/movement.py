"""Stays and trips of every vehicle, night by night: the step `stays`.

Every dataset that describes a `fix` takes part. A night goes on with each vehicle where its last fix left it, so that no
stay is cut at midnight. Fixes that lie before that instant, and slices that ran again with other fixes, take only their
vehicles back: to the end of the day before, and on until all is again as it was. What a full recompute would give is what
the tables hold.

Four tables change, in this order, and `vehicle_slices` twice: at first it says whom the run is about to change, at last
what of the slice the tables hold. A run that was killed leaves the first; the next one does those vehicles again.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache, partial
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from expectations.catalog import Catalog
from jobs.carried import NEVER, Carried, Told, told
from jobs.department import Outcome, last_success
from jobs.fixes import DROPPED, Part, Read, Reader, gathered
from jobs.written import Seen, Silver
from lakehouse.contract import ROLES, Contract
from lakehouse.engine import embedded as engine
from lakehouse.geo import stays as kernel
from lakehouse.geo.cells import cells
from lakehouse.geo.kernels import Ints
from lakehouse.geo.regions import Regions
from lakehouse.locks import alone
from lakehouse.privacy import pseudonym_key
from lakehouse.runs import Run, code_version
from lakehouse.table import Commit, Table

_INSTANT, _TEXT, _COUNT, _DAY = pa.timestamp("us", "UTC"), pa.string(), pa.int64(), pa.date32()
_WHOSE = [("dataset", _TEXT), ("vehicle", _TEXT)]

STAYS = pa.schema([
    ("stay_id", _TEXT), *_WHOSE, ("began_at", _INSTANT), ("ended_at", _INSTANT), ("lon", pa.float64()), ("lat", pa.float64()),
    ("fixes", _COUNT), ("cell", _COUNT), ("district", _TEXT), ("is_open", pa.bool_()), ("_day", _DAY),
])  # fmt: skip
TRIPS = pa.schema([
    ("trip_id", _TEXT), *_WHOSE, ("began_at", _INSTANT), ("ended_at", _INSTANT), ("distance_m", pa.float64()),
    ("from_stay", _TEXT), ("to_stay", _TEXT), ("is_open", pa.bool_()), ("_day", _DAY),
])  # fmt: skip
VEHICLE_DAYS = pa.schema([
    *_WHOSE, ("last_at", _INSTANT), ("used", _COUNT), *((reason, _COUNT) for reason in kernel.REASONS),
    ("state", pa.list_(pa.float64())), ("_day", _DAY),
])  # fmt: skip
VEHICLE_SLICES = pa.schema([
    *_WHOSE, ("fixes", _COUNT), ("first_at", _INSTANT), ("last_at", _INSTANT), ("checksum", _COUNT), ("_day", _DAY),
])  # fmt: skip

TABLES = {"stays": STAYS, "trips": TRIPS, "vehicle_days": VEHICLE_DAYS, "vehicle_slices": VEHICLE_SLICES}
"""The tables in gold, in the order in which a run writes them."""

_FOREVER = 1 << 62
_EPOCH = date(1970, 1, 1).toordinal()
_TOUCHED = pa.schema([*_WHOSE, ("low", _COUNT), ("high", _COUNT)])


@dataclass(frozen=True)
class Source:
    """One dataset's slice as the day sees it (None: it has none any more), and what gold was told of it before."""

    contract: Contract
    silver: Table
    rows: Seen | None
    before: Mapping[str, Told]


@dataclass
class Changes:
    """New rows of the tables, and the rows they replace: those of a vehicle with an instant from `low` on and below `high`."""

    rows: dict[str, list[pa.Table]]
    touched: dict[str, list[pa.Table]]
    counts: NDArray[np.int64]
    dropped: NDArray[np.int64]

    @classmethod
    def none(cls) -> "Changes":
        empty: dict[str, list[pa.Table]] = {name: [] for name in TABLES}
        counts = np.zeros(1 + len(kernel.REASONS), np.int64)
        return cls(empty, {name: [] for name in TABLES}, counts, np.zeros(len(DROPPED), np.int64))

    def absorb(self, other: "Changes") -> None:
        """Add what another part has found."""
        for name in TABLES:
            self.rows[name] += other.rows[name]
            self.touched[name] += other.touched[name]
        self.counts += other.counts
        self.dropped += other.dropped

    def of(self, name: str) -> pa.Table:
        """The new rows of a table."""
        return pa.concat_tables([TABLES[name].empty_table(), *self.rows[name]])

    def facts(self) -> tuple[tuple[str, str], ...]:
        """What became of all fixes that were read: they are those used and those dropped for each reason."""
        names = ("used", *kernel.REASONS, *DROPPED)
        each = [*self.counts.tolist(), *self.dropped.tolist()]
        return (("fixes", str(sum(each))), *((name, str(count)) for name, count in zip(names, each, strict=True)))


def stays(run: Run, catalog: Catalog) -> Outcome:
    """Bring stays and trips up to the day's slices. Does nothing where nothing changed since the last success."""
    with alone(run.settings.home / ".stays.lock", "stays are being found", "wait until that has ended"):
        silver, ledger = Silver(run, catalog.contracts), run.table("gold", "vehicle_slices")
        sources = [source for contract in catalog.contracts if (source := _source(run, silver, ledger, contract))]
        if not sources:
            return Outcome("unchanged")
        layer = catalog.layers / "districts.geojson"
        how, what = _fingerprints(sources, layer)
        done = last_success(run, tuple(f"gold.{name}" for name in TABLES))
        unfinished = any(each.checksum is None for source in sources for each in source.before.values())
        if done == how + what and not unfinished and not run.forced:
            return Outcome("unchanged", fingerprint=how + what)
        every = run.forced or done is None or not done.startswith(how)
        changes, regions = Changes.none(), cache(partial(Regions.load, layer))
        for source in sources:
            changes.absorb(_Night(run, source, regions, every).changes())
        versions = _write(run, changes, [source.contract.name for source in sources])
        return Outcome(
            "succeeded",
            rows_in=int(changes.counts.sum() + changes.dropped.sum()),
            accepted=int(changes.counts[0]),
            fingerprint=how + what,
            reads=json.dumps({f"silver.{s.contract.table}": s.rows.version for s in sources if s.rows}),
            writes=json.dumps(versions),
        )


class _Night:
    """The work on one dataset's slice. `every`: all its vehicles, also those of which nothing changed."""

    def __init__(self, run: Run, source: Source, regions: Callable[[date], Regions], every: bool) -> None:
        self.run, self.source, self.regions, self.every = run, source, regions, every
        self.name, self.movement = source.contract.name, source.contract.movement
        self.reader = Reader(run, source.contract, pseudonym_key(run.settings))
        self.carried = Carried(run.table("gold", "vehicle_days"), self.name)

    def changes(self) -> Changes:
        """Everything that has to be written."""
        files = self.source.silver.here(self.source.rows.files) if self.source.rows else []
        parts, nameless = self.reader.parts(self.run.day, files) if files else ([], 0)
        found = Changes.none()
        found.dropped[0] += nameless
        seen: set[str] = set()
        for names, changes in engine.each(self.run.settings, self._part, parts):
            seen |= names
            found.absorb(changes)
        if gone := sorted(self.source.before.keys() - seen):
            self._reopen(gone, np.array([self.source.before[v].first for v in gone]), [NEVER] * len(gone), found)
        return found

    def _part(self, part: Part) -> tuple[set[str], Changes]:
        """The vehicles of a part: those whose fixes changed are worked on."""
        read, changes = self.reader.read(self.run.day, part), Changes.none()
        changes.dropped += read.dropped
        fixes, vehicles = read.fixes, np.array(read.vehicles, object)
        counts = np.bincount(fixes.vehicle, minlength=len(vehicles))
        ends = np.cumsum(counts)
        there = counts > 0
        first, last = np.zeros(len(vehicles), np.int64), np.zeros(len(vehicles), np.int64)
        first[there], last[there] = fixes.at[(ends - counts)[there]], fixes.at[ends[there] - 1]
        sums = kernel.checksums(fixes, len(vehicles))
        before = [self.source.before.get(vehicle) for vehicle in vehicles]
        same = np.array([old is not None and old.checksum == new for old, new in zip(before, sums, strict=True)], bool)
        work = there & (~same | self.every)
        changes.rows["vehicle_slices"].append(
            self._ledger(vehicles[there], counts[there], first[there], last[there], sums[there])
        )
        if work.any():
            since = np.array([min(f, old.first) if old else f for f, old in zip(first, before, strict=True)], np.int64)
            standing = self.carried.before(vehicles[work].tolist(), since[work])
            fresh = np.zeros(len(vehicles), bool)
            fresh[work] = standing.newest & np.array([old is None for old in before])[work]
            if fresh.any():
                self._go_on(read, fresh, changes)
            again = work & ~fresh
            if again.any():
                self._reopen(vehicles[again].tolist(), since[again], last[again].tolist(), changes, part)
        return set(vehicles[there]), changes

    def _go_on(self, read: Read, fresh: NDArray[np.bool_], changes: Changes) -> None:
        """Vehicles of which nothing later is known, and whose fixes all come after what is known."""
        codes = np.cumsum(fresh, dtype=np.int32) - np.int32(1)
        fixes = read.fixes if fresh.all() else read.fixes.take(fresh[read.fixes.vehicle])
        fixes = kernel.Fixes(codes[fixes.vehicle], fixes.at, fixes.lon, fixes.lat)
        vehicles = [vehicle for vehicle, ours in zip(read.vehicles, fresh, strict=True) if ours]
        counts = np.bincount(fixes.vehicle, minlength=len(vehicles))
        first = fixes.at[np.cumsum(counts) - counts]
        standing = self.carried.before(vehicles, first)
        done = kernel.advance(fixes, standing.states, self.movement)
        self._days_of(done, standing.last, standing.counts, vehicles, changes)
        last = kernel.finished(done.states[done.final], self.movement)
        self._events(done.events, vehicles, changes)
        self._events(last, vehicles, changes)
        held, anchor, way = kernel.pending(standing.states)
        for name, began in (("stays", held), ("stays", anchor), ("trips", way)):
            low = _floored(began, np.full(len(vehicles), NEVER))
            self._replaced(name, vehicles, low, low + 1, changes)
        self._replaced("vehicle_slices", vehicles, first, first, changes)

    def _reopen(
        self, vehicles: list[str], since: Ints, last: Sequence[int], changes: Changes, within: Part | None = None
    ) -> None:
        """Work on vehicles again from the day of an instant on, until each stands as gold already knows it at a day's end."""
        before = [self.source.before.get(vehicle) for vehicle in vehicles]
        standing = self.carried.before(vehicles, since)
        states, lows = standing.states.copy(), dict(zip(vehicles, standing.last.tolist(), strict=True))
        rows_of, highs = {vehicle: i for i, vehicle in enumerate(vehicles)}, np.full(len(vehicles), _FOREVER)
        high = _day_after(max([*last, *(old.last for old in before if old)]))
        active, known, counts = list(vehicles), standing.last.copy(), standing.counts.copy()
        while active:
            places = np.array([rows_of[vehicle] for vehicle in active])
            fixes = self._between({vehicle: lows[vehicle] for vehicle in active}, high, within)
            done = kernel.advance(fixes, states[places], self.movement)
            self._days_of(done, known[places], counts[places], active, changes)
            self._events(done.events, active, changes)
            ended = done.vehicle[done.final]
            states[places[ended]], known[places[ended]] = done.states[done.final], done.last[done.final]
            stored = self.carried.before(active, np.full(len(active), high))
            equal = kernel.same(states[places], stored.states) & (known[places] == stored.last)
            following = [self.carried.next_day(vehicle, high) for vehicle in active]
            equal &= np.array([(old := self.source.before.get(v)) is None or old.checksum is not None for v in active])
            equal &= np.array([day is not None for day in following])
            highs[places[equal]] = high
            over = [vehicle for vehicle, day in zip(active, following, strict=True) if day is None]
            ending = np.array([rows_of[vehicle] for vehicle in over], np.int64)
            self._events(kernel.finished(states[ending], self.movement), over, changes)
            rest = [
                (v, day)
                for v, day, is_equal in zip(active, following, equal, strict=True)
                if day is not None and not is_equal
            ]
            active = [vehicle for vehicle, _ in rest]
            if rest:
                lows |= dict.fromkeys(active, high - 1)
                high = min(day for _, day in rest) * kernel.DAY_US + kernel.DAY_US - kernel.ZONE_US
        stays_low, trips_low = (_floored(floor, standing.last + 1) for floor in kernel.floors(standing.states))
        stays_high, trips_high = (
            np.where(highs == _FOREVER, highs, _floored(floor, highs)) for floor in kernel.floors(states)
        )
        self._replaced("stays", vehicles, stays_low, stays_high, changes)
        self._replaced("trips", vehicles, trips_low, trips_high, changes)
        self._replaced("vehicle_days", vehicles, standing.last + 1, highs, changes)
        self._replaced("vehicle_slices", vehicles, since, since, changes)

    def _between(self, low: Mapping[str, int], high: int, within: Part | None) -> kernel.Fixes:
        """All fixes of these vehicles, after an instant of each and below `high`, in slices gold was told of and in ours."""
        pieces = []
        ours = self.run.table("gold", "vehicle_slices").days() | {self.run.day}
        there = self.source.silver.files_by_day() if self.source.silver.exists() else {}
        earliest, latest = _number(min(low.values())) - 1, _number(high) + self.movement.late_days
        for day in sorted(day for day in ours if earliest <= day.toordinal() - _EPOCH <= latest):
            files = there.get(None if self.source.contract.rank else day, ())
            pieces.append(self.reader.between(day, self.source.silver.here(files), low, high, within).fixes)
        return gathered(pieces)

    # --- rows ---

    def _ledger(self, vehicles: NDArray[np.object_], counts: Ints, first: Ints, last: Ints, sums: Ints) -> pa.Table:
        return pa.Table.from_arrays(
            [_constant(self.name, len(vehicles)), pa.array(vehicles, _TEXT), pa.array(counts), _instants(first),
             _instants(last), pa.array(sums), _constant(self.run.day, len(vehicles))],
            schema=VEHICLE_SLICES,
        )  # fmt: skip

    def _days_of(
        self, done: kernel.Advanced, last: Ints, counts: NDArray[np.int64], vehicles: Sequence[str], changes: Changes
    ) -> None:
        """Rows of `vehicle_days`; those of the day of a vehicle's last known fix count that day's earlier fixes too."""
        told_ = done.counts.copy()
        goes_on = kernel.days(last)[done.vehicle] == done.day
        told_[goes_on] += counts[done.vehicle[goes_on]]
        changes.counts += done.counts.sum(axis=0)
        whose = [vehicles[code] for code in done.vehicle]
        self._replaced("vehicle_days", whose, _midnight(done.day), _midnight(done.day + 1), changes)
        offsets = pa.array(np.arange(len(done.vehicle) + 1, dtype=np.int32) * kernel.STATE)
        state = pa.ListArray.from_arrays(offsets, pa.array(done.states.ravel()))
        changes.rows["vehicle_days"].append(
            pa.Table.from_arrays(
                [_constant(self.name, len(done.vehicle)), pa.array(whose, _TEXT), _instants(done.last),
                 *(pa.array(column) for column in told_.T), state, pa.array(done.day.astype(np.int32)).cast(_DAY)],
                schema=VEHICLE_DAYS,
            )
        )  # fmt: skip

    def _events(self, events: kernel.Events, vehicles: Sequence[str], changes: Changes) -> None:
        rows = events.stays
        whose, began = _named(vehicles, rows[:, 0]), rows[:, 1].astype(np.int64)
        lon, lat = np.ascontiguousarray(rows[:, 3]), np.ascontiguousarray(rows[:, 4])
        cell, district = cells(lon, lat), np.full(len(rows), None, object)
        for day in np.unique(kernel.days(began)):  # a district is one on some days only
            ours, regions = kernel.days(began) == day, self.regions(date.fromordinal(int(day) + _EPOCH))
            district[ours] = np.array([*regions.codes, None], object)[regions.locate(lon[ours], lat[ours])]
        changes.rows["stays"].append(
            pa.Table.from_arrays(
                [self._ids(whose, rows[:, 1]), _constant(self.name, len(rows)), whose, _instants(began), _instants(rows[:, 2]),
                 pa.array(lon), pa.array(lat), pa.array(rows[:, 5].astype(np.int64)), pa.array(cell), pa.array(district, _TEXT),
                 pa.array(events.open_stays), _business_days(began)],
                schema=STAYS,
            )
        )  # fmt: skip
        rows = events.trips
        whose, began = _named(vehicles, rows[:, 0]), rows[:, 1].astype(np.int64)
        changes.rows["trips"].append(
            pa.Table.from_arrays(
                [self._ids(whose, rows[:, 1]), _constant(self.name, len(rows)), whose, _instants(began), _instants(rows[:, 2]),
                 pa.array(rows[:, 3]), self._ids(whose, rows[:, 4]), self._ids(whose, rows[:, 5]), pa.array(events.open_trips),
                 _business_days(began)],
                schema=TRIPS,
            )
        )  # fmt: skip

    def _ids(self, vehicles: pa.Array, began: NDArray[np.float64]) -> pa.Array:
        """What a stay, or a trip, is called as long as it begins at this instant; null for none."""
        seed = hashlib.blake2b(self.name.encode(), digest_size=8)
        found: list[str | None] = []
        for vehicle, instant in zip(vehicles.to_pylist(), began.tolist(), strict=True):
            if instant == instant:
                each = seed.copy()
                each.update(f"{vehicle}{instant:.0f}".encode())
                found.append(each.hexdigest())
            else:
                found.append(None)
        return pa.array(found, _TEXT)

    def _replaced(self, name: str, vehicles: Sequence[str], low: Ints, high: Ints, changes: Changes) -> None:
        """Note which rows of a table the new ones replace."""
        columns = [_constant(self.name, len(vehicles)), pa.array(vehicles, _TEXT), pa.array(low), pa.array(high)]
        changes.touched[name].append(pa.Table.from_arrays(columns, schema=_TOUCHED))


def _write(run: Run, changes: Changes, datasets: Sequence[str]) -> dict[str, int | None]:
    """Write the tables, and say first for whom. Gives their versions."""
    ledger, commit = run.table("gold", "vehicle_slices"), Commit(run.id, changes.facts())
    old = ledger.read(day=run.day) if ledger.exists() else VEHICLE_SLICES.empty_table()
    new = changes.of("vehicle_slices")
    others = old.filter(pc.invert(pc.is_in(old["dataset"], pa.array(datasets, _TEXT))))
    with engine.session(run.settings) as connection:
        connection.register("old", old.select(VEHICLE_SLICES.names))
        connection.register("new", new)
        connection.register("worked", pa.concat_tables([_TOUCHED.empty_table(), *changes.touched["vehicle_slices"]]))
        connection.register("datasets", pa.table({"dataset": pa.array(datasets, _TEXT)}))
        kept = others.select(VEHICLE_SLICES.names)
        begun = connection.sql(_BEGUN).to_arrow_table().cast(VEHICLE_SLICES)
        if begun["checksum"].null_count:
            ledger.replace_slice(run.day, VEHICLE_SLICES, pa.concat_tables([kept, begun]).to_batches(), commit)
            for name in ("stays", "trips", "vehicle_days"):
                _rewrite(connection, run.table("gold", name), changes.of(name), changes.touched[name], commit)
            ledger.replace_slice(run.day, VEHICLE_SLICES, pa.concat_tables([kept, new]).to_batches(), commit)
    return {f"gold.{name}": run.table("gold", name).version() for name in TABLES}


_BEGUN = """
    SELECT dataset, vehicle, max(fixes) AS fixes, min(first_at) AS first_at, max(last_at) AS last_at,
           CASE WHEN bool_or(w.vehicle IS NOT NULL) THEN NULL ELSE max(checksum) END AS checksum, any_value(_day) AS _day
    FROM (FROM old SEMI JOIN datasets USING (dataset) UNION ALL FROM new) LEFT JOIN worked w USING (dataset, vehicle)
    GROUP BY dataset, vehicle ORDER BY dataset, vehicle"""
"""What the slice had and has of each vehicle; no checksum for those that are worked on."""

_REPLACED = "touched t ON o.dataset = t.dataset AND o.vehicle = t.vehicle AND epoch_us(o.{at}) >= low AND epoch_us(o.{at}) < high"


def _rewrite(
    connection: duckdb.DuckDBPyConnection, table: Table, new: pa.Table, touched: list[pa.Table], commit: Commit
) -> None:
    """Put the new rows in the place of those they replace, in one commit; only days that change are written."""
    at = "last_at" if "last_at" in new.schema.names else "began_at"
    replaced, columns = _REPLACED.format(at=at), ", ".join(new.schema.names)
    files = table.files_by_day() if table.exists() else {}
    connection.register("new", new)
    connection.register("touched", pa.concat_tables([_TOUCHED.empty_table(), *touched]))
    days = set(pc.unique(new["_day"]).to_pylist())
    if maybe := [file for day in _days_between(touched, files) for file in files[day]]:
        connection.register("old", connection.read_parquet(table.here(maybe), hive_partitioning=True))
        days |= {day for (day,) in connection.sql(f"SELECT DISTINCT _day FROM old o SEMI JOIN {replaced}").fetchall()}
    if not days:
        return
    rows = f"SELECT {columns} FROM new"
    if there := [file for day in days for file in files.get(day, ())]:
        connection.register("old", connection.read_parquet(table.here(there), hive_partitioning=True))
        rows += f" UNION ALL SELECT {columns} FROM old o ANTI JOIN {replaced}"
    ordered = engine.run(connection, f"{rows} ORDER BY _day, dataset, vehicle, {at}")
    table.replace_slices(days, new.schema, (batch.cast(new.schema) for batch in ordered), commit)


def _days_between(touched: list[pa.Table], files: Mapping[date | None, object]) -> list[date]:
    """The days on which rows may lie that are replaced."""
    replaced = pa.concat_tables([_TOUCHED.empty_table(), *touched])
    low, high = kernel.days(replaced["low"].to_numpy()), kernel.days(replaced["high"].to_numpy() - 1)
    pairs = np.unique(np.stack([low, high], axis=1), axis=0)
    there = sorted((day.toordinal() - _EPOCH, day) for day in files if day is not None)
    return [day for number, day in there if ((pairs[:, 0] <= number) & (number <= pairs[:, 1])).any()]


def _source(run: Run, silver: Silver, ledger: Table, contract: Contract) -> Source | None:
    """The dataset's slice of the day, if it describes fixes, and has some for the day or had."""
    if contract.describes.get("fix", {}).keys() != ROLES["fix"]:
        return None
    rows, before = silver.slice(contract), told(ledger, contract.name, run.day)
    return Source(contract, run.table("silver", contract.table), rows, before) if rows or before else None


def _fingerprints(sources: Iterable[Source], layer: Path) -> tuple[str, str]:
    """One half changes with how stays are found, the other with the slices' rows."""
    rules = [(each.contract.name, each.contract.movement.model_dump_json()) for each in sources]
    shapes = hashlib.sha256(layer.read_bytes() if layer.exists() else b"").hexdigest()
    how = json.dumps([rules, shapes, code_version()])
    what = json.dumps([(each.contract.name, each.rows.state if each.rows else None) for each in sources])
    return tuple(hashlib.sha256(text.encode()).hexdigest()[:16] for text in (how, what))  # type: ignore[return-value]


def _day_after(at: int) -> int:
    """The first instant of the business day after the one of an instant."""
    return (_number(at) + 1) * kernel.DAY_US - kernel.ZONE_US


def _number(at: int) -> int:
    """The business day of an instant, as days since 1970."""
    return (at + kernel.ZONE_US) // kernel.DAY_US


def _midnight(day: Ints) -> Ints:
    return day * kernel.DAY_US - kernel.ZONE_US


def _floored(floor: NDArray[np.float64], otherwise: Ints) -> Ints:
    return np.where(np.isnan(floor), otherwise, floor).astype(np.int64)


def _instants(at: NDArray[np.generic]) -> pa.Array:
    return pa.array(at.astype(np.int64)).cast(_INSTANT)


def _business_days(at: Ints) -> pa.Array:
    return pa.array(kernel.days(at).astype(np.int32)).cast(_DAY)


def _named(vehicles: Sequence[str], codes: NDArray[np.generic]) -> pa.Array:
    return pa.array(vehicles, _TEXT).take(pa.array(codes.astype(np.int32)))


def _constant(value: object, count: int) -> pa.Array:
    return pa.repeat(pa.scalar(value), count)
