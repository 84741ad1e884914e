import json
from collections.abc import Callable

import pytest

from lakehouse.errors import DeliveryUnreadable
from lakehouse.formats import json as reader

Reads = Callable[..., object]


def test_a_list_as_the_document_or_at_a_path(reads: Reads):
    rows = [("1.0", "x"), (None, '\\"]}, '), ("7", None)]
    written = '[{"a":1.0,"b":"x"} , {"b":"\\\\\\"]}, "},\n{"a":7,"b":null}]'
    assert reads(written.encode(), "x.json").rows == rows
    around = (
        '\ufeff{"code": 0, "data": {"page": [1, {"list": 2}], "li\\u0073t": ' + written + ', "n": []}, "ok": true}\n'
    )
    got = reads(around.encode(), "y.json", records="data.list")
    assert (got.rows, got.numbers) == (rows, [1, 2, 3])
    assert reads(around.encode("gb18030"), "z.json", records="data.list", encoding="gbk").rows == rows


def test_objects_inside_are_columns_where_one_of_their_fields_is_declared(reads: Reads):
    written = b'[{"a":{"b":{"c":1.50},"d":[1, 2]},"e":{"f":1}},{"a":"none"},{"a":null},{"a":{"b":5}}]'
    got = reads(written, "x.json", columns=("a.b.c", "e"))
    assert got.names == ["a.b.c", "e", "a.d", "a", "a.b"]
    assert got.rows == [
        ("1.50", '{"f":1}', "[1,2]", None, None),
        (None, None, None, "none", None),
        (None,) * 5,
        (None, None, None, None, "5"),
    ]


def test_an_element_that_is_no_object_is_unparsable(reads: Reads):
    got = reads(b'[{"a":1}, 7, {"a":1,}, [], {"a":2},]', "x.json")
    assert (got.rows, got.numbers) == ([("1",), ("2",)], [1, 5])
    assert [(u.source_row, u.raw) for u in got.unparsable] == [(2, "7"), (3, '{"a":1,}'), (4, "[]"), (6, "")]


def test_an_empty_list_is_a_delivery_without_rows(reads: Reads):
    got = reads(b'{"data": [ ]}', "x.json", records="data")
    assert (got.names, got.rows, got.rows_in) == (["a", "b"], [], 0)


@pytest.mark.parametrize(
    ("data", "records", "message"),
    [
        (b"", "", "empty file"),
        (b'{"a":1}', "", "no list of records at its top"),
        (b'{"data":{"b":1}}', "data.list", "no 'list' on the way to 'data.list'"),
        (b'{"data":[]}', "data.list", "no object on the way to 'data.list'"),
        (b'{"data":{"a":1}}', "data", "no list of records at 'data'"),
        (b'[{"a":1},{"a":', "", "ends inside its list"),
        (b'[{"a":1},{"a":"]', "", "ends inside its list"),
        (b'{"data":[{"a":1}]', "data", "ends too early"),
        (b'[{"a":1}][{"a":2}]', "", "goes on behind its end"),
        (b'{"a":1}\n{"a":2}\n', "a", "no list of records at 'a'"),
        (b"<html></html>", "", "a web page"),
    ],
)
def test_what_is_wrong_with_the_whole_document(reads: Reads, data: bytes, records: str, message: str):
    with pytest.raises(DeliveryUnreadable, match=message):
        reads(data, "x.json", records=records)


def test_a_record_above_the_limit_and_one_that_never_ends(reads: Reads, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(DeliveryUnreadable, match="row_bytes"):
        reads(b'[{"a":"123456789"}]', "x.json", limits={"row_bytes": 10})
    monkeypatch.setattr(reader, "_AT_ONCE", 64)
    with pytest.raises(DeliveryUnreadable, match="row_bytes"):
        reads(b'[{"a":"' + b"1" * 1000, "y.json", limits={"row_bytes": 100})
    with pytest.raises(DeliveryUnreadable, match="columns"):
        reads(json.dumps([{str(n): n for n in range(3000)}]).encode(), "z.json")


@pytest.mark.parametrize("size", [8, 9, 10, 64])
def test_records_are_cut_where_the_whole_document_is_read(reads: Reads, monkeypatch: pytest.MonkeyPatch, size: int):
    """Whatever a piece begins and ends with: compared with Python's own reader of the whole document."""
    monkeypatch.setattr(reader, "_AT_ONCE", size)
    texts = ["", "\\", '"', '\\"', "],[", "}{", "中\\\\", "\x00\n", "a" * 30, "\\" * 7 + '"']
    document = [{"a": one, "b": [other, {other: one}]} for one in texts for other in texts]
    got = reads(json.dumps(document, indent=1, ensure_ascii=False).encode(), "x.json")
    assert [a for a, _ in got.rows] == [record["a"] for record in document]
    assert [json.loads(b) for _, b in got.rows] == [record["b"] for record in document]
