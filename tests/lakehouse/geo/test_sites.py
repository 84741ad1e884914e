import math
from datetime import date

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import DBSCAN

from lakehouse.geo.lines import METRES
from lakehouse.geo.sites import (
    NO_SITE,
    NO_SPOT,
    NOTHING_BEFORE,
    PER_DEGREE,
    ROW,
    Rule,
    State,
    Visits,
    advanced,
    found,
    outlines,
    spots,
)

DAY = date(2026, 3, 1)
EAST = METRES * math.cos(math.radians(32.0))
DENSITY = Rule(radius_m=40.0, least_stays=5, merge_m=1e-3)


def visits(*stays: tuple[float, float, int]) -> Visits:
    """Stays given as metres east and north of 120, 32 and a vehicle."""
    east, north, vehicle = np.array(stays, float).reshape(-1, 3).T
    spot = spots(120 + east / EAST, 32 + north / METRES)
    pairs, count = np.unique(np.stack([spot, vehicle.astype(np.int64)], axis=1), axis=0, return_counts=True)
    spot, vehicle = np.ascontiguousarray(pairs.T)
    return Visits(spot, vehicle, count.astype(np.int64), spot * 31 + vehicle * 7 + count)


def heap(
    east: float, north: float, vehicles: range, spread: float = 15.0, seed: int = 1
) -> list[tuple[float, float, int]]:
    random = np.random.default_rng(seed)
    return [(east + x, north + y, v) for v in vehicles for x, y in random.uniform(-spread, spread, (3, 2))]


def partition(spot: np.ndarray, site: np.ndarray) -> set[frozenset[int]]:
    return {frozenset(spot[site == number].tolist()) for number in set(site.tolist()) - {NO_SITE}}


def named(state: State) -> dict[str, frozenset[int]]:
    return {name: frozenset(state.spot[state.site == i].tolist()) for i, name in enumerate(state.names)}


some_stays = st.lists(
    st.tuples(st.integers(-150, 150), st.integers(-150, 150), st.integers(0, 6)), min_size=1, max_size=120
)


@settings(max_examples=30, deadline=None)
@given(some_stays)
def test_dense_spots_cluster_as_scikit_learn_s_dbscan_says(stays: list[tuple[int, int, int]]):
    seen = visits(*stays)
    spot, site = found(seen, DENSITY)
    _, weight, _ = seen.by_spot()
    step = METRES / PER_DEGREE
    row, column = np.divmod(spot, ROW)
    width = step * math.cos(math.radians(32.0))
    oracle = DBSCAN(eps=40.0, min_samples=5, algorithm="brute").fit(
        np.stack([column * width, row * step], axis=1), sample_weight=weight
    )
    dense = np.isin(np.arange(len(spot)), oracle.core_sample_indices_)
    assert partition(spot[dense], site[dense]) == partition(spot[dense], oracle.labels_[dense])
    assert ((site == NO_SITE) == (oracle.labels_ == NO_SITE)).all()


def test_a_spot_is_a_square_and_positions_that_are_none_have_none():
    assert len(set(spots(np.array([120.0, 120.0001]), np.array([32.0, 32.0001])).tolist())) == 1
    bad = spots(np.array([math.nan, 0.0, 32.0, 120.0, math.inf]), np.array([32.0, 0.0, 120.0, math.nan, 0.0]))
    assert bad.tolist() == [NO_SPOT] * 5
    edge = spots(np.array([180.0, -180.0, 0.0]), np.array([90.0, -90.0, 90.0]))
    assert len(set(edge.tolist())) == 3 and (edge >= 0).all()


