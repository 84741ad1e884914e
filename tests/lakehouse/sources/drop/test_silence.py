"""Systems that hang, drip or list for ever end in time, whatever they speak."""

import socket
import time
from collections.abc import Callable, Iterator
from functools import partial
from threading import Event, Thread
from typing import Any

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from tenacity import wait_none

from lakehouse.errors import SourceUnavailable
from lakehouse.sources import Received, patience
from lakehouse.sources.drop import ftp, remote, sftp

Fetched = Callable[..., list[Received]]


@pytest.fixture(params=[b"", b"2"], ids=["hangs", "drips"])
def port(request: pytest.FixtureRequest) -> Iterator[int]:
    """A server that takes every connection and says nothing, or a byte now and then, for ever."""
    over = Event()
    listening = socket.create_server(("127.0.0.1", 0))

    def talk(client: socket.socket) -> None:
        with client:
            try:
                while not over.wait(0.05):
                    client.sendall(request.param)
            except OSError:
                pass  # it went away

    def serve() -> None:
        while True:
            try:
                client, _ = listening.accept()
            except OSError:
                return
            Thread(target=talk, args=(client,), daemon=True).start()

    Thread(target=serve, daemon=True).start()
    yield listening.getsockname()[1]
    over.set()
    listening.shutdown(socket.SHUT_RDWR)
    listening.close()


@pytest.fixture
def fetched(fetched: Fetched, monkeypatch: pytest.MonkeyPatch) -> Fetched:
    monkeypatch.setattr(patience, "BACK_OFF", wait_none())
    monkeypatch.setattr(patience, "ATTEMPTS", 2)
    for module in (remote, sftp, ftp):
        monkeypatch.setattr(module, "SILENCE_S", 0.2)
    return partial(fetched, type="file", connection="there")


@pytest.mark.parametrize("scheme", ["sftp", "ftp", "ftps", "webdav", "s3", "http"])
def test_silence(fetched: Fetched, port: int, scheme: str, monkeypatch: pytest.MonkeyPatch):
    known = {"sftp": "/?host_key=SHA256:x", "s3": f"/?endpoint_url=http%3A%2F%2F127.0.0.1%3A{port}"}.get(scheme, "")
    monkeypatch.setenv("CITYLAKE_CONN_THERE", f"{scheme}://u:p@127.0.0.1:{port}{known}")
    began = time.monotonic()
    with pytest.raises(SourceUnavailable, match=r"no answer in|broke off"):
        fetched(uri="/files/{day}/*.csv")
    assert time.monotonic() - began < 3


class Hanging(MemoryFileSystem):
    """A driver of fsspec that never comes back."""

    protocol = "hanging"

    def ls(self, path: str, detail: bool = True, **options: Any) -> list[Any]:
        Event().wait()
        raise AssertionError


def test_the_limit_of_seconds_is_above_all(fetched: Fetched, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(remote, "SILENCE_S", 60)
    fsspec.register_implementation("hanging", Hanging, clobber=True)
    began = time.monotonic()
    with pytest.raises(SourceUnavailable, match="longer than 1 s"):
        fetched(uri="hanging://a/*.csv", connection=None, limits={"seconds": 1})
    assert time.monotonic() - began < 2
