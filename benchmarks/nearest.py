"""Stays to firms and places within 200 m: ours beside SedonaDB's ST_DWithin and geopandas' sjoin.

    python -m benchmarks.nearest [--rows 1000000] [--few 200000] [--rounds 3] [--without geopandas ...]

Stays and places gather around the same 400 spots of a city. Distances are haversine metres on the sphere: peers join in a plane
(longitudes times the cosine of the middle latitude) a little too far and keep by haversine what is near enough, as somebody
would who wants the same answer. Everybody gets two threads and positions in memory and gives pairs with distances; who has
other pairs is void. Geopandas, on one thread, gets the first `--few` stays. The nearest place of each stay is timed against
SedonaDB's ST_KNN.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa

from lakehouse.geo.nearest import EARTH_RADIUS_M, Near

RADIUS_M = 200.0
BATCH = 100_000
THREADS = 2
MIDDLE = 32.1
DEGREES = np.degrees(RADIUS_M / EARTH_RADIUS_M) * 1.01  # in the plane, whose scale is off by up to 0.7 %

Positions = tuple[np.ndarray, np.ndarray]
Pairs = tuple[np.ndarray, np.ndarray]


def positions(count: int, seed: int) -> Positions:
    """Half of them around 400 spots, half anywhere."""
    random = np.random.default_rng(seed)
    spots = np.random.default_rng(3).uniform((120, 31.5), (121.5, 32.7), (400, 2))
    hot = spots[random.integers(0, 400, count)] + random.normal(0, 0.01, (count, 2))
    found = np.where(random.random((count, 1)) < 0.5, hot, random.uniform((120, 31.5), (121.5, 32.7), (count, 2)))
    lon, lat = np.ascontiguousarray(found.T)
    return lon, lat


def ours(stays: Positions, places: Positions) -> Pairs:
    near = Near(*places)

    def some(start: int) -> Pairs:
        starts, index, _ = near.within(*(side[start : start + BATCH] for side in stays), RADIUS_M)
        return np.repeat(np.arange(len(starts) - 1), np.diff(starts)) + start, index

    with ThreadPoolExecutor(THREADS) as pool:
        found = list(pool.map(some, range(0, len(stays[0]), BATCH)))
    return np.concatenate([i for i, _ in found]), np.concatenate([j for _, j in found])


def nearest(stays: Positions, places: Positions) -> np.ndarray:
    near = Near(*places)
    with ThreadPoolExecutor(THREADS) as pool:
        cut = ((stays[0][i : i + BATCH], stays[1][i : i + BATCH]) for i in range(0, len(stays[0]), BATCH))
        return np.concatenate(list(pool.map(lambda some: near.nearest(*some, 1, RADIUS_M)[1][:, 0], cut)))


def metres(a: Positions, b: Positions) -> np.ndarray:
    (lon, lat), (other_lon, other_lat) = (tuple(map(np.radians, side)) for side in (a, b))
    up, across = np.sin((other_lat - lat) / 2), np.sin((other_lon - lon) / 2)
    return 2 * EARTH_RADIUS_M * np.arcsin(np.sqrt(up**2 + np.cos(lat) * np.cos(other_lat) * across**2))


def near_enough(i: np.ndarray, j: np.ndarray, stays: Positions, places: Positions) -> Pairs:
    kept = metres((stays[0][i], stays[1][i]), (places[0][j], places[1][j])) <= RADIUS_M
    return i[kept], j[kept]


def plane(side: Positions) -> Positions:
    return side[0] * np.cos(np.radians(MIDDLE)), side[1]


class SedonaDB:
    def __init__(self, stays: Positions, places: Positions) -> None:
        import sedonadb

        self.stays, self.places, self.session = stays, places, sedonadb.connect()
        for name, side in (("stays", stays), ("places", places)):
            x, y = plane(side)
            self.session.create_data_frame(pa.table({"i": np.arange(len(x)), "x": x, "y": y})).to_view(name)

    def within(self) -> Pairs:
        query = f"""SELECT s.i, p.i AS j FROM (SELECT i, ST_Point(x, y) AS at FROM stays) AS s
                    JOIN (SELECT i, ST_Point(x, y) AS at FROM places) AS p ON ST_DWithin(s.at, p.at, {DEGREES})"""
        found = pa.table(self.session.sql(query))
        return near_enough(found["i"].to_numpy(), found["j"].to_numpy(), self.stays, self.places)

    def nearest(self) -> np.ndarray:
        query = """SELECT s.i, p.i AS j FROM (SELECT i, ST_Point(x, y) AS at FROM stays) AS s
                   JOIN (SELECT i, ST_Point(x, y) AS at FROM places) AS p ON ST_KNN(s.at, p.at, 1, false)"""
        found = pa.table(self.session.sql(query))
        i, j = found["i"].to_numpy(), found["j"].to_numpy()
        distance = np.full(len(self.stays[0]), np.nan)
        distance[i] = metres((self.stays[0][i], self.stays[1][i]), (self.places[0][j], self.places[1][j]))
        return np.where(distance <= RADIUS_M, distance, np.nan)


def by_geopandas(stays: Positions, places: Positions) -> Callable[[], Pairs]:
    import geopandas

    frames = [geopandas.GeoDataFrame(geometry=geopandas.points_from_xy(*plane(side))) for side in (stays, places)]

    def joined() -> Pairs:
        found = geopandas.sjoin(*frames, predicate="dwithin", distance=DEGREES)
        return near_enough(found.index.to_numpy(), found["index_right"].to_numpy(), stays, places)

    return joined


def same(a: Pairs, b: Pairs) -> bool:
    keys = [np.sort(i.astype(np.int64) << 32 | j) for i, j in (a, b)]
    return bool(np.array_equal(*keys))


def main(rows: int, few: int, rounds: int, without: list[str]) -> None:
    stays = positions(rows, 1)
    for name, places in (("200 k firms", positions(200_000, 5)), ("500 k places", positions(500_000, 6))):
        pairs = ours(stays, places)
        print(f"{rows:,} stays, {name}: {len(pairs[0]):,} pairs within {RADIUS_M:.0f} m", flush=True)
        some = (stays[0][:few], stays[1][:few])
        works: dict[str, tuple[int, Callable[[], object]]] = {
            "ours": (rows, lambda places=places: ours(stays, places)),
            "ours, nearest": (rows, lambda places=places: nearest(stays, places)),
        }
        if "sedonadb" not in without:
            sedona = SedonaDB(stays, places)
            works |= {"sedonadb": (rows, sedona.within), "sedonadb, nearest": (rows, sedona.nearest)}
        if "geopandas" not in without:
            works["geopandas"] = (len(some[0]), by_geopandas(some, places))
        seconds: dict[str, list[float]] = {who: [] for who in works}
        for turn in range(rounds + 1):  # the first is a warm-up, and is compared
            for who, (count, work) in works.items():
                begun = time.perf_counter()
                found = work()
                seconds[who].append(time.perf_counter() - begun)
                if turn == 0 and who in ("sedonadb", "geopandas"):
                    kept = pairs[0] < count
                    print(f"  {who}: pairs equal: {same((pairs[0][kept], pairs[1][kept]), found)}", flush=True)  # type: ignore[arg-type]
                if turn == 0 and who == "sedonadb, nearest":
                    mine, away = nearest(stays, places), np.asarray(found)
                    other = int((~np.isclose(mine, away, rtol=0, atol=1e-6, equal_nan=True)).sum())
                    print(f"  {who}: {other:,} stays whose nearest in the plane isn't the nearest on the sphere")
        rates = {who: works[who][0] / statistics.median(took[1:]) for who, took in seconds.items()}
        for who, rate in rates.items():
            mine = rates["ours, nearest" if "nearest" in who else "ours"]
            print(f"  {who:18} {rate / 1e6:7.3f} M stays/s, ours {mine / rate:6.1f} x", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--few", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--without", nargs="*", default=[], choices=["sedonadb", "geopandas"])
    asked = parser.parse_args()
    main(asked.rows, asked.few, asked.rounds, asked.without)
