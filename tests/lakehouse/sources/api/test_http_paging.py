"""Every way through the pages of an API, and what stops it: on a server that counts what it was asked."""

import gzip
import json
from collections.abc import Callable
from functools import partial
from urllib.parse import quote

import pytest

from lakehouse.errors import ContractError, DeliveryUnreadable, NotDelivered, SourceRefused
from lakehouse.formats import read
from lakehouse.sources import Received
from tests.lakehouse.sources.conftest import contract_of
from tests.lakehouse.sources.loopback import Reply, Request, Server

Fetched = Callable[..., list[Received]]
ROWS = [{"id": f"r{number}"} for number in range(5)]


def body(rows: list[dict[str, object]], **more: object) -> bytes:
    return json.dumps({"data": {"rows": rows}, **more}).encode()


def ids(received: Received, **source: object) -> list[str | None]:
    """The ids of all records in the order in which the loader reads them."""
    reading = read(received.path, contract_of(**source))
    return [value for batch in reading.batches for value in batch.column("id").to_pylist()]


@pytest.fixture
def source(server: Server) -> dict[str, object]:
    return {"type": "http", "uri": f"{server.url}/v1/rows", "records": "data.rows", "rate_per_s": 10_000}


@pytest.fixture
def all_ids(fetched: Fetched, source: dict[str, object]) -> Callable[..., list[str | None]]:
    """Fetch, and read what came."""

    def call(**more: object) -> list[str | None]:
        (received,) = fetched(**source | more)
        return ids(received, **source | more)

    return call


@pytest.fixture
def fetched(fetched: Fetched, source: dict[str, object]) -> Fetched:
    return partial(fetched, **source)


@pytest.fixture
def offsets(server: Server) -> Server:
    """Pages by offset and limit; never more than 2 rows a page, and a total."""

    def answer(request: Request) -> Reply:
        start, size = int(request.query["offset"]), min(2, int(request.query["limit"]))
        return Reply(body(ROWS[start : start + size], total=len(ROWS)))

    server.answer = answer
    return server


EVERY = [row["id"] for row in ROWS]
CALL = Callable[..., list[str | None]]


def test_pages_by_offset(offsets: Server, all_ids: CALL):
    assert all_ids(page={"by": "offset", "size": 2}) == EVERY
    assert [request.query["offset"] for request in offsets.asked] == ["0", "2", "4"]


WAYS = {
    "number": {"page": {"size": 2}},
    "number from 0": {"page": {"size": 2, "start": 0, "param": "index"}},
    "number until empty": {"page": {"size": 2, "ends": "empty"}},
    "offset": {"page": {"by": "offset", "size": 2}},
    "offset until empty": {"page": {"by": "offset", "size": 3, "ends": "empty"}},  # of 2 rows at most
    "token": {"next": {"path": "next", "param": "offset"}},
    "link": {"next": {"path": "link"}},
}


@pytest.mark.parametrize("total", [None, "total"])
@pytest.mark.parametrize("way", WAYS)
def test_every_way_brings_every_row_once(server: Server, all_ids: CALL, way: str, total: str | None):
    rows: list[dict[str, object]] = []

    def answer(request: Request) -> Reply:
        said = {name: int(value) for name, value in request.query.items()}
        first = said.get("offset", 2 * said.get("index", said.get("page", 1) - 1))
        more = {"next": first + 2, "link": f"?offset={first + 2}"} if first + 2 < len(rows) else {}
        return Reply(body(rows[first : first + 2], total=len(rows), **more))

    server.answer = answer
    for count in range(6):
        rows[:] = [{"id": f"r{number}"} for number in range(count)]
        assert all_ids(**WAYS[way], **({"total": total} if total else {})) == [row["id"] for row in rows]


def test_pages_shorter_than_asked_for_end_with_an_empty_one(offsets: Server, all_ids: CALL):
    assert all_ids(page={"by": "offset", "size": 1000, "ends": "empty"}) == EVERY
    assert [request.query["offset"] for request in offsets.asked] == ["0", "2", "4", "5"]


def test_no_page_is_asked_for_behind_the_total(offsets: Server, all_ids: CALL):
    assert all_ids(page={"by": "offset", "size": 1000, "ends": "empty"}, total="total") == EVERY
    assert len(offsets.asked) == 3


def test_pages_shorter_than_asked_for_do_not_pass_for_the_last_where_a_total_is_told(offsets: Server, fetched: Fetched):
    with pytest.raises(DeliveryUnreadable, match=r"2 of 5 records; .*'ends: empty'"):
        fetched(page={"by": "offset", "size": 1000}, total="total")


