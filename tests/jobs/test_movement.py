import json
from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from expectations.catalog import Catalog
from jobs import fixes as reading
from jobs import movement as step
from jobs.department import Outcome
from jobs.restore import restore
from lakehouse.contract import Contract
from lakehouse.geo import curve
from lakehouse.geo.stays import Fixes, advance, finished, unknown
from lakehouse.privacy import pseudonym, pseudonym_key
from lakehouse.runs import Run
from lakehouse.settings import ZONE, Settings
from lakehouse.table import Commit, Table

DAY = date(2024, 5, 2)
BEFORE, AFTER = DAY - timedelta(1), DAY + timedelta(1)
HOME, PLANT = (121.0, 32.0), (121.05, 32.02)
RING = [[120.9, 31.9], [121.02, 31.9], [121.02, 32.2], [120.9, 32.2], [120.9, 31.9]]
CONTRACT = {
    "department": "a", "dataset": "gps", "title": "gps", "kind": "sensing", "sharing": "unconditional", "load": "append",
    "source": {"type": "file", "uri": "{inbox}/x.csv"},
    "columns": {"x": {"type": "double"}, "y": {"type": "double"}, "plate": {"type": "string"}, "gps_at": {"type": "timestamp"}},
    "point": {"x": "x", "y": "y"}, "describes": {"fix": {"vehicle": "plate", "at": "gps_at", "point": "point"}},
}  # fmt: skip

Row = tuple[str | None, datetime | None, float | None, float | None]


def clock(text: str, day: date = DAY) -> datetime:
    return datetime.combine(day, datetime.strptime(text, "%H:%M").time(), ZONE).astimezone(UTC)


