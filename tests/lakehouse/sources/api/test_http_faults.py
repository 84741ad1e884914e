"""Sources that drop, drip, lie and never end: each is bounded, and has one clear reason."""

import gzip
import json
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from itertools import repeat
from pathlib import Path
from threading import Event

import pytest
from tenacity import wait_none

from lakehouse.errors import CitylakeError, DeliveryUnreadable, EnvironmentFault, SourceRefused, SourceUnavailable
from lakehouse.formats import pages, read
from lakehouse.sources import Received, patience
from tests.certificate import certificate
from tests.lakehouse.sources.conftest import contract_of
from tests.lakehouse.sources.loopback import Reply, Request, Server, serving

Fetched = Callable[..., list[Received]]
ROWS = b'[{"id": "a"}, {"id": "b"}]'


@pytest.fixture
def fetched(fetched: Fetched, server: Server, monkeypatch: pytest.MonkeyPatch) -> Fetched:
    monkeypatch.setattr(patience, "BACK_OFF", wait_none())
    return partial(fetched, type="http", uri=f"{server.url}/rows", rate_per_s=10_000)


def test_only_the_page_that_broke_off_is_asked_for_again(fetched: Fetched, server: Server):
    broken = iter(
        [Reply(raw=[]), Reply(raw=[b"HTTP/1.1 200 OK\r\nContent-Le"]), Reply(b"[", headers={"Content-Length": "99"})]
    )

    def answer(request: Request) -> Reply:
        number = int(request.query["page"])
        return (next(broken, None) if number == 2 else None) or Reply(
            json.dumps([{"id": number}][: 4 - number]).encode()
        )

    server.answer = answer
    (got,) = fetched(page={"size": 1})
    assert [request.query["page"] for request in server.asked] == ["1", "2", "2", "2", "2", "3", "4"]
    assert [json.loads(path.read_bytes()) for path in sorted(got.path.iterdir())] == [
        [{"id": 1}],
        [{"id": 2}],
        [{"id": 3}],
        [],
    ]


def test_a_length_that_is_too_short_makes_no_rows(fetched: Fetched, server: Server):
    server.answer = lambda request: Reply(ROWS, headers={"Content-Length": "14"})
    (got,) = fetched()
    with pytest.raises(DeliveryUnreadable, match="page 1: not JSON"):
        read(got.path, contract_of(type="http", uri="http://x/"))


def dripping(server: Server, pieces: Iterator[bytes], *, head: bytes = b"") -> Iterator[bytes]:
    """A piece every 20 ms, until the test is over."""
    yield head
    for piece in pieces:
        if server.over.wait(0.02):
            return
        yield piece


OK = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    ("head", "piece"),
    [(OK + b"\r\n", b" "), (OK + b"Content-Length: 9\r\n\r\n", b"")],
    ids=["body", "silence"],
)
def test_a_source_that_drips_or_hangs_ends_with_its_time(fetched: Fetched, server: Server, head: bytes, piece: bytes):
    server.answer = lambda request: Reply(raw=dripping(server, repeat(piece), head=head))
    with pytest.raises(SourceUnavailable, match="it takes longer than 1 s"):
        fetched(limits={"seconds": 1})


def test_pauses_do_not_outlast_the_time(fetched: Fetched, server: Server):
    server.answer = lambda request: Reply(status=429, headers={"Retry-After": "30"})
    with pytest.raises(SourceUnavailable, match="HTTP 429"):
        fetched(limits={"seconds": 20})
    assert len(server.asked) == 1


@pytest.mark.parametrize("headers", [{}, {"Transfer-Encoding": "chunked"}])
def test_a_body_without_end_stops_at_the_limit(fetched: Fetched, server: Server, headers: dict[str, str]):
    piece = b" " * 65536
    server.answer = lambda request: Reply(
        repeat(b"%x\r\n%s\r\n" % (len(piece), piece) if headers else piece), headers={"Connection": "close", **headers}
    )
    with pytest.raises(DeliveryUnreadable, match="bytes are more than the allowed 1000000"):
        fetched(limits={"bytes": 1_000_000})


@cache
def bomb(times: int) -> bytes:
    """A list with 64 MB of blanks in it, in some 64 KB, packed once or more."""
    packer, packed = zlib.compressobj(9, wbits=31), b""
    for piece in (b"[", *repeat(b" " * (1 << 20), 64), b"]"):
        packed += packer.compress(piece)
    packed += packer.flush()
    for _ in range(times - 1):
        packed = gzip.compress(packed)
    return packed


