from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import parse_qs, quote, urlsplit

import httpx
import pytest

from lakehouse.contract import Limits
from lakehouse.errors import EnvironmentFault, SourceRefused
from lakehouse.sources import Received
from lakehouse.sources.drop import place, s3
from lakehouse.sources.drop.remote import Address

Fetched = Callable[..., list[Received]]
FOUND = "<Contents><Key>{}</Key><Size>1</Size><LastModified>2001-09-09T01:46:40.123Z</LastModified></Contents>"


@pytest.fixture
def pages() -> list[str]:
    """What the store lists, a text a page; the last is given for ever."""
    return []


@pytest.fixture
def asked() -> list[tuple[str, dict[str, list[str]]]]:
    return []


@pytest.fixture
def fetched(
    fetched: Fetched, pages: list[str], asked: list[tuple[str, dict[str, list[str]]]], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Fetched]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            address = urlsplit(self.path)
            asked.append((self.headers["Host"] + address.path, parse_qs(address.query)))
            body = b"1"
            if "list-type" in address.query:
                page = pages.pop(0) if len(pages) > 1 else pages[0]
                body = f'<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{page}</ListBucketResult>'.encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        do_HEAD = do_GET

        def log_message(self, *args: object) -> None:
            pass

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    url = quote(f"http://localhost:{listening.server_port}", safe="")
    monkeypatch.setenv("CITYLAKE_CONN_THERE", f"s3://k:s@/?endpoint_url={url}")
    yield partial(fetched, type="file", uri="s3://city/{day}/*.csv", connection="there")
    listening.shutdown()
    listening.server_close()


def test_the_published_example_of_a_signature(monkeypatch: pytest.MonkeyPatch):
    class Then(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:
            return datetime(2013, 5, 24, tzinfo=UTC)

    monkeypatch.setattr(s3, "datetime", Then)
    request = httpx.Request("GET", "https://examplebucket.s3.amazonaws.com/test.txt", headers={"Range": "bytes=0-9"})
    s3.Signature("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "us-east-1").sign(
        request, lambda *_: b""
    )
    # https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html, "Example: GET Object"
    signature = "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
    assert request.headers["Authorization"].endswith(f"Signature={signature}")


def test_a_list_goes_on_page_by_page(fetched: Fetched, pages: list[str], asked: list):
    goes_on = "<IsTruncated>true</IsTruncated><NextContinuationToken>a+/=</NextContinuationToken>"
    folder = "<CommonPrefixes><Prefix>2026-11-21/sub/</Prefix></CommonPrefixes>"
    pages += [
        FOUND.format("2026-11-21/") + FOUND.format("2026-11-21/a+b%2Bc.csv") + goes_on,
        folder + FOUND.format("2026-11-21/%E4%BD%A0.csv"),
    ]
    assert [got.name for got in fetched()] == ["a b+c.csv", "你.csv"]
    first, second = (query for _, query in asked if "list-type" in query)
    assert first["prefix"] == ["2026-11-21/"] and second["continuation-token"] == ["a+/="]


def test_a_list_without_end(fetched: Fetched, pages: list[str], monkeypatch: pytest.MonkeyPatch):
    goes_on = "<IsTruncated>true</IsTruncated><NextContinuationToken>{}</NextContinuationToken>"
    pages.append(FOUND.format("2026-11-21/a.csv") + goes_on.format("same"))
    with pytest.raises(SourceRefused, match="doesn't go on"):
        fetched()
    monkeypatch.setattr(place, "NAMES", 3)
    pages[:] = [FOUND.format(f"2026-11-21/{n}.csv") + goes_on.format(n) for n in range(9)]
    with pytest.raises(SourceRefused, match="more than 3 names"):
        fetched()


def test_the_bucket_in_the_name_of_the_host():
    address = Address("s3", "", None, "/city/a/*.csv", "there", "k", "s", {"addressing": "virtual"})
    store = s3.opened(address, Limits(), "")
    assert str(store.url("/city/a/b c.csv")) == "https://city.s3.us-east-1.amazonaws.com/a/b%20c.csv"
    store.close()


@pytest.mark.parametrize("page", ["<html>", '<!DOCTYPE x [<!ENTITY a "b">]>'])
def test_what_is_no_list(fetched: Fetched, pages: list[str], page: str):
    pages.append(page)
    with pytest.raises(SourceRefused, match="its list can't be read"):
        fetched()


def test_words_nobody_knows_in_a_connection(fetched: Fetched, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CITYLAKE_CONN_THERE", "s3://k:s@/?endpoint=s3cr3t")
    with pytest.raises(EnvironmentFault, match="'endpoint' means nothing in it; known: addressing") as caught:
        fetched()
    assert "s3cr3t" not in str(caught.value)