def parked(place: tuple[float, float], begin: datetime, end: datetime, vehicle: str = "A1") -> list[Row]:
    return [
        (vehicle, begin + timedelta(minutes=i), *place) for i in range(int((end - begin).total_seconds() // 60) + 1)
    ]


class City:
    """A lake with one dataset of fixes, and the step run in it as `jobs.run` does: with its record in the books."""

    def __init__(self, folder: Path) -> None:
        layers = folder / "expectations" / "standards" / "layers"
        layers.mkdir(parents=True)
        feature = {"properties": {"code": "west"}, "geometry": {"type": "Polygon", "coordinates": [RING]}}
        (layers / "districts.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
        self.contract = Contract.model_validate(CONTRACT)
        self.catalog = Catalog(folder / "expectations", (), (self.contract,), {})
        self.settings = Settings(home=folder / "lake", catalog=folder / "expectations", inbox=folder)
        self.settings.home.mkdir()
        self.slices: dict[date, list[Row]] = {}
        self._runs = 0

    def deliver(self, rows: Iterable[Row], day: date = DAY, *, laid_out: bool = True) -> None:
        """Silver as cleaning leaves it, or, not `laid_out`, as it was left before silver lay by vehicle."""
        self.slices[day] = list(rows)
        plate, at, lon, lat = zip(*self.slices[day], strict=True) if self.slices[day] else ([],) * 4
        batch = pa.record_batch(
            {
                "plate": pa.array(plate, pa.string()),
                "gps_at": pa.array(at, pa.timestamp("us", "UTC")),
                "_lon": pa.array(lon, pa.float64()),
                "_lat": pa.array(lat, pa.float64()),
                "_day": pa.array([day] * len(plate), pa.date32()),
            }
        )
        if laid_out:
            batch = batch.append_column("_track", curve.track(batch["plate"], batch["gps_at"])).sort_by("_track")
        silver = Table(self.settings.home / "silver" / self.contract.table)
        silver.replace_slice(day, batch.schema, [batch] if len(plate) else [], Commit("clean"))

    def run(self, day: date = DAY, *, forced: bool = False) -> Outcome:
        self._runs += 1
        run = Run.start(
            "stays",
            day,
            datetime(2024, 5, 2, 1, tzinfo=UTC) + timedelta(minutes=self._runs),
            self.settings,
            forced=forced,
        )
        try:
            outcome = step.stays(run, self.catalog)
            run.ops.note("runs", at=run.now, run_id=run.id, step=run.step, day=run.day, **vars(outcome))
        finally:
            run.close()
        return outcome

    def table(self, name: str) -> Table:
        return Table(self.settings.home / "gold" / name)

    def rows(self, name: str) -> list[dict[str, Any]]:
        table = self.table(name)
        rows = table.read().to_pylist() if table.exists() else []
        return sorted(rows, key=lambda row: (row["vehicle"], row.get("began_at") or row["_day"]))

    def versions(self) -> dict[str, int | None]:
        return {name: self.table(name).version() for name in step.TABLES}

    def recomputed(self) -> tuple[list[Any], list[Any], dict[Any, list[int]]]:
        """Stays, trips and counts of each vehicle and day as one pass over all fixes gives them."""
        rows = [row for rows in self.slices.values() for row in rows if row[0] and row[1]]
        names = sorted({str(row[0]) for row in rows})
        instants = [round(row[1].timestamp() * 1e6) for row in rows if row[1]]
        columns = (
            (
                np.array([np.nan if v is None else v for v in column], float)
                for column in zip(*(r[2:] for r in rows), strict=True)
            )
            if rows
            else ([], [])
        )
        codes = np.array([names.index(str(row[0])) for row in rows], np.int32)
        whole = advance(
            Fixes.sorted(codes, np.array(instants, np.int64), *map(np.array, columns)),
            unknown(len(names)),
            self.contract.movement,
        )
        ends = finished(whole.states[whole.final], self.contract.movement)
        whose = [pseudonym(pseudonym_key(self.settings), name) for name in names]
        last = whole.vehicle[whole.final]
        stays = [(whose[int(r[0])], *r[1:].tolist(), False) for r in whole.events.stays]
        stays += [
            (whose[last[int(r[0])]], *r[1:].tolist(), bool(o)) for r, o in zip(ends.stays, ends.open_stays, strict=True)
        ]
        trips = [(whose[int(r[0])], *r[1:4].tolist(), False) for r in whole.events.trips]
        trips += [
            (whose[last[int(r[0])]], *r[1:4].tolist(), bool(o))
            for r, o in zip(ends.trips, ends.open_trips, strict=True)
        ]
        counts = {
            (whose[v], int(d)): c.tolist() for v, d, c in zip(whole.vehicle, whole.day, whole.counts, strict=True)
        }
        return sorted(stays), sorted(trips), counts

    def stored(self) -> tuple[list[Any], list[Any], dict[Any, list[int]]]:
        def us(at: datetime) -> float:
            return round(at.timestamp() * 1e6)

        stays = [
            (r["vehicle"], us(r["began_at"]), us(r["ended_at"]), r["lon"], r["lat"], r["fixes"], r["is_open"])
            for r in self.rows("stays")
        ]
        trips = [
            (r["vehicle"], us(r["began_at"]), us(r["ended_at"]), r["distance_m"], r["is_open"])
            for r in self.rows("trips")
        ]
        days = {
            (r["vehicle"], (r["_day"] - date(1970, 1, 1)).days): [r["used"], *(r[n] for n in step.kernel.REASONS)]
            for r in self.rows("vehicle_days")
        }
        return sorted(stays), sorted(trips), days


@pytest.fixture
def city(tmp_path: Path) -> City:
    return City(tmp_path)


def test_a_stay_over_midnight_is_one_row_that_goes_on(city: City) -> None:
    city.deliver(parked(HOME, clock("23:00", BEFORE), clock("23:59", BEFORE)), BEFORE)
    city.run(BEFORE)
    (first,) = city.rows("stays")
    assert (first["is_open"], first["_day"], first["fixes"]) == (True, BEFORE, 60)
    city.deliver(parked(HOME, clock("00:00"), clock("01:00")) + parked(PLANT, clock("01:30"), clock("02:00")))
    assert city.run().status == "succeeded"
    night, plant = city.rows("stays")
    assert (night["stay_id"], night["fixes"], night["is_open"], night["_day"]) == (first["stay_id"], 121, False, BEFORE)
    assert (night["district"], plant["district"], plant["is_open"], plant["_day"]) == ("west", None, True, DAY)
    assert night["vehicle"] == pseudonym(pseudonym_key(city.settings), "A1") and "A1" not in json.dumps(
        city.rows("stays"), default=str
    )


def test_trips_name_the_stays_on_either_side(city: City) -> None:
    way = [("A1", clock("08:31") + timedelta(minutes=i), 121.0 + i * 0.005, 32.0 + i * 0.002) for i in range(10)]
    city.deliver(parked(HOME, clock("08:00"), clock("08:30")) + way + parked(PLANT, clock("08:41"), clock("09:00")))
    city.run()
    (trip,) = city.rows("trips")
    home, plant = city.rows("stays")
    assert (trip["from_stay"], trip["to_stay"]) == (home["stay_id"], plant["stay_id"])
    assert (trip["began_at"], trip["ended_at"], trip["is_open"]) == (home["ended_at"], plant["began_at"], False)
    assert trip["distance_m"] == pytest.approx(5_200, rel=0.02)


def test_nothing_vanishes(city: City) -> None:
    odd: list[Row] = [
        (None, clock("09:00"), *HOME),
        ("A1", None, *HOME),
        ("A1", clock("09:00", AFTER + timedelta(9)), *HOME),
    ]
    odd += [("A1", clock("09:01"), None, None), ("A1", clock("09:02"), 0.0, 0.0), ("A1", clock("09:03"), 110.0, 32.0)]
    city.deliver(parked(HOME, clock("08:00"), clock("10:00")) + odd)
    outcome = city.run()
    facts = city.table("stays").history()[0]
    told = {name: int(facts[name]) for name in ("fixes", "used", *step.kernel.REASONS, *reading.DROPPED)}
    assert told["fixes"] == sum(told.values()) - told["fixes"] == len(city.slices[DAY]) == outcome.rows_in
    assert (told["used"], told["unplaced"], told["untimely"]) == (121, 2, 1)
    assert told["nowhere"] + told["null_island"] + told["repeated"] + told["jump"] == 3


def test_a_second_run_changes_no_version(city: City) -> None:
    city.deliver(parked(HOME, clock("08:00"), clock("10:00")))
    city.run()
    before, content = city.versions(), city.stored()
    assert city.run().status == "unchanged" and city.versions() == before
    assert city.run(forced=True).status == "succeeded" and city.stored() == content


def test_late_fixes_take_back_only_their_vehicle(city: City, monkeypatch: pytest.MonkeyPatch) -> None:
    for day in (BEFORE, DAY, AFTER):
        rows = parked(HOME, clock("00:00", day), clock("23:59", day)) + parked(
            PLANT, clock("00:00", day), clock("23:59", day), "B2"
        )
        city.deliver(rows, day)
        city.run(day)
    worked: list[int] = []
    real = step.kernel.advance
    monkeypatch.setattr(step.kernel, "advance", lambda fixes, *rest: worked.append(len(fixes)) or real(fixes, *rest))
    left_out = {clock("10:00", BEFORE) + timedelta(minutes=i) for i in range(120)}
    city.deliver([row for row in city.slices[BEFORE] if row[0] == "B2" or row[1] not in left_out], BEFORE)
    city.run(BEFORE)
    assert city.stored() == city.recomputed()
    assert worked[0] == 1440 - 120, "one vehicle, one day at first"


def test_a_changed_day_far_back_is_done_when_all_is_as_it_was(city: City, monkeypatch: pytest.MonkeyPatch) -> None:
    days = [DAY - timedelta(back) for back in range(5, -1, -1)]
    for day in days:
        city.deliver(parked(HOME, clock("08:00", day), clock("10:00", day)), day)
        city.run(day)
    worked: list[int] = []
    real = step.kernel.advance
    monkeypatch.setattr(step.kernel, "advance", lambda fixes, *rest: worked.append(len(fixes)) or real(fixes, *rest))
    city.deliver(
        parked(HOME, clock("08:00", days[0]), clock("09:00", days[0]))
        + parked(HOME, clock("09:30", days[0]), clock("10:00", days[0])),
        days[0],
    )
    city.run(days[0])
    assert city.stored() == city.recomputed()
    assert sum(worked) <= 2 * 121, "after the silence of a night all is as it was"


def test_a_slice_that_is_withdrawn_takes_its_stays_along(city: City) -> None:
    for day in (BEFORE, DAY):
        city.deliver(parked(HOME, clock("08:00", day), clock("10:00", day)), day)
        city.run(day)
    city.deliver([], DAY)
    city.run()
    assert len(city.rows("stays")) == 1 and city.stored() == city.recomputed()
    city.deliver([], BEFORE)
    city.run(BEFORE)
    assert city.stored() == ([], [], {})


@pytest.mark.parametrize("dies", [1, 2, 3, 4])
def test_killed_between_two_tables_and_run_again_is_as_if_nothing_had_been(
    city: City, monkeypatch: pytest.MonkeyPatch, dies: int
) -> None:
    there = parked(HOME, clock("20:00", BEFORE), clock("21:59", BEFORE))
    city.deliver(there + parked(PLANT, clock("22:05", BEFORE), clock("23:59", BEFORE)), BEFORE)
    city.run(BEFORE)
    before = list(city.slices[BEFORE])
    city.deliver(before[:130], BEFORE)
    writes = 0
    real = Table.replace_slices

    def dying(table: Table, *given: Any) -> None:
        nonlocal writes
        writes += 1
        if writes > dies:
            raise KeyboardInterrupt
        real(table, *given)

    with monkeypatch.context() as patched:
        patched.setattr(Table, "replace_slices", dying)
        with pytest.raises(KeyboardInterrupt):
            city.run(BEFORE)
    city.deliver(before, BEFORE)  # and in the meantime all is as it was when it last succeeded
    assert city.run(BEFORE).status == "succeeded"
    assert city.stored() == city.recomputed()


@pytest.mark.parametrize("laid_out", [True, False])
def test_parts_of_vehicles_give_what_one_gives(city: City, monkeypatch: pytest.MonkeyPatch, laid_out: bool) -> None:
    rows = [row for n in range(7) for row in parked((121.0 + n / 100, 32.0), clock("08:00"), clock("10:00"), f"A{n}")]
    monkeypatch.setattr(reading, "PART_ROWS", 200)
    monkeypatch.setattr("lakehouse.table._WRITING", {"compression": "SNAPPY", "max_row_group_size": 64})
    monkeypatch.setattr("lakehouse.table._ALONG", {})
    city.deliver([rows[i] for i in np.random.default_rng(2).permutation(len(rows))], laid_out=laid_out)
    parts: list[reading.Part] = []
    real = reading.Reader.read
    monkeypatch.setattr(reading.Reader, "read", lambda reader, day, part: parts.append(part) or real(reader, day, part))
    city.run()
    assert len(parts) > 1 or not laid_out
    assert city.stored() == city.recomputed() and len(city.rows("stays")) == 7


@pytest.mark.parametrize("name", list(step.TABLES))
def test_a_table_that_was_taken_back_is_made_again_by_its_days(city: City, name: str) -> None:
    days = [BEFORE - timedelta(1), BEFORE, DAY]
    for day in days:
        city.deliver(
            parked(HOME, clock("00:00", day), clock("12:00", day))
            + parked(PLANT, clock("12:08", day), clock("23:59", day)),
            day,
        )
        city.run(day)
    content = city.stored()
    run = Run.start("restore", DAY, datetime(2024, 5, 2, 2, tzinfo=UTC), city.settings)
    again = restore(run, f"gold.{name}", 1).days
    run.close()
    assert city.stored() != content or name == "vehicle_slices"
    for day in again:
        assert city.run(day).status == "succeeded"
    assert city.stored() == content == city.recomputed()
    assert {city.run(day).status for day in days} == {"unchanged"}


# --- whatever comes in whatever order ---

START = clock("00:00", DAY)
VEHICLES = ("A1", "B2")


@st.composite
def histories(draw: st.DrawFn) -> list[tuple[date, list[Row]]]:
    """Deliveries: two vehicles that move for some days, cut into slices anywhere, some fixes late, some slices again."""
    track: list[Row] = []
    for vehicle in VEHICLES[: draw(st.integers(1, 2))]:
        minute, x = draw(st.integers(0, 300)), 121.0
        for kind, steps in draw(
            st.lists(st.tuples(st.sampled_from("ssdgn"), st.integers(2, 9)), min_size=2, max_size=12)
        ):
            for i in range(steps):
                minute += (
                    {"s": 4, "d": 3, "g": 7, "n": 3}[kind]
                    if i or kind != "g"
                    else draw(st.sampled_from([20, 300, 1500]))
                )
                x += 0.004 if kind == "d" else 0.0
                at = START + timedelta(minutes=minute)
                track.append((vehicle, at, x + (0.5 if kind == "n" and i == 1 else 0), 32.0))
    slices: dict[date, list[Row]] = defaultdict(list)
    for row in track:
        late = draw(st.sampled_from([0, 0, 0, 0, 0, 1, 2]))
        slices[row[1].astimezone(ZONE).date() + timedelta(late)].append(row)  # type: ignore[union-attr]
    days = sorted(slices)
    deliveries = [(day, slices[day]) for day in days]
    for day in draw(st.lists(st.sampled_from(days), max_size=3)):
        kept = draw(st.sampled_from([0, 1, 2, 3]))
        deliveries.insert(
            draw(st.integers(0, len(deliveries))),
            (day, [r for n, r in enumerate(slices[day]) if kept and n % 4 < kept]),
        )
    return deliveries


@given(histories())
@settings(max_examples=8, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
def test_after_any_nights_the_tables_hold_what_one_pass_gives(history: list[tuple[date, list[Row]]]) -> None:
    with TemporaryDirectory() as folder:
        city = City(Path(folder))
        for day, rows in history:
            city.deliver(rows, day)
            city.run(day)
            assert city.stored() == city.recomputed()
