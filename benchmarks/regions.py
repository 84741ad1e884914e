"""Points to regions: ours beside SedonaDB, DuckDB with its spatial extension and Sedona's broadcast join on Spark.

    python -m benchmarks.regions [--rows 8000000] [--few 1000000] [--rounds 3] [--without duckdb ...]
    python -m benchmarks.regions --growth [--rows 160000000]

300 regions of 400 vertices: tiles that share every vertex of a crooked border, each with a hole. Four fifths of the points
lie in hot spots, some exactly on vertices and along borders. Everybody gets two threads and the points in memory, and gives
pairs of point and region; the region of a point is the first that intersects it. Slow peers get the first `--few` points.
Rows that differ from ours are decided by fractions, without
rounding: whoever is wrong there is told. `--growth` looks the points up alone, 1/100, 1/10 and all of `--rows`.
"""

import argparse
import json
import math
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
import pyarrow as pa
import shapely

from benchmarks.geo_kernels import districts, load
from benchmarks.plain_spark import DELTA, EXTENSIONS, plain_spark
from lakehouse.geo.cells import cells
from lakehouse.geo.regions import NOWHERE, Regions

BATCH = 200_000
CHUNK = 4_000_000
HOLE_VERTICES = 24
THREADS = 2
DECIDED = 100  # fractions are slow

Pairs = tuple[np.ndarray, np.ndarray]


