"""The step `maintain`: nothing a reader sees changes, releases stay readable, what is over goes, and twice is once."""

import hashlib
import json
import os
import shutil
from datetime import date, timedelta
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from jobs import maintain
from lakehouse.engine import spark as engine
from lakehouse.errors import LakeError
from lakehouse.lake import Lake
from lakehouse.layout import LAYERS
from lakehouse.settings import Settings
from lakehouse.table import Commit, Table
from tests.jobs.small_city import DAY, TOWN, City, text_of
from tests.lakehouse.test_upkeep import aged

DAYS = [DAY + timedelta(days=number) for number in range(4)]
SHOPS: dict[str, Any] = {"id": {"type": "string", "required": True}, "name": {"type": "string"}}
TREES: dict[str, Any] = {"id": {"type": "string"}, "height": {"type": "double"}, "measured": {"type": "date"}}
STEPS = ("bring", "clean", "relate", "release")


def town(city: City) -> None:
    """Three days of a snapshot and an upserted dataset, two files a day, some rows held back."""
    made, _ = _made()
    shutil.rmtree(city.catalog)
    held = shutil.ignore_patterns("spill")  # by this process, for the town that was made
    shutil.copytree(made.catalog.parent, city.catalog.parent, symlinks=True, ignore=held, dirs_exist_ok=True)
    city.now = made.now
    city.point()


@cache
def _made() -> tuple[City, TemporaryDirectory[str]]:
    """That town, made once: every test has a copy."""
    folder = TemporaryDirectory()
    city = City(Path(folder.name))
    city.declare("shops", SHOPS, load="snapshot", key=["id"])
    city.declare("trees", TREES, load="upsert", key=["id"], order="measured")
    for day in DAYS[:3]:
        deliver(city, day)
        night(city, day)
    return city, folder


def deliver(city: City, day: date) -> None:
    for part in ("a", "b"):
        rows = [[f"{part}{n}", f"shop {n} of {day}"] for n in range(20)]
        city.deliver("shops", text_of(SHOPS, [*rows, ["", "nobody's"], ["a0", "again"]]), day=day, name=f"{part}.csv")
        trees = [[f"{part}{n}", n, day] for n in range(day.day, day.day + 5)]
        city.deliver("trees", text_of(TREES, trees), day=day, name=f"{part}.csv")


def night(city: City, day: date) -> None:
    for step in STEPS:
        city.step(step, day, TOWN if step in ("bring", "clean") else None)


def tables(city: City) -> list[Table]:
    return [Table(path) for layer in LAYERS for path in sorted((city.home / layer).glob("*"))]


def content(table: Table, version: int | None = None) -> str:
    """Rows and an order-free checksum over every column."""
    rows = table.read(version=version).to_pylist()
    hashes = (hashlib.sha256(repr(sorted(row.items())).encode()).digest()[:8] for row in rows)
    return f"{len(rows)} rows {sum(int.from_bytes(each) for each in hashes) % (1 << 64):016x}"


def releases(city: City) -> dict[tuple[str, int], str]:
    """The content of every table of every release."""
    rows = [json.loads(row["tables"]) for row in city.book("releases", day=None)]
    named = {(name, version) for tables in rows for name, version in tables.items()}
    return {(n, v): content(Table(city.home / n.replace(".", "/", 1)), v) for n, v in named}


def last(city: City, day: date = DAYS[2]) -> dict[str, Any]:
    return city.last_run("maintain", "", day=day)


def test_nothing_a_reader_sees_changes(city: City) -> None:
    town(city)
    before, served = {t.path: content(t) for t in tables(city) if t.path.name != "runs"}, releases(city)
    files = {table.path: len(table.files()) for table in tables(city)}
    city.step("maintain", DAYS[2])
    assert last(city)["status"] == "succeeded"
    assert {t.path: content(t) for t in tables(city) if t.path.name != "runs"} == before
    assert releases(city) == served
    for name in ("ops/deliveries", "bronze/town__shops"):
        table = Table(city.home / name)
        assert len(table.files()) == len({Path(file).parent for file in table.files()}) < files[table.path], name