@pytest.mark.parametrize(("total", "told"), [(4, "5 of 4 records"), (7, "5 of 7 records")])
def test_a_total_that_is_not_reached_is_refused(server: Server, fetched: Fetched, total: int, told: str):
    server.answer = lambda request: Reply(body(ROWS, total=total))
    with pytest.raises(DeliveryUnreadable, match=told):
        fetched(total="total")


@pytest.mark.parametrize(("total", "told"), [(None, "nothing"), ("many", "'many'"), (-1, "'-1'")])
def test_a_total_that_is_none_is_refused(server: Server, fetched: Fetched, total: object, told: str):
    server.answer = lambda request: Reply(body(ROWS, total=total))
    with pytest.raises(SourceRefused, match=f"'total' says {told}, not how many"):
        fetched(total="total")


@pytest.fixture
def tokens(server: Server) -> Server:
    """Pages by a token that is the next offset, in odd characters; none, and `more: false`, on the last page."""

    def answer(request: Request) -> Reply:
        asked = request.query.get("cursor") or json.loads(request.body or b"{}").get("paging", {}).get("cursor")
        start = int(asked.removeprefix('a&b="南')) if asked else 0
        following = f'a&b="南{start + 2}' if start + 2 < len(ROWS) else None
        headers = {"X-Next": quote(following)} if following else {}
        return Reply(body(ROWS[start : start + 2], next=following, more=following is not None), headers=headers)

    server.answer = answer
    return server


def test_pages_by_a_token(tokens: Server, all_ids: CALL):
    assert all_ids(next={"path": "next", "param": "cursor"}, params={"state": "open"}) == EVERY
    assert [sorted(request.query) for request in tokens.asked] == [["state"], ["cursor", "state"], ["cursor", "state"]]


def test_a_token_goes_into_the_body_of_a_post(tokens: Server, all_ids: CALL):
    assert all_ids(next={"path": "next", "param": "paging.cursor"}, body={"day": "{day}"}) == EVERY
    assert {request.method for request in tokens.asked} == {"POST"}
    assert [json.loads(request.body) for request in tokens.asked][1] == {
        "day": "2026-11-21",
        "paging": {"cursor": 'a&b="南2'},
    }


def test_a_source_that_says_there_is_no_more_is_believed(server: Server, all_ids: CALL):
    server.answer = lambda request: Reply(body(ROWS, next="again", more=False))
    assert all_ids(next={"path": "next", "param": "cursor", "more": "more"}) == EVERY
    assert len(server.asked) == 1


def linked(server: Server, link: Callable[[int], str], *, header: str = "") -> None:
    """Pages of 2 by an address that the answer before gave, in its body or in a header."""

    def answer(request: Request) -> Reply:
        start = int(request.query.get("from", 0))
        following = link(start + 2) if start + 2 < len(ROWS) else ""
        headers = (
            {header: f'<{following}>; rel="next"' if header == "Link" else following} if header and following else {}
        )
        return Reply(body(ROWS[start : start + 2], links={"next": following}), headers=headers)

    server.answer = answer


@pytest.mark.parametrize("kind", ["whole", "path", "query"])
@pytest.mark.parametrize(
    ("header", "told"), [("", {"path": "links.next"}), ("Link", {"header": "Link"}), ("X-Next", {"header": "X-Next"})]
)
def test_pages_by_a_link(server: Server, all_ids: CALL, kind: str, header: str, told: dict[str, str]):
    before = {"whole": server.url + "/v1/rows", "path": "/v1/rows", "query": ""}[kind]
    linked(server, lambda start: f"{before}?from={start}", header=header)
    assert all_ids(next=told) == EVERY


@pytest.mark.parametrize(
    "link", ["http://elsewhere.example/x", "//127.0.0.1:1/x", "file:///etc/passwd", "http://[", "https://a:b@c/"]
)
def test_no_link_leads_to_another_host(server: Server, fetched: Fetched, link: str):
    linked(server, lambda start: link)
    with pytest.raises(SourceRefused, match=r"the link to the next page (leads to another host|is not an address)"):
        fetched(next={"path": "links.next"})
    assert len(server.asked) == 1


