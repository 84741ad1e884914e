"""Stays and trips from fixes: the same as trackintel's, how fast, and night by night.

    python -m benchmarks.stays taxis  [--data ../shared/data/gps_tdrive]     every difference to trackintel, and its time
    python -m benchmarks.stays peers  [--fixes 16000000] [--rounds 3]        from a Delta table; Spark's applyInPandas beside
    python -m benchmarks.stays city   [--trucks 20000] [--fixes-each 8640]   one night, silver to stays: seconds and memory
    python -m benchmarks.stays nights [--trucks 2000] [--nights 30]          a night beside one pass over all of them
    python -m benchmarks.stays growth [--largest 160000000]                  the exponent over a hundredfold

Peers take turns with ours in one run, and a ratio is printed only beside equal outputs. Files stay in --folder.
"""

import argparse
import os
import shutil
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from benchmarks.gps_night import ROOT, timed
from lakehouse.contract import Contract, Movement
from lakehouse.geo import curve
from lakehouse.geo import stays as kernel
from lakehouse.stream import in_runs
from lakehouse.table import Commit, Table

DAY = date(2026, 3, 2)
NAME = "transport__gps"
TAXIS = Movement(leave="outside", rejoin_minutes=0, max_speed_mps=None)
"""As trackintel takes stays: until the first fix outside, none joined, every fix used."""

CONTRACT = """
title: positions
kind: sensing
sharing: unconditional
source: {type: file, uri: "{inbox}/transport/gps/{day}/*.csv"}
load: append
key: [plate, gps_at]
columns:
  plate: {type: string, required: true, class: sensitive}
  gps_at: {type: timestamp, required: true}
  lon: {type: double, required: true}
  lat: {type: double, required: true}
point: {x: lon, y: lat}
describes: {fix: {vehicle: plate, at: gps_at, point: point}}
"""
SILVER = pa.schema(
    [
        ("plate", pa.string()), ("gps_at", pa.timestamp("us", "UTC")), ("lon", pa.float64()), ("lat", pa.float64()),
        ("_lon", pa.float64()), ("_lat", pa.float64()), ("_track", pa.int64()), ("_day", pa.date32()),
    ]
)  # fmt: skip


# --- the taxis ---


def taxis(data: Path) -> pd.DataFrame:
    """The fixes of the taxis: `vehicle at lon lat`, sorted."""
    files = [file for file in sorted(data.glob("*.txt")) if file.stat().st_size]
    rows = pd.concat([pd.read_csv(file, names=["vehicle", "at", "lon", "lat"], parse_dates=["at"]) for file in files])
    return rows.sort_values(["vehicle", "at", "lon", "lat"], ignore_index=True)


def by_trackintel(rows: pd.DataFrame) -> pd.DataFrame:
    """Its stay points `vehicle began ended`."""
    import geopandas as gpd
    import trackintel as ti

    warnings.filterwarnings("ignore")
    points = gpd.points_from_xy(rows["lon"], rows["lat"], crs=4326)
    named = {"user_id": rows["vehicle"], "tracked_at": rows["at"].dt.tz_localize("UTC")}
    fixes = ti.Positionfixes(gpd.GeoDataFrame(named, geometry=points))
    _, found = fixes.generate_staypoints(
        method="sliding", dist_threshold=100, time_threshold=5, gap_threshold=15, include_last=True
    )
    return pd.DataFrame({"vehicle": found["user_id"], "began": found["started_at"], "ended": found["finished_at"]})


def by_ours(rows: pd.DataFrame, movement: Movement = TAXIS) -> pd.DataFrame:
    columns = (pa.array(rows[name].to_numpy()) for name in ("vehicle", "at", "lon", "lat"))
    found = kernel.stays(*columns, movement).to_pandas()
    return found.rename(columns={"began_at": "began", "ended_at": "ended"})


def keys(found: pd.DataFrame) -> set[tuple[Any, int, int]]:
    began, ended = (found[name].dt.as_unit("us").astype("int64") for name in ("began", "ended"))
    return set(zip(found["vehicle"], began, ended, strict=True))


