import hashlib
import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from pydantic import ValidationError

from lakehouse.errors import ContractError, DeliveryUnreadable, EnvironmentFault, LakeError, NotDelivered, SourceRefused
from lakehouse.settings import Settings
from lakehouse.sources import Asked, Received, fetch, received
from lakehouse.sources.drop import local, place
from tests.lakehouse.sources.conftest import DAY, contract_of

Fetched = Callable[..., list[Received]]


def asked(folder: Path, **contract: object) -> Asked:
    """The day's delivery, from the inbox in the folder into `into` there."""
    settings = Settings(home=folder, catalog=folder, inbox=folder / "inbox")
    return Asked(contract_of(**contract), DAY, settings, folder / "into")


@pytest.fixture
def fetched(fetched: Fetched) -> Fetched:
    return partial(fetched, type="file", uri="{inbox}/d/t/{day}/*")


def test_files_arrive_as_sent_in_the_order_of_their_names(fetched: Fetched, inbox: Path):
    (inbox / "b.csv").write_bytes(b'"x"\r\n')
    (inbox / "a.csv").write_bytes(b"a,b\n")
    os.utime(inbox / "a.csv", (1_000_000_000, 1_000_000_000))
    first, second = fetched()
    assert (first.name, first.bytes, first.quoted, second.name, second.quoted) == ("a.csv", 4, False, "b.csv", True)
    assert first.path.read_bytes() == b"a,b\n"
    assert first.sha256 == hashlib.sha256(b"a,b\n").hexdigest()
    assert first.modified.isoformat() == "2001-09-09T01:46:40+00:00"


