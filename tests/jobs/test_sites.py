import json
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import shapely

from expectations.catalog import Catalog
from jobs import sites as step
from jobs.department import Outcome
from jobs.movement import STAYS
from lakehouse.errors import ContractError
from lakehouse.geo.sites import spots
from lakehouse.runs import Run
from lakehouse.settings import Settings
from lakehouse.table import Commit, Table

FIRST = date(2026, 3, 1)
PLANT, DEPOT, QUARRY = (120.05, 32.05), (120.15, 32.05), (120.3, 32.05)
WEST = [[120.0, 32.0], [120.2, 32.0], [120.2, 32.1], [120.0, 32.1], [120.0, 32.0]]

Stay = tuple[tuple[float, float], str, datetime, int]


class Night:
    """A lake with stays, and the step run in it as `jobs.run` does: with its record in the books."""

    def __init__(self, root: Path) -> None:
        layers = root / "expectations" / "standards" / "layers"
        layers.mkdir(parents=True)
        shape = {"properties": {"code": "west"}, "geometry": {"type": "Polygon", "coordinates": [WEST]}}
        (layers / "districts.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": [shape]}))
        self.catalog = Catalog(root / "expectations", (), (), {})
        self.settings = Settings(home=root / "lake", catalog=self.catalog.path, inbox=root)
        self.runs = 0

    def table(self, name: str) -> Table:
        return Table(self.settings.home / "gold" / name)

    def keep(self, day: date, stays: Iterable[Stay]) -> None:
        """Make these the day's stays: each a place, a vehicle, when it began and how many minutes it took."""
        rows = []
        for place, vehicle, began, minutes in stays:
            rows.append(dict.fromkeys(STAYS.names) | {
                "stay_id": f"{vehicle}{began:%d%H%M%S}{place[0]:.4f}", "dataset": "a.fixes", "vehicle": vehicle,
                "began_at": began, "ended_at": began + timedelta(minutes=minutes), "lon": place[0], "lat": place[1],
                "fixes": 9, "is_open": False, "_day": day,
            })  # fmt: skip
        content = pa.Table.from_pylist(rows, schema=STAYS)
        self.table("stays").replace_slice(day, STAYS, content.to_batches(), Commit("stays"))

    def booked_stays(self, day: date) -> None:
        """Let the books say that the step `stays` left the table as it is."""
        self.runs += 1
        at, writes = datetime(2026, 4, 1, 1, self.runs, tzinfo=UTC), {"gold.stays": self.table("stays").version()}
        run = Run.start("stays", day, at, self.settings)
        run.ops.note("runs", at=at, run_id=run.id, step="stays", day=day, status="succeeded", writes=json.dumps(writes))
        run.ops.flush(run.id)

    def run(self, day: date = FIRST, *, forced: bool = False) -> Outcome:
        self.runs += 1
        run = Run.start("sites", day, datetime(2026, 4, 1, 1, self.runs, tzinfo=UTC), self.settings, forced=forced)
        outcome = step.sites(run, self.catalog)
        run.ops.note("runs", at=run.now, run_id=run.id, step=run.step, day=run.day, **vars(outcome))
        run.ops.flush(run.id)
        return outcome

    def sites(self, day: date = FIRST) -> dict[str, dict[str, Any]]:
        return {row["site_id"]: row for row in self.table("sites").read(day=day).to_pylist()}

    def versions(self) -> list[int | None]:
        return [self.table(name).version() for name in ("sites", "site_spots")]


@pytest.fixture
def night(tmp_path: Path) -> Night:
    return Night(tmp_path)


def visits(
    place: tuple[float, float], day: date, vehicles: Iterable[int], hour: int = 4, minutes: int = 30
) -> list[Stay]:
    at = datetime(day.year, day.month, day.day, hour, tzinfo=UTC)
    return [(place, f"v{v}", at + timedelta(minutes=v), minutes) for v in vehicles]