def compare_taxis(asked: argparse.Namespace) -> None:
    rows = taxis(asked.data)
    by_ours(rows)
    seconds = min(clocked(lambda: by_ours(rows)) for _ in range(5))
    began = time.monotonic()
    theirs = by_trackintel(rows)
    peer = time.monotonic() - began
    ours = by_ours(rows)
    print(f"{len(rows):,} fixes of {rows['vehicle'].nunique()} taxis")
    print(f"stays: ours {len(ours):,}, trackintel {len(theirs):,}")
    print(f"only ours {sorted(keys(ours) - keys(theirs))}, only trackintel's {sorted(keys(theirs) - keys(ours))}")
    off = rows[~(rows["lon"].between(-180, 180) & rows["lat"].between(-90, 90))]
    print(f"fixes off the globe, which trackintel measures distances to and we drop:\n{off.to_string(index=False)}")
    sound = rows.drop(off.index)
    again = (
        set() if off.empty else keys(by_ours(sound)) ^ keys(by_trackintel(sound[sound["vehicle"].isin(off["vehicle"])]))
    )
    again = {key for key in again if key[0] in set(off["vehicle"])}
    print(f"differences on those taxis without them: {len(again)}")
    print(f"stays by default (left inside, joined, noise dropped): {len(by_ours(rows, Movement())):,}")
    print(f"ours {seconds:.3f} s, trackintel {peer:.1f} s, ratio {peer / seconds:,.0f} (in memory)")


# --- from a Delta table ---