def test_links_in_a_circle_are_refused(server: Server, fetched: Fetched):
    def answer(request: Request) -> Reply:
        number = int(request.query.get("n", 0))
        return Reply(body([{"id": number}], next=f"?n={(number + 1) % 3}"))

    server.answer = answer
    with pytest.raises(SourceRefused, match="page 4 is page 1 again"):  # /rows and /rows?n=0 are two addresses
        fetched(next={"path": "next"})
    server.answer = lambda request: Reply(body([], next="?n=1"))
    with pytest.raises(SourceRefused, match="page 2 leads back to page 2"):
        fetched(next={"path": "next"})


def test_tokens_in_a_circle_are_refused(server: Server, fetched: Fetched):
    server.answer = lambda request: Reply(body([{"id": len(server.asked)}], next=str(len(server.asked) % 2)))
    with pytest.raises(SourceRefused, match="page 3 leads back to page 2"):
        fetched(next={"path": "next", "param": "cursor"})


def test_a_page_that_came_before_is_refused(server: Server, fetched: Fetched):
    pages = [ROWS[:2], ROWS[2:4], ROWS[:2]]
    server.answer = lambda request: Reply(body(pages[len(server.asked) - 1], asked_at=len(server.asked)))
    with pytest.raises(SourceRefused, match="page 3 is page 1 again"):
        fetched(page={"size": 2})


def test_a_source_that_gives_more_than_asked_for_has_not_ended(server: Server, fetched: Fetched):
    server.answer = lambda request: Reply(body(ROWS))
    with pytest.raises(SourceRefused, match="page 2 is page 1 again"):
        fetched(page={"size": 2})


def test_nothing_has_changed_where_no_page_of_no_window_has(server: Server, fetched: Fetched):
    def answer(request: Request) -> Reply:
        tag = f'"{request.query["begin"]}-{request.query["page"]}"'
        if request.headers.get("if-none-match") == tag:
            return Reply(status=304, headers={"ETag": tag})
        return Reply(body(ROWS[:1] if request.query["page"] == "1" else []), headers={"ETag": tag})

    server.answer = answer
    told = {"window": {"from": "begin", "to": "end", "every": "12h"}, "page": {"size": 1}}
    (first,) = fetched(**told)
    assert len(first.etags) == len(server.asked) == 4
    assert fetched(first.etags, **told)[0].unchanged
    half = dict(list(first.etags.items())[:2])
    assert not fetched(half, **told)[0].unchanged


@pytest.mark.parametrize("told", [{"body": {}}, {"next": {"path": "next", "param": "cursor"}}])
def test_etags_that_do_not_speak_for_the_whole_are_not_kept(server: Server, fetched: Fetched, told: dict[str, object]):
    server.answer = lambda request: Reply(body(ROWS), headers={"ETag": '"1"'})
    assert fetched(**told)[0].etags == {}


def test_pages_without_end_stop_at_the_limit(server: Server, fetched: Fetched):
    server.answer = lambda request: Reply(body([{"id": len(server.asked)}]))
    with pytest.raises(DeliveryUnreadable, match="51 pages are more than the allowed 50"):
        fetched(page={"size": 1}, limits={"pages": 50})
    assert len(server.asked) == 50


def test_the_day_in_windows_each_with_its_pages(server: Server, fetched: Fetched):
    def answer(request: Request) -> Reply:
        return Reply(body([{"id": request.target}], total=1))

    server.answer = answer
    window = {
        "from": "begin",
        "to": "end",
        "format": "yyyy-MM-dd HH:mm:ss",
        "zone": "UTC",
        "every": "10h",
        "closed": True,
    }
    fetched(page={"size": 1, "ends": "empty"}, window=window, total="total")
    assert [(r.query["begin"], r.query["end"], r.query["page"]) for r in server.asked] == [
        ("2026-11-20 16:00:00", "2026-11-21 01:59:59", "1"),
        ("2026-11-21 02:00:00", "2026-11-21 11:59:59", "1"),
        ("2026-11-21 12:00:00", "2026-11-21 15:59:59", "1"),
    ]


@pytest.mark.parametrize(
    ("window", "said"),
    [
        ({}, ("2026-11-21T00:00:00+08:00", "2026-11-22T00:00:00+08:00")),
        ({"format": "yyyyMMdd"}, ("20261121", "20261122")),
        ({"format": "yyyy/M/d", "closed": True}, ("2026/11/21", "2026/11/21")),
        (
            {"format": "yyyy-MM-dd'T'HH:mm:ss.SSS", "closed": True},
            ("2026-11-21T00:00:00.000", "2026-11-21T23:59:59.999"),
        ),
        ({"format": "epoch_s"}, ("1795190400", "1795276800")),
    ],
)
def test_windows_are_written_as_declared(
    server: Server, fetched: Fetched, window: dict[str, object], said: tuple[str, str]
):
    server.answer = lambda request: Reply(body(ROWS))
    fetched(window={"from": "a", "to": "b", **window})
    assert (server.asked[0].query["a"], server.asked[0].query["b"]) == said