def test_a_site_is_told_with_its_stays(night: Night):
    night.keep(
        FIRST,
        [*visits(PLANT, FIRST, range(6)), *visits(PLANT, FIRST, [0, 1], 14, 90), *visits(QUARRY, FIRST, range(5))],
    )
    assert night.run().status == "succeeded"
    quarry, plant = sorted(night.sites().values(), key=lambda row: row["stays"])
    assert {name: plant[name] for name in ("stays", "vehicles", "dwell_median_s", "night_share", "district")} == {
        "stays": 8, "vehicles": 6, "dwell_median_s": 1800.0, "night_share": 0.25, "district": "west",
    }  # fmt: skip
    assert quarry["district"] is None and quarry["site_id"].startswith("20260301-")
    assert (plant["lon"], plant["lat"]) == pytest.approx(PLANT)
    assert plant["first_at"].hour == 4 and plant["last_at"] == datetime(2026, 3, 1, 15, 31, tzinfo=UTC)
    shape = shapely.from_wkb(plant["geometry"])
    assert shape.is_valid and shape.bounds == pytest.approx([plant[n] for n in ("xmin", "ymin", "xmax", "ymax")])
    assert shape.intersects(shapely.Point(PLANT))


def test_every_spot_with_stays_names_its_site_or_none(night: Night):
    night.keep(FIRST, [*visits(PLANT, FIRST, range(6)), *visits(QUARRY, FIRST, [1])])
    night.run()
    rows = night.table("site_spots").read(columns=["spot", "site_id"]).to_pylist()
    lon, lat = np.array([PLANT, QUARRY]).T
    assert {row["spot"]: row["site_id"] for row in rows} == dict(
        zip(spots(lon, lat).tolist(), [*night.sites(), None], strict=True)
    )


def test_sql_and_the_kernels_agree_on_spots():
    import duckdb

    random = np.random.default_rng(1)
    bad = [(np.nan, 32.0), (0.0, 0.0), (0.0, 5.0), (180.0, 90.0), (-180.0, -90.0), (32.0, 120.0), (181.0, 0.0)]
    lon, lat = np.concatenate([random.uniform((-180, -90), (180, 90), (5000, 2)), bad]).T
    found = duckdb.sql(f"SELECT {step.SPOT} AS spot FROM places", connection=_with(lon, lat)).fetchnumpy()["spot"]
    assert found.tolist() == spots(lon, lat).tolist()


def _with(lon: np.ndarray, lat: np.ndarray) -> Any:
    import duckdb

    connection = duckdb.connect()
    connection.register("places", pa.table({"lon": lon, "lat": lat}))
    return connection


def test_a_second_run_changes_nothing_and_a_forced_one_finds_the_same(night: Night):
    night.keep(FIRST, visits(PLANT, FIRST, range(6)))
    night.run()
    versions, sites = night.versions(), night.sites()
    assert night.run().status == "unchanged" and night.versions() == versions
    assert night.run(forced=True).status == "succeeded" and night.sites() == sites


def test_nights_add_up_and_sites_keep_their_names(night: Night):
    night.keep(FIRST, visits(PLANT, FIRST, range(6)))
    night.run()
    second = FIRST + timedelta(1)
    night.keep(second, [*visits(PLANT, second, range(4, 9)), *visits(DEPOT, second, range(5))])
    night.run(second)
    (name,) = night.sites()
    assert night.sites(second)[name]["stays"] == 11 and night.sites(second)[name]["vehicles"] == 9
    assert sorted(each[:8] for each in night.sites(second)) == ["20260301", "20260302"]
    facts = night.table("sites").history()[0]
    assert (facts["sites"], facts["looked_at_again"]) == ("2", "2")


def test_incremental_nights_are_what_a_recompute_gives(night: Night, tmp_path: Path):
    random = np.random.default_rng(5)
    homes = random.uniform((120.0, 32.0), (120.02, 32.02), (12, 2))
    for number in range(4):
        day, stays = FIRST + timedelta(number), []
        for vehicle in range(40):
            home = homes[random.integers(0, 12)] + random.normal(0, 1e-4, 2)
            stays += visits((float(home[0]), float(home[1])), day, [vehicle], int(random.integers(0, 24)))
        night.keep(day, stays)
        night.run(day)
    nightly = night.sites(day)
    night.run(day, forced=True)
    assert night.sites(day) == nightly and len(nightly) > 5


