from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakehouse.stream import in_runs


def batches(rows: list[tuple[Any, Any]], size: int) -> list[pa.RecordBatch]:
    """Batches of `k`, `t` and `t` coded, each batch with a dictionary of its own."""
    table = pa.table(
        {"k": [k for k, _ in rows], "t": [t for _, t in rows]}, pa.schema({"k": pa.int64(), "t": pa.string()})
    )
    found = [table.slice(i, size).combine_chunks().to_batches() for i in range(0, len(table), size)]
    return [b.append_column("coded", b["t"].dictionary_encode()) for some in found for b in some]


@given(st.lists(st.tuples(st.none() | st.integers(0, 9), st.none() | st.text("ab", max_size=2))), st.integers(1, 4))
def test_sorted_as_a_whole_with_equal_rows_as_they_came(rows, size):
    for by in (["k"], ["k", "t"]):
        found = [row for b in in_runs(batches(rows, size), by) for row in zip(*b.to_pydict().values(), strict=True)]
        expected = sorted(rows, key=lambda r: [(r[i] is None, r[i] or (0, "")[i]) for i in range(len(by))])
        assert found == [(k, t, t) for k, t in expected]


def test_each_run_for_itself():
    rows = [(5, "a"), (3, "b"), (4, "c"), (1, "d"), (0, "e")]
    found = [key for batch in in_runs(batches(rows, 1), ["k"], run_rows=2) for key in batch["k"].to_pylist()]
    assert found == [3, 5, 1, 4, 0]


def test_an_error_of_the_stream_comes_through():
    def broken():
        yield from batches([(1, "a")], 1)
        raise KeyError("x")

    with pytest.raises(KeyError):
        list(in_runs(broken(), ["k"]))