def regions_of_400() -> list[dict]:
    """Tiles of 376 vertices with a hole of 24 in the middle."""
    found = []
    for tile in districts(20, 15, (400 - HOLE_VERTICES) // 4):
        centre = shapely.from_geojson(json.dumps(tile)).centroid
        turn = np.linspace(0, -2 * np.pi, HOLE_VERTICES, endpoint=False)
        hole = np.stack([centre.x + 0.01 * np.cos(turn), centre.y + 0.01 * np.sin(turn)], 1).tolist()
        found.append({"type": "Polygon", "coordinates": [*tile["coordinates"], [*hole, hole[0]]]})
    return found


def points(geometries: list[dict], count: int, seed: int) -> np.ndarray:
    """Longitudes and latitudes: 80 % around 40 places, 20 % anywhere; of both 1 % on vertices and the middles of edges."""
    random = np.random.default_rng(seed)
    places = np.random.default_rng(3).uniform((120, 31.5), (121.5, 32.7), (40, 2))
    hot = places[random.integers(0, 40, count)] + random.normal(0, 0.02, (count, 2))
    found = np.where(random.random((count, 1)) < 0.8, hot, random.uniform((119.9, 31.4), (121.6, 32.8), (count, 2)))
    corners = shapely.get_coordinates(shapely.from_geojson([json.dumps(shape) for shape in geometries]))
    edge = random.integers(0, len(corners) - 1, count // 100)
    middle = (corners[edge] + corners[edge + 1]) / 2
    found[random.integers(0, count, len(edge))] = np.where(random.random((len(edge), 1)) < 0.5, corners[edge], middle)
    return np.ascontiguousarray(found.T)


def first_of(pairs: Pairs, count: int) -> np.ndarray:
    """The region of each point from all pairs."""
    found = np.full(count, np.iinfo(np.int64).max)
    np.minimum.at(found, pairs[0], pairs[1])
    return np.where(found == np.iinfo(np.int64).max, NOWHERE, found)


def exactly(geometries: list[dict], lon: float, lat: float) -> int:
    """The first region that holds a point or has it on its border, by fractions."""
    x, y = Fraction(lon), Fraction(lat)
    for region, geometry in enumerate(geometries):
        inside = False
        for ring in geometry["coordinates"]:
            for (ax, ay), (bx, by) in pairwise([tuple(map(Fraction, position)) for position in ring]):
                side = (bx - ax) * (y - ay) - (by - ay) * (x - ax)
                if side == 0 and min(ax, bx) <= x <= max(ax, bx) and min(ay, by) <= y <= max(ay, by):
                    return region
                if (ay <= y < by and side > 0) or (by <= y < ay and side < 0):
                    inside = not inside
        if inside:
            return region
    return NOWHERE


def located(regions: Regions, lon: np.ndarray, lat: np.ndarray) -> np.ndarray:
    """Ours: the kernel over batches, on two threads."""
    with ThreadPoolExecutor(THREADS) as pool:
        starts = range(0, len(lon), BATCH)
        return np.concatenate(list(pool.map(lambda i: regions.locate(lon[i : i + BATCH], lat[i : i + BATCH]), starts)))


def by_sedonadb(geometries: list[dict], lon: np.ndarray, lat: np.ndarray) -> Callable[[], Pairs]:
    import sedonadb

    session = sedonadb.connect()
    session.create_data_frame(table(lon, lat)).to_view("points")
    session.create_data_frame(shapes(geometries)).to_view("regions")
    query = """SELECT i, region FROM points JOIN (SELECT region, ST_GeomFromWKB(shape) AS shape FROM regions)
               ON ST_Intersects(shape, ST_Point(lon, lat))"""
    return lambda: pairs_of(pa.table(session.sql(query)))


def by_duckdb(geometries: list[dict], lon: np.ndarray, lat: np.ndarray) -> Callable[[], Pairs]:
    import duckdb
    import duckdb_extension_spatial

    connection = duckdb.connect(config={"threads": THREADS, "allow_unsigned_extensions": True})
    connection.execute(f"LOAD '{next(Path(duckdb_extension_spatial.__path__[0]).rglob('spatial.duckdb_extension'))}'")
    connection.register("given", table(lon, lat))
    connection.register("listed", shapes(geometries))
    connection.execute("CREATE TABLE points AS FROM given")
    connection.execute("CREATE TABLE regions AS SELECT region, ST_GeomFromWKB(shape) AS shape FROM listed")
    query = "SELECT i, region FROM points JOIN regions ON ST_Intersects(shape, ST_Point(lon, lat))"
    return lambda: pairs_of(connection.execute(query).to_arrow_table())


def on_spark(folder: Path, geometries: list[dict], lon: np.ndarray, lat: np.ndarray) -> dict[str, Callable[[], Pairs]]:
    """Sedona's broadcast join, and our join over cells in the same session, from Parquet in two files."""
    import pyarrow.parquet as pq
    from pyspark.sql import functions as F
    from sedona.spark import SedonaContext

    from lakehouse.geo.frames import with_region

    settings = {
        EXTENSIONS: f"{DELTA},org.apache.sedona.sql.SedonaSqlExtensions",
        "spark.serializer": "org.apache.spark.serializer.KryoSerializer",
        "spark.kryo.registrator": "org.apache.sedona.core.serde.SedonaKryoRegistrator",
        "spark.driver.maxResultSize": "4g",
    }
    spark = SedonaContext.create(plain_spark(folder / "spill", settings))
    given = table(lon, lat).append_column("cell", pa.array(cells(lon, lat)))
    half = -(-len(lon) // THREADS)
    for number in range(THREADS):
        pq.write_table(given.slice(number * half, half), folder / f"points-{len(lon)}-{number}.parquet")
    regions, _ = load(geometries)

    def read():  # type: ignore[no-untyped-def]
        return spark.read.parquet(str(folder / f"points-{len(lon)}-*.parquet"))

    def sedona() -> Pairs:
        listed = spark.createDataFrame(shapes(geometries).to_pandas())
        shape = F.broadcast(listed.selectExpr("region", "ST_GeomFromWKB(shape) AS shape"))
        joined = read().join(shape, on=F.expr("ST_Intersects(shape, ST_Point(lon, lat))"))
        return pairs_of(joined.select("i", "region").toArrow())

    def ours() -> Pairs:
        found = with_region(read(), regions).select("i", "region")
        return pairs_of(found.where("region IS NOT NULL").toArrow())

    return {"sedona": sedona, "ours on Spark": ours}


def table(lon: np.ndarray, lat: np.ndarray) -> pa.Table:
    return pa.table({"i": np.arange(len(lon)), "lon": lon, "lat": lat})


def shapes(geometries: list[dict]) -> pa.Table:
    read = shapely.from_geojson([json.dumps(shape) for shape in geometries])
    return pa.table({"region": np.arange(len(read)), "shape": pa.array(shapely.to_wkb(read).tolist(), pa.binary())})


def pairs_of(found: pa.Table) -> Pairs:
    return found.column(0).to_numpy(), found.column(1).to_numpy().astype(np.int64)


def compare(rows: int, few: int, rounds: int, without: list[str]) -> None:
    geometries = regions_of_400()
    lon, lat = points(geometries, rows, 1)
    regions, built_s = load(geometries)
    print(f"{len(geometries)} regions of 400 vertices, read, checked and drawn in {built_s:.2f} s", flush=True)
    ours = located(regions, lon, lat)
    folder = Path(mkdtemp(prefix="citylake-regions-"))
    works: dict[str, tuple[int, Callable[[], object]]] = {"ours": (rows, lambda: located(regions, lon, lat))}
    if "sedonadb" not in without:
        works["sedonadb"] = (rows, by_sedonadb(geometries, lon, lat))
    if "duckdb" not in without:
        works["duckdb"] = (min(few, rows), by_duckdb(geometries, lon[:few], lat[:few]))
    if "spark" not in without:
        works |= {
            name: (min(few, rows), work) for name, work in on_spark(folder, geometries, lon[:few], lat[:few]).items()
        }
        more = on_spark(folder, geometries, lon, lat)
        works["ours on Spark"] = (rows, more["ours on Spark"])
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for turn in range(rounds + 1):  # the first is a warm-up, and is compared
        for name, (count, work) in works.items():
            begun = time.perf_counter()
            found = work()
            seconds[name].append(time.perf_counter() - begun)
            if turn == 0 and name != "ours":
                other = np.flatnonzero(first_of(found, count) != ours[:count])  # type: ignore[arg-type]
                right = sum(exactly(geometries, lon[i], lat[i]) == ours[i] for i in other[:DECIDED])
                told = f", ours right in {right} of {len(other[:DECIDED])}" if len(other) else ""
                print(f"  {name}: {len(other)} differing rows of {count:,}{told}", flush=True)
    rates = {name: works[name][0] / statistics.median(took[1:]) / 1e6 for name, took in seconds.items()}
    for name, rate in rates.items():
        print(f"{name:14} {rate:8.2f} M points/s, ours {rates['ours'] / rate:7.1f} x  ({works[name][0]:,} points)")
    if "sedona" in rates:
        print(f"on Spark ours {rates['ours on Spark'] / rates['sedona']:.1f} x Sedona's broadcast join")


def growth(rows: int) -> None:
    geometries = regions_of_400()
    regions, _ = load(geometries)
    found = []
    for count in (rows // 100, rows // 10, rows):
        seconds = 0.0
        for seed in range(-(-count // CHUNK)):
            lon, lat = points(geometries, min(CHUNK, count - seed * CHUNK), seed)
            begun = time.perf_counter()
            located(regions, lon, lat)
            seconds += time.perf_counter() - begun
        found.append((count, seconds))
        print(f"{count:>12,} points {seconds:8.3f} s  {count / seconds / 1e6:6.1f} M points/s", flush=True)
    (first, least), *_, (last, most) = found
    print(f"exponent {math.log(most / least) / math.log(last / first):.3f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int)
    parser.add_argument("--few", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--without", nargs="*", default=[], choices=["sedonadb", "duckdb", "spark"])
    parser.add_argument("--growth", action="store_true")
    asked = parser.parse_args()
    if asked.growth:
        growth(asked.rows or 160_000_000)
    else:
        compare(asked.rows or 8_000_000, asked.few, asked.rounds, asked.without)
