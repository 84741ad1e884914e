import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from lakehouse.errors import DeliveryUnreadable, NotDelivered, SourceRefused, SourceUnavailable
from lakehouse.sources import Received
from lakehouse.sources.database import sqlite
from tests.lakehouse.sources.database.conftest import rows

Fetched = Callable[..., list[Received]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a town?#.db"


@pytest.fixture
def database(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        yield connection


@pytest.fixture
def fetched(fetched: Fetched, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fetched:
    monkeypatch.setenv("CITYLAKE_CONN_TOWN", f"sqlite://{tmp_path}/a%20town%3F%23.db")
    return partial(fetched, type="sqlite", connection="town", table="t", key=("id",))


def test_a_column_holds_values_of_any_kind(fetched: Fetched, database: sqlite3.Connection):
    values = [None, "", 2**63 - 1, 0.1, 1 / 3, 1e300, "一😀", "a\0b", b"\x00\xff", 9999999999999999.0]
    database.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, x)")
    database.executemany("INSERT INTO t VALUES (?, ?)", enumerate(values))
    database.execute("INSERT INTO t VALUES (11, CAST(X'61FF' AS TEXT))")
    assert [row[1] for row in sorted(rows(fetched()[0]), key=lambda row: int(row[0]))] == [
        None, "", "9223372036854775807", "0.1", "0.3333333333333333", "1e+300", "一😀", "a\0b", "00ff",
        "1e+16", "a\\xff",
    ]  # fmt: skip


def test_only_the_day(fetched: Fetched, database: sqlite3.Connection):
    database.execute("CREATE TABLE t (id, at)")
    instants = ["2026-11-20 23:59:59", "2026-11-21", "2026-11-21T23:59:59.9", "2026-11-22", None]
    database.executemany("INSERT INTO t VALUES (?, ?)", enumerate(instants))
    assert [row[0] for row in rows(fetched(day_column="at")[0])] == ["1", "2"]
    database.execute("DELETE FROM t WHERE id IN (1, 2)")
    with pytest.raises(NotDelivered, match="no rows of 2026-11-21"):
        fetched(day_column="at")


def test_moments_are_compared_by_the_calendar(fetched: Fetched, database: sqlite3.Connection):
    database.execute("CREATE TABLE t (id, at)")
    instants = ["2026-11-20T18:00:00Z", "2026-11-21T02:00:01+08:00", "2026-11-20 17:59:59Z", "who knows"]
    database.executemany("INSERT INTO t VALUES (?, ?)", enumerate(instants))
    (got,) = fetched(since={"column": "at"}, marks={"at": "2026-11-21 02:00:00+08:00"})
    assert ([row[0] for row in rows(got)], got.marks) == (["1", "3"], {"at": "2026-11-21T02:00:01+08:00"})


def test_a_table_being_written_is_read_as_it_was(fetched: Fetched, database: sqlite3.Connection, monkeypatch):
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("CREATE TABLE t (id)")
    database.execute("INSERT INTO t VALUES (1)")
    database.execute("BEGIN IMMEDIATE")
    database.execute("INSERT INTO t VALUES (2)")
    assert rows(fetched()[0]) == [("1",)]
    database.execute("COMMIT")
    assert rows(fetched()[0]) == [("1",), ("2",)]
    database.execute("PRAGMA journal_mode = DELETE")
    database.execute("BEGIN EXCLUSIVE")
    monkeypatch.setattr(sqlite, "_WAIT_S", 0)
    with pytest.raises(SourceUnavailable, match="can't serve us just now"):
        fetched()


def test_nothing_is_written(fetched: Fetched, database: sqlite3.Connection, path: Path):
    database.execute("CREATE TABLE t (id)")
    before = path.read_bytes()
    fetched()
    assert (path.read_bytes(), [file.name for file in path.parent.glob("*.db*")]) == (before, [path.name])
    path.unlink()
    with pytest.raises(SourceUnavailable, match="can't be opened"):
        fetched()
    assert not path.exists()


@pytest.mark.parametrize("damage", ["not a database", "a page gone wrong"])
def test_a_damaged_file(fetched: Fetched, database: sqlite3.Connection, path: Path, damage: str):
    database.execute("CREATE TABLE t (id, x)")
    database.executemany("INSERT INTO t VALUES (?, ?)", [(n, "x" * 500) for n in range(100)])
    database.close()
    content = bytearray(path.read_bytes())
    start = 0 if damage == "not a database" else 3 * 4096
    content[start : start + 4096] = b"\xa5" * 4096
    path.write_bytes(content)
    with pytest.raises(DeliveryUnreadable, match="the database file is damaged"):
        fetched()


def test_unknown_table_or_column(fetched: Fetched, database: sqlite3.Connection):
    database.execute("CREATE TABLE t (id)")
    with pytest.raises(SourceRefused, match="no table 'nothing'"):
        fetched(table="nothing")
    with pytest.raises(SourceRefused, match="no column 'nothing'"):
        fetched(day_column="nothing")


def test_a_query_that_takes_too_long_or_a_row_that_is_too_long(fetched: Fetched, database: sqlite3.Connection):
    database.execute(
        "CREATE VIEW t AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) AS id FROM n"
    )
    with pytest.raises(SourceUnavailable, match="longer than 1 s"):
        fetched(limits={"seconds": 1})
    database.execute("CREATE VIEW wide AS SELECT hex(zeroblob(5000)) AS id")
    with pytest.raises(DeliveryUnreadable, match="a row is longer than the allowed 4000 bytes"):
        fetched(table="wide", limits={"row_bytes": 4000})


def test_a_view_calls_nothing_that_does_something(fetched: Fetched, database: sqlite3.Connection):
    database.execute("CREATE VIEW t AS SELECT load_extension('/tmp/x.so') AS id")
    with pytest.raises(SourceRefused, match="the query failed"):
        fetched()
