"""ODBC, proved with MariaDB's driver."""

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from urllib.parse import quote

import pyarrow as pa
import pytest

from lakehouse.errors import DeliveryUnreadable, EnvironmentFault, SourceRefused, SourceUnavailable
from lakehouse.source import OdbcSource
from lakehouse.sources import Received
from lakehouse.sources.database import odbc
from lakehouse.sources.database.query import Query, empty
from tests.lakehouse.sources.database.conftest import rows
from tests.lakehouse.sources.database.mariadb import ALIKE, MariaDB, Value

Fetched = Callable[..., list[Received]]
PASSWORD = "hush;}{hush"


@pytest.fixture(scope="module")
def address(maria: MariaDB) -> Callable[..., str]:
    drivers = subprocess.run(["odbcinst", "-q", "-d"], capture_output=True, text=True, check=False).stdout
    if "[MariaDB Unicode]" not in drivers:
        pytest.skip("MariaDB's ODBC driver isn't installed (make counterparts)")
    maria.run(f"CREATE OR REPLACE USER odbc IDENTIFIED BY '{PASSWORD}'", "GRANT ALL ON town.* TO odbc")

    def call(
        user: str = "odbc", password: str = PASSWORD, port: int = maria.port, driver: str = "MariaDB Unicode"
    ) -> str:
        log_in = f"{quote(user)}:{quote(password)}"
        return f"odbc://{log_in}@/?Driver={quote(driver)}&Server=127.0.0.1&Port={port}&Database=town"

    return call


@pytest.fixture
def fetched(fetched: Fetched, maria: MariaDB, address: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> Fetched:
    maria.run("DROP TABLE IF EXISTS t", "DROP VIEW IF EXISTS v")
    monkeypatch.setenv("CITYLAKE_CONN_TOWN", address())
    return partial(fetched, type="odbc", connection="town", table="t", key=("id",), quote="`")


VALUES: list[Value] = [
    *ALIKE,
    ("float", "16777216", "16777216"),
    ("date", "'9999-12-31'", "9999-12-31"),
    ("datetime", "'0000-00-00'", None),
    ("timestamp(3)", "'2026-11-20 16:00:00.5'", "2026-11-20 16:00:00.5"),
    ("time", "'08:30:00'", "08:30:00"),
]  # fmt: skip


def test_values_as_text(fetched: Fetched, maria: MariaDB):
    maria.store(VALUES)
    assert list(rows(fetched()[0])[0]) == [text for _, _, text in VALUES]


def test_names_days_and_marks(fetched: Fetched, maria: MariaDB):
    maria.run(
        'CREATE TABLE `Die ``Firmen`` 公司.v1` (`id` int, `das "Jahr" ?` date, `名` datetime(6))',
        "INSERT INTO `Die ``Firmen`` 公司.v1` VALUES (1, '2026-11-20', '2026-11-20 15:00:00.123456'),"
        " (2, '2026-11-21', '2026-11-21 16:00:00'), (3, null, null)",
    )
    asked = partial(fetched, table=["town", "Die `Firmen` 公司.v1"])
    assert [row[0] for row in rows(asked(day_column='das "Jahr" ?')[0])] == ["2"]
    (got,) = asked(since={"column": "名"}, marks={"名": "2026-11-20 15:00:00.123456"})
    assert ([row[0] for row in rows(got)], got.marks) == (["2", "3"], {"名": "2026-11-21 16:00:00"})
    maria.run("DROP TABLE `Die ``Firmen`` 公司.v1`")


def test_what_is_refused(
    fetched: Fetched, maria: MariaDB, address: Callable[..., str], monkeypatch: pytest.MonkeyPatch
):
    with pytest.raises(SourceRefused, match="no table 't'"):
        fetched()
    maria.run("CREATE TABLE t (id int, x longtext)", "INSERT INTO t VALUES (1, repeat('x', 5000)), (2, '')")
    with pytest.raises(DeliveryUnreadable, match="a row is longer than the allowed 4000 bytes"):
        fetched(limits={"row_bytes": 4000})
    for wrong, kind, what in (
        (address(password="wrong-hush"), SourceRefused, "log-in was refused"),
        (address(port=1), SourceUnavailable, "no connection"),
        (address(driver="Nobody's"), EnvironmentFault, "the ODBC driver isn't there"),
    ):
        monkeypatch.setenv("CITYLAKE_CONN_TOWN", wrong)
        with pytest.raises(kind, match=what) as caught:
            fetched()
        assert "hush" not in f"{caught.value!r} {caught.value}"


def _sleeps(query: Query, source: OdbcSource) -> Iterator[pa.RecordBatch]:
    yield empty(["id"])
    signal.pthread_sigmask(signal.SIG_BLOCK, [])
    signal.pause()


def _crashes(query: Query, source: OdbcSource) -> Iterator[pa.RecordBatch]:
    yield empty(["id"])
    print("a value")
    os.abort()


def test_a_driver_that_crashes_or_hangs_takes_nobody_with_it(fetched: Fetched, monkeypatch, capfd):
    monkeypatch.setattr(odbc, "read", _crashes)
    with pytest.raises(SourceUnavailable, match="the query broke off"):
        fetched()
    monkeypatch.setattr(odbc, "read", _sleeps)
    monkeypatch.setattr("lakehouse.sources.database.apart._LATER_S", 0)
    with pytest.raises(SourceUnavailable, match="longer than 1 s"):
        fetched(limits={"seconds": 1})
    assert capfd.readouterr().out == ""
