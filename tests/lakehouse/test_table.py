"""Writing Delta tables: one engine a table, atomic, repeatable, and several writers that lose nothing."""

import subprocess
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from lakehouse.errors import DeliveryUnreadable, LakeError, SliceRefused, WrongEngine
from lakehouse.table import Commit, Table

DAY, NEXT = date(2026, 3, 1), date(2026, 3, 2)
SCHEMA = pa.schema([("id", pa.string()), ("n", pa.int64()), ("_day", pa.date32())])
RUN = Commit("run-1")


def batch(*rows: tuple[Any, ...], schema: pa.Schema = SCHEMA) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist([dict(zip(schema.names, row, strict=True)) for row in rows], schema=schema)


def content(table: Table, day: date | None = None) -> list[tuple[Any, ...]]:
    return sorted((row["id"], row["n"]) for row in table.read(day=day).to_pylist())


@pytest.fixture
def table(tmp_path: Path) -> Table:
    return Table(tmp_path / "silver" / "town__things")


def test_a_table_before_its_first_commit(table: Table) -> None:
    assert not table.exists()
    assert (table.version(), table.engine(), table.days()) == (None, None, set())
    with pytest.raises(LakeError, match="can't be opened"):
        table.read()


def test_append_once_writes_a_transaction_once(table: Table) -> None:
    first = Commit("run-1", transaction="delivery-a")
    assert table.append_once(SCHEMA, [batch(("a", 1, DAY))], first)
    assert not table.append_once(SCHEMA, [batch(("a", 1, DAY))], Commit("run-2", transaction="delivery-a"))
    assert table.append_once(SCHEMA, [batch(("b", 2, DAY))], Commit("run-2", transaction="delivery-b"))
    assert content(table) == [("a", 1), ("b", 2)]


def test_append_without_transaction_appends_every_time(table: Table) -> None:
    for _ in range(2):
        assert table.append_once(SCHEMA, [batch(("a", 1, DAY))], RUN)
    assert content(table) == [("a", 1), ("a", 1)]


def test_nothing_appended_makes_a_table_without_rows(table: Table) -> None:
    table.append_once(SCHEMA, [], RUN)
    assert content(table) == []
    assert table.files() == []


def test_replace_slice_replaces_its_day_only(table: Table) -> None:
    table.replace_slice(DAY, SCHEMA, [batch(("a", 1, DAY), ("b", 2, DAY))], RUN)
    table.replace_slice(NEXT, SCHEMA, [batch(("c", 3, NEXT))], RUN)
    table.replace_slice(DAY, SCHEMA, [batch(("d", 4, DAY))], RUN)
    assert (content(table, DAY), content(table, NEXT)) == ([("d", 4)], [("c", 3)])
    table.replace_slice(DAY, SCHEMA, [], RUN)
    assert (content(table, DAY), content(table, NEXT)) == ([], [("c", 3)])
    assert table.days() == {NEXT}


@pytest.mark.parametrize("error", [SliceRefused("no"), DeliveryUnreadable("no"), KeyError("no"), pa.ArrowInvalid("no")])
def test_a_write_whose_rows_raise_leaves_the_table_and_gives_the_error_back(table: Table, error: Exception) -> None:
    def rows(count: int) -> Iterator[pa.RecordBatch]:
        for number in range(count):
            yield batch((f"new{number}", number, DAY))
        raise error

    for count in (0, 1, 5):
        with pytest.raises(type(error)) as raised:
            table.replace_slice(DAY, SCHEMA, rows(count), RUN)
        assert raised.value is error
        assert not table.exists()
    table.replace_slice(DAY, SCHEMA, [batch(("a", 1, DAY))], RUN)
    before = table.version()
    for write in (table.replace_slice, lambda day, *args: table.append_once(*args)):
        with pytest.raises(type(error)):
            write(DAY, SCHEMA, rows(3), RUN)
    assert (table.version(), content(table)) == (before, [("a", 1)])


def test_a_disk_that_fails_while_rows_come_is_a_lake_error(table: Table) -> None:
    def rows() -> Iterator[pa.RecordBatch]:
        yield batch(("a", 1, DAY))
        raise OSError(28, "No space left on device")

    with pytest.raises(LakeError, match=r"the disk is full.*free some space"):
        table.replace_slice(DAY, SCHEMA, rows(), RUN)
    assert not table.exists()


def test_a_schema_may_grow(table: Table) -> None:
    grown = pa.schema([*list(SCHEMA)[:2], ("colour", pa.string()), SCHEMA.field("_day")])
    table.replace_slice(DAY, SCHEMA, [batch(("a", 1, DAY))], RUN)
    table.replace_slice(NEXT, grown, [batch(("b", 2, "red", NEXT), schema=grown)], RUN)
    table.append_once(SCHEMA, [batch(("c", 3, NEXT))], RUN)
    assert sorted((r["id"], r["colour"]) for r in table.read().to_pylist()) == [("a", None), ("b", "red"), ("c", None)]


KEYED = pa.schema([("id", pa.string()), ("n", pa.int64()), ("at", pa.timestamp("us", "UTC")), ("_day", pa.date32())])


def keyed(*rows: tuple[str, int, int | None]) -> pa.Table:
    return pa.Table.from_batches([batch(*((name, n, at, DAY) for name, n, at in rows), schema=KEYED)])


