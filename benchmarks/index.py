"""One district and one hour out of many fixes: what `Lake.within` and `Lake.track` read, and how long they take.

    python -m benchmarks.index [--rows 100000000] [--days 7] [--policy space_time] [--folder /tmp/citylake-index]

Silver is written as cleaning writes it: runs of 2 M rows, sorted by the column of the contract's index policy, a file each.
Fixes come as feeds send them, in order of time; with `--by vehicle` each vehicle's day together. The answers are compared
with a scan of the whole table by DuckDB with its spatial extension (or of one day, where the table is large).
"""

import argparse
import shutil
import statistics
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa

from lakehouse.geo import curve
from lakehouse.geo.cells import cells
from lakehouse.geo.regions import Regions
from lakehouse.lake import Lake, Release
from lakehouse.settings import Settings
from lakehouse.stream import RUN_ROWS, in_runs
from lakehouse.table import Commit, Table

ROOT = Path(__file__).parent.parent
FIRST = date(2026, 3, 1)
CONTRACT = """
title: positions
kind: sensing
sharing: unconditional
source: {type: file, uri: "{inbox}/transport/gps/{day}/*.csv"}
load: append
columns: {plate: {type: string, class: sensitive}, gps_at: {type: timestamp}, lon: {type: double}, lat: {type: double}}
point: {x: lon, y: lat}
describes: {fix: {vehicle: plate, at: gps_at, point: point}}
"""


