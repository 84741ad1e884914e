from collections.abc import Callable
from functools import partial

import pytest

from lakehouse.errors import DeliveryUnreadable


@pytest.fixture
def reads(reads: Callable[..., object]) -> Callable[..., object]:
    return partial(reads, name="rents", type="http", uri="http://localhost/rents")


def test_records_of_all_pages_in_order(reads: Callable[..., object]):
    pages = [b'{"data":{"list":[{"a":1.0},{"b":"x"}]},"total":3}', b'{"data":{"list":[{"a":null,"z":[1, 2]}]}}']
    got = reads(pages, records="data.list")
    assert got.names == ["a", "b", "z"]
    assert got.rows == [("1.0", None, None), (None, "x", None), (None, None, "[1,2]")]
    assert got.numbers == [1, 2, 3]


def test_the_page_itself_may_be_the_list(reads: Callable[..., object]):
    assert reads([b'[{"a":"1"}]', b"[]"]).rows == [("1",)]


def test_a_record_that_is_no_object_is_unparsable(reads: Callable[..., object]):
    got = reads([b'[{"a":1}, 7, {"a":2}]'])
    assert (got.rows, got.numbers) == ([("1",), ("2",)], [1, 3])
    assert [(u.source_row, u.raw) for u in got.unparsable] == [(2, "7")]


@pytest.mark.parametrize(
    ("second", "message"),
    [
        (b"<html>", "page 2: not JSON"),
        (b'{"data": 1}', "page 2: not JSON with a list of records at 'data.list'"),
        (b'{"error": "down"}', "page 2: no 'data' on the way to 'data.list'"),
        (b"", "page 2: not JSON"),
    ],
)
def test_one_wrong_page_makes_the_delivery_unreadable(reads: Callable[..., object], second: bytes, message: str):
    with pytest.raises(DeliveryUnreadable, match=message):
        reads([b'{"data":{"list":[{"a":1}]}}', second], records="data.list")


def test_a_record_above_the_limit(reads: Callable[..., object]):
    with pytest.raises(DeliveryUnreadable, match="row_bytes"):
        reads([b'[{"a":"123456789"}]'], limits={"row_bytes": 10})
