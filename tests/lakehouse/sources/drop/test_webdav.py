from collections.abc import Callable, Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from lakehouse.errors import SourceRefused
from lakehouse.sources import Received
from lakehouse.sources.drop import webdav

Fetched = Callable[..., list[Received]]
FOUND = (
    "<response><href>{}</href><propstat><prop><getcontentlength>1</getcontentlength><getetag>1</getetag>"
    "<resourcetype/></prop></propstat></response>"
)


@pytest.fixture
def said() -> list[str]:
    """What the server answers to `PROPFIND`; files hold one byte."""
    return []


@pytest.fixture
def fetched(fetched: Fetched, said: list[str]) -> Iterator[Fetched]:
    class Handler(BaseHTTPRequestHandler):
        def do_PROPFIND(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.answer(207, said[0].encode())

        def do_GET(self) -> None:
            self.answer(200, b"1")

        def answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield partial(fetched, type="file", uri=f"webdav://127.0.0.1:{listening.server_port}/dav/{{day}}/*")
    listening.shutdown()
    listening.server_close()


def listed(*hrefs: str) -> str:
    return f'<multistatus xmlns="DAV:">{"".join(map(FOUND.format, hrefs))}</multistatus>'


def test_a_name_that_leads_elsewhere_is_asked_for_where_it_was_listed(fetched: Fetched, said: list[str]):
    folder = "/dav/2026-11-21/"
    said.append(listed(folder, folder + "%E4%BD%A0.csv", "http://elsewhere.example/etc/passwd", folder + "%C4%E3.csv"))
    assert sorted(got.name for got in fetched()) == ["\\xc4\\xe3.csv", "passwd", "你.csv"]


@pytest.mark.parametrize(
    "answer",
    ["<html>", "", '<!DOCTYPE m [<!ENTITY a "b">]><multistatus xmlns="DAV:">&a;</multistatus>'],
)
def test_what_is_no_list(fetched: Fetched, said: list[str], answer: str):
    said.append(answer)
    with pytest.raises(SourceRefused, match="its list can't be read"):
        fetched()


def test_a_list_without_end(fetched: Fetched, said: list[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(webdav, "_LIST_BYTES", 1000)
    said.append(listed("/dav/" + "x" * 1000))
    with pytest.raises(SourceRefused, match="a list of more than 1,000 bytes"):
        fetched()