def test_patches_apart_are_one_site_only_with_visitors_in_common():
    gate, yard = heap(0, 0, range(0, 4)), heap(110, 0, range(0, 4))
    shops = heap(0, 1000, range(0, 4)), heap(110, 1000, range(4, 8))
    spot, site = found(visits(*gate, *yard, *shops[0], *shops[1]), Rule())
    assert site.max() == 2
    assert (
        len(set(site[spot // ROW < spots(np.array([120.0]), np.array([32.005]))[0] // ROW].tolist()) - {NO_SITE}) == 1
    )


@pytest.mark.parametrize(("away", "sites"), [(140, 1), (260, 2)])
def test_visitors_join_no_further_than_the_rule_says(away: float, sites: int):
    _, site = found(visits(*heap(0, 0, range(4), 5), *heap(away, 0, range(4), 5)), Rule())
    assert site.max() + 1 == sites


def test_a_few_visitors_in_common_do_not_join():
    many = heap(0, 0, range(0, 10), 5), heap(110, 0, range(8, 18), 5)
    assert found(visits(*many[0], *many[1]), Rule())[1].max() == 1


def test_one_vehicle_in_common_does_not_join_its_two_places():
    assert found(visits(*heap(0, 0, range(1), 5) * 3, *heap(110, 0, range(1), 5) * 3), Rule())[1].max() == 1


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 1 << 32), st.sampled_from([14.0, 17.0, 65.0]), st.sampled_from([0.4, 0.8, 2.0, 5.0]),
    st.sampled_from([20.0, 45.0, 90.0]), st.integers(1, 5),
)  # fmt: skip
def test_a_night_looks_only_around_what_changed_and_finds_what_looking_at_everything_would(
    seed: int, apart: float, density: float, merge_m: float, vehicles: int
):
    rule, state, side = Rule(radius_m=20.0, least_stays=4, merge_m=merge_m), NOTHING_BEFORE, 18
    random = np.random.default_rng(seed)

    def some(count: int) -> list[tuple[float, float, int]]:
        places = zip(*random.integers(0, side, (2, count)), random.integers(0, vehicles + 1, count), strict=True)
        return [(east * apart, north * apart, vehicle) for east, north, vehicle in places]

    stays = some(int(density * side * side))
    for number in range(6):
        seen, day = visits(*stays), DAY.replace(day=number + 1)
        after, again = advanced(state, seen, rule, day)
        whole, _ = advanced(state, seen, rule, day, afresh=True)
        assert named(after) == named(whole)
        assert (after.digest == whole.digest).all()
        assert len(set(after.names)) == len(after.names) and len(again) <= len(after.names)
        state = after
        kept = random.permutation(len(stays))[random.integers(0, 4) :]
        stays = [stays[i] for i in sorted(kept)] + some(random.integers(0, 4))


def test_what_is_looked_at_again_counts_neighbours_that_are_not():
    rule, column, row = Rule(radius_m=40.0, least_stays=5, merge_m=50.0), EAST / PER_DEGREE, METRES / PER_DEGREE

    def at(columns: int, rows: int, *vehicles: int) -> list[tuple[float, float, int]]:
        return [((columns + 0.5) * column, rows * row + 5, vehicle) for vehicle in vehicles]

    long_site = [stay for c in range(-18, 1, 3) for stay in at(c, 0, *range(5))]
    beside = at(4, 0, 10, 11) + at(4, 2, 12, 13)  # dense with the next stay, which belongs to the site beyond
    other = at(7, 0, 9) + at(9, 0, 20) + at(12, 0, 21, 22, 23)
    first, _ = advanced(NOTHING_BEFORE, visits(*long_site, *beside, *other), rule, DAY)
    seen = visits(*long_site, *beside, *other, (-17.5 * column, 5, 6))
    after, again = advanced(first, seen, rule, DAY)
    assert named(after) == named(first) == named(advanced(first, seen, rule, DAY, afresh=True)[0])
    assert 0 < len(again) < len(after.names)


def test_sites_out_of_reach_of_what_changed_are_not_looked_at_again():
    places = [stay for i in range(20) for stay in heap(i * 2000, 0, range(4), 8, seed=i)]
    first, _ = advanced(NOTHING_BEFORE, visits(*places), Rule(), DAY)
    after, again = advanced(first, visits(*places, (2005, 3, 9)), Rule(), DAY.replace(day=2))
    assert len(after.names) == 20 and len(again) == 1
    same, none = advanced(after, visits(*places, (2005, 3, 9)), Rule(), DAY.replace(day=3))
    assert named(same) == named(after) and not len(none)


def test_a_site_keeps_its_name_when_it_grows_splits_or_merges():
    left, right = heap(0, 0, range(5), 10), heap(150, 0, range(5, 8), 10, seed=2)
    first, _ = advanced(NOTHING_BEFORE, visits(*left, *right), Rule(), DAY)
    assert len(first.names) == 2 and all(name.startswith("20260301-") for name in first.names)
    larger = named(first)
    big = next(name for name, spot in larger.items() if len(spot) == max(map(len, larger.values())))
    bridge = [(x, 0, v) for x in range(0, 150, 12) for v in (20, 21)]
    grown, _ = advanced(first, visits(*left, *right, *heap(30, 0, range(9, 11), 8)), Rule(), DAY.replace(day=2))
    assert set(grown.names) == set(first.names)
    merged, _ = advanced(first, visits(*left, *right, *bridge), Rule(), DAY.replace(day=3))
    assert merged.names == (big,)
    split, _ = advanced(merged, visits(*left, *right), Rule(), DAY.replace(day=4))
    assert big in split.names and len(split.names) == 2
    assert next(name for name in split.names if name != big).startswith("20260304-")


def test_nothing_leaves_no_sites():
    first, _ = advanced(NOTHING_BEFORE, visits(*heap(0, 0, range(5))), Rule(), DAY)
    gone, again = advanced(first, visits(), Rule(), DAY.replace(day=2))
    assert gone.names == () and not len(gone.spot) and not len(again)
    assert advanced(NOTHING_BEFORE, visits(), Rule(), DAY)[0].names == ()


@settings(max_examples=30, deadline=None)
@given(some_stays)
def test_outlines_are_valid_and_hold_every_spot(stays: list[tuple[int, int, int]]):
    spot, site = found(visits(*stays), Rule(least_stays=2))
    shapes = outlines(spot, site)
    assert len(shapes) == site.max() + 1
    for number, shape in enumerate(shapes):
        assert shape.is_valid and shape.geom_type == "Polygon" and shape.area > 0
        row, column = np.divmod(spot[site == number], ROW)
        assert shapely.intersects_xy(shape, (column + 0.5) / PER_DEGREE - 180, (row + 0.5) / PER_DEGREE - 90).all()


def test_a_hundred_thousand_stays_at_one_spot_take_no_longer_than_one():
    spot = np.array([spots(np.array([120.0]), np.array([32.0]))[0]] * 2)
    seen = Visits(spot, np.array([1, 2]), np.array([100_000, 1]), np.array([1, 2]))
    assert found(seen, Rule())[1].tolist() == [0]
