"""What counts as delivered is the same on every system elsewhere."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from tenacity import wait_none

from lakehouse.errors import DeliveryUnreadable, NotDelivered, SourceRefused, SourceUnavailable
from lakehouse.sources import Received, patience
from tests.lakehouse.sources.drop.elsewhere import SYSTEMS, Elsewhere

Fetched = Callable[..., list[Received]]


@pytest.fixture(scope="module", params=SYSTEMS)
def started(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Elsewhere]:
    with SYSTEMS[request.param](tmp_path_factory.mktemp(request.param)) as elsewhere:
        yield elsewhere


@pytest.fixture
def there(started: Elsewhere, monkeypatch: pytest.MonkeyPatch) -> Elsewhere:
    monkeypatch.setattr(patience, "BACK_OFF", wait_none())
    monkeypatch.setenv("CITYLAKE_CONN_THERE", started.connection)
    if started.uri.startswith("ftps"):
        monkeypatch.setenv("SSL_CERT_FILE", str(started.root.parent / "certificate.pem"))
    started.clear()
    return started


@pytest.fixture
def fetched(fetched: Fetched, there: Elsewhere) -> Fetched:
    return partial(fetched, type="file", uri=there.uri + "/{day}/*.csv", connection="there")


def test_files_arrive_as_sent_in_the_order_of_their_names(fetched: Fetched, there: Elsewhere):
    big = bytes(range(256)) * 12_000
    there.put("b.csv", b'"x"\r\n')
    there.put("a.csv", big)
    there.put("c.txt", b"not asked for")
    there.put(".hidden.csv", b"x")
    there.put("d.csv.part", b"x")
    there.put("sub.csv/e.csv", b"x")
    first, second = fetched()
    assert [(got.name, got.bytes, got.quoted) for got in (first, second)] == [
        ("a.csv", len(big), True), ("b.csv", 5, True),
    ]  # fmt: skip
    assert first.path.read_bytes() == big
    assert second.path.read_bytes() == b'"x"\r\n'


def test_what_has_not_changed_is_not_copied_again(fetched: Fetched, there: Elsewhere):
    there.put("a.csv", b"1")
    there.put("b.csv", b"1")
    first, _ = fetched()
    marks = {key: mark for got in fetched() for key, mark in got.etags.items()}
    assert len(marks) == 2
    there.put("b.csv", b"2", at=1_000_000_060)
    again, changed = fetched(previous=marks)
    assert (again.unchanged, again.name, again.bytes) == (True, "a.csv", 0)
    assert list(again.etags.items()) == list(first.etags.items())
    assert changed.path.read_bytes() == b"2"


def test_wildcards_in_folders(fetched: Fetched, there: Elsewhere):
    for folder in ("north", "south", ".hidden"):
        there.put(f"{folder}/a.csv", folder.encode())
    uri = there.uri + "/{day}/*h/a.csv"
    assert [got.path.read_bytes() for got in fetched(uri=uri)] == [b"north", b"south"]
    assert [got.path.read_bytes() for got in fetched(uri=there.uri + "/{day}/north/a.csv")] == [b"north"]


@pytest.mark.parametrize("uri", ["/none/{day}/*.csv", "/{day}/*.csv", "/{day}/a.csv"])
def test_nothing_is_there(fetched: Fetched, there: Elsewhere, uri: str):
    there.put("b.txt", b"")
    with pytest.raises(NotDelivered):
        fetched(uri=there.uri + uri)


def test_names_are_kept_and_made_safe(fetched: Fetched, there: Elsewhere):
    names = ["危化品 (1).csv", "a';$(x)&?.csv", "..csv", "%41#+.csv"]
    for name in names:
        there.put(name, name.encode())
    got = fetched()
    assert {file.name: file.path.read_text() for file in got} == {name: name for name in names if name != "..csv"}


def test_a_file_that_changes_meanwhile_is_left_for_the_next_run(
    fetched: Fetched, there: Elsewhere, monkeypatch: pytest.MonkeyPatch
):
    there.put("a.csv", b"1")
    store = received_store()

    def growing(self, chunks, path: Path) -> None:
        store(self, chunks, path)
        there.put("a.csv", b"12", at=1_000_000_060)

    monkeypatch.setattr("lakehouse.sources.received.Ledger.store", growing)
    with pytest.raises(NotDelivered, match=r"still being written: a\.csv"):
        fetched()


def received_store():
    from lakehouse.sources.received import Ledger

    return Ledger.store


def test_above_the_limit(fetched: Fetched, there: Elsewhere):
    there.put("a.csv", bytes(100))
    there.put("b.csv", bytes(99))
    with pytest.raises(DeliveryUnreadable, match=r"a\.csv: 100 bytes are more than the allowed 99"):
        fetched(limits={"bytes": 99})


def test_a_refused_log_in_is_said_at_once_and_shows_no_secret(
    fetched: Fetched, there: Elsewhere, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setenv("CITYLAKE_CONN_THERE", there.wrong)
    with caplog.at_level("DEBUG"), pytest.raises(SourceRefused) as caught:
        fetched()
    assert "s3cr3t" not in f"{caught.value!r} {caught.value} {caught.value.__cause__!r} {caplog.text}"


def test_a_closed_port_is_unavailable(fetched: Fetched, there: Elsewhere, monkeypatch: pytest.MonkeyPatch):
    port = there.connection.partition("127.0.0.1:")[2].split("/")[0].split("%")[0]
    monkeypatch.setenv("CITYLAKE_CONN_THERE", there.connection.replace(f":{port}", ":1"))
    with pytest.raises(SourceUnavailable):
        fetched(uri=there.uri.replace(f":{port}", ":1") + "/*.csv")
