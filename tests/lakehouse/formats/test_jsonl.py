from collections.abc import Callable

import pytest

from lakehouse.errors import DeliveryUnreadable

Reads = Callable[..., object]


def test_values_as_sent(reads: Reads):
    got = reads(b'{"a": 1.50, "b": 1e22}\n{"a": "007", "b": null}\n{"a": true, "b": {"x": [1.0, "y z"]}}\n', "x.jsonl")
    assert got.rows == [("1.50", "1e22"), ("007", None), ("true", '{"x":[1.0,"y z"]}')]
    assert got.numbers == [1, 2, 3]


def test_names_are_the_declared_ones_then_the_others_as_first_seen(reads: Reads):
    got = reads(b'{"z":1,"b":2}\n\n{"y":3,"a":4}\n', "x.jsonl", columns=("a", "b", "never"))
    assert got.names == ["a", "b", "z", "y"]
    assert got.rows == [(None, "2", "1", None), ("4", None, None, "3")]
    assert got.numbers == [1, 3]


def test_a_broken_line_costs_only_itself(reads: Reads):
    got = reads(b'{"a":1}\n{"a":\n[1]\n{"a":"\xff"}\n{"a":NaN}\n{"a":2}', "x.ndjson")
    assert (got.rows, got.numbers) == ([("1",), ("2",)], [1, 6])
    assert [u.source_row for u in got.unparsable] == [2, 3, 4, 5]
    assert got.unparsable[0].raw == '{"a":'
    assert got.unparsable[2].raw == '{"a":"\\xff"}'


def test_deep_nesting_is_unparsable_not_a_crash(reads: Reads):
    got = reads(b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b'}\n{"a":1}\n', "x.jsonl")
    assert (got.rows, len(got.unparsable)) == ([("1",)], 1)


def test_other_encodings(reads: Reads):
    assert reads('{"a":"南通"}\n'.encode("gb18030"), "x.jsonl", encoding="gb18030").rows == [("南通",)]
    assert reads('\ufeff{"a":"南通"}\n'.encode(), "x.jsonl").rows == [("南通",)]


def test_broken_lines_among_many_good_ones(reads: Reads):
    got = reads(b"x\n" * 1500 + b'{"a":1}\n' * 3000, "x.jsonl")
    assert (len(got.rows), len(got.unparsable)) == (3000, 1500)


def test_refused_as_a_whole(reads: Reads):
    with pytest.raises(DeliveryUnreadable, match="empty file"):
        reads(b"", "x.jsonl")
    with pytest.raises(DeliveryUnreadable, match="2000 of 2000 records"):
        reads(b"x\n" * 2000, "x.jsonl")
    with pytest.raises(DeliveryUnreadable, match="3 columns are more than the allowed 2"):
        reads(b'{"a":1,"b":1}\n{"c":1}\n', "x.jsonl", limits={"columns": 2})
