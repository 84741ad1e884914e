"""Merged rows: the newest of every key, in whatever order batches come; nothing is written that changes nothing."""

from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lakehouse import merging
from lakehouse.table import Commit, Table

RUN = Commit("run")
SCHEMA = pa.schema(
    [("id", pa.string()), ("at", pa.int64()), ("_day", pa.date32()), ("_source_row", pa.int64()), ("n", pa.int64())]
)
KEY, RANK = ("id",), ("at", "_day", "_source_row")
Row = tuple[str, int | None, date, int, int]

ids, orders, days = st.sampled_from("abc"), st.none() | st.integers(0, 2), st.dates(date(2026, 3, 1), date(2026, 3, 3))
rows = st.tuples(ids, orders, days, st.integers(0, 3), st.integers())


def merge(table: Table, batch: list[Row], rank: tuple[str, ...] = RANK) -> int | None:
    """The version of the table after a batch."""
    coming = pa.Table.from_pylist([dict(zip(SCHEMA.names, row, strict=True)) for row in batch], SCHEMA)
    table.merge(merging.newest(coming, KEY, rank), RUN, key=KEY, rank=rank)
    return table.version()


def content(table: Table) -> dict[str, Any]:
    return {row["id"]: tuple(row.values()) for row in table.read().to_pylist()}


def newest(batches: list[list[Row]]) -> dict[str, Row]:
    """What is to be there: of every key the row that is greatest by the rank, nulls lowest."""
    every = [row for batch in batches for row in batch]
    ordered = sorted(every, key=lambda row: (row[1] is not None, row[1] or 0, *row[2:4]))
    return {row[0]: row for row in ordered}


@settings(max_examples=10, deadline=None)
@given(
    st.lists(st.lists(rows, min_size=1, max_size=6, unique_by=lambda row: row[:4]), min_size=1, max_size=4).flatmap(
        lambda batches: st.tuples(st.just(batches), st.permutations(batches))
    )
)
def test_any_order_of_batches_gives_the_newest_row_of_every_key(both: tuple[list[list[Row]], list[list[Row]]]) -> None:
    batches = [[(*row[:4], hash(row[:4]) % 1000) for row in batch] for batch in both[1]]  # one place, one content
    with TemporaryDirectory() as folder:
        table = Table(Path(folder) / "table")
        for batch in batches:
            merge(table, batch)
        assert content(table) == newest(batches)
        version = table.version()
        assert {merge(table, batch) for batch in batches} == {version}


@pytest.fixture
def table(tmp_path: Path) -> Table:
    return Table(tmp_path / "table")


def row(name: str, at: int | None, place: int = 1, day: int = 1) -> Row:
    return (name, at, date(2026, 3, day), place, place)


def test_rows_of_new_keys_leave_the_files_alone_that_are_there(table: Table) -> None:
    merge(table, [row("a", 1), row("b", 1)])
    before = table.files()
    merge(table, [row("c", 1), row("a", 0)])
    assert set(before) < set(table.files())
    assert {name: kept[1] for name, kept in content(table).items()} == {"a": 1, "b": 1, "c": 1}


def test_a_repeated_batch_makes_no_commit(table: Table) -> None:
    batch = [row("a", 1), row("a", 2), row("b", None)]
    assert merge(table, batch) == 0
    assert merge(table, batch) == merge(table, [row("a", 2, day=1), row("b", None)]) == 0
    assert merge(table, [row("b", 1)]) == 1


def test_equal_order_is_decided_by_what_ranks_behind_it_alone(table: Table) -> None:
    merge(table, [row("a", 1, place=5)], rank=("at",))
    assert merge(table, [row("a", 1, place=9, day=9)], rank=("at",)) == 0
    assert merge(table, [row("a", 1, place=4, day=1)]) == 0
    assert merge(table, [row("a", 1, place=6, day=1)]) == 1


def test_files_whose_keys_no_replaced_row_has_are_left_alone(table: Table) -> None:
    merge(table, [row("a", 1), row("b", 1)])
    other = set(table.files())
    merge(table, [row("x", 1), row("y", 1)])
    merge(table, [row("y", 2), row("z", 2)])
    assert other < set(table.files())
    assert {name: kept[1] for name, kept in content(table).items()} == {"a": 1, "b": 1, "x": 1, "y": 2, "z": 2}


@pytest.mark.parametrize("name", ["it's", '"', "a' OR 'a' = 'a", "苏F-1", "", "%", "back\\slash"])
def test_a_key_may_be_any_text(table: Table, name: str) -> None:
    merge(table, [row(name, 1), row("m", 1)])
    merge(table, [row(name, 2), row("n", 2)])
    assert {name: kept[1] for name, kept in content(table).items()} == {name: 2, "m": 1, "n": 2}


@pytest.mark.parametrize(
    "keys", [[1, 2], [-5, 2**62], [date(2026, 3, 1), date(1900, 1, 1)], [1.5, -0.25], [True, False]]
)
def test_a_key_may_be_of_any_type(table: Table, keys: list[Any]) -> None:
    def batch(at: int) -> pa.Table:
        return pa.table({"id": keys, "at": [at, at], "_source_row": [1, 2]})

    for at in (1, 2):
        table.merge(batch(at), RUN, key=KEY, rank=("at",))
    assert table.read().sort_by("_source_row").to_pydict() == batch(2).to_pydict()
