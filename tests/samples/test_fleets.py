"""The fleets' movement: what receivers report agrees with where the truth says that vehicles stayed."""

from collections import defaultdict
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import shapely

from lakehouse.geo.crs import to_wgs84
from lakehouse.geo.stays import stays as find_stays
from samples import datum, fleets, habits, layers, roads
from samples.city import HAZMAT_FIRMS, build
from samples.tables import TABLES

CITY = build(7)
DAYS = (date(2026, 3, 2), date(2026, 3, 3))
"""Days of delivery, the second with fixes that came late."""
MIDNIGHT = np.datetime64(DAYS[0] - timedelta(1), "s")
INTERVAL_S = 68

Stays = list[tuple[float, float, float, float]]
"""Seconds since `MIDNIGHT` at which a stay begins and ends, and where it is (GCJ-02 degrees)."""


@pytest.fixture(scope="module")
def stays() -> pa.Table:
    return fleets.stays(CITY, DAYS)


@pytest.fixture(scope="module")
def sites(stays: pa.Table) -> dict[str, dict[str, Any]]:
    return {site["place"]: site for site in fleets.sites(CITY, stays).to_pylist()}


@pytest.fixture(scope="module")
def delivered() -> list[pa.Table]:
    return [TABLES["transport.hazmat_gps"](CITY, day) for day in DAYS]


@pytest.fixture(scope="module")
def fixes(delivered: list[pa.Table]) -> pa.Table:
    return pa.concat_tables(delivered)


def observed(lon: np.ndarray, lat: np.ndarray, second: np.ndarray) -> Stays:
    """Where a vehicle stands for five minutes: fixes that lie within 30 m of the one before, or of the one after."""
    steps = np.hypot(np.diff(lon) * roads.EAST, np.diff(lat)) * roads.METRES
    edges = np.flatnonzero(np.diff(np.concatenate([[False], steps < 30, [False]]).astype(int)))
    runs = [(first, last) for first, last in edges.reshape(-1, 2) if second[last] - second[first] >= 300]
    return [(second[first], second[last], lon[first], lat[first]) for first, last in runs]


def true(rows: list[dict[str, str]], sites: dict[str, dict[str, Any]]) -> Stays:
    found: Stays = []
    for row in rows:
        began, ended = (
            (np.datetime64(row[name][:19], "s") - MIDNIGHT).astype(float) for name in ("began_at", "ended_at")
        )
        site = sites[row["place"]]
        lon, lat = datum.gcj02(np.array([site["lon"]], float), np.array([site["lat"]], float))
        found.append((began, ended, lon[0], lat[0]))
    return found


def test_a_simple_search_finds_the_true_stays_and_no_others(
    fixes: pa.Table, stays: pa.Table, sites: dict[str, dict[str, Any]]
) -> None:
    odd = habits.oddities(CITY)
    chosen = sorted({*range(0, 880, 60), *odd.crew, *odd.revisitors, *fleets.TANKERS.late[date(2026, 3, 1)].vehicles})
    told = defaultdict(list)
    for row in stays.filter(pc.equal(stays["dataset"], "transport.hazmat_gps")).to_pylist():
        told[row["vehicle"]].append(row)
    matched = 0
    for plate in CITY.tankers[chosen].tolist():
        mine = fixes.filter(pc.equal(fixes["plate"], plate)).sort_by("gps_at")
        second = (mine["gps_at"].to_numpy().astype("datetime64[s]") - MIDNIGHT).astype(float)
        found, expected = observed(mine["lon"].to_numpy(), mine["lat"].to_numpy(), second), true(told[plate], sites)
        assert len(found) == len(expected), (plate, found, expected)
        for (began, ended, lon, lat), (truly_began, truly_ended, its_lon, its_lat) in zip(found, expected, strict=True):
            assert np.hypot((lon - its_lon) * roads.EAST, lat - its_lat) * roads.METRES < 60
            assert abs(began - truly_began) <= 2 * INTERVAL_S
            assert abs(ended - truly_ended) <= (2 * INTERVAL_S if truly_ended < 2 * 86_400 else 600)
        matched += len(found)
    assert matched > 200, "of about 27 vehicles, seven stays a day"