def test_values_take_their_places_in_the_body_of_a_post(server: Server, fetched: Fetched):
    server.answer = lambda request: Reply(body(ROWS[: 5 - 2 * len(server.asked)]))
    fetched(
        page={"param": "paging.no", "size_param": "paging.size", "size": 3},
        window={"from": "where.0.value", "format": "epoch_ms"},
        params={"on": "{day}", "debug": False},
        headers={"X-Unit": "citylake"},
        body={"where": [{"field": 'a"b', "value": None}], "paging": {"sort": "id"}, "note": "of {day}"},
    )
    assert json.loads(server.asked[1].body) == {
        "where": [{"field": 'a"b', "value": 1795190400000}],
        "paging": {"sort": "id", "no": 2, "size": 3},
        "note": "of 2026-11-21",
    }
    assert {(r.method, r.target) for r in server.asked} == {("POST", "/v1/rows?on=2026-11-21&debug=false")}
    assert server.asked[0].headers["content-type"] == "application/json"
    assert server.asked[0].headers["x-unit"] == server.asked[0].headers["user-agent"] == "citylake"


@pytest.mark.parametrize("place", ["name.page", "list.7", "list.x"])
def test_a_place_that_the_body_does_not_have(server: Server, fetched: Fetched, place: str):
    with pytest.raises(ContractError, match=f"'{place}' is no place in 'body'"):
        fetched(page={"param": place}, body={"name": "x", "list": []})


def test_no_content_is_behind_the_last_page(server: Server, all_ids: CALL):
    server.answer = lambda request: Reply(body(ROWS[:2])) if len(server.asked) == 1 else Reply(status=204)
    assert all_ids(page={"size": 2}) == EVERY[:2]
    with pytest.raises(NotDelivered, match="no content"):
        all_ids(page={"size": 2})


@pytest.mark.parametrize(
    ("ok", "answer", "fault"),
    [
        ({"path": "code", "value": 0}, {"code": 0}, None),
        ({"path": "code", "value": 0}, {"code": "0"}, None),
        ({"path": "head.ok", "value": True}, {"head": {"ok": True}}, None),
        ({"path": "code", "value": 0}, {"code": 1}, "'code' is '1', not '0'"),
        ({"path": "code", "value": 1}, {"code": True}, "'code' is 'true', not '1'"),
        ({"path": "code", "value": 0}, {}, "no 'code', not '0'"),
    ],
)
def test_errors_that_are_sent_as_200(
    server: Server, fetched: Fetched, ok: dict[str, object], answer: dict[str, object], fault: str | None
):
    server.answer = lambda request: Reply(body(ROWS, **answer))
    if fault is None:
        assert fetched(ok=ok)
        return
    with pytest.raises(SourceRefused, match=f"the answer is an error: {fault}"):
        fetched(ok=ok)


def test_an_error_without_records_is_refused_for_what_it_is(server: Server, fetched: Fetched):
    server.answer = lambda request: Reply(b'{"code": "E401", "message": "quota"}')
    with pytest.raises(SourceRefused, match="'code' is 'E401'"):
        fetched(ok={"path": "code", "value": 0})


def document(rows: list[dict[str, str]], code: str = "0") -> bytes:
    inner = "".join(f"<row><id>{row['id']}</id></row>" for row in rows)
    head = f"<head><code>{code}</code><total>5</total></head>"
    return f'<?xml version="1.0" encoding="GB18030"?><a>{head}<rows>{inner}<!--南--></rows></a>'.encode("gb18030")


XML = {"format": "xml", "records": "a/rows/row", "total": "a/head/total", "ok": {"path": "a/head/code", "value": 0}}


def test_pages_of_xml(server: Server, all_ids: CALL):
    server.answer = lambda request: Reply(document(ROWS[2 * int(request.query["page"]) - 2 :][:2]))
    assert all_ids(**XML, page={"size": 2}) == EVERY
    assert "application/xml" in server.asked[0].headers["accept"]
    server.answer = lambda request: Reply(document([], "7"))
    with pytest.raises(SourceRefused, match="'a/head/code' is '7'"):
        all_ids(**XML)
    server.answer = lambda request: Reply(document(ROWS[:3]))
    with pytest.raises(DeliveryUnreadable, match="3 of 5 records"):
        all_ids(**XML)


