"""Spark's engine or its client killed in the middle of cleaning: one clear line, no wrong or lost row, the next run heals."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from textwrap import dedent

import pytest

from lakehouse.engine import server
from tests.jobs.small_city import DAY, City, own_settings, text_of

ROOT = Path(__file__).parents[2]
NEXT = DAY + timedelta(days=1)
TOWNS = ("near", "far")
SENT = {
    DAY: [[str(n), "2026-03-01", "old"] for n in range(50)],
    NEXT: [[str(n), "2026-03-02", "new"] for n in range(40, 60)],
}
COLUMNS = {"id": {"type": "integer"}, "at": {"type": "date"}, "note": {"type": "string"}}


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory) -> Iterator[City]:
    """Two towns with two days of upserts, the first of them in silver, which is Spark's; one dataset is cleaned without."""
    with own_settings() as patch:
        patch.setenv("CITYLAKE_THREADS", "2")
        city = City(tmp_path_factory.mktemp("city"))
        city.departments(*TOWNS)
        for town in TOWNS:
            declared = {"key": ["id"], "department": town}
            city.declare(f"newest_{town}", COLUMNS, load="upsert", order="at", engine="spark", **declared)
            city.declare(f"things_{town}", COLUMNS, engine="embedded", **declared)
            for day, rows in SENT.items():
                for name in ("newest", "things"):
                    city.deliver(f"{name}_{town}", text_of(list(COLUMNS), rows), day=day)
                city.step("bring", day, town)
            assert clean(city, town, DAY).returncode == 0
        yield city
        server.stop(city.home)


def clean(city: City, town: str, day: object, before: str = "") -> "subprocess.CompletedProcess[str]":
    """Clean the day in a process of its own, after it has done what `before` says; its engine stays."""
    city.point()
    code = dedent(before) + dedent(f"""
        from datetime import date
        from jobs.run import run
        run("clean", date.fromisoformat("{day}"), "{town}")
    """)
    env = {name: value for name, value in os.environ.items() if not name.startswith("SPARK_")}
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True, check=False)


def rows(city: City, name: str, town: str) -> list[tuple[int, str]]:
    return [(row["id"], row["note"]) for row in city.table("silver", f"{name}_{town}", town).read().to_pylist()]


def is_whole(city: City, town: str) -> bool:
    """Whether both datasets hold what two undisturbed nights leave."""
    newest = rows(city, "newest", town)
    assert city.table("silver", f"newest_{town}", town).engine() == "spark"
    merged = {(n, "old" if n < 40 else "new") for n in range(60)}
    return len(newest) == 60 and set(newest) == merged and len(rows(city, "things", town)) == 70


def test_a_client_killed_amid_its_merge(city: City) -> None:
    amid = """
        import os, signal, threading
        from pyspark.sql.connect.session import SparkSession
        asked = SparkSession.sql

        def sql(self, query, *args, **options):
            if query.startswith("MERGE"):
                threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGKILL)).start()
            return asked(self, query, *args, **options)

        SparkSession.sql = sql
    """
    assert clean(city, "near", NEXT, amid).returncode == -signal.SIGKILL
    assert clean(city, "near", NEXT).returncode == 0
    assert is_whole(city, "near")
    assert clean(city, "near", NEXT).returncode == 0  # and what the engine may have finished meanwhile does no harm
    assert is_whole(city, "near")


def test_the_engine_killed_while_it_cleans(city: City) -> None:
    amid = """
        import os, signal
        from pathlib import Path
        from lakehouse.engine import server, spark
        home, asked = Path(os.environ["CITYLAKE_HOME"]), spark.each

        def each(*args, **options):
            with spark.session(args[0]):
                os.kill(server.found(home).pid, signal.SIGKILL)
                yield from asked(*args, **options)

        spark.each = each
    """
    ended = clean(city, "far", NEXT, amid)
    assert ended.returncode == 1
    lines = [line for line in ended.stderr.splitlines() if "dataset failed" in line]
    assert len(lines) == 1
    assert "newest" in lines[0]
    assert "the Spark engine has ended" in lines[0]
    assert "run the same command again" in lines[0]
    assert len(rows(city, "things", "far")) == 70
    assert len(rows(city, "newest", "far")) == 50
    assert clean(city, "far", NEXT).returncode == 0
    assert is_whole(city, "far")
