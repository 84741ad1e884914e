import hashlib
import json
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from email.utils import formatdate
from functools import partial
from urllib.parse import parse_qs, urlsplit

import pytest
from tenacity import wait_none

from lakehouse.errors import CitylakeError, ContractError, DeliveryUnreadable, SourceRefused, SourceUnavailable
from lakehouse.sources import Received, patience
from tests.lakehouse.sources.loopback import Reply, Request, Server

Fetched = Callable[..., list[Received]]
SECRET = "s3cr3t/t:ken"


@dataclass
class Api:
    """A server that gives `rows` in pages; `answers` are given first, one a request: (status, headers, body)."""

    rows: list[dict] = field(default_factory=lambda: [{"id": number} for number in range(5)])
    answers: list[tuple[int, dict[str, str], bytes]] = field(default_factory=list)
    asked: list[tuple[str, dict[str, str], float]] = field(default_factory=list)
    etags: bool = False
    url: str = ""

    def answer(self, path: str, headers: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        if self.answers:
            return self.answers.pop(0)
        query = parse_qs(urlsplit(path).query)
        page, size = int(query.get("page", ["1"])[0]), int(query.get("size", ["100"])[0])
        body = json.dumps({"data": self.rows[(page - 1) * size : page * size]}).encode()
        etag = f'"{hashlib.md5(body).hexdigest()}"' if self.etags else ""
        if etag and headers.get("if-none-match") == etag:
            return 304, {}, b""
        return 200, {"ETag": etag} if etag else {}, body

    def __call__(self, request: Request) -> Reply:
        self.asked.append((request.target, dict(request.headers), time.monotonic()))
        status, headers, body = self.answer(request.target, dict(request.headers))
        return Reply(body, status, headers)


@pytest.fixture
def api(server: Server) -> Api:
    api = Api(url=f"{server.url}/v1/rents")
    server.answer = api
    return api


@pytest.fixture
def fetched(fetched: Fetched, api: Api, monkeypatch: pytest.MonkeyPatch) -> Fetched:
    monkeypatch.setattr(patience, "BACK_OFF", wait_none())
    return partial(fetched, type="http", uri=api.url, records="data", page={"size": 2}, rate_per_s=1000)


def bodies(received: Received) -> list[bytes]:
    return [page.read_bytes() for page in sorted(received.path.iterdir())]


def test_pages_arrive_as_sent_until_one_is_not_full(fetched: Fetched, api: Api):
    (got,) = fetched()
    assert [path for path, _, _ in api.asked] == [f"/v1/rents?page={number}&size=2" for number in (1, 2, 3)]
    pages = bodies(got)
    assert pages == [b'{"data": [{"id": 0}, {"id": 1}]}', b'{"data": [{"id": 2}, {"id": 3}]}', b'{"data": [{"id": 4}]}']
    assert (got.name, got.bytes) == ("rents", sum(map(len, pages)))
    assert got.sha256 == hashlib.sha256(b"".join(pages)).hexdigest()


def test_a_full_last_page_is_followed_by_an_empty_one(fetched: Fetched, api: Api):
    api.rows = api.rows[:4]
    assert bodies(fetched()[0])[-1] == b'{"data": []}'


def test_an_api_without_pages_is_asked_once_for_the_day(fetched: Fetched, api: Api):
    (got,) = fetched(page=None, uri=api.url + "?day={day}")
    assert [path for path, _, _ in api.asked] == ["/v1/rents?day=2026-11-21"]
    assert len(bodies(got)) == 1


def test_other_names_for_page_and_size(fetched: Fetched, api: Api):
    api.rows = []
    fetched(page={"param": "p", "start": 0, "size_param": "n", "size": 7})
    assert api.asked[0][0] == "/v1/rents?p=0&n=7"


def test_what_passes_is_asked_again(fetched: Fetched, api: Api):
    api.answers = [(500, {}, b""), (429, {"Retry-After": "0"}, b""), (503, {"Retry-After": formatdate(0)}, b"")]
    assert len(bodies(fetched()[0])) == 3
    assert len(api.asked) == 6


def test_the_source_says_how_long_to_wait(fetched: Fetched, api: Api):
    api.answers = [(429, {"Retry-After": "0.3"}, b"")]
    fetched()
    assert api.asked[1][2] - api.asked[0][2] >= 0.3


def test_a_source_that_wants_a_long_pause_gets_it(fetched: Fetched, api: Api):
    api.answers = [(503, {"Retry-After": "3600"}, b"")]
    with pytest.raises(SourceUnavailable, match=r"HTTP 503 .*asked again in 3600 s"):
        fetched()
    assert len(api.asked) == 1


def test_a_source_that_stays_down_is_unavailable(fetched: Fetched, api: Api):
    api.answers = [(502, {}, b"")] * 9
    with pytest.raises(SourceUnavailable, match="HTTP 502 Bad Gateway"):
        fetched()
    assert len(api.asked) == patience.ATTEMPTS


@pytest.mark.parametrize(("status", "hint"), [(401, "credentials"), (404, "check 'uri'"), (400, "ask"), (301, "ask")])
def test_a_no_is_not_asked_again(fetched: Fetched, api: Api, status: int, hint: str):
    api.answers = [(status, {}, b"")] * 9
    with pytest.raises(SourceRefused, match=f"HTTP {status}") as caught:
        fetched()
    assert hint in caught.value.hint
    assert len(api.asked) == 1


def test_redirects_are_followed_on_the_same_host(fetched: Fetched, api: Api):
    api.answers = [(302, {"Location": "/v2/rents?page=1&size=2"}, b"")]
    assert len(bodies(fetched()[0])) == 3
    assert api.asked[1][0] == "/v2/rents?page=1&size=2"


@pytest.mark.parametrize("link", ["http://elsewhere.example/x", "//127.0.0.1:1/x", "ftp://127.0.0.1/x"])
def test_no_redirect_leads_to_another_host(fetched: Fetched, api: Api, monkeypatch: pytest.MonkeyPatch, link: str):
    monkeypatch.setenv("CITYLAKE_CONN_RENTS", "http://:s3cr3t@127.0.0.1")
    api.answers = [(307, {"Location": link}, b"")]
    with pytest.raises(SourceRefused, match="a redirect leads to another host"):
        fetched(connection="rents")
    assert len(api.asked) == 1


def test_redirects_come_to_an_end(fetched: Fetched, api: Api):
    api.answers = [(302, {"Location": "/v1/rents"}, b"")] * 9
    with pytest.raises(SourceRefused, match="more than 5 redirects"):
        fetched()


def test_a_closed_port_is_unavailable(fetched: Fetched):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(SourceUnavailable, match="no connection"):
        fetched(uri=f"http://127.0.0.1:{port}/x")


def test_a_truncated_body_is_asked_again_then_unavailable(fetched: Fetched, api: Api):
    cut = (200, {"Content-Length": "999", "Connection": "close"}, b'{"data": [')
    api.answers = [cut]
    assert bodies(fetched()[0])[0] == b'{"data": [{"id": 0}, {"id": 1}]}'
    api.answers = [cut] * 9
    with pytest.raises(SourceUnavailable, match="broke off"):
        fetched()


def test_nothing_changed(fetched: Fetched, api: Api):
    api.etags = True
    (first,) = fetched()
    assert len(first.etags) == 3
    (second,) = fetched(first.etags)
    assert (second.unchanged, second.bytes, second.etags) == (True, 0, first.etags)
    assert list(second.path.iterdir()) == []
    api.rows[4]["id"] = 99
    (third,) = fetched(first.etags)
    assert not third.unchanged
    assert bodies(third)[-1] == b'{"data": [{"id": 99}]}'


def test_a_source_without_etags_is_fetched_whole(fetched: Fetched):
    (first,) = fetched()
    assert first.etags == {}
    assert not fetched(first.etags)[0].unchanged


@pytest.mark.parametrize("body", [b"<html>down</html>", b'{"other": []}'])
def test_a_page_that_is_not_as_agreed_is_landed_for_the_loader_to_refuse(fetched: Fetched, api: Api, body: bytes):
    api.answers = [(200, {}, body)]
    assert bodies(fetched()[0]) == [body]


def test_a_source_that_ignores_page_numbers(fetched: Fetched, api: Api):
    api.answers = [(200, {}, b'{"data": [1, 2]}')] * 9
    with pytest.raises(SourceRefused, match="page 2 is page 1 again"):
        fetched()


def test_limits(fetched: Fetched, api: Api):
    with pytest.raises(DeliveryUnreadable, match="more than the allowed 40"):
        fetched(limits={"bytes": 40})
    api.rows = [{"id": number} for number in range(100)]
    with pytest.raises(SourceUnavailable, match="longer than 1 s") as caught:
        fetched(limits={"seconds": 1}, rate_per_s=2)
    assert "limits: {seconds" in caught.value.hint


def test_the_rate_is_kept(fetched: Fetched, api: Api):
    fetched(rate_per_s=20)
    times = [at for _, _, at in api.asked]
    assert times[-1] - times[0] >= 0.06  # 0.1 as they are asked; they may arrive closer together


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        (f"http://:{SECRET.replace('/', '%2F')}@127.0.0.1", f"Bearer {SECRET}"),
        ("http://clerk:pass%20word@127.0.0.1:99/x", "Basic Y2xlcms6cGFzcyB3b3Jk"),
    ],
)
def test_credentials_come_from_the_connection(
    fetched: Fetched, api: Api, monkeypatch: pytest.MonkeyPatch, uri: str, expected: str
):
    monkeypatch.setenv("CITYLAKE_CONN_RENTS", uri)
    fetched(connection="rents")
    assert api.asked[0][1]["authorization"] == expected


def test_credentials_go_to_their_own_host_only(fetched: Fetched, api: Api, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CITYLAKE_CONN_RENTS", "http://:s3cr3t@elsewhere.example")
    with pytest.raises(SourceRefused, match="another host"):
        fetched(connection="rents")
    assert not api.asked


@pytest.mark.parametrize("status", [200, 401, 500])
def test_no_error_or_name_shows_a_secret(
    fetched: Fetched, api: Api, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, status: int
):
    monkeypatch.setenv("CITYLAKE_CONN_RENTS", f"http://:{SECRET.replace('/', '%2F')}@127.0.0.1")
    api.answers = [(status, {}, b"[]")] * 9
    with caplog.at_level("DEBUG"):
        try:
            told = repr(fetched(connection="rents", page=None))
        except CitylakeError as error:
            told = f"{error!r} {error} {error.__cause__!r}"
    assert "s3cr3t" not in told + caplog.text


def test_only_http(fetched: Fetched):
    with pytest.raises(ContractError, match="'ftp' is not http"):
        fetched(uri="ftp://127.0.0.1/x")