def rows_of(
    day: date, number: int, count: int, of_day: int, vehicles: int, by: str, regions: Regions
) -> pa.RecordBatch:
    """`count` of the day's fixes from the `number`-th on: vehicles near homes of theirs, all reporting in turns."""
    random = np.random.default_rng([number, day.toordinal()])
    i = np.arange(number, number + count)
    turns = -(-of_day // vehicles)
    vehicle, turn = (i % vehicles, i // vehicles) if by == "time" else (i // turns, i % turns)
    homes = np.random.default_rng(1).uniform((120.3, 31.85), (121.7, 32.55), (vehicles, 2))[vehicle % vehicles]
    lon, lat = np.ascontiguousarray((homes + random.normal(0, 0.03, (count, 2))).round(6).T)
    begin = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) - 8 * 3600
    at = pa.array((begin + turn * 86400 // turns) * 1_000_000 + vehicle, pa.timestamp("us", "UTC"))
    district = pa.DictionaryArray.from_arrays(
        pa.array(found := regions.locate(lon, lat), mask=found < 0), list(regions.codes)
    )
    plate = pa.DictionaryArray.from_arrays(pa.array(vehicle, pa.int32()), [f"苏F{n:05d}" for n in range(vehicles)])
    plain, where = plate.cast(pa.string()), pa.array(cells(lon, lat))
    return pa.RecordBatch.from_pydict(
        {
            "plate": plain,
            "gps_at": at,
            "lon": lon,
            "lat": lat,
            "_lon": lon,
            "_lat": lat,
            "_cell": where,
            "_district": district,
            "_space": curve.space(where),
            "_space_time": curve.space_time(where, at),
            "_track": curve.track(plain, at),
            "_source_row": i + 2,
            "_day": pa.array(np.full(count, (day - date(1970, 1, 1)).days, np.int32), pa.date32()),
        }
    )


def build(folder: Path, rows: int, days: int, policy: str, by: str) -> Path:
    """The lake, made unless it is there."""
    home = folder / f"{rows}-{days}-{policy}-{by}"
    table = Table(home / "silver" / "transport__gps")
    if table.exists() and table.rows() == rows // days * days:
        return home
    shutil.rmtree(home, ignore_errors=True)
    contracts = home / "catalog/contracts/transport"
    contracts.mkdir(parents=True)
    (contracts / "gps.yml").write_text(CONTRACT)
    shutil.copytree(ROOT / "expectations/standards", home / "catalog/standards")
    regions = Regions.load(home / "catalog/standards/layers/districts.geojson")
    other = [name for name in ("_space", "_space_time", "_track") if name != f"_{policy}"]
    begun, of_day = time.perf_counter(), rows // days
    for n in range(days):
        day = FIRST + timedelta(n)
        for start in range(0, of_day, RUN_ROWS):
            count = min(RUN_ROWS, of_day - start)
            batch = rows_of(day, start, count, of_day, max(of_day // 8640, 100), by, regions).drop_columns(other)
            table.append_once(batch.schema, in_runs(_cut(batch), [f"_{policy}"]), Commit("benchmark"))
    print(f"{rows // days * days:,} rows written in {time.perf_counter() - begun:.0f} s", flush=True)
    return home


def _cut(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    for start in range(0, len(batch), 122_880):
        yield batch.slice(start, 122_880)


def opened(home: Path) -> Lake:
    settings = Settings(home=home, catalog=home / "catalog", inbox=home)
    version = Table(home / "silver" / "transport__gps").version()
    return Lake(settings, Release(FIRST, 1, datetime.now(UTC), {"silver.transport__gps": version}, ()))


def scanned(home: Path, code: str, start: datetime, end: datetime) -> tuple[int, float]:
    """How many rows a scan by DuckDB finds, and its seconds."""
    import duckdb
    import duckdb_extension_spatial

    connection = duckdb.connect(config={"threads": 2, "allow_unsigned_extensions": True})
    connection.execute(f"LOAD '{next(Path(duckdb_extension_spatial.__path__[0]).rglob('spatial.duckdb_extension'))}'")
    layer = str(home / "catalog/standards/layers/districts.geojson")
    connection.execute("CREATE TABLE d AS SELECT geom FROM ST_Read(?) WHERE code = ?", [layer, code])
    files = Table(home / "silver" / "transport__gps").files()
    begun = time.perf_counter()
    (count,) = connection.execute(  # type: ignore[misc]
        """SELECT count(*) FROM read_parquet($files), d WHERE gps_at >= $start AND gps_at < $end
           AND ST_Intersects(geom, ST_Point(_lon, _lat))""",
        {"files": files, "start": start, "end": end},
    ).fetchone()
    return count, time.perf_counter() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000_000)
    parser.add_argument("--days", type=int, default=7)
    parser.add_argument("--policy", choices=["space", "space_time", "track"], default="space_time")
    parser.add_argument("--by", choices=["time", "vehicle"], default="time")
    parser.add_argument("--folder", type=Path, default=Path("/tmp/citylake-index"))
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    home = build(asked.folder, asked.rows, asked.days, asked.policy, asked.by)
    lake = opened(home)
    start = datetime(FIRST.year, FIRST.month, FIRST.day + asked.days // 2, 1, tzinfo=UTC)
    end = start + timedelta(hours=1)
    for code in ("320614", "320612"):
        seconds = []
        for _ in range(asked.rounds + 1):
            begun = time.perf_counter()
            found = lake.within("silver.transport__gps", code, start, end)
            seconds.append(time.perf_counter() - begun)
        tell(f"district {code}, one hour", found, seconds)
        count, took = scanned(home, code, start, end)
        print(
            f"  DuckDB over all files: {took:.2f} s, {'equal' if count == len(found.rows) else f'DIFFERS: {count:,}'}"
        )
    seconds = []
    for _ in range(asked.rounds + 1):
        begun = time.perf_counter()
        found = lake.track("苏F00007", start, end)
        seconds.append(time.perf_counter() - begun)
    tell("one vehicle, one hour", found, seconds)


def tell(what: str, found, seconds: list[float]) -> None:  # type: ignore[no-untyped-def]
    read = found.read
    print(
        f"{what}: {len(found.rows):,} rows; read {read.bytes / 1e6:.1f} of {read.of_bytes / 1e6:.0f} MB = "
        f"{read.bytes / read.of_bytes:.2%}, {read.files} of {read.of_files} files, {read.row_groups} row groups; "
        f"first {seconds[0]:.2f} s, warm {statistics.median(seconds[1:]):.2f} s",
        flush=True,
    )


if __name__ == "__main__":
    main()