def test_late_stays_of_an_earlier_day_and_days_that_leave_the_window_count(night: Night):
    (night.catalog.path / "sites.yml").write_text("window_days: 2\nleast_stays: 3\n")
    second, third, fourth = (FIRST + timedelta(n) for n in (1, 2, 3))
    night.keep(FIRST, visits(PLANT, FIRST, range(3)))
    night.keep(second, visits(DEPOT, second, range(3)))
    night.run(), night.run(second)
    assert len(night.sites(second)) == 2
    night.keep(second, [*visits(DEPOT, second, range(3)), *visits(QUARRY, second, range(3))])
    night.keep(third, visits(DEPOT, third, range(3)))
    night.run(third)
    assert sorted((row["lon"], row["stays"]) for row in night.sites(third).values()) == [(DEPOT[0], 6), (QUARRY[0], 3)]
    night.run(fourth)
    assert [(row["lon"], row["stays"]) for row in night.sites(fourth).values()] == [(DEPOT[0], 3)]


def test_a_run_that_ended_between_its_tables_is_as_if_it_had_not_been(night: Night, monkeypatch: pytest.MonkeyPatch):
    night.keep(FIRST, visits(PLANT, FIRST, range(6)))
    night.run()
    second = FIRST + timedelta(1)
    night.keep(second, visits(DEPOT, second, range(6)))
    write = Table.replace_slice

    def ends(table: Table, *args: Any) -> None:
        if table.path.name == "site_spots":
            raise KeyboardInterrupt
        write(table, *args)

    with monkeypatch.context() as patch:
        patch.setattr(Table, "replace_slice", ends)
        with pytest.raises(KeyboardInterrupt):
            night.run(second)
    third = FIRST + timedelta(2)
    night.run(third)
    night.run(second)
    expected = {(row["lon"], row["stays"]) for row in night.sites(second).values()}
    assert (
        expected
        == {(row["lon"], row["stays"]) for row in night.sites(third).values()}
        == {(PLANT[0], 6), (DEPOT[0], 6)}
    )


def test_another_rule_finds_all_sites_again(night: Night):
    night.keep(FIRST, visits(PLANT, FIRST, range(4)))
    night.run()
    assert not night.sites()
    (night.catalog.path / "sites.yml").write_text("least_stays: 4\n")
    second = FIRST + timedelta(1)
    night.keep(second, visits(DEPOT, second, range(4)))
    night.run(second)
    assert len(night.sites(second)) == 2


def test_what_a_later_night_makes_of_earlier_stays_is_its_own_news(night: Night):
    second = FIRST + timedelta(1)
    night.keep(FIRST, visits(PLANT, FIRST, range(6)))
    night.booked_stays(FIRST)
    assert night.run().status == "succeeded"
    night.keep(FIRST, visits(PLANT, FIRST, range(6), minutes=600))  # they stood on past midnight
    night.keep(second, visits(QUARRY, second, range(6)))
    night.booked_stays(second)
    assert night.run(second).status == "succeeded"
    assert night.run().status == "unchanged"
    assert [row["dwell_median_s"] for row in night.sites().values()] == [1800.0]


def test_without_stays_there_is_nothing_to_do(night: Night):
    assert night.run().status == "unchanged"
    night.keep(FIRST + timedelta(5), visits(PLANT, FIRST, range(6)))
    assert night.run().status == "unchanged" and night.versions() == [None, None]


def test_positions_that_are_none_make_no_site(night: Night):
    night.keep(
        FIRST,
        [stay for bad in ((0.0, 0.0), (float("nan"), 32.0), (32.0, 120.0)) for stay in visits(bad, FIRST, range(6))],
    )
    assert night.run().rows_in == 0
    assert not night.sites()


@pytest.mark.parametrize("broken", ["radius_m: -3", "radius: 50", "- 1", "radius_m: [", "window_days: many"])
def test_a_rule_with_mistakes_is_refused(night: Night, broken: str):
    night.keep(FIRST, visits(PLANT, FIRST, range(6)))
    (night.catalog.path / "sites.yml").write_text(broken)
    with pytest.raises(ContractError, match=r"sites\.yml"):
        night.run()
