"""A day of positions from CSV to bronze to silver: Citylake beside a hand-written DuckDB + delta-rs script.

    python -m benchmarks.gps_night [--rows 16000000] [--rounds 3] [--folder /tmp/citylake-gps] [--index track]

Both do the same in processes of their own, in turns: load (sha256, manifest or its like, text with row numbers), then
clean (typed, required, ranges, pattern, first of each key, cell, district). Outputs are compared before any ratio is
printed. Memory is the summed proportional set size of the process tree.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

ROOT = Path(__file__).parent.parent
DAY = "2026-03-02"
CONTRACT = """
title: positions
kind: sensing
sharing: unconditional
source: {type: file, uri: "{inbox}/transport/gps/{day}/*.csv"}
load: append
key: [plate, gps_at]
columns:
  plate: {type: string, required: true, pattern: "[京苏].{6,7}", class: sensitive}
  gps_at: {from: gps_time, type: timestamp, required: true, format: "yyyy-MM-dd HH:mm:ss", zone: Asia/Shanghai}
  lon: {type: double, required: true, between: [119.0, 122.5]}
  lat: {type: double, required: true, between: [31.0, 33.0]}
point: {x: lon, y: lat, crs: wgs84}
expect:
  warn: [{inside: {share: 0.99}}, not_null_island]