def test_a_large_file_in_pieces(fetched: Fetched, inbox: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(local, "CHUNK", 7)
    data = os.urandom(1000)
    (inbox / "a.csv").write_bytes(data)
    (got,) = fetched()
    assert (got.path.read_bytes(), got.sha256) == (data, hashlib.sha256(data).hexdigest())


def test_unfinished_and_hidden_files_are_not_meant(fetched: Fetched, inbox: Path):
    for name in (".hidden", "a.csv.tmp", "b.PART", "~$c.xlsx"):
        (inbox / name).write_text("x")
    (inbox / "folder").mkdir()
    with pytest.raises(NotDelivered, match="nothing delivered for 2026-11-21"):
        fetched()


def test_a_file_that_grows_is_left_for_the_next_run(
    fetched: Fetched, inbox: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (inbox / "a.csv").write_bytes(b"a,b\n")
    (inbox / "b.csv").write_bytes(b"a,b\n")
    store = received.Ledger.store

    def growing(self: received.Ledger, chunks: Iterator[bytes], path: Path) -> None:
        store(self, chunks, path)
        if path.name == "b.csv":
            with (inbox / "b.csv").open("ab") as file:
                file.write(b"1,2\n")

    with monkeypatch.context() as patch:
        patch.setattr(received.Ledger, "store", growing)
        (tmp_path / "into").mkdir()
        came = fetch(asked(tmp_path, type="file", uri="{inbox}/d/t/{day}/*"))
        assert next(came).name == "a.csv"
        with pytest.raises(NotDelivered, match=r"still being written: b\.csv"):
            next(came)
        assert [file.name for file in (tmp_path / "into").iterdir()] == ["a.csv"]
        (inbox / "a.csv").unlink()
        with pytest.raises(NotDelivered, match=r"still being written: b\.csv"):
            fetched()
    assert [file.bytes for file in fetched()] == [16 - 4]


def test_names_are_kept_and_made_safe(fetched: Fetched, inbox: Path):
    names = ['a "b\n;$(x).csv', "危化品.csv", "x" * 240 + ".csv", "-rf", "a _b_;__x_.csv"]
    for name in names:
        (inbox / name).write_text(name)
    (Path(os.fsdecode(os.fsencode(inbox) + b"/\xc4\xe3.csv"))).write_text("gbk")
    got = fetched()
    assert {file.name for file in got} == {*map(received.shown, names), "\\xc4\\xe3.csv"}
    assert len({file.path for file in got}) == len(names) + 1
    for file in got:
        assert received.shown(file.path.read_text()) in (file.name, "gbk")
        assert len(file.path.name.encode()) < 200
        assert not set(file.path.name) & set('"\n;$\\/')


def test_links_stay_inside(fetched: Fetched, inbox: Path, tmp_path: Path):
    (tmp_path / "secret").write_text("x")
    (tmp_path / "inbox" / "shared.csv").write_text("a,b\n")
    (inbox / "a.csv").symlink_to(tmp_path / "inbox" / "shared.csv")
    assert [file.name for file in fetched()] == ["a.csv"]
    (inbox / "b.csv").symlink_to(tmp_path / "secret")
    with pytest.raises(SourceRefused, match=r"'b\.csv' is a link out of the inbox"):
        fetched()


def test_a_linked_folder_leads_out_too(fetched: Fetched, inbox: Path, tmp_path: Path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "a.csv").write_text("x")
    (inbox / "sub").symlink_to(tmp_path / "outside")
    with pytest.raises(SourceRefused, match="link out"):
        fetched(uri="{inbox}/d/t/{day}/sub/*.csv")


def test_outside_the_inbox_links_stay_below_the_fixed_part(fetched: Fetched, tmp_path: Path):
    (tmp_path / "drop" / "one").mkdir(parents=True)
    (tmp_path / "secret.csv").write_text("x")
    (tmp_path / "drop" / "one" / "a.csv").write_text("x")
    assert len(fetched(uri=f"{tmp_path}/drop/*/*.csv")) == 1
    (tmp_path / "drop" / "one" / "b.csv").symlink_to(tmp_path / "secret.csv")
    with pytest.raises(SourceRefused, match="link out"):
        fetched(uri=f"{tmp_path}/drop/*/*.csv")


def test_a_pipe_is_refused_at_once(fetched: Fetched, inbox: Path):
    os.mkfifo(inbox / "a.csv")
    with pytest.raises(SourceRefused, match="not a plain file"):
        fetched()


def test_a_dangling_link_is_not_delivered(fetched: Fetched, inbox: Path):
    (inbox / "a.csv").symlink_to(inbox / "gone.csv")
    with pytest.raises(NotDelivered):
        fetched()


def test_an_inbox_with_brackets_in_its_name(fetched: Fetched, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    odd = tmp_path / "in[b]ox*" / "d"
    odd.mkdir(parents=True)
    (odd / "a.csv").write_text("x")
    (tmp_path / "inbox").symlink_to(tmp_path / "in[b]ox*")
    assert len(fetched(uri="{inbox}/d/*.csv")) == 1


def test_too_many_bytes(fetched: Fetched, inbox: Path):
    (inbox / "a.csv").write_bytes(bytes(100))
    with pytest.raises(DeliveryUnreadable, match=r"d\.t a\.csv: 100 bytes are more than the allowed 99"):
        fetched(limits={"bytes": 99})


def test_a_file_that_vanishes_does_not_hide_that_another_grows(
    inbox: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (inbox / "a.csv").symlink_to(inbox / "gone.csv")
    (inbox / "b.csv").write_bytes(b"x")
    store = received.Ledger.store

    def growing(self: received.Ledger, chunks: Iterator[bytes], path: Path) -> None:
        store(self, chunks, path)
        (inbox / "b.csv").write_bytes(b"xx")

    monkeypatch.setattr(received.Ledger, "store", growing)
    (tmp_path / "into").mkdir()
    with pytest.raises(place.Changed, match=r"a\.csv: not there.*still being written: b\.csv"):
        list(fetch(asked(tmp_path, type="file", uri="{inbox}/d/t/{day}/*")))


class Shut(MemoryFileSystem):
    """Files of which one folder is closed to us."""

    protocol = "shut"

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return super()._strip_protocol(path.replace("shut://", "memory://"))

    def ls(self, path: str, detail: bool = True, **options: object) -> list:
        if path.endswith("/closed"):
            raise PermissionError
        return super().ls(path, detail, **options)


def test_a_folder_that_cannot_be_looked_into_does_not_stop_the_next(tmp_path: Path):
    fsspec.register_implementation("shut", Shut, clobber=True)
    memory = fsspec.filesystem("memory")
    for folder in ("closed", "open"):
        memory.pipe(f"/drop/{folder}/a.csv", b"1")
    (tmp_path / "into").mkdir()
    came = []
    with pytest.raises(SourceRefused, match="we may not read it"):
        came.extend(file.name for file in fetch(asked(tmp_path, type="file", uri="shut://drop/*/*.csv")))
    assert came == ["a.csv"]
    memory.rm("/drop", recursive=True)


def test_a_file_that_cannot_be_taken_does_not_stop_the_next(inbox: Path, tmp_path: Path):
    for name, size in (("a", 100), ("b", 1), ("c", 200), ("e", 1)):
        (inbox / f"{name}.csv").write_bytes(bytes(size))
    into = tmp_path / "into"
    into.mkdir()
    of = asked(tmp_path, limits={"bytes": 99}, type="file", uri="{inbox}/d/t/{day}/*")

    came = []
    with pytest.raises(DeliveryUnreadable, match=r"a\.csv: 100 bytes .*c\.csv: 200 bytes"):
        came.extend(file.name for file in fetch(of))
    assert came == [file.name for file in sorted(into.iterdir())] == ["b.csv", "e.csv"]
    (inbox / "d.csv").symlink_to("/etc/hostname")
    with pytest.raises(SourceRefused, match=r"a\.csv: 100 bytes .*'d\.csv' is a link out of the inbox"):
        came.extend(file.name for file in fetch(of))
    assert came == ["b.csv", "e.csv"] * 2


def test_landing_that_cannot_be_written(fetched: Fetched, inbox: Path, monkeypatch: pytest.MonkeyPatch):
    def full(file: object, chunk: bytes) -> None:
        raise OSError(28, "No space left on device")

    (inbox / "a.csv").write_bytes(b"x")
    monkeypatch.setattr(received, "write", full)
    with pytest.raises(LakeError, match="No space left on device"):
        fetched()


def test_any_file_system_fsspec_knows(fetched: Fetched):
    memory = fsspec.filesystem("memory")
    memory.pipe("/drop/2026-11-21/a.csv", b"a,b\n")
    (got,) = fetched(uri="memory://drop/{day}/*.csv")
    assert (got.name, got.path.read_bytes()) == ("a.csv", b"a,b\n")
    memory.rm("/drop", recursive=True)


@pytest.mark.parametrize("uri", ["sftp://clerk:s3cr3t@host/*.csv", "https://host/{day}/*.csv"])
def test_what_no_contract_can_ask_for(uri: str):
    with pytest.raises(ValidationError, match=r"belongs into the 'connection'|can't be listed"):
        contract_of(type="file", uri=uri)


def test_a_connection_no_driver_takes(fetched: Fetched, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CITYLAKE_CONN_THERE", "memory://u:s3cr3t@/")
    with pytest.raises(ContractError, match="'memory' takes nothing from a connection"):
        fetched(uri="memory://drop/*.csv", connection="there")


def test_an_unknown_file_system(fetched: Fetched):
    with pytest.raises(EnvironmentFault, match="klingon"):
        fetched(uri="klingon://x/*.csv")