def test_vehicles_keep_to_the_roads_between_their_stays(fixes: pa.Table) -> None:
    net = roads.read(layers.FOLDER / "roads.geojson")
    moving = fixes.filter(pc.and_(pc.greater(fixes["speed_kmh"], 30), pc.equal(fixes["firm"], fixes["firm"][0])))
    lines = [datum.gcj02(*road.line.T) for road in net]
    tree = shapely.STRtree([shapely.LineString(np.stack([x * roads.EAST, y], axis=1)) for x, y in lines])
    points = shapely.points(moving["lon"].to_numpy() * roads.EAST, moving["lat"].to_numpy())
    _, away = tree.query_nearest(points, return_distance=True, all_matches=False)
    assert len(points) > 1_000
    assert np.quantile(away, 0.99) * roads.METRES < 25


def test_nights_are_one_stay_and_vehicles_go_on_where_they_slept(stays: pa.Table) -> None:
    across = [row for row in stays.to_pylist() if row["began_at"] < "2026-03-02" < row["ended_at"]]
    assert len(across) == habits.TANKERS + habits.TRUCKS
    assert sum(row["began_at"] <= "2026-03-01 00:00:00+08:00" for row in across) > 5  # parked since the day before


def test_the_workshop_is_in_no_register_and_visited_again(sites: dict[str, dict[str, Any]]) -> None:
    workshop = sites["workshop"]
    assert workshop["visitors"] == 6
    assert workshop["stays"] > 6
    away = np.hypot((CITY.places.lon - workshop["lon"]) * roads.EAST, CITY.places.lat - workshop["lat"]) * roads.METRES
    assert away.min() > 600


def test_closed_plants_are_left_alone_but_for_one(sites: dict[str, dict[str, Any]]) -> None:
    hazmat = slice(0, HAZMAT_FIRMS)
    closed = set(CITY.firms.uscc[hazmat][CITY.firms.status[hazmat] == "停业"].tolist())
    visited = [sites[place] for place in closed & set(sites)]
    assert [(site["kind"], site["visitors"]) for site in visited] == [("closed_plant", 4)]


def test_a_detour_takes_much_longer_than_the_way() -> None:
    rows = fleets.detours(CITY, DAYS).to_pylist()
    known = habits.hubs(CITY)
    number = {name: hub for hub, name in enumerate(known.name.tolist())}
    assert len(rows) == 2
    for row in rows:
        began, ended = (datetime.fromisoformat(row[name]) for name in ("began_at", "ended_at"))
        usual = known.routes.between(number[row["origin"]], number[row["destination"]]).seconds.sum()
        assert (ended - began).total_seconds() > 2 * usual


def test_late_fixes_are_kept_back_and_come_with_the_next_delivery(delivered: list[pa.Table]) -> None:
    first, second = delivered
    late = second.filter(pc.less(second["gps_at"], "2026-03-02"))
    assert set(late["plate"].to_pylist()) == set(CITY.tankers[[7, 111, 402]].tolist())
    assert 300 < len(late) < 1_000
    for plate in CITY.tankers[[7, 111, 402]].tolist():
        there = first.filter(pc.equal(first["plate"], plate))["gps_at"].to_pylist()
        assert not any("2026-03-01 14:00:00" <= at < "2026-03-01 16:30:00" for at in there)


def test_the_kernel_finds_the_true_stays_of_all_tankers(
    fixes: pa.Table, stays: pa.Table, sites: dict[str, dict[str, Any]]
) -> None:
    lon, lat = to_wgs84("gcj02", *(fixes[name].to_numpy().copy() for name in ("lon", "lat")))
    at = fixes["gps_at"].combine_chunks().cast(pa.timestamp("us"))
    found = find_stays(fixes["plate"].combine_chunks(), pc.assume_timezone(at, "UTC"), pa.array(lon), pa.array(lat))
    true_of = defaultdict(list)
    for row in stays.filter(pc.equal(stays["dataset"], "transport.hazmat_gps")).to_pylist():
        true_of[row["vehicle"]].append((row["began_at"][:19], row["ended_at"][:19], sites[row["place"]]))
    matched = 0
    for stay in found.to_pylist():
        middle = str(stay["began_at"] + (stay["ended_at"] - stay["began_at"]) / 2)[:19]
        (place,) = [site for began, ended, site in true_of[stay["vehicle"]] if began <= middle <= ended]
        assert np.hypot((stay["lon"] - place["lon"]) * roads.EAST, stay["lat"] - place["lat"]) * roads.METRES < 60
        matched += 1
    assert matched > 0.999 * sum(map(len, true_of.values()))  # the rest: stops next door to each other