@pytest.mark.parametrize(
    ("coding", "times", "kind", "fault"),
    [
        ("gzip", 1, DeliveryUnreadable, "bytes are more than the allowed 30000000"),
        ("gzip, gzip", 2, SourceRefused, "packed as 'gzip, gzip', which wasn't asked for"),
        ("br", 1, SourceRefused, "packed as 'br', which wasn't asked for"),
        ("gzip", 2, DeliveryUnreadable, "more than 20000000 bytes unpacked"),
        ("", 1, DeliveryUnreadable, "more than 20000000 bytes unpacked"),
    ],
)
def test_bombs_are_not_unpacked(
    fetched: Fetched,
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
    coding: str,
    times: int,
    kind: type[CitylakeError],
    fault: str,
):
    if "unpacked" in fault:
        monkeypatch.setattr(pages, "MOST_BYTES", 20_000_000)
    packed = bomb(times)
    server.answer = lambda request: Reply(packed, headers={"Content-Encoding": coding} if coding else {})
    tracemalloc.start()
    try:
        with pytest.raises(kind, match=fault):
            fetched(limits={"bytes": 30_000_000})
        assert tracemalloc.get_traced_memory()[1] < 45_000_000
    finally:
        tracemalloc.stop()


def test_an_answer_too_large_for_memory_is_refused(fetched: Fetched, server: Server, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pages, "MOST_BYTES", 20)
    server.answer = lambda request: Reply(ROWS)
    with pytest.raises(DeliveryUnreadable, match="an answer of more than 20 bytes; ask for it in pages"):
        fetched()


@pytest.mark.parametrize("body", [b"[]", gzip.compress(ROWS)[:-9]])
def test_what_is_said_to_be_gzip_and_is_not_whole(fetched: Fetched, server: Server, body: bytes):
    server.answer = lambda request: Reply(body, headers={"Content-Encoding": "gzip"})
    with pytest.raises(SourceUnavailable, match=r"is said to be gzip|broke off"):
        fetched()
    assert len(server.asked) == patience.ATTEMPTS
    server.answer = lambda request: Reply(gzip.compress(ROWS)[:-9])
    with pytest.raises(DeliveryUnreadable, match="the gzip ends too early"):
        fetched()


def test_gzip_in_several_members(fetched: Fetched, server: Server):
    server.answer = lambda request: Reply(
        gzip.compress(ROWS[:9]) + gzip.compress(ROWS[9:]), headers={"Content-Encoding": "gzip"}
    )
    (got,) = fetched()
    assert [path.read_bytes() for path in got.path.iterdir()] == [ROWS]


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200\r\n\x00\x01\r\n\r\n",
        b"220 ftp ready\r\n",
        b"HTTP/1.1 999 What\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
    ],
)
def test_what_is_not_http(fetched: Fetched, server: Server, answer: bytes):
    server.answer = lambda request: Reply(raw=[answer])
    with pytest.raises(CitylakeError, match=r"broke off|HTTP 999"):
        fetched()


def test_authorities_that_cannot_be_read(fetched: Fetched, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere.pem")
    with pytest.raises(EnvironmentFault, match="authorities of TLS can't be read: No such file"):
        fetched()


def test_behind_tls(fetched: Fetched, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    trusted = certificate(tmp_path)
    with serving(trusted) as server:
        server.answer = lambda request: Reply(ROWS)
        with pytest.raises(SourceRefused, match=r"nobody vouches for its certificate; .*SSL_CERT_FILE"):
            fetched(uri=f"{server.url}/rows")
        monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
        assert fetched(uri=f"{server.url}/rows")
        server.answer = lambda request: Reply(status=302, headers={"Location": server.url.replace("https", "http")})
        with pytest.raises(SourceRefused, match="a redirect leads to another host"):
            fetched(uri=f"{server.url}/rows")
        server.answer = lambda request: Reply(raw=dripping(server, repeat(b"y"), head=OK + b"X: "))
        with pytest.raises(SourceUnavailable, match="it takes longer than 1 s"):
            fetched(uri=f"{server.url}/rows", limits={"seconds": 1})


@pytest.mark.parametrize("reply", ["hangs", "asks for a pause"])
def test_what_is_asked_can_be_stopped(fetched: Fetched, server: Server, reply: str):
    asked = Event()

    def answer(request: Request) -> Reply:
        asked.set()
        if reply == "hangs":
            server.over.wait()
        return Reply(status=503, headers={"Retry-After": "100"})

    server.answer = answer
    with ThreadPoolExecutor() as pool:
        fetching = pool.submit(fetched)
        asked.wait()
        patience.stop_all()
        with pytest.raises(SourceUnavailable, match=r"stopped while it was asked|HTTP 503"):
            fetching.result()
    assert len(server.asked) == 1
