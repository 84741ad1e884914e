"""The clean city: what is delivered before anything is planted in it keeps its contract's promises."""

from datetime import date
from functools import cache

import numpy as np
import pyarrow as pa
import pytest
import shapely

from samples import fleets, layers
from samples.catalog import contracts
from samples.city import DAYS, REFERABLE_FIRMS, REFERABLE_PEOPLE, build
from samples.tables import TABLES

SMALL = sorted(set(TABLES) - {"transport.hazmat_gps"})
CITY = build(7)
MONDAY = DAYS[1]


@cache
def clean(name: str, day: date) -> pa.Table:
    """The clean rows of a dataset, drawn once for all tests."""
    return TABLES[name](CITY, day)


@pytest.mark.parametrize("name", SMALL)
def test_a_table_has_the_declared_columns_and_a_unique_key(name: str) -> None:
    contract, table = contracts()[name], clean(name, MONDAY)
    assert set(contract.columns) <= set(table.column_names) <= set(contract.columns) | set(contract.ignore)
    key = list(contract.key or table.column_names)
    assert table.group_by(key).aggregate([]).num_rows == table.num_rows
    assert all(table[column].null_count == 0 for column in contract.columns if contract.rejects(column))


@pytest.mark.parametrize("name", SMALL)
def test_a_day_is_drawn_again_the_same_and_other_days_differ(name: str) -> None:
    assert clean(name, MONDAY).equals(TABLES[name](CITY, MONDAY))
    if contracts()[name].arrives.every == "day":
        assert not clean(name, MONDAY).equals(clean(name, DAYS[0]))


def test_every_place_lies_well_inside_the_city() -> None:
    safe = layers.city().buffer(-0.02)
    assert shapely.contains_xy(safe, CITY.places.lon, CITY.places.lat).all()
    districts = layers.districts()
    for code, district in districts.items():
        mine = CITY.places.division == code
        assert shapely.contains_xy(district, CITY.places.lon[mine], CITY.places.lat[mine]).all()


def test_vehicles_stay_inside_the_city_and_below_120_kmh() -> None:
    tracks = fleets.tracks(CITY, fleets.TRUCKS, MONDAY, fixes=300)
    assert shapely.contains_xy(layers.city(), tracks.lon, tracks.lat).all()
    assert 50 < tracks.speed_kmh.max() <= 110
    assert (np.diff(tracks.second)[np.diff(tracks.vehicle) == 0] > 0).all()


@pytest.mark.parametrize(
    ("name", "column"),
    [(c.name, column) for c in contracts().values() for column, d in c.columns.items() if d.references],
)
def test_references_resolve_from_the_first_day(name: str, column: str) -> None:
    if name == "transport.hazmat_gps":
        known, used = set(CITY.firms.uscc[:REFERABLE_FIRMS]), set(CITY.firms.uscc[:240])
    else:
        target = str(contracts()[name].columns[column].references)
        dataset, _, referred = target.rpartition(".")
        known = set(clean(dataset, DAYS[0])[referred].to_pylist())
        used = {value for day in DAYS[:2] for value in clean(name, day)[column].to_pylist() if value is not None}
    assert used <= known


def test_nobody_refers_to_the_spare_firms_and_people() -> None:
    spare = set(CITY.firms.uscc[REFERABLE_FIRMS:]) | set(CITY.people.id[REFERABLE_PEOPLE:])
    for contract in contracts().values():
        for column, declared in contract.columns.items():
            if declared.references and contract.name != "transport.hazmat_gps":
                assert spare.isdisjoint(clean(contract.name, MONDAY)[column].to_pylist())


def test_unexpected_days_draw_too() -> None:
    assert TABLES["ecology.air_hourly"](CITY, date(2027, 2, 28)).num_rows == 576
