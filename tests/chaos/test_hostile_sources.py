"""A source that hangs, streams for ever, sends 10^5 columns or a line without end: it costs its own limits, nobody else anything."""

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import chain, repeat
from pathlib import Path
from threading import Thread

import pytest

from tests.jobs.small_city import DAY, own_settings
from tests.night.town import DATASETS, SHOPS, Contents, Town, others_are_as_ever

SECONDS, MARGIN_S = 1, 20
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n"
_PIECE = b'{"id": "' + b"x" * (1 << 20)
_LINE_MB = 100


@contextmanager
def _server(pieces: Iterator[bytes] | None) -> Iterator[str]:
    """The address of one that sends the pieces to whoever asks; without any it says nothing at all."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    asking, _ = listening.accept()
                    asked.append(asking)
                    asking.recv(1 << 16)
                    for piece in pieces or ():
                        asking.sendall(piece)

        asked: list[socket.socket] = []
        Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/licences"
        listening.shutdown(socket.SHUT_RDWR)
        for each in asked:
            each.close()


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Town]:
    with own_settings():
        yield Town(tmp_path)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Contents:
    with own_settings():
        town = Town(tmp_path_factory.mktemp("undisturbed"))
        town.deliver_all()
        assert town.whole_night() == {}
        return {department: town.content(department) for department in DATASETS}


def _night(town: Town) -> float:
    """The seconds that the shops' delivery took in a night that ended with a release."""
    begun = time.monotonic()
    with suppress(Exception):
        town.step("bring", DAY, SHOPS)
    took = time.monotonic() - begun
    assert set(town.whole_night()) <= {f"bring {SHOPS}"}
    assert town.book("releases")
    return took


@pytest.mark.parametrize("pieces", [None, chain([_HEAD], repeat(_PIECE))], ids=["hangs", "streams for ever"])
def test_a_source_without_end(town: Town, undisturbed: Contents, pieces: Iterator[bytes] | None) -> None:
    with _server(pieces) as uri:
        limits = {"seconds": SECONDS, "bytes": 50_000_000}
        town.contract(source={"type": "http", "uri": uri}, limits=limits)
        town.deliver_all(SHOPS)
        assert _night(town) < SECONDS + MARGIN_S
    assert others_are_as_ever(town, undisturbed)
    assert town.said("missing") or town.said("refused")


@pytest.mark.parametrize("kind", ["100,000 columns", "a line without end"])
def test_a_delivery_without_bounds(town: Town, undisturbed: Contents, kind: str) -> None:
    town.deliver_all(SHOPS)
    header = b"id,name,opened,area"
    many = b",".join(b"c%d" % n for n in range(100_000))
    content = header + b"," + many + b"\n1,a\n" if kind == "100,000 columns" else header + b"\n" + _PIECE * _LINE_MB
    town.deliver(DATASETS[SHOPS], content)
    assert _night(town) < MARGIN_S
    assert others_are_as_ever(town, undisturbed)
    (reason,) = town.said("refused")
    assert "the limit" in reason or "limits" in reason
