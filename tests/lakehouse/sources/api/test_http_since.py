"""Only what is new: how far an API has been read, and what it is asked from."""

import json
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from lakehouse.sources import Received
from tests.lakehouse.sources.conftest import contract_of
from tests.lakehouse.sources.loopback import Reply, Server

Fetched = Callable[..., list[Received]]
STAMPED = {"id": {"type": "string"}, "at": {"type": "timestamp", "from": "updatedAt"}}
COUNTED = {"id": {"type": "string"}, "v": {"type": "integer"}}
TEXTS = {"id": {"type": "string"}, "v": {"type": "string"}}


@pytest.fixture
def fetched(fetched: Fetched, server: Server, monkeypatch: pytest.MonkeyPatch) -> Fetched:
    monkeypatch.setenv("CITYLAKE_NOW", "2026-11-21T23:00:00+08:00")
    return partial(fetched, type="http", uri=f"{server.url}/rows", rate_per_s=10_000)


def sent(server: Server, *values: object, name: str = "updatedAt") -> None:
    """The server answers with rows that have these values."""
    rows = [{"id": number, name: value} for number, value in enumerate(values)]
    server.answer = lambda request: Reply(json.dumps(rows).encode())


def since(column: str = "updatedAt", **more: object) -> dict[str, object]:
    return {"param": "after", "column": column, **more}


def test_at_first_everything_is_asked_for(fetched: Fetched, server: Server):
    sent(server, "2026-11-20 08:00:00", "2026-11-21T09:30:00.250+08:00", "2026-11-21T00:00:00Z", None, "soon")
    (got,) = fetched(columns=STAMPED, since=since())
    assert server.targets == ["/rows"]
    assert got.marks == {"updatedAt": "2026-11-21T01:30:00.250000+00:00"}


def test_a_start_is_said_until_something_has_landed(fetched: Fetched, server: Server):
    sent(server)
    (got,) = fetched(columns=STAMPED, since=since(start="2020-01-01"))
    assert server.asked[0].query == {"after": "2020-01-01"}
    assert got.marks == {}


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({}, "2026-11-20T08:00:00.500+08:00"),
        ({"overlap": "90m"}, "2026-11-20T06:30:00.500+08:00"),
        ({"format": "yyyy-MM-dd HH:mm:ss", "zone": "UTC"}, "2026-11-20 00:00:00"),
        ({"format": "epoch_ms", "overlap": "1d"}, "1795046400500"),
    ],
)
def test_then_from_the_mark_less_the_overlap(fetched: Fetched, server: Server, how: dict[str, object], said: str):
    sent(server)
    marks = {"updatedAt": "2026-11-20T00:00:00.500000+00:00"}
    (got,) = fetched(columns=STAMPED, since=since(**how), marks=marks)
    assert server.asked[0].query == {"after": said}
    assert got.marks == marks  # nothing new: as far as before


def test_the_mark_never_goes_back(fetched: Fetched, server: Server):
    sent(server, "2026-11-19T08:00:00Z")
    marks = {"updatedAt": "2026-11-20T00:00:00+00:00"}
    assert fetched(columns=STAMPED, since=since(overlap="3d"), marks=marks)[0].marks == marks


def test_instants_that_have_not_come_yet_do_not_count(fetched: Fetched, server: Server):
    sent(server, "2026-11-21 22:59:59", "2026-11-21 23:00:01", "2099-01-01", "9999-12-31T23:59:59Z")
    assert fetched(columns=STAMPED, since=since())[0].marks == {"updatedAt": "2026-11-21T14:59:59+00:00"}


@pytest.mark.parametrize("form", ["epoch_ms", "yyyy/M/d H:mm | epoch_ms"])
def test_values_are_read_as_their_column_is_declared(fetched: Fetched, server: Server, form: str):
    sent(server, 1795190400000, "1795190400001", 17)
    columns: dict[str, Any] = STAMPED | {"at": STAMPED["at"] | {"format": form}}
    assert fetched(columns=columns, since=since())[0].marks == {"updatedAt": "2026-11-20T16:00:00.001000+00:00"}


def test_versions_are_numbers(fetched: Fetched, server: Server):
    sent(server, 9, "10", "x", 2.5, name="v")
    (got,) = fetched(columns=COUNTED, since=since("v", overlap=3), marks={"v": "7"})
    assert server.asked[0].query == {"after": "4"}
    assert got.marks == {"v": "10"}


@pytest.mark.parametrize(
    ("columns", "mark"), [(COUNTED, "2026-11-20T00:00:00+00:00"), (STAMPED, "7"), (STAMPED, "2026-11-20")]
)
def test_a_mark_of_another_type_is_none(fetched: Fetched, server: Server, columns: dict[str, object], mark: str):
    column = "v" if columns is COUNTED else "updatedAt"
    sent(server)
    assert fetched(columns=columns, since=since(column), marks={column: mark})[0].marks == {}
    assert server.targets == ["/rows"]


def test_texts_are_compared_as_texts(fetched: Fetched, server: Server):
    sent(server, "a10", "a9", name="v")
    (got,) = fetched(columns=TEXTS, since=since("v"), marks={"v": "a1 &"})
    assert server.asked[0].query == {"after": "a1 &"}
    assert got.marks == {"v": "a9"}


def test_xml_and_inner_fields(fetched: Fetched, server: Server):
    server.answer = lambda request: Reply(b"<a><r><m><v>3</v></m></r><r><m><v>12</v></m></r></a>")
    columns = {"v": {"type": "integer", "from": "m.v"}}
    assert fetched(columns=columns, since=since("m.v"), format="xml", records="a/r")[0].marks == {"m.v": "12"}
    server.answer = lambda request: Reply(b'[{"m": {"v": 3}}, {"m": {"v": 12}}, {"m": 99}]')
    assert fetched(columns=columns, since=since("m.v"))[0].marks == {"m.v": "12"}


def test_a_delivery_that_cannot_be_read_sets_no_mark(fetched: Fetched, server: Server):
    pages = [b'[{"id": 1, "v": 5}]', b"<html>"]
    server.answer = lambda request: Reply(pages[len(server.asked) - 1])
    (got,) = fetched(columns=COUNTED, since=since("v"), page={"size": 1})
    assert len(list(got.path.iterdir())) == 2
    assert got.marks == {}


@pytest.mark.parametrize(
    ("columns", "how", "fault"),
    [
        (STAMPED, since(overlap=3), "overlap: a duration is wanted, 'updatedAt' is 'timestamp'"),
        (COUNTED, since("v", overlap="1h"), "overlap: a number is wanted, 'v' is 'integer'"),
        (TEXTS, since("v", overlap=1), "overlap: none is wanted, 'v' is 'string'"),
        ({"v": {"type": "double"}}, since("v"), "column: 'v' is 'double'; one of integer, timestamp, date, string"),
        (STAMPED, since("at"), "column: nothing is declared that is sent as 'at'"),
    ],
)
def test_what_does_not_fit_the_column(columns: dict[str, object], how: dict[str, object], fault: str):
    with pytest.raises(ValueError, match=f"source.since.{fault}"):
        contract_of(type="http", uri="http://x/", columns=columns, since=how)


def test_since_and_windows_and_pages_stand_side_by_side(fetched: Fetched, server: Server):
    sent(server)
    fetched(
        columns=COUNTED,
        since=since("v"),
        marks={"v": "7"},
        window={"from": "from", "format": "yyyyMMdd"},
        page={"size": 1},
    )
    assert server.asked[0].query == {"after": "7", "from": "20261121", "page": "1", "size": "1"}
