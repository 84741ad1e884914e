import socket
import time
from collections.abc import Callable
from functools import partial

import pyarrow.parquet as pq
import pytest

from lakehouse.errors import DeliveryUnreadable, EnvironmentFault, NotDelivered, SourceRefused, SourceUnavailable
from lakehouse.sources import Received
from lakehouse.sources.database import mysql
from tests.lakehouse.sources.database.conftest import rows
from tests.lakehouse.sources.database.mariadb import ALIKE, MariaDB, Value

Fetched = Callable[..., list[Received]]


@pytest.fixture
def fetched(fetched: Fetched, maria: MariaDB, monkeypatch: pytest.MonkeyPatch) -> Fetched:
    maria.run("DROP TABLE IF EXISTS t", "DROP VIEW IF EXISTS v")
    monkeypatch.setenv("CITYLAKE_CONN_TOWN", maria.uri())
    return partial(fetched, type="mysql", connection="town", table="t", key=("id",))


VALUES: list[Value] = [
    *ALIKE,
    ("float", "16777217", "1.6777216e+07"),
    ("float", "3.4028234e38", "3.4028235e+38"),
    ("timestamp(3)", "'2026-11-20 16:00:00.5'", "2026-11-21 00:00:00.500+08:00"),
    ("time", "'-838:59:59'", "-838:59:59"),
    ("set('x','y')", "'y,x'", "x,y"),
    ("varchar(9) character set latin1", "'ü'", "ü"),
    ("uuid", "'123e4567-e89b-12d3-a456-426614174000'", "123e4567-e89b-12d3-a456-426614174000"),
]  # fmt: skip


def test_values_as_the_server_prints_them(fetched: Fetched, maria: MariaDB):
    maria.store(VALUES)
    assert list(rows(fetched()[0])[0]) == [text for _, _, text in VALUES]


def test_names_of_any_kind(fetched: Fetched, maria: MariaDB):
    maria.run(
        'CREATE TABLE `Die ``Firmen`` 公司.v1` (`id` int, `a "b" %s` int, `名` int)',
        "INSERT INTO `Die ``Firmen`` 公司.v1` VALUES (1, 2, 3)",
    )
    (got,) = fetched(table=["town", "Die `Firmen` 公司.v1"], since={"column": 'a "b" %s'}, marks={'a "b" %s': "1"})
    assert (pq.read_schema(got.path).names, rows(got)) == (["id", 'a "b" %s', "名"], [("1", "2", "3")])
    maria.run("DROP TABLE `Die ``Firmen`` 公司.v1`")


def test_only_the_day_or_what_is_new(fetched: Fetched, maria: MariaDB):
    maria.run(
        "CREATE TABLE t (id int, day date, at timestamp(6) null)",
        "INSERT INTO t VALUES (1, '2026-11-20', '2026-11-20 15:59:59.999999'), (2, '2026-11-21', '2026-11-20 16:00:00'),"
        "(3, null, null), (4, '0000-00-00', '0000-00-00')",
    )
    assert [row[0] for row in rows(fetched(day_column="day")[0])] == ["2"]
    assert [row[0] for row in rows(fetched(day_column="at")[0])] == ["2"]
    (got,) = fetched(since={"column": "at"})
    assert got.marks == {"at": "2026-11-21 00:00:00.000000+08:00"}
    since = partial(fetched, since={"column": "at", "overlap": "1m"})
    assert [row[0] for row in rows(since(marks=got.marks)[0])] == ["1", "2", "3"]
    assert [row[0] for row in rows(fetched(since={"column": "at"}, marks=got.marks)[0])] == ["3"]
    maria.run("DELETE FROM t WHERE id = 2")
    with pytest.raises(NotDelivered, match="no rows of 2026-11-21"):
        fetched(day_column="day")


def test_a_table_is_left_in_the_middle_without_reading_the_rest(fetched: Fetched, maria: MariaDB, recwarn):
    start = time.monotonic()
    with pytest.raises(DeliveryUnreadable, match="rows are more than the allowed 5"):
        fetched(table="seq_1_to_100000000", limits={"rows": 5})
    assert time.monotonic() - start < 5
    assert not [str(warning.message) for warning in recwarn if "unraisable" in str(warning.category).lower()]


def test_what_is_refused(fetched: Fetched, maria: MariaDB, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(SourceRefused, match="no table 't'"):
        fetched()
    with pytest.raises(SourceRefused, match=r"no table 'nowhere\.t'"):
        fetched(table="nowhere.t")
    maria.run(
        "CREATE TABLE t (id int)",
        "CREATE OR REPLACE USER clerk IDENTIFIED BY 'hush-hush'",
        "GRANT SHOW DATABASES ON *.* TO clerk",
        "CREATE OR REPLACE TABLE other (id int)",
        "GRANT SELECT ON town.other TO clerk",
    )
    monkeypatch.setenv("CITYLAKE_CONN_TOWN", maria.uri("clerk", "hush-hush"))
    assert rows(fetched(table="other")[0]) == []
    with pytest.raises(SourceRefused, match="we may not read it"):
        fetched()
    monkeypatch.setenv("CITYLAKE_CONN_TOWN", maria.uri("clerk", "wrong-hush"))
    with pytest.raises(SourceRefused, match="log-in was refused") as caught:
        fetched()
    assert not any(word in f"{caught.value!r} {caught.value}" for word in ("hush", "clerk"))
    monkeypatch.setenv("CITYLAKE_CONN_TOWN", "http://x:hush@127.0.0.1/")
    with pytest.raises(EnvironmentFault, match="begins with mysql://"):
        fetched()


def test_what_can_t_be_reached(fetched: Fetched, maria: MariaDB, monkeypatch: pytest.MonkeyPatch):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setenv("CITYLAKE_CONN_TOWN", f"mysql://u:hush-hush@127.0.0.1:{closed.getsockname()[1]}/town")
        with pytest.raises(SourceUnavailable, match="no connection") as caught:
            fetched()
        assert "hush" not in str(caught.value)
        closed.listen()
        monkeypatch.setattr(mysql, "CONNECT_S", 1)
        with pytest.raises(SourceUnavailable, match="no connection"):
            fetched()


def test_a_query_that_takes_too_long_or_breaks_off(fetched: Fetched, maria: MariaDB):
    maria.run("CREATE OR REPLACE VIEW v AS SELECT 1 AS id, sleep(5) AS s")
    with pytest.raises(SourceUnavailable, match="longer than 1 s"):
        fetched(table="v", limits={"seconds": 1})
    maria.run(
        "CREATE OR REPLACE FUNCTION killed(n int) RETURNS int BEGIN"
        " IF n = 50000 THEN KILL CONNECTION_ID(); END IF; RETURN n; END",
        "CREATE OR REPLACE VIEW v AS SELECT killed(seq) AS id FROM seq_1_to_100000",
    )
    with pytest.raises(SourceUnavailable, match="broke off"):
        fetched(table="v")


def test_nothing_can_be_written(fetched: Fetched, maria: MariaDB):
    maria.run(
        "CREATE OR REPLACE TABLE t (id int)",
        "CREATE OR REPLACE FUNCTION sly() RETURNS int BEGIN INSERT INTO town.t VALUES (1); RETURN 1; END",
        "CREATE OR REPLACE VIEW v AS SELECT sly() AS id",
    )
    with pytest.raises(SourceRefused, match="the query failed"):
        fetched(table="v")
    assert rows(fetched()[0]) == []