def test_xml_that_is_cut_short_is_landed_for_the_loader_to_refuse(
    server: Server, fetched: Fetched, source: dict[str, object]
):
    server.answer = lambda request: Reply(document(ROWS)[:-9])
    (got,) = fetched(**XML)
    with pytest.raises(DeliveryUnreadable, match="page 1: not well-formed XML"):
        ids(got, **source | XML)


@pytest.mark.parametrize("coding", ["gzip", "x-gzip", None])
def test_packed_answers(server: Server, all_ids: CALL, coding: str | None):
    headers = {"Content-Encoding": coding} if coding else {"Content-Type": "application/gzip"}
    server.answer = lambda request: Reply(gzip.compress(body(ROWS, total=5)), headers=headers)
    assert all_ids(total="total") == EVERY
    assert server.asked[0].headers["accept-encoding"] == "gzip"


def test_a_byte_order_mark_is_no_fault(server: Server, all_ids: CALL):
    server.answer = lambda request: Reply(b"\xef\xbb\xbf" + body(ROWS, total=5))
    assert all_ids(total="total") == EVERY


@pytest.mark.parametrize(
    ("told", "fault"),
    [
        ({"page": {}, "next": {"path": "next"}}, "two ways of paging"),
        ({"next": {}}, "say 'path' or 'header'"),
        ({"next": {"path": "a", "header": "Link"}}, "say 'path' or 'header'"),
        ({"window": {"from": "a", "zone": "Mars/Olympus"}}, "'Mars/Olympus' is not a time zone"),
        ({"window": {"from": "a", "format": "iso | yyyy"}}, "one format"),
        ({"window": {"from": "a", "to": "b", "every": "0h"}}, "'every' is no whole number of what 'iso' tells apart"),
        ({"window": {"from": "a", "to": "b", "every": "6h", "format": "yyyyMMdd"}}, "'every' is no whole number of"),
        ({"window": {"from": "a", "every": "6h"}}, "'every' needs 'to'"),
        ({"headers": {"X-Unit": "南通"}}, "'X-Unit' can't be a header"),
        ({"headers": {"X Unit": "a"}}, "'X Unit' can't be a header"),
        ({"headers": {"X-Unit": "a\r\nHost: b"}}, "'X-Unit' can't be a header"),
    ],
)
def test_mistakes_in_a_contract(told: dict[str, object], fault: str):
    with pytest.raises(ValueError, match=fault):
        contract_of(type="http", uri="http://x/", **told)


@pytest.mark.parametrize(
    "told",
    [
        {"headers": {"Authorization": "x"}},
        {"headers": {"X-Api-Key": "1"}},
        {"headers": {"X-Trace": "Bearer abcdefgh"}},
        {"params": {"access_token": "1"}},
        {"params": {"appkey": 12345}},
        {"params": {"v": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.x"}},
        {"params": {"v": "9f86d081884c7d659a2feaa0c55ad015"}},
        {"body": {"auth": {"password": "x"}}},
        {"body": {"list": [{"v": "Zm9vYmFyQmF6cXV4MTIzNDU2Nzg5"}]}},
        {"uri": "http://x/?token=1"},
        {"uri": "http://u:p@x/"},
        {"uri": "http://t0ken@x/"},
        {"params": {"clientSecret": "x"}},
        {"body": {"userToken": "x"}},
    ],
)
def test_credentials_in_a_contract_are_refused(told: dict[str, object]):
    with pytest.raises(ValueError, match="belongs in the connection") as caught:
        contract_of(**{"type": "http", "uri": "http://x/"} | told)
    assert "Zm9v" not in str(caught.value).split("[type=")[0]


@pytest.mark.parametrize(
    "told",
    [
        {"headers": {"X-Unit": "citylake", "Accept-Language": "zh-CN,zh;q=0.9"}},
        {"params": {"keyword": "secretariat", "order": "updated_at", "tokens": 3, "author": "x", "design": "y"}},
        {"params": {"resourceId": "9f86d081884c7d659a2feaa0c55ad015", "sessions": 3, "signed": "2026-03-01"}},
        {"body": {"paging": {"token": None, "session": ""}, "secret": False}},
        {"body": {"fields": ["id", "licence_plate", "registered_capital_amount_cny"], "monkey": 1}},
    ],
)
def test_plain_values_in_a_contract_pass(told: dict[str, object]):
    assert contract_of(type="http", uri="http://x/?day={day}&region=320600", **told)