def test_a_second_time_changes_nothing(city: City) -> None:
    town(city)
    city.step("maintain", DAYS[2])
    city.step("maintain", DAYS[2])  # the books of the first
    before = {table.path: table.version() for table in tables(city)}
    city.step("maintain", DAYS[2])
    changed = {table.path.name for table in tables(city) if table.version() != before[table.path]}
    assert changed <= {"runs"}
    assert set(json.loads(last(city)["writes"] or "{}")) <= {"ops.runs"}


def test_the_next_nights_have_nothing_to_do_again_and_go_on(city: City) -> None:
    town(city)
    city.step("maintain", DAYS[2])
    versions, made = city.versions(), len(city.book("releases", day=None))
    for day in DAYS[:3]:
        night(city, day)
    assert city.versions() == versions
    assert len(city.book("releases", day=None)) == made
    silver = city.table("silver", "shops")
    before = content(silver)
    for day in DAYS[:3]:
        city.step("clean", day, TOWN, forced=True)  # from bronze whose files were joined
    assert content(silver) == before
    deliver(city, DAYS[3])
    night(city, DAYS[3])
    assert len(city.book("releases", day=DAYS[3])) == 1


def test_replaced_files_go_after_the_retention_and_releases_within_it_stay(city: City) -> None:
    town(city)
    for table in tables(city):
        aged(table, 40)
    city.step("clean", DAYS[0], TOWN, forced=True)
    city.step("release", DAYS[0])
    city.step("clean", DAYS[1], TOWN, forced=True)  # by a release of before the forty days only
    within = json.loads(city.book("releases", day=None)[-1]["tables"])
    served = {name: content(Table(city.home / name.replace(".", "/", 1)), v) for name, v in within.items()}
    city.step("maintain", DAYS[2])
    assert {n: content(Table(city.home / n.replace(".", "/", 1)), v) for n, v in within.items()} == served
    on_disk = {str(path) for path in (city.home / "silver/town__trees").glob("*.parquet")}
    trees = Table(city.home / "silver/town__trees")
    assert on_disk == {*trees.files(), *trees.files(version=within["silver.town__trees"]), *since(trees, within)}
    lake = Lake.open(city.home)
    assert lake.sql("SELECT count(*) AS n FROM silver.town__trees").to_arrow()["n"].to_pylist() == [14]


def since(table: Table, release: dict[str, int]) -> set[str]:
    """Files of versions since the release."""
    first = release[f"{table.path.parent.name}.{table.path.name}"]
    return {file for version in range(first, (table.version() or 0) + 1) for file in table.files(version=version)}


def test_landed_bytes_go_when_their_time_is_over_and_their_rows_are_in_bronze(city: City) -> None:
    city.declare("shops", SHOPS, load="snapshot", key=["id"], keep="30d")
    city.declare("trees", TREES)
    for day in DAYS[:2]:
        deliver(city, day)
        night(city, day)
    city.deliver("shops", b"PK\x03\x04 not a table", day=DAY, name="c.csv")
    city.step("bring", DAY, TOWN)
    there = landed(city)
    city.step("maintain", DAYS[0] + timedelta(days=30))
    assert landed(city) == there
    city.step("maintain", DAYS[0] + timedelta(days=31))
    gone = there - landed(city)
    assert gone == {("shops", str(DAY), "a.csv"), ("shops", str(DAY), "b.csv")}  # c.csv isn't in bronze
    assert len(list((city.home / "landing/town/shops" / str(DAY)).glob("*/manifest.json"))) == 3
    before = city.versions(), len(city.book("deliveries", "shops"))
    city.night(DAY)
    assert (city.versions(), len(city.book("deliveries", "shops"))) == before
    assert landed(city) == there - gone
    city.step("clean", DAY, TOWN, forced=True)
    assert len(city.silver("shops")) == 40


def landed(city: City) -> set[tuple[str, str, str]]:
    paths = (path for path in (city.home / "landing").glob("*/*/*/*/*") if path.name != "manifest.json")
    return {(path.parts[-4], path.parts[-3], path.name) for path in paths}


