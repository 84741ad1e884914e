"""What all databases share, shown with SQLite: order, limits, and what is new or has changed since an earlier day."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lakehouse.errors import ContractError, DeliveryUnreadable, LakeError, SourceRefused, SourceUnavailable
from lakehouse.sources import Received
from lakehouse.sources.database import ordered, query, tables
from tests.lakehouse.sources.database.conftest import rows

AT = datetime(2026, 11, 21, 0, 30, tzinfo=UTC)

Fetched = Callable[..., list[Received]]


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., None]:
    def call(*statements: str) -> None:
        with closing(sqlite3.connect(tmp_path / "town.db")) as connection:
            for statement in statements:
                connection.execute(statement)
            connection.commit()

    return call


@pytest.fixture
def fetched(fetched: Fetched, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fetched:
    monkeypatch.setenv("CITYLAKE_CONN_TOWN", f"sqlite://{tmp_path}/town.db")
    return partial(fetched, type="sqlite", connection="town", table="firms", key=("id",))


def test_rows_are_ordered_by_the_key_and_then_by_the_other_columns(fetched: Fetched, run: Callable[..., None]):
    run("CREATE TABLE firms (x, id)", "INSERT INTO firms VALUES ('b', 2), ('a', 2), (null, 10), ('', 2), (null, 2)")
    (first,) = fetched()
    assert rows(first) == [(None, "10"), ("", "2"), ("a", "2"), ("b", "2"), (None, "2")]
    run("DELETE FROM firms", "INSERT INTO firms VALUES (null, 2), ('', 2), (null, 10), ('a', 2), ('b', 2)")
    assert fetched()[0].sha256 == first.sha256
    run("UPDATE firms SET x = null WHERE x = ''")
    assert fetched()[0].sha256 != first.sha256


def test_the_bytes_depend_on_the_rows_alone(
    fetched: Fetched, run: Callable[..., None], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(ordered, "_GROUP_ROWS", 7)
    run(
        "CREATE TABLE firms (id)",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 100) INSERT INTO firms SELECT i FROM n",
    )
    (first,) = fetched()
    assert pq.read_metadata(first.path).num_row_groups == 15
    monkeypatch.setattr(query, "_BATCH_ROWS", 3)
    run(
        "CREATE TABLE other AS SELECT id FROM firms ORDER BY id DESC",
        "DROP TABLE firms",
        "ALTER TABLE other RENAME TO firms",
    )
    assert fetched()[0].sha256 == first.sha256


def test_a_row_group_holds_no_more_than_its_bytes(fetched: Fetched, run, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(ordered, "_GROUP_BYTES", 1000)
    run("CREATE TABLE firms (id)", *[f"INSERT INTO firms VALUES ('{n:0500}')" for n in range(9)])
    assert pq.read_metadata(fetched()[0].path).num_row_groups == 5


def test_names_that_differ_in_nothing_but_case_or_hold_anything(fetched: Fetched, run: Callable[..., None]):
    run(
        'CREATE TABLE "Die ""Firmen"" 公司.v1" (id, "a b", "名", "x""y;--", "SELECT")',
        'INSERT INTO "Die ""Firmen"" 公司.v1" VALUES (1,2,3,4,5)',
    )
    (got,) = fetched(table=['Die "Firmen" 公司.v1'])
    assert pq.read_schema(got.path).names == ["id", "a b", "名", 'x"y;--', "SELECT"]
    assert got.name == 'Die "Firmen" 公司.v1.parquet'
    run('CREATE VIEW firms AS SELECT 1 AS id, 2 AS "ID", 3 AS "Id"')
    with pytest.raises(sqlite3.OperationalError):  # SQLite has no such tables: that others may, `names` shows
        run('CREATE TABLE other (id, "ID")')


def test_limits(fetched: Fetched, run: Callable[..., None]):
    run("CREATE TABLE firms (id, x, y)", "INSERT INTO firms VALUES (1, 2, 3), (2, 3, 4), (3, 4, 5)")
    for limit in ("rows", "columns", "bytes"):
        with pytest.raises(DeliveryUnreadable, match=f"{limit} are more than the allowed 2"):
            fetched(limits={limit: 2})


def test_a_driver_that_waits_for_ever_is_left_behind(fetched: Fetched, run, monkeypatch: pytest.MonkeyPatch):
    run("CREATE TABLE firms (id)")
    monkeypatch.setattr(tables, "_GRACE_S", -0.9)
    monkeypatch.setattr("lakehouse.sources.database.sqlite._connection", lambda asked: __import__("time").sleep(3))
    with pytest.raises(SourceUnavailable, match="longer than 1 s"):
        fetched(limits={"seconds": 1})


class TestSince:
    """Only what is new by a column that says when, or in which version, a row was changed."""

    @pytest.fixture(autouse=True)
    def firms(self, run: Callable[..., None]) -> None:
        run(
            "CREATE TABLE firms (id, at, version)",
            "INSERT INTO firms VALUES (1, '2026-11-20 23:59:59', 9), (2, '2026-11-21 08:00:00.5', 10), (3, null, 8)",
        )

    @staticmethod
    def ids(received: Received) -> list[str]:
        return [row[0] for row in rows(received)]

    def test_first_everything_then_what_is_above_the_mark(self, fetched: Fetched, run: Callable[..., None]):
        (first,) = fetched(since={"column": "at"})
        assert (self.ids(first), first.marks) == (["1", "2", "3"], {"at": "2026-11-21 08:00:00.5"})
        (second,) = fetched(since={"column": "at"}, marks=first.marks)
        assert self.ids(second) == ["3"], "a row that doesn't say when it changed is new every time"
        assert second.marks == first.marks
        run("INSERT INTO firms VALUES (4, '2026-11-21 08:00:01', 11)")
        (third,) = fetched(since={"column": "at"}, marks=first.marks)
        assert (self.ids(third), third.marks) == (["3", "4"], {"at": "2026-11-21 08:00:01"})

    def test_the_same_marks_give_the_same_delivery(self, fetched: Fetched):
        asked = partial(fetched, since={"column": "version"}, marks={"version": "8"})
        assert asked()[0].sha256 == asked()[0].sha256

    @pytest.mark.parametrize(("overlap", "ids"), [("1h", ["2", "3"]), ("9h", ["1", "2", "3"])])
    def test_an_overlap_reads_late_rows_again(self, fetched: Fetched, overlap: str, ids: list[str]):
        since = {"column": "at", "overlap": overlap}
        assert self.ids(fetched(since=since, marks={"at": "2026-11-21 08:30:00"})[0]) == ids

    def test_versions_are_numbers(self, fetched: Fetched):
        (got,) = fetched(since={"column": "version"}, marks={"version": "9"})
        assert (self.ids(got), got.marks) == (["2"], {"version": "10"})
        (got,) = fetched(since={"column": "version", "overlap": 1}, marks={"version": "9"})
        assert self.ids(got) == ["1", "2"]

    def test_a_moment_after_the_day_doesn_t_hide_what_comes_before_it(self, fetched: Fetched, run: Callable[..., None]):
        run("INSERT INTO firms VALUES (5, '9999-12-31 00:00:00', 1), (6, 'infinity', 1), (7, '0000-00-00', 1)")
        (got,) = fetched(since={"column": "at"})
        assert got.marks == {"at": "2026-11-21 08:00:00.5"}
        (again,) = fetched(since={"column": "at"}, marks=got.marks)
        assert self.ids(again) == ["3", "5", "6", "7"]

    def test_an_empty_table_has_no_mark_and_is_a_delivery(self, fetched: Fetched, run: Callable[..., None]):
        run("DELETE FROM firms")
        (got,) = fetched(since={"column": "at"})
        assert (rows(got), got.marks) == ([], {})

    def test_what_is_no_moment_is_no_mark(self, fetched: Fetched, run: Callable[..., None]):
        run("UPDATE firms SET at = '2026/11/21'")
        (got,) = fetched(since={"column": "at"}, marks={"at": "of another kind"})
        assert (self.ids(got), got.marks) == (["1", "2", "3"], {})

    @pytest.mark.parametrize(("column", "overlap", "mark"), [("at", 1, "2026-11-21"), ("version", "1h", "9")])
    def test_an_overlap_of_another_kind(self, fetched: Fetched, column: str, overlap: object, mark: str):
        with pytest.raises(ContractError, match=f"since: '{column}'.*overlap"):
            fetched(since={"column": column, "overlap": overlap}, marks={column: mark})

    def test_a_column_that_isn_t_there(self, fetched: Fetched):
        with pytest.raises(SourceRefused, match="no column 'nothing'; check 'since'"):
            fetched(since={"column": "nothing"})


class TestChanges:
    """The whole table is read, what differs from the last day is delivered."""

    @pytest.fixture(autouse=True)
    def firms(self, run: Callable[..., None]) -> None:
        run("CREATE TABLE firms (id, x, y)", "INSERT INTO firms VALUES (1, 'a', null), (2, 'b', ''), (3, 'c', 'z')")

    @pytest.fixture
    def fetched(self, fetched: Fetched) -> Fetched:
        columns = {"id": {"type": "string"}, "seen_at": {"type": "timestamp", "from": "_seen_at"}}
        return partial(fetched, changes=True, load="cdc", order="seen_at", columns=columns)

    def test_first_everything_is_inserted(self, fetched: Fetched):
        (got,) = fetched()
        assert pq.read_schema(got.path).names == ["id", "x", "y", "_op", "_seen_at"]
        assert rows(got) == [
            ("1", "a", None, "I", AT.isoformat()),
            ("2", "b", "", "I", AT.isoformat()),
            ("3", "c", "z", "I", AT.isoformat()),
        ]
        assert got.state and got.state != got.path

    def test_then_what_was_inserted_updated_deleted(self, fetched: Fetched, run: Callable[..., None]):
        (first,) = fetched()
        run(
            "DELETE FROM firms WHERE id = 3",
            "UPDATE firms SET y = null WHERE id = 2",
            "INSERT INTO firms VALUES (0, 'n', 'n')",
        )
        (second,) = fetched(state=first.state)
        assert [(row[0], *row[1:4]) for row in rows(second)] == [
            ("0", "n", "n", "I"),
            ("2", "b", None, "U"),
            ("3", "c", "z", "D"),
        ]
        assert fetched(state=first.state)[0].sha256 == second.sha256
        (third,) = fetched(state=second.state)
        assert rows(third) == []

    def test_a_repeated_key_is_delivered_with_all_its_rows(self, fetched: Fetched, run: Callable[..., None]):
        run("INSERT INTO firms VALUES (2, 'twin', 't'), (null, 'n', 1), (null, 'n', 2)")
        (first,) = fetched()
        run("DELETE FROM firms WHERE x = 'b' OR id IS NULL")
        (second,) = fetched(state=first.state)
        assert [row[:4] for row in rows(second)] == [("2", "twin", "t", "U"), (None, "n", "1", "D")]

    def test_columns_that_come_and_go(self, fetched: Fetched, run: Callable[..., None]):
        (first,) = fetched()
        run("ALTER TABLE firms DROP COLUMN y", "ALTER TABLE firms ADD COLUMN new")
        assert rows(fetched(state=first.state)[0]) == []
        run("UPDATE firms SET new = 1 WHERE id = 1")
        assert [row[:4] for row in rows(fetched(state=first.state)[0])] == [("1", "a", "1", "U")]

    def test_a_key_that_isn_t_there(self, fetched: Fetched, run: Callable[..., None]):
        run("ALTER TABLE firms RENAME COLUMN id TO number")
        with pytest.raises(SourceRefused, match="no column 'id'; check 'key'"):
            fetched()

    def test_a_state_that_is_gone_or_damaged(self, fetched: Fetched, tmp_path: Path):
        (first,) = fetched()
        assert first.state
        for damaged in (b"", b"PAR1", first.state.read_bytes()[:-20]):
            first.state.write_bytes(damaged)
            with pytest.raises(LakeError, match="what the table held last is gone or damaged"):
                fetched(state=first.state)
        with pytest.raises(LakeError, match="what the table held last is gone or damaged"):
            fetched(state=tmp_path / "gone.parquet")

    def test_rows_that_can_t_be_put_in_order(self, fetched: Fetched):
        (first,) = fetched()
        assert first.state
        content = bytearray(first.state.read_bytes())
        content[4:40] = b"x" * 36
        first.state.write_bytes(content)
        with pytest.raises(LakeError, match="the table can't be put in order"):
            fetched(state=first.state)


def test_names_that_differ_in_nothing_but_case(fetched: Fetched, run, monkeypatch: pytest.MonkeyPatch):
    def read(asked: query.Query):
        yield query.empty(["id", "ID"])
        yield pa.RecordBatch.from_arrays([pa.array(["1"]), pa.array(["2"])], names=["id", "ID"])

    monkeypatch.setattr("lakehouse.sources.database.sqlite._read", read)
    assert rows(fetched()[0]) == [("1", "2")]