"""


def generate(path: Path, rows: int) -> None:
    """Vehicles at 10 s steps on bounded random walks around places in the city; 1 row in 1,000 repeated, 1 in 10,000 broken."""
    steps = 8_000
    rng = np.random.default_rng(7)
    start = np.datetime64("2026-03-01T00:00:00")
    clock = pc.strftime(pa.array(start + np.arange(steps) * np.timedelta64(10, "s")), format="%Y-%m-%d %H:%M:%S")
    with path.open("wb") as file:
        file.write(b"plate,gps_time,lon,lat\n")
        for first in range(0, rows // steps, 50):
            vehicles = np.arange(first, min(first + 50, rows // steps))
            count = len(vehicles) * steps
            plates = pc.binary_join_element_wise("苏F", pc.utf8_lpad(pa.array(vehicles).cast(pa.string()), 5, "0"), "")
            walk = np.cumsum(rng.normal(0, 2e-4, (2, len(vehicles), steps)), axis=2).clip(-0.05, 0.05).reshape(2, count)
            home = np.repeat(
                np.stack([rng.uniform(120.6, 121.4, len(vehicles)), rng.uniform(32.0, 32.3, len(vehicles))]), steps, 1
            )
            lon, lat = np.round(home + walk, 6) + 5e-7  # never on a border, whose owner the peer leaves open
            lat[rng.integers(0, count, count // 10_000)] = 91.0
            order = np.arange(count)
            again = rng.integers(1, count, count // 1_000)
            order[again] = order[again - 1]
            table = pa.table(
                {
                    "plate": plates.take(pa.array(order // steps)),
                    "gps_time": clock.take(pa.array(order % steps)),
                    "lon": lon[order],
                    "lat": lat[order],
                }
            )
            options = pa.csv.WriteOptions(include_header=False, quoting_style="none")
            pa.csv.write_csv(table, file, options)


def town(folder: Path, rows: int) -> Path:
    """A lake with one contract and its delivery of so many rows, made unless it is there; returns the delivered file."""
    inbox = folder / "lake/inbox/transport/gps" / DAY
    source = inbox / f"gps-{rows}.csv"
    if not source.exists():
        shutil.rmtree(folder, ignore_errors=True)
        inbox.mkdir(parents=True)
        generate(source, rows)
        contracts = folder / "catalog/contracts/transport"
        contracts.mkdir(parents=True)
        (contracts / "gps.yml").write_text(CONTRACT)
        (folder / "catalog/departments.yml").write_text("departments:\n  - {id: transport, zh: 交通, en: Transport}\n")
        shutil.copytree(ROOT / "expectations/standards", folder / "catalog/standards")
    return source


def ours(folder: Path, step: str) -> None:
    os.environ |= {
        "CITYLAKE_HOME": str(folder / "lake"),
        "CITYLAKE_CATALOG": str(folder / "catalog"),
        "CITYLAKE_ENGINE": "embedded",
    }
    from datetime import date

    import jobs.clean
    import jobs.pull  # noqa: F401 (imports aren't the work)
    import lakehouse.geo.points  # noqa: F401
    from jobs.run import run

    started = time.monotonic()
    run(step, date.fromisoformat(DAY), "transport")
    print(time.monotonic() - started)


def peer(folder: Path, step: str) -> None:
    """What a good data engineer writes in an afternoon for this one file."""
    import hashlib

    import duckdb
    from deltalake import write_deltalake

    started = time.monotonic()
    source, lake = next((folder / "lake/inbox/transport/gps" / DAY).glob("*.csv")), folder / "peer"
    connection = duckdb.connect(config={"threads": 2, "memory_limit": "6GB", "temp_directory": str(folder / "spill")})
    connection.execute("SET TimeZone = 'UTC'")
    if step == "bring":
        shutil.rmtree(lake, ignore_errors=True)
        (lake / "landing").mkdir(parents=True)
        digest = hashlib.sha256()
        with source.open("rb") as file, (lake / "landing" / source.name).open("wb") as copy:
            while chunk := file.read(4 << 20):
                digest.update(chunk)
                copy.write(chunk)
        (lake / "landing/manifest.json").write_text(json.dumps({"sha256": digest.hexdigest(), "name": source.name}))
        rows = connection.execute(
            """SELECT *, row_number() OVER () + 1 AS _source_row, ? AS _delivery_id, ? AS _source_file,
                      now() AS _loaded_at, DATE '2026-03-02' AS _day
               FROM read_csv(?, all_varchar = true, header = true)""",
            [digest.hexdigest()[:32], source.name, str(lake / "landing" / source.name)],
        )
        write_deltalake(str(lake / "bronze"), rows.to_arrow_reader(122_880), partition_by=["_day"], mode="append")
        print(time.monotonic() - started)
        return
    spatial = __import__("duckdb_extension_spatial").__path__[0]
    extension = next(Path(spatial).rglob("spatial.duckdb_extension"), None)
    connection.close()
    connection = duckdb.connect(
        config={
            "threads": 2,
            "memory_limit": "6GB",
            "temp_directory": str(folder / "spill"),
            "allow_unsigned_extensions": True,
        }
    )
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute(f"LOAD '{extension}'")
    shutil.rmtree(lake / "silver", ignore_errors=True)
    layers = folder / "catalog/standards/layers/districts.geojson"
    connection.execute("CREATE TABLE districts AS SELECT code, geom FROM ST_Read(?)", [str(layers)])
    rows = connection.execute(
        """WITH typed AS (
             SELECT trim(plate) AS plate,
                    try_strptime(gps_at, '%Y-%m-%d %H:%M:%S') - INTERVAL 8 HOUR AS gps_at,
                    try_cast(lon AS DOUBLE) AS lon, try_cast(lat AS DOUBLE) AS lat,
                    _source_row, _delivery_id, _source_file, _loaded_at, _day
             FROM (SELECT * RENAME (gps_time AS gps_at) FROM read_parquet($files))),
           sound AS (SELECT * FROM typed WHERE plate <> '' AND gps_at IS NOT NULL AND lon IS NOT NULL AND lat IS NOT NULL),
           firsts AS (SELECT * FROM sound QUALIFY row_number() OVER (PARTITION BY plate, gps_at ORDER BY _source_row) = 1),
           cells AS (SELECT *, (floor((lat + 90) * 256) * 131072 + floor((lon + 180) * 256))::BIGINT AS _cell,
                            NOT regexp_full_match(plate, '[京苏].{6,7}') AS bad_plate,
                            NOT (lon BETWEEN 119.0 AND 122.5) AS bad_lon, NOT (lat BETWEEN 31.0 AND 33.0) AS bad_lat FROM firsts)
           SELECT c.* EXCLUDE (gps_at), c.gps_at::TIMESTAMPTZ AS gps_at, d.code AS _district
           FROM cells c LEFT JOIN districts d ON ST_Contains(d.geom, ST_Point(c.lon, c.lat))""",
        {"files": [str(p) for p in (lake / "bronze").rglob("*.parquet")]},
    )
    write_deltalake(str(lake / "silver"), rows.to_arrow_reader(122_880), partition_by=["_day"], mode="append")
    print(time.monotonic() - started)


def timed(module: str, folder: Path, who: str, step: str) -> tuple[float, float]:
    """Seconds of the work itself, without starting Python, and peak summed PSS (MB) of the process tree."""
    child = psutil.Popen(
        [sys.executable, "-m", module, "--folder", str(folder), "--only", who, step],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    peak = 0.0
    while child.poll() is None:
        try:
            tree = [child, *child.children(recursive=True)]
            peak = max(peak, sum(p.memory_full_info().pss for p in tree) / 2**20)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            pass
        time.sleep(0.1)
    if child.returncode:
        raise SystemExit(f"{who} {step} failed")
    return float(child.stdout.read().split()[-1]), peak


def facts(path: Path) -> tuple[int, int, int, int, int]:
    """Rows, coordinate sums (1e-7 degrees), distinct districts and rows without one: equal on both sides or the comparison is void."""
    import duckdb
    from deltalake import DeltaTable

    files = DeltaTable(str(path)).file_uris()
    query = """SELECT count(*), sum(round(lon * 1e7)::BIGINT), sum(round(lat * 1e7)::BIGINT), count(DISTINCT _district),
                      count(*) - count(_district)
               FROM read_parquet($f)"""
    return duckdb.execute(query, {"f": files}).fetchone()  # type: ignore[return-value]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=16_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=Path("/tmp/citylake-gps"))
    parser.add_argument(
        "--index", choices=["space", "space_time", "track"], help="what silver is sorted by; else nothing"
    )
    parser.add_argument("--only", nargs=2, metavar=("WHO", "STEP"))
    asked = parser.parse_args()
    if asked.only:
        {"ours": ours, "peer": peer}[asked.only[0]](asked.folder, asked.only[1])
        return
    source = town(asked.folder, asked.rows)
    described = "\ndescribes: {fix: {vehicle: plate, at: gps_at, point: point}}\nindex: " + (asked.index or "")
    contract = asked.folder / "catalog/contracts/transport/gps.yml"
    contract.write_text(CONTRACT + (described if asked.index else ""))
    print(
        f"{asked.rows:,} rows, {source.stat().st_size / 1e6:.0f} MB; medians of {asked.rounds} rounds in turns",
        flush=True,
    )
    found: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for _ in range(asked.rounds):
        for who in ("ours", "peer"):
            for layer in ("landing", "bronze", "silver", "quarantine", "ops", "staging"):
                if who == "ours":
                    shutil.rmtree(asked.folder / "lake" / layer, ignore_errors=True)
            for step in ("bring", "clean"):
                found.setdefault((who, step), []).append(timed("benchmarks.gps_night", asked.folder, who, step))
                print(f"  {who} {step}: {found[who, step][-1][0]:.1f} s, {found[who, step][-1][1]:.0f} MB", flush=True)
    mine, theirs = facts(asked.folder / "lake/silver/transport__gps"), facts(asked.folder / "peer/silver")
    print("outputs equal:", mine == theirs, mine, theirs)
    for step in ("bring", "clean"):
        a, b = (statistics.median(seconds for seconds, _ in found[who, step]) for who in ("ours", "peer"))
        peak = max(memory for _, memory in found["ours", step])
        print(
            f"{step}: ours {a:.1f} s = {asked.rows / a / 1e6:.2f} M rows/s, peer {b:.1f} s, ratio {b / a:.2f}; peak {peak:.0f} MB"
        )


if __name__ == "__main__":
    main()