def copied(data: Path, table: Table, fixes: int) -> int:
    """The taxis, copied with other ids and times until there are so many, in a table sorted by vehicle; gives how many."""
    rows = taxis(data)
    copies = -(-fixes // len(rows))
    if not (table.exists() and table.rows() >= fixes):
        shutil.rmtree(table.path, ignore_errors=True)
        at = rows["at"].astype("datetime64[us]").astype("int64").to_numpy()

        def batches() -> Iterator[pa.RecordBatch]:
            for copy in range(copies):
                plate = pc.binary_join_element_wise(f"{copy:05d}", pa.array(rows["vehicle"].astype(str)), "-")
                shifted = pa.array(at + copy * 7_000_000).cast(pa.timestamp("us", "UTC"))
                lon, lat = pa.array(rows["lon"]), pa.array(rows["lat"])
                day = pa.repeat(pa.scalar(DAY), len(rows))
                track = curve.track(plate, shifted)
                yield pa.RecordBatch.from_arrays([plate, shifted, lon, lat, lon, lat, track, day], schema=SILVER)

        table.replace_slice(DAY, SILVER, in_runs(batches(), ["_track"]), Commit("generate"))
    return table.rows()


def contract() -> Contract:
    import yaml

    declared = {"department": "transport", "dataset": "gps", "columns": {}, **yaml.safe_load(CONTRACT)}
    return Contract.model_validate(declared)


def from_table(home: Path, movement: Movement) -> tuple[int, int, int]:
    """All stays of a table: how many, the sum of their beginnings (s) and of their fixes."""
    from jobs.fixes import Part, Reader
    from lakehouse.runs import Run
    from lakehouse.settings import Settings

    settings = Settings(home=home, catalog=ROOT, inbox=home)
    run = Run.start("benchmark", DAY, datetime.now(UTC), settings)
    declared = contract()
    reader = Reader(
        run, declared.model_copy(update={"movement": movement.model_copy(update={"late_days": 10_000})}), b"key"
    )
    table = Table(home / "silver" / NAME)

    def one(part: Part) -> tuple[int, int, int]:
        read = reader.read(DAY, part)
        done = kernel.advance(read.fixes, kernel.unknown(len(read.vehicles)), movement)
        ends = kernel.finished(done.states[done.final], movement)
        rows = np.vstack([done.events.stays, ends.stays])
        return len(rows), int((rows[:, 1] // 1e6).sum()), int(rows[:, 5].sum())

    with ThreadPoolExecutor(settings.threads) as pool:
        found = list(pool.map(one, reader.parts(DAY, table.files())[0]))
    return tuple(map(sum, zip(*found, strict=True)))  # type: ignore[return-value]


def from_spark(spark: Any, home: Path, movement: Movement) -> tuple[int, int, int]:
    """The same by Spark: rows grouped by vehicle, the same kernel on each group."""
    from pyspark.sql import functions as F

    def of_one(group: pd.DataFrame) -> pd.DataFrame:
        at = pa.array(group["gps_at"].astype("datetime64[us]").to_numpy())
        columns = (pa.array(group[name].to_numpy()) for name in ("_lon", "_lat"))
        found = kernel.stays(pa.array(np.zeros(len(group), np.int8)), at, *columns, movement)
        return found.select(["began_at", "fixes"]).to_pandas()

    rows = spark.read.format("delta").load(str(home / "silver" / NAME)).select("plate", "gps_at", "_lon", "_lat")
    found = rows.groupBy("plate").applyInPandas(of_one, "began_at timestamp, fixes long")
    told = found.agg(F.count("*"), F.sum(F.floor(F.unix_micros("began_at") / 1_000_000)), F.sum("fixes")).collect()[0]
    return tuple(int(value) for value in told)  # type: ignore[return-value]


def compare_peers(asked: argparse.Namespace) -> None:
    from lakehouse.engine import spark as engine
    from lakehouse.settings import Settings

    home = asked.folder / f"taxis-{asked.fixes}"
    fixes = copied(asked.data, Table(home / "silver" / NAME), asked.fixes)
    sample = taxis(asked.data)
    begun = time.monotonic()
    by_trackintel(sample)
    trackintel = len(sample) / (time.monotonic() - begun)
    print(f"{fixes:,} fixes; trackintel on {len(sample):,} of them: {trackintel / 1e6:.4f} M fixes/s", flush=True)
    found: dict[str, list[float]] = {"ours": [], "Spark applyInPandas": []}
    said: dict[str, tuple[int, int, int]] = {}
    settings = Settings(home=home, catalog=ROOT, inbox=home, spark="local")
    with engine.session(settings) as spark:
        from_table(home, TAXIS)
        from_spark(spark, home, TAXIS)
        for _ in range(asked.rounds):
            for who in found:
                begun = time.monotonic()
                said[who] = from_table(home, TAXIS) if who == "ours" else from_spark(spark, home, TAXIS)
                found[who].append(time.monotonic() - begun)
                print(f"  {who}: {found[who][-1]:.2f} s, {said[who]}", flush=True)
    rate = {who: fixes / float(np.median(seconds)) for who, seconds in found.items()}
    print("outputs equal:", len(set(said.values())) == 1)
    for who, per_second in rate.items():
        print(
            f"{who}: {per_second / 1e6:.2f} M fixes/s, {rate['ours'] / per_second:.1f} times; x trackintel {per_second / trackintel:,.0f}"
        )


# --- a city's night ---


def town(folder: Path) -> Path:
    """A catalogue with the one contract; gives the lake's folder."""
    contracts = folder / "catalog/contracts/transport"
    if not contracts.exists():
        contracts.mkdir(parents=True)
        (contracts / "gps.yml").write_text(CONTRACT)
        (folder / "catalog/departments.yml").write_text("departments:\n  - {id: transport, zh: 交通, en: Transport}\n")
        shutil.copytree(ROOT / "expectations/standards", folder / "catalog/standards")
    return folder / "lake"


def generate(silver: Table, day: date, trucks: int, each: int, *, nights: int = 1) -> None:
    """One day's silver, sorted by truck: a fix every 10 s, stops of exp(40 min), ways of exp(30 min), jitter of 5 m.

    The trucks go on from night to night: their moves are drawn once for all `nights`.
    """
    night, step = (day - DAY).days, 10.0
    midnight = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) - 8 * 3600

    def batches() -> Iterator[pa.RecordBatch]:
        for first in range(0, trucks, 100):
            count = min(100, trucks - first)
            drawn = np.random.default_rng([5, first])
            legs = 40 * nights
            stops, ways = drawn.exponential(2400, (count, legs)), drawn.exponential(1800, (count, legs))
            ends = np.cumsum(np.stack([stops, ways], axis=2).reshape(count, -1), axis=1)
            home = np.stack([drawn.uniform(120.6, 121.4, count), drawn.uniform(32.0, 32.3, count)])
            heading = drawn.uniform(0, 2 * np.pi, (count, legs))
            seconds = (np.arange(each) + night * each) * step
            noise = np.random.default_rng([7, night, first])
            lon, lat = np.empty((count, each)), np.empty((count, each))
            for truck in range(count):
                leg = np.minimum(np.searchsorted(ends[truck], seconds), 2 * legs - 1)
                begins = np.concatenate([[0.0], ends[truck]])
                lengths = np.where(np.arange(2 * legs) % 2, ends[truck] - begins[:-1], 0.0) * 15.0
                turn = np.repeat(heading[truck], 2)
                x = np.concatenate([[0.0], np.cumsum(lengths * np.cos(turn))])
                y = np.concatenate([[0.0], np.cumsum(lengths * np.sin(turn))])
                on = np.where(leg % 2, (seconds - begins[leg]) * 15.0, 0.0)
                east, north = x[leg] + on * np.cos(turn[leg]), y[leg] + on * np.sin(turn[leg])
                east, north = (
                    np.abs((way + 2e4) % 8e4 - 4e4) - 2e4 for way in (east, north)
                )  # back at the city's edge
                lon[truck] = home[0, truck] + east / 94_300
                lat[truck] = home[1, truck] + north / 111_195
            lon += noise.normal(0, 5 / 94_300, lon.shape)
            lat += noise.normal(0, 5 / 111_195, lat.shape)
            size = count * each
            plates = pa.array([f"苏F{truck:05d}" for truck in range(first, first + count)])
            plate = plates.take(pa.array(np.repeat(np.arange(count, dtype=np.int32), each)))
            at = np.tile((midnight + np.arange(each) * int(step)) * 1_000_000, count)
            places = [pa.array(np.round(values.ravel(), 6)) for values in (lon, lat)]
            instant = pa.array(at).cast(SILVER.field("gps_at").type)
            columns = [plate, instant, *places, *places, curve.track(plate, instant), pa.repeat(pa.scalar(day), size)]
            yield pa.RecordBatch.from_arrays(columns, schema=SILVER)

    silver.replace_slice(day, SILVER, in_runs(batches(), ["_track"]), Commit("generate"))


def step(folder: Path, name: str, day: str) -> None:
    """One run of a step as `citylake run` does it; prints its seconds."""
    os.environ |= {"CITYLAKE_HOME": str(folder / "lake"), "CITYLAKE_CATALOG": str(folder / "catalog")}
    import jobs.movement
    import jobs.sites  # noqa: F401 (imports aren't the work)
    from jobs.run import run

    started = time.monotonic()
    run(name, date.fromisoformat(day))
    print(time.monotonic() - started)


def time_city(asked: argparse.Namespace) -> None:
    folder = asked.folder / f"city-{asked.trucks}-{asked.fixes_each}"
    home = town(folder)
    silver, fixes = Table(home / "silver" / NAME), asked.trucks * asked.fixes_each
    if not silver.exists():
        begun = time.monotonic()
        generate(silver, DAY, asked.trucks, asked.fixes_each)
        print(f"made in {time.monotonic() - begun:.0f} s", flush=True)
    for layer in ("gold", "ops"):
        shutil.rmtree(home / layer, ignore_errors=True)
    seconds, peak = timed("benchmarks.stays", folder, "stays", DAY.isoformat())
    more, peak_sites = timed("benchmarks.stays", folder, "sites", DAY.isoformat())
    stays, trips = (Table(home / "gold" / name).rows() for name in ("stays", "trips"))
    told = Table(home / "gold" / "stays").history()[0]
    print(
        f"{fixes:,} fixes of {asked.trucks:,} trucks: {seconds:.1f} s = {fixes / seconds / 1e6:.2f} M fixes/s, peak {peak:,.0f} MB"
    )
    sites = Table(home / "gold" / "sites")
    print(f"sites: {more:.1f} s, peak {peak_sites:,.0f} MB, {sites.rows() if sites.exists() else 0:,} of them")
    print(f"{stays:,} stays, {trips:,} trips; used {told['used']} + dropped = {told['fixes']} fixes")


# --- night by night ---


def time_nights(asked: argparse.Namespace) -> None:
    folder = asked.folder / f"nights-{asked.trucks}-{asked.nights}"
    home = town(folder)
    silver = Table(home / "silver" / NAME)
    days = [DAY + timedelta(n) for n in range(asked.nights)]
    there = silver.days()
    for day in days:
        if day not in there:
            generate(silver, day, asked.trucks, asked.fixes_each, nights=asked.nights)
    for layer in ("gold", "ops"):
        shutil.rmtree(home / layer, ignore_errors=True)
    seconds = [timed("benchmarks.stays", folder, "stays", day.isoformat())[0] for day in days]
    begun = time.monotonic()
    whole = one_pass(home, days)
    recompute = time.monotonic() - begun
    stored = Table(home / "gold" / "stays").read(columns=["began_at", "ended_at", "lon", "lat", "fixes"])
    order = stored.sort_by([(name, "ascending") for name in stored.schema.names])
    print("tables equal one pass:", order.num_rows == whole.num_rows and order.equals(whole))
    print(
        f"nights: first {seconds[0]:.2f} s, last {seconds[-1]:.2f} s, median {np.median(seconds):.2f} s, all {sum(seconds):.1f} s"
    )
    share, of_all = recompute / np.median(seconds), sum(seconds) / np.median(seconds)
    print(f"one pass over all: {recompute:.1f} s; a night is 1/{share:.1f} of it, 1/{of_all:.1f} of all nights")


def one_pass(home: Path, days: list[date]) -> pa.Table:
    """The stays of all nights found at once: whole vehicles, all their fixes, no state."""
    from jobs import fixes as reading
    from lakehouse.runs import Run
    from lakehouse.settings import Settings

    reading.PART_ROWS = 1_000_000  # of the first night: a part holds all of them
    settings, movement = Settings(home=home, catalog=ROOT, inbox=home), Movement()
    reader = reading.Reader(Run.start("benchmark", DAY, datetime.now(UTC), settings), contract(), b"key")
    silver = Table(home / "silver" / NAME)
    files = {day: silver.files(day) for day in days}
    parts, _ = reader.parts(days[0], files[days[0]])
    instant = pa.timestamp("us", "UTC")

    def one(part: Any) -> pa.Table:
        first = reader.read(days[0], part)
        low = dict.fromkeys(first.vehicles, -(1 << 62))
        later = [reader.between(day, files[day], low, 1 << 62, part).fixes for day in days[1:]]
        done = kernel.advance(reading.gathered([first.fixes, *later]), kernel.unknown(len(low)), movement)
        ends = kernel.finished(done.states[done.final], movement)
        rows = np.vstack([done.events.stays, ends.stays])
        at = (pa.array(rows[:, place].astype(np.int64)).cast(instant) for place in (1, 2))
        columns = [*at, *(pa.array(rows[:, place]) for place in (3, 4)), pa.array(rows[:, 5].astype(np.int64))]
        return pa.Table.from_arrays(columns, ["began_at", "ended_at", "lon", "lat", "fixes"])

    with ThreadPoolExecutor(settings.threads) as pool:
        found = pa.concat_tables(pool.map(one, parts))
    return found.sort_by([(name, "ascending") for name in found.schema.names])


def time_growth(asked: argparse.Namespace) -> None:
    sizes = [asked.largest // 100, asked.largest // 10, asked.largest]
    found = []
    for size in sizes:
        home = asked.folder / f"taxis-{size}"
        fixes = copied(asked.data, Table(home / "silver" / NAME), size)
        from_table(home, TAXIS)
        found.append((fixes, min(clocked(lambda home=home: from_table(home, TAXIS)) for _ in range(asked.rounds))))
        print(f"{fixes:,} fixes: {found[-1][1]:.2f} s = {fixes / found[-1][1] / 1e6:.1f} M fixes/s", flush=True)
    slope = np.polyfit(*np.log(np.array(found)).T, 1)[0]
    print(f"exponent {slope:.3f}")


def clocked(work: Any) -> float:
    begun = time.monotonic()
    work()
    return time.monotonic() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", choices=["taxis", "peers", "city", "nights", "growth"])
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared/data/gps_tdrive")
    parser.add_argument("--folder", type=Path, default=Path("/tmp/citylake-stays"))
    parser.add_argument("--fixes", type=int, default=16_000_000)
    parser.add_argument("--trucks", type=int, default=None)
    parser.add_argument("--fixes-each", type=int, default=8_640)
    parser.add_argument("--nights", type=int, default=30)
    parser.add_argument("--largest", type=int, default=160_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs=2, metavar=("STEP", "DAY"))
    asked = parser.parse_args()
    if asked.only:
        step(asked.folder, *asked.only)
        return
    asked.trucks = asked.trucks or (20_000 if asked.what == "city" else 2_000)
    works = {
        "taxis": compare_taxis,
        "peers": compare_peers,
        "city": time_city,
        "nights": time_nights,
        "growth": time_growth,
    }
    works[asked.what](asked)


if __name__ == "__main__":
    main()
