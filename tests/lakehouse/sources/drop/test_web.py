import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from tenacity import wait_none

from lakehouse.errors import DeliveryUnreadable, NotDelivered, SourceRefused, SourceUnavailable
from lakehouse.sources import Received, patience

Fetched = Callable[..., list[Received]]
CONTENT = os.urandom(300_000)


@dataclass
class Server:
    """Gives one file; what it does otherwise is set by the test. `asked`: method, path and range of each request."""

    content: bytes = CONTENT
    etag: str = '"1"'
    modified: str = "Sun, 09 Sep 2001 01:46:40 GMT"
    heads: int = 200
    ranges: bool = True
    length: int | None = None
    of_head: int | None = None
    breaks_after: list[int] = field(default_factory=list)
    statuses: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    endless: bool = False
    asked: list[tuple[str, str, str]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    url: str = ""

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        wanted = request.headers.get("Range", "")
        self.asked.append((request.command, request.path, wanted))
        self.headers.append(dict(request.headers))
        status, more = self.statuses.pop(0) if self.statuses else (200, {})
        if status == 200 and request.command == "HEAD":
            status = self.heads
        content, at = self.content, 0
        if status == 200 and wanted and self.ranges:
            at = int(wanted.removeprefix("bytes=").rstrip("-"))
            status, content = 206, content[at:]
            more = more | {"Content-Range": f"bytes {at}-{len(self.content) - 1}/{len(self.content)}"}
        request.send_response(status)
        length = len(content) if self.length is None else self.length - at
        if request.command == "HEAD" and self.of_head is not None:
            length = self.of_head
        said = {"Content-Length": str(length), "ETag": self.etag, "Last-Modified": self.modified} | more
        for name, value in said.items():
            if value and not (self.endless and name == "Content-Length"):
                request.send_header(name, value)
        request.end_headers()
        if request.command == "GET" and status < 300:
            self.send(request, content)

    def send(self, request: BaseHTTPRequestHandler, content: bytes) -> None:
        if self.breaks_after:
            content = content[: self.breaks_after.pop(0)]
            request.close_connection = True
        request.wfile.write(content)
        while self.endless:
            request.wfile.write(content)


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            with suppress(OSError):  # we went away
                server.answer(self)

        do_HEAD = do_GET

        def log_message(self, *args: object) -> None:
            pass

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    server.url = f"http://127.0.0.1:{listening.server_port}"
    yield server
    listening.shutdown()
    listening.server_close()


@pytest.fixture
def fetched(fetched: Fetched, server: Server, monkeypatch: pytest.MonkeyPatch) -> Fetched:
    monkeypatch.setattr(patience, "BACK_OFF", wait_none())
    return partial(fetched, type="file", uri=server.url + "/out/%E5%8D%B1%2F1.csv?day={day}")


def test_one_file_as_sent_and_not_again(fetched: Fetched, server: Server):
    (got,) = fetched()
    assert (got.name, got.path.name, got.path.read_bytes()) == ("1.csv", "1.csv", CONTENT)
    assert got.modified.isoformat() == "2001-09-09T01:46:40+00:00"
    assert {path for _, path, _ in server.asked} == {"/out/%E5%8D%B1%2F1.csv?day=2026-11-21"}
    server.asked.clear()
    (again,) = fetched(previous=got.etags)
    assert again.unchanged and [method for method, _, _ in server.asked] == ["HEAD"]
    server.etag = '"2"'
    assert not fetched(previous=got.etags)[0].unchanged


def test_without_etag_the_time_of_the_last_change_vouches(fetched: Fetched, server: Server):
    server.etag = ""
    (got,) = fetched()
    assert fetched(previous=got.etags)[0].unchanged
    server.modified = ""
    assert fetched()[0].etags == {}


def test_a_server_that_refuses_heads(fetched: Fetched, server: Server):
    server.heads = 405
    (got,) = fetched()
    assert got.path.read_bytes() == CONTENT
    assert fetched(previous=got.etags)[0].unchanged


@pytest.mark.parametrize("ranges", [True, False])
def test_a_copy_goes_on_where_it_broke_off(fetched: Fetched, server: Server, ranges: bool):
    server.content = os.urandom(3_000_000)
    server.ranges, server.breaks_after = ranges, [2_500_000]
    (got,) = fetched()
    assert got.path.read_bytes() == server.content
    assert [asked for method, _, asked in server.asked if method == "GET"] == ["", f"bytes={2 << 20}-"]


def test_a_file_that_changed_since_it_broke_off(fetched: Fetched, server: Server, monkeypatch: pytest.MonkeyPatch):
    server.content = CONTENT * 8
    server.breaks_after = [2_000_000]
    send = server.send

    def changing(request: BaseHTTPRequestHandler, content: bytes) -> None:
        send(request, content)
        server.etag = '"2"'

    monkeypatch.setattr(server, "send", changing)
    with pytest.raises(NotDelivered, match=r"still being written: 1\.csv"):
        fetched()


@pytest.mark.parametrize(("length", "of_head"), [(len(CONTENT) - 1, None), (len(CONTENT), len(CONTENT) + 1)])
def test_a_length_that_lies(fetched: Fetched, server: Server, length: int, of_head: int | None):
    server.length, server.of_head = length, of_head or len(CONTENT)
    with pytest.raises((NotDelivered, SourceUnavailable)):
        fetched()


def test_a_length_that_is_never_reached(fetched: Fetched, server: Server):
    server.length = len(CONTENT) + 5
    server.breaks_after = [10**6] * 99
    with pytest.raises(SourceUnavailable):
        fetched()


def test_what_never_ends(fetched: Fetched, server: Server):
    server.endless = True
    with pytest.raises(DeliveryUnreadable, match="more than the allowed 2000000"):
        fetched(limits={"bytes": 2_000_000})


def test_what_passes_is_asked_again(fetched: Fetched, server: Server, monkeypatch: pytest.MonkeyPatch):
    server.statuses = [(503, {}), (429, {"Retry-After": "0"})]
    assert len(fetched()) == 1
    server.statuses = [(503, {})] * 99
    with pytest.raises(SourceUnavailable, match="HTTP 503"):
        fetched()


@pytest.mark.parametrize(
    ("status", "kind"), [(404, NotDelivered), (410, NotDelivered), (401, SourceRefused), (403, SourceRefused)]
)
def test_a_no(fetched: Fetched, server: Server, status: int, kind: type[Exception]):
    server.statuses = [(status, {})] * 9
    with pytest.raises(kind):
        fetched()
    assert len(server.asked) <= 2


def test_the_log_ins_are_those_of_apis(fetched: Fetched, server: Server, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CITYLAKE_CONN_THERE", server.url.replace("//", "//:s3cr3t@") + "/?login=key&header=X-Key")
    assert len(fetched(uri="/out/1.csv", connection="there")) == 1
    assert {said.get("X-Key") for said in server.headers} == {"s3cr3t"}
    monkeypatch.setenv("CITYLAKE_CONN_THERE", "https://:s3cr3t@elsewhere.example")
    with pytest.raises(SourceRefused, match="another host"):
        fetched(connection="there")
