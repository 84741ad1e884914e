import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from pyftpdlib.handlers import FTPHandler
from tenacity import wait_none

from lakehouse.errors import SourceRefused, SourceUnavailable
from lakehouse.settings import Settings
from lakehouse.sources import Asked, Received, fetch, patience
from tests.lakehouse.sources.conftest import DAY, contract_of
from tests.lakehouse.sources.drop.elsewhere import Elsewhere, ftp, ftps

Fetched = Callable[..., list[Received]]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Elsewhere]:
    with ftp(tmp_path_factory.mktemp("ftp")) as started:
        yield started


@pytest.fixture
def fetched(fetched: Fetched, server: Elsewhere, monkeypatch: pytest.MonkeyPatch) -> Fetched:
    server.clear()
    monkeypatch.setattr(patience, "BACK_OFF", wait_none())
    monkeypatch.setenv("CITYLAKE_CONN_THERE", server.connection)
    return partial(fetched, type="file", uri=server.uri + "/{day}/*.csv", connection="there")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_certificate_nobody_vouches_for(
    fetched: Fetched, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
):
    with ftps(tmp_path_factory.mktemp("ftps")) as server:
        monkeypatch.setenv("CITYLAKE_CONN_THERE", server.connection)
        with pytest.raises(SourceRefused, match=r"nobody vouches for its certificate; .*SSL_CERT_FILE"):
            fetched(uri=server.uri + "/{day}/*.csv")


def test_a_server_that_only_knows_names(fetched: Fetched, server: Elsewhere, monkeypatch: pytest.MonkeyPatch):
    server.put("a.csv", b"1")
    server.put("b.csv", b"22")
    without = {name: does for name, does in FTPHandler.proto_cmds.items() if name not in ("MLSD", "MDTM")}
    monkeypatch.setattr(FTPHandler, "proto_cmds", without)
    first, second = fetched()
    assert (first.bytes, second.bytes, second.modified) == (1, 2, None)
    assert (first.etags, second.etags) == ({}, {})  # nothing vouches for the content: it is copied again


def test_names_that_are_not_utf_8(fetched: Fetched, server: Elsewhere, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(FTPHandler, "unicode_errors", "surrogateescape")
    path = server.put("a.csv", b"1")
    path.rename(path.with_name(os.fsdecode("你.csv".encode("gbk"))))
    (got,) = fetched()
    assert (got.name, got.path.read_bytes()) == ("\\xc4\\xe3.csv", b"1")


def test_a_copy_goes_on_where_it_broke_off(fetched: Fetched, server: Elsewhere, monkeypatch: pytest.MonkeyPatch):
    content = os.urandom(3_000_000)
    server.put("a.csv", content)
    asked = []
    retrieve = FTPHandler.ftp_RETR

    def breaking(self: FTPHandler, path: str) -> object:
        asked.append(self._restart_position)
        done = retrieve(self, path)
        self.ioloop.call_later(0, self.close_when_half if len(asked) == 1 else lambda: None)
        return done

    def close_when_half(self: FTPHandler) -> None:
        if self.data_channel and self.data_channel.tot_bytes_sent < 1_500_000:
            self.ioloop.call_later(0, self.close_when_half)
        else:
            self.close()

    monkeypatch.setattr(FTPHandler, "close_when_half", close_when_half, raising=False)
    monkeypatch.setattr(FTPHandler, "ftp_RETR", breaking)
    (got,) = fetched()
    assert got.path.read_bytes() == content
    assert len(asked) == 2 and asked[1] >= 1 << 20


@pytest.mark.parametrize(("bad", "came"), [("b", "ac"), ("bc", "a")])
def test_a_file_that_cannot_be_had_costs_the_others_nothing_a_second_ends_it(
    tmp_path: Path, fetched: Fetched, server: Elsewhere, monkeypatch: pytest.MonkeyPatch, bad: str, came: str
):
    for name in "abcd"[: 2 + len(bad)]:
        server.put(f"{name}.csv", b"1")
    retrieve = FTPHandler.ftp_RETR

    def broken(self: FTPHandler, path: str) -> object:
        return self.respond("451 no.") if Path(path).stem in bad else retrieve(self, path)

    monkeypatch.setattr(FTPHandler, "ftp_RETR", broken)
    source = {"type": "file", "uri": server.uri + "/{day}/*.csv", "connection": "there"}
    settings = Settings(home=tmp_path, catalog=tmp_path, inbox=tmp_path)
    got = []
    with pytest.raises(SourceUnavailable, match=r"d\.t b\.csv: reading failed"):
        got.extend(file.name for file in fetch(Asked(contract_of(**source), DAY, settings, tmp_path)))
    assert got == [f"{name}.csv" for name in came]


def test_a_server_that_stays_busy(fetched: Fetched, monkeypatch: pytest.MonkeyPatch):
    asked = []

    def busy(self: FTPHandler, line: str) -> None:
        asked.append(line)
        self.respond("421 s3cr3t words of the server.")

    monkeypatch.setattr(FTPHandler, "ftp_USER", busy)
    with pytest.raises(SourceUnavailable) as caught:
        fetched()
    assert len(asked) == patience.ATTEMPTS
    assert "s3cr3t" not in str(caught.value)
