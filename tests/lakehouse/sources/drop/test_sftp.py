import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from urllib.parse import quote

import pytest

from lakehouse.errors import EnvironmentFault, NotDelivered, SourceRefused
from lakehouse.sources import Received
from lakehouse.sources.drop import place
from tests.lakehouse.sources.conftest import DAY
from tests.lakehouse.sources.drop.elsewhere import Elsewhere, sftp

Fetched = Callable[..., list[Received]]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Elsewhere]:
    with sftp(tmp_path_factory.mktemp("sftp")) as started:
        yield started


@pytest.fixture
def fetched(fetched: Fetched, server: Elsewhere, monkeypatch: pytest.MonkeyPatch) -> Fetched:
    server.clear()
    server.put("a.csv", b"1")
    monkeypatch.setenv("CITYLAKE_CONN_THERE", server.connection)
    return partial(fetched, type="file", uri=server.uri + "/{day}/*", connection="there")


def test_a_server_with_another_key_is_refused(fetched: Fetched, server: Elsewhere, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CITYLAKE_CONN_THERE", server.connection.replace("SHA256:", "SHA256:x"))
    with pytest.raises(SourceRefused, match=r"its host key \(ssh-ed25519 SHA256:.{43}\) is not the declared one"):
        fetched()


def test_a_server_nobody_knows_is_refused(
    fetched: Fetched, server: Elsewhere, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("CITYLAKE_CONN_THERE", f"{server.connection}&".replace("host_key=", "known_hosts=/dev/null&x="))
    with pytest.raises(EnvironmentFault, match="'x' means nothing in it"):
        fetched()
    before, _, after = server.connection.partition("host_key=")
    monkeypatch.setenv("CITYLAKE_CONN_THERE", before + after.partition("&")[2])
    with pytest.raises(SourceRefused, match=r"not known; .*ssh-keygen"):
        fetched()


def test_known_hosts(fetched: Fetched, server: Elsewhere, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    key = (server.root.parent / "host.pub").read_text().split()[:2]
    port = server.uri.split(":")[2].split("/")[0]
    (tmp_path / "known").write_text(f"[127.0.0.1]:{port} {' '.join(key)}\n")
    before, _, after = server.connection.partition("host_key=")
    known = f"{before}known_hosts={tmp_path}/known&{after.partition('&')[2]}"
    monkeypatch.setenv("CITYLAKE_CONN_THERE", known)
    assert [got.name for got in fetched()] == ["a.csv"]
    other = (server.root.parent / "stranger.pub").read_text().split()[:2]
    (tmp_path / "known").write_text(f"[127.0.0.1]:{port} {' '.join(other)}\n")
    with pytest.raises(SourceRefused, match="not the known one"):
        fetched()


def test_a_key_may_stand_in_the_connection(fetched: Fetched, server: Elsewhere, monkeypatch: pytest.MonkeyPatch):
    before, _, file = server.connection.partition("key_file=")
    monkeypatch.setenv("CITYLAKE_CONN_THERE", f"{before}private_key={quote(Path(file).read_text())}")
    assert [got.name for got in fetched(uri=f"{server.root}/{{day}}/*")] == ["a.csv"]
    monkeypatch.setenv("CITYLAKE_CONN_THERE", f"{before}private_key=s3cr3t")
    with pytest.raises(EnvironmentFault, match="its private key can't be read") as caught:
        fetched()
    assert "s3cr3t" not in repr(caught.value)


def test_names_that_are_not_utf_8_and_links(fetched: Fetched, server: Elsewhere):
    gbk = server.put("a.csv", b"1").parent / os.fsdecode("你.csv".encode("gbk"))
    gbk.write_bytes(b"2")
    (gbk.parent / "line\nbreak.csv").write_bytes(b"3")
    (gbk.parent / "link.csv").symlink_to("a.csv")
    got = fetched()
    assert {(file.name, file.path.read_bytes()) for file in got} == {
        ("a.csv", b"1"), ("\\xc4\\xe3.csv", b"2"), ("line\\nbreak.csv", b"3"), ("link.csv", b"1"),
    }  # fmt: skip


def test_a_link_that_leads_nowhere(fetched: Fetched, server: Elsewhere):
    (server.root / DAY.isoformat() / "gone.csv").symlink_to("nothing")
    with pytest.raises(NotDelivered, match=r"gone\.csv: not there"):
        fetched()


def test_a_folder_with_too_many_names(fetched: Fetched, server: Elsewhere, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(place, "NAMES", 1)
    assert len(fetched()) == 1
    server.put("b.csv", b"")
    with pytest.raises(SourceRefused, match="more than 1 names in one folder"):
        fetched()