def test_old_logs_and_what_killed_runs_left_go(city: City) -> None:
    city.declare("shops", SHOPS)
    city.point()
    (city.home / "logs" / "airflow" / "x").mkdir(parents=True)
    old, new = city.home / "logs" / "airflow" / "x" / "1.log", city.home / "logs" / "2.log"
    for path, days in ((old, 36), (new, 34)):
        path.write_text("said")
        then = (city.now - timedelta(days=days)).timestamp()
        os.utime(path, (then, then))
    for kind in ("runs", "spill", "spark"):
        (city.home / "staging" / kind / "left").mkdir(parents=True)
    city.step("maintain")
    assert not old.exists() and new.exists()
    assert list((city.home / "staging").glob("*/left")) == []


def test_one_table_that_can_not_be_kept_does_not_stop_the_others(city: City) -> None:
    town(city)
    log = sorted((city.table("silver", "shops").path / "_delta_log").glob("*.json"))[-1]
    log.write_text(log.read_text()[:20])
    with pytest.raises(LakeError, match=r"silver/town__shops: can't be opened"):
        city.step("maintain", DAYS[2])
    assert len(Table(city.home / "bronze/town__shops").files()) == 3
    assert last(city)["status"] == "failed" and "can't be opened" in last(city)["error"]


def test_the_drill_reads_one_slice_again(city: City) -> None:
    town(city)
    drilled = set()
    for number in range(12):
        day = DAYS[2] + timedelta(days=number)
        city.step("maintain", day)
        ((table, version),) = json.loads(last(city, day)["reads"]).items()
        assert json.loads(city.book("releases", day=None)[-1]["tables"])[table] == version
        assert last(city, day)["rows_in"] > 0
        drilled.add(table)
    assert len(drilled) > 2


@pytest.mark.parametrize("damage", ["missing", "cut", "fewer"])
def test_a_drill_that_fails_is_a_failed_run(city: City, damage: str) -> None:
    town(city)
    for table in tables(city):
        if table.path.parent.name == "ops":
            continue
        if damage == "fewer":  # rows the books know of are gone
            table.open().delete("_source_row % 2 = 0")
            continue
        for file in map(Path, table.files()):
            file.unlink() if damage == "missing" else file.write_bytes(file.read_bytes()[:-200])
    if damage == "fewer":
        city.step("release", DAYS[2], forced=True)
        city.deliver("shops", "id,name\nz,z\n", day=DAYS[2], name="z.csv")
        city.step("bring", DAYS[2], TOWN)
        city.step("release", DAYS[2])
    said = "the books say" if damage == "fewer" else "can't be read again"
    with pytest.raises(LakeError, match=f"restore drill: version .*{said}"):
        for number in range(20):  # the day decides which slice
            maintain.drill(run(city, DAYS[2] + timedelta(days=number)))


def run(city: City, day: date) -> Any:
    from lakehouse.runs import Run

    city.point()
    return Run.start("maintain", day, city.now, Settings.from_environment())


def test_no_jvm_without_need(city: City, monkeypatch: pytest.MonkeyPatch) -> None:
    town(city)
    monkeypatch.setattr(engine, "session", None)
    city.step("maintain", DAYS[2])
    assert last(city)["status"] == "succeeded"


def test_tables_of_spark_are_kept_by_spark(spark: SparkSession, city: City) -> None:
    town(city)
    gold = Table(city.home / "gold" / "positions")
    for number in range(2):
        frame = spark.range(9).withColumn("_day", F.lit(DAY)).withColumn("n", F.lit(number)).repartition(3)
        engine.replace_slice(frame, gold, DAY, Commit(f"run-{number}"))
    aged(gold, 40)
    for crc in (gold.path / "_delta_log").glob(".*.crc"):
        crc.unlink()  # the log's own checksums, which `aged` has made wrong
    before = content(gold)
    city.step("maintain", DAYS[2])
    assert content(gold) == before
    assert len(gold.files()) == 1
    parquet = {path for path in gold.path.rglob("*.parquet") if "_delta_log" not in path.parts}
    assert len(parquet) == 4  # the first three are over, those that were joined now stay
    assert "gold.positions" in json.loads(last(city)["writes"])
    version = gold.version()
    city.step("maintain", DAYS[2])
    assert gold.version() == version
