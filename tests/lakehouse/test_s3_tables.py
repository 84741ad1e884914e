"""One table on an S3 server: killed at exact points, answers lost, two writers, a server that refuses or is down."""

import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path

import pyarrow as pa
import pytest

from lakehouse import damage, upkeep
from lakehouse.errors import LakeError, TablesUnreachable, WrongEngine
from lakehouse.table import RETENTION_DAYS, Commit, Table, tables
from tests.chaos.child import forks
from tests.lakehouse import s3_server
from tests.lakehouse.s3_server import BUCKET, SECRET, Server, When

DAY = date(2026, 3, 2)
SCHEMA = pa.schema([("id", pa.int64()), ("name", pa.string()), ("_day", pa.date32())])


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with s3_server.running() as server:
        yield server


@pytest.fixture
def lake(server: Server, home: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Path:
    monkeypatch.setenv("CITYLAKE_CONN_TABLES", server.login())
    (home / "tables.txt").write_text(f"s3://{BUCKET}/{home.parent.name}\n")
    return home


def rows(*ids: int, name: str = "a") -> pa.Table:
    return pa.table({"id": list(ids), "name": [name] * len(ids), "_day": [DAY] * len(ids)}, SCHEMA)


def append(table: Table, batch: pa.Table, transaction: str | None = None) -> None:
    table.append_once(SCHEMA, batch.to_batches(), Commit("r", transaction=transaction))


def ids(table: Table) -> list[int]:
    return sorted(table.read()["id"].to_pylist()) if table.exists() else []


def write(table: Table, how: str) -> None:
    """One of the four ways rows come into a table: 1, 2 and 3, in place of what was there."""
    if how == "append":
        append(table, rows(1, 2, 3), "first")
    elif how == "replace":
        table.replace_slice(DAY, SCHEMA, rows(1, 2, 3).to_batches(), Commit("r"))
    elif how == "take over":
        aside = Table(table.path.parents[1] / "staging" / os.urandom(4).hex())
        append(aside, rows(1, 2, 3))
        table.take_over(DAY, SCHEMA, [aside], Commit("r"))
    elif how == "merge":
        table.merge(rows(1, 2, 3, name="b"), Commit("r"), key=["id"], rank=["name"])


def _write_and_die(environment: dict[str, str], server: Server, path: Path, how: str, key: str, when: When) -> None:
    os.environ.update(environment)
    server.plan(key, when, os.getpid())
    write(Table(path), how)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("key", [".parquet", "_delta_log/"])
@pytest.mark.parametrize("how", ["append", "replace", "take over", "merge"])
def test_a_writer_that_is_killed_leaves_all_or_nothing_and_the_next_completes(
    server: Server, lake: Path, how: str, key: str, when: When
) -> None:
    table = Table(lake / "silver" / "t")
    before = [9] if how in ("replace", "take over") else [1] if how == "merge" else []
    if how == "merge":
        table.merge(rows(1), Commit("r"), key=["id"], rank=["name"])
    elif before:
        append(table, rows(9))
    child = forks.Process(target=_write_and_die, args=(dict(os.environ), server, table.path, how, key, when))
    child.start()
    child.join()
    assert child.exitcode == -9
    assert ids(table) == ([1, 2, 3] if (key, when) == ("_delta_log/", "after") else before)
    write(table, how)
    write(table, how)
    assert ids(table) == [1, 2, 3]


@pytest.mark.parametrize("how", ["append", "replace", "take over", "merge"])
def test_a_commit_whose_answer_is_lost_counts_once(server: Server, lake: Path, how: str) -> None:
    table = Table(lake / "silver" / "t")
    append(table, rows(), None) if how != "merge" else table.merge(rows(1), Commit("r"), key=["id"], rank=["name"])
    server.plan("_delta_log/", "lost")
    try:
        write(table, how)
    except LakeError:
        write(table, how)
    assert ids(table) == [1, 2, 3]


def test_two_machines_that_append_lose_nothing_and_load_a_delivery_once(lake: Path) -> None:
    other = lake.with_name("other")
    other.mkdir()
    (other / "tables.txt").write_text((lake / "tables.txt").read_text())
    one, two = Table(lake / "bronze" / "t"), Table(other / "bronze" / "t")  # the lock of each is its own

    def many(table: Table, first: int) -> None:
        for number in range(first, first + 8):
            append(table, rows(number), str(number))

    append(one, rows(0))
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(many, [one, two], [100, 200]))
    assert ids(one) == [0, *range(100, 108), *range(200, 208)]


def test_a_server_that_refuses_or_is_down_is_one_line_without_the_secret(
    server: Server, lake: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = Table(lake / "silver" / "t")
    append(table, rows(1))
    for login, kind, said in (
        (server.login("stranger"), LakeError, "the server of the tables refuses the log-in"),
        (server.login().replace(server.url, "http://127.0.0.1:9"), TablesUnreachable, "doesn't answer"),
    ):
        monkeypatch.setenv("CITYLAKE_CONN_TABLES", login)
        for ask in (table.exists, table.open, lambda: append(table, rows(2)), lambda: tables(lake)):
            with pytest.raises(kind, match=said) as fault:
                ask()
            assert SECRET not in str(fault.value) and "\n" not in str(fault.value)
    monkeypatch.setenv("CITYLAKE_CONN_TABLES", server.login())
    append(table, rows(2))
    assert ids(table) == [1, 2]


def test_a_copy_is_renewed_and_a_log_that_the_server_lost_is_not_begun_anew(server: Server, lake: Path) -> None:
    table = Table(lake / "silver" / "t")
    for number in range(12):
        append(table, rows(number))
    assert ids(table) == list(range(12))
    unknown = table.path / "_day=2026-03-02" / "no-longer-there.parquet"
    unknown.touch()
    upkeep.keep(table, Commit("r"), RETENTION_DAYS * 24, threads=1, prune=False)
    assert not unknown.exists() and list((table.path / "_delta_log").glob("*.checkpoint.parquet"))
    assert ids(table) == list(range(12))

    newest = sorted((table.path / "_delta_log").glob("*.json"))[-1]
    newest.write_text("{")
    assert damage.find(table) is None and ids(table) == list(range(12))

    of = f"{lake.parent.name}/silver/t/_delta_log"
    for number in range(10):  # entries that a checkpoint sums up may go
        server.lose(f"{of}/{number:020}.json")
    shutil.rmtree(table.path)
    assert ids(table) == list(range(12))

    for path in (table.path / "_delta_log").iterdir():
        server.lose(f"{of}/{path.name}")
    for ask in (table.exists, table.open, lambda: append(table, rows(99))):
        with pytest.raises(LakeError, match="its log is gone from the server"):
            ask()


def test_spark_is_refused(lake: Path) -> None:
    table = Table(lake / "silver" / "t")
    append(table, rows(1))
    with pytest.raises(WrongEngine, match="on a server"):
        table.claim("spark")
    with pytest.raises(WrongEngine, match="on a server"):
        table.reset(SCHEMA, "spark", Commit("r"), partition_by=[])