def test_merge_takes_only_newer_rows(table: Table) -> None:
    def merged(*rows: tuple[str, int, int | None]) -> list[tuple[Any, ...]]:
        table.merge(keyed(*rows), RUN, key=("id",), rank=("at",))
        return content(table)

    assert merged(("a", 1, 10), ("b", 1, None)) == [("a", 1), ("b", 1)]
    assert merged(("a", 2, 11), ("c", 2, 5)) == [("a", 2), ("b", 1), ("c", 2)]
    assert merged(("a", 3, 9), ("b", 3, None)) == [("a", 2), ("b", 1), ("c", 2)]  # older, and no order at all
    assert merged(("a", 4, 11)) == [("a", 2), ("b", 1), ("c", 2)]  # as new as what is there
    assert merged(("a", 5, None), ("b", 5, 1)) == [("a", 2), ("b", 5), ("c", 2)]
    assert merged() == [("a", 2), ("b", 5), ("c", 2)]


def test_merge_matches_on_every_column_of_the_key_and_on_quoted_text(table: Table) -> None:
    rows = [("it's", 1, 1), ('say "hi"', 1, 1), ("", 1, 1), ("南通", 1, 1)]
    table.merge(keyed(*rows), RUN, key=("id", "n"), rank=("at",))
    table.merge(keyed(*[(name, 1, 2) for name, _, _ in rows], ("it's", 2, 1)), RUN, key=("id", "n"), rank=("at",))
    assert len(content(table)) == 5


def test_merge_takes_a_column_that_was_added(table: Table) -> None:
    table.merge(keyed(("a", 1, 1)), RUN, key=("id",), rank=("at",))
    grown = keyed(("a", 2, 2), ("b", 2, 2)).append_column("colour", pa.array(["red", "blue"]))
    table.merge(grown, RUN, key=("id",), rank=("at",))
    table.merge(keyed(("a", 3, 3), ("c", 3, 3)), RUN, key=("id",), rank=("at",))  # by a contract without it
    kept = sorted((r["id"], r["n"], r["colour"]) for r in table.read().to_pylist())
    assert kept == [("a", 3, "red"), ("b", 2, "blue"), ("c", 3, None)]


def test_a_table_belongs_to_the_engine_that_made_it(table: Table) -> None:
    table.claim("spark")  # nobody's yet
    table.append_once(SCHEMA, [batch(("a", 1, DAY))], RUN)
    assert table.engine() == "embedded"
    table.claim("embedded")
    with pytest.raises(WrongEngine, match=r"belongs to the embedded engine.*write it with engine 'embedded'"):
        table.claim("spark")


def test_the_embedded_engine_refuses_a_table_of_spark(table: Table) -> None:
    from deltalake import write_deltalake

    write_deltalake(str(table.path), pa.Table.from_batches([batch(("a", 1, DAY))]), description="engine=spark")
    assert table.engine() == "spark"
    for write in (
        lambda: table.append_once(SCHEMA, [batch(("b", 2, DAY))], RUN),
        lambda: table.replace_slice(DAY, SCHEMA, [], RUN),
        lambda: table.merge(keyed(("a", 1, 1)), RUN, key=("id",), rank=("at",)),
    ):
        with pytest.raises(WrongEngine):
            write()
    assert content(table) == [("a", 1)]


def test_versions_stay_readable_and_say_who_wrote(table: Table) -> None:
    table.append_once(SCHEMA, [batch(("a", 1, DAY))], Commit("run-1", (("rows", "1"),)))
    table.replace_slice(DAY, SCHEMA, [batch(("b", 2, DAY))], Commit("run-2"))
    assert [row["id"] for row in table.read(version=0).to_pylist()] == ["a"]
    assert [entry["run_id"] for entry in table.history()] == ["run-2", "run-1"]
    assert table.files(version=0) != table.files()


def test_a_damaged_log_says_so(table: Table) -> None:
    table.append_once(SCHEMA, [batch(("a", 1, DAY))], RUN)
    (log,) = (table.path / "_delta_log").glob("*.json")
    log.write_text("{")
    with pytest.raises(LakeError, match="citylake doctor"):
        table.read()


def test_two_processes_that_write_to_one_table_lose_nothing(table: Table) -> None:
    writer = """
import sys
from datetime import date
from pathlib import Path
from lakehouse.ops import Ops
who, home = sys.argv[1], Path(sys.argv[2])
for number in range(8):
    ops = Ops(home)
    ops.note("runs", run_id=f"{who}-{number}", day=date(2026, 3, 1))
    ops.note("releases", run_id=f"{who}-{number}", day=date(2026, 3, 1))
    ops.flush(f"{who}-{number}")
"""
    home, root = table.path.parent, Path(__file__).parents[2]
    command = [sys.executable, "-c", writer]
    writers = [subprocess.Popen([*command, who, str(home)], cwd=root) for who in ("one", "two")]
    assert [process.wait(60) for process in writers] == [0, 0]
    for book in ("runs", "releases"):
        rows = Table(home / "ops" / book).read().to_pylist()
        assert sorted(row["run_id"] for row in rows) == sorted(f"{who}-{n}" for who in ("one", "two") for n in range(8))


def test_two_processes_that_load_one_delivery_load_it_once(table: Table) -> None:
    writer = """
import sys, time
from datetime import date
from pathlib import Path
import pyarrow as pa
from lakehouse.table import Commit, Table
schema = pa.schema([("id", pa.string()), ("_day", pa.date32())])
def rows():
    time.sleep(0.2)
    yield pa.RecordBatch.from_pylist([{"id": "a", "_day": date(2026, 3, 1)}], schema=schema)
Table(Path(sys.argv[1])).append_once(schema, rows(), Commit("run", transaction="delivery"))
"""
    command = [sys.executable, "-c", writer, str(table.path)]
    writers = [subprocess.Popen(command, cwd=Path(__file__).parents[2]) for _ in range(2)]
    assert [process.wait(60) for process in writers] == [0, 0]
    assert table.read().num_rows == 1
