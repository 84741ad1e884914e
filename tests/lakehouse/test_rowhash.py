"""Row hashes: equal rows and only those, whatever the batch they come in."""

import random

import numpy as np
import pyarrow as pa

from lakehouse.rowhash import row_hashes


def hashes(*columns: list[str | None]) -> list[int]:
    return row_hashes([pa.array(column, pa.string()) for column in columns]).to_pylist()


def test_equal_rows_and_only_those_are_equal() -> None:
    rows = [("a", "b"), ("ab", ""), ("", "ab"), ("b", "a"), (None, "ab"), ("ab", None), (None, None), ("", ""), ("a\0", "b"),
            ("a", "\0b"), ("南", "通"), ("南通", ""), ("0", ""), ("", "0"), (" ", ""), ("A", "b")]  # fmt: skip
    found = hashes(*[list(column) for column in zip(*rows, strict=True)])
    assert len(set(found)) == len(rows)
    assert found == hashes(*[list(column) for column in zip(*rows, strict=True)])


def test_the_batch_does_not_matter() -> None:
    some = random.Random(3)
    column = [some.choice([None, "", "a", "bc" * 50, "南通"]) for _ in range(500)]
    other = [str(n % 7) for n in range(500)]
    table = [pa.array(column, pa.string()), pa.array(other, pa.large_string())]
    whole = row_hashes(table).to_pylist()
    sliced = [h for start in range(0, 500, 77) for h in row_hashes([c.slice(start, 77) for c in table]).to_pylist()]
    assert sliced == whole
    coded = [table[0].dictionary_encode(), table[1]]
    assert row_hashes(coded).to_pylist() == whole


def test_no_rows_and_only_nulls() -> None:
    assert row_hashes([pa.array([], pa.string())]).to_pylist() == []
    assert (
        row_hashes([pa.nulls(2, pa.string())]).to_pylist()[0] == row_hashes([pa.nulls(3, pa.string())]).to_pylist()[2]
    )


def test_hashes_are_stable_between_versions() -> None:
    assert hashes(["a", None, ""], ["1", "2", None]) == STABLE, "stored content hashes would no longer compare"


def test_few_chance_equals() -> None:
    found = np.array(hashes([str(n) for n in range(200_000)], ["x"] * 200_000))
    assert len(np.unique(found)) == 200_000
    assert len(np.unique(found & 0xFFFF)) > 60_000  # the low bits spread too


STABLE = [4902181083243181814, 3017254277510939726, 2966837154044030913]


def test_memory_that_may_not_be_written_to() -> None:
    texts = pa.array(["a", None, "南通"], pa.large_string())
    _, offsets, data = (buffer and pa.py_buffer(buffer.to_pybytes()) for buffer in texts.buffers())
    stored = pa.LargeStringArray.from_buffers(3, offsets, data, texts.buffers()[0], 1)
    assert row_hashes([stored]) == row_hashes([texts])
