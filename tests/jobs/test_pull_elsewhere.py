"""What lies on a system elsewhere is copied when it has changed, and only then."""

import io
import zipfile
from collections.abc import Iterator

import pytest
from pyftpdlib.handlers import FTPHandler

from tests.jobs.small_city import DAY, TOWN, City
from tests.lakehouse.sources.drop.elsewhere import LONG_AGO, Elsewhere, ftp

COLUMNS = {"id": {"type": "string"}, "n": {"type": "integer"}}
ONE, TWO = b"id,n\na,1\n", b"id,n\nb,2\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Elsewhere]:
    with ftp(tmp_path_factory.mktemp("ftp")) as started:
        yield started


@pytest.fixture
def there(server: Elsewhere, city: City, monkeypatch: pytest.MonkeyPatch) -> Elsewhere:
    server.clear()
    monkeypatch.setenv("CITYLAKE_CONN_THERE", server.connection)
    city.declare("things", COLUMNS, source={"uri": "/{day}/*", "connection": "there"})
    return server


@pytest.fixture
def copied(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files the server gave, in order."""
    names: list[str] = []
    retrieve = FTPHandler.ftp_RETR

    def noted(self: FTPHandler, path: str) -> object:
        names.append(path.rpartition("/")[2])
        return retrieve(self, path)

    monkeypatch.setattr(FTPHandler, "ftp_RETR", noted)
    return names


def told(city: City) -> list[tuple[str, str]]:
    return [(row["event"], row["name"]) for row in city.book("deliveries", "things") if row["event"] != "cleaned"]


def test_content_that_comes_and_goes_under_a_name_is_copied_once_a_time(
    city: City, there: Elsewhere, copied: list[str]
) -> None:
    for content, at in ((ONE, 0), (TWO, 60), (ONE, 120), (ONE, 180)):
        there.put("1.csv", content, day=DAY, at=LONG_AGO + at)
        for _ in range(2):
            city.step("bring", DAY, TOWN)
    city.step("clean", DAY, TOWN)
    assert copied == ["1.csv"] * 4
    assert told(city) == [
        ("loaded", "1.csv"), ("loaded", "1.csv"), ("superseded", "1.csv"), ("restored", "1.csv"), ("superseded", "1.csv"),
    ]  # fmt: skip
    assert city.silver("things", "id") == ["a"]


def test_the_same_bytes_under_two_names_are_not_copied_again(city: City, there: Elsewhere, copied: list[str]) -> None:
    there.put("1.csv", ONE, day=DAY)
    there.put("2.csv", ONE, day=DAY)
    for _ in range(2):
        city.step("bring", DAY, TOWN)
    assert copied == ["1.csv", "2.csv"]
    there.remove("1.csv", day=DAY)
    city.night()
    assert told(city) == [("loaded", "1.csv"), ("duplicate_of", "2.csv"), ("withdrawn", "1.csv")]
    assert city.silver("things", "id") == ["a"]


def test_what_was_copied_and_not_loaded_is_loaded_without_another_copy(
    city: City, there: Elsewhere, copied: list[str]
) -> None:
    there.put("1.csv", b"colour\nred\n", day=DAY)
    for _ in range(2):
        city.step("bring", DAY, TOWN)
    city.declare("things", {"colour": {"type": "string"}}, source={"uri": "/{day}/*", "connection": "there"})
    city.night()
    assert told(city) == [("refused", "1.csv"), ("loaded", "1.csv")]
    assert copied == ["1.csv"]


def test_other_members_of_an_archive_that_has_not_changed(city: City, there: Elsewhere, copied: list[str]) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("1.csv", ONE)
        archive.writestr("2.csv", TWO)
    there.put("all.zip", packed.getvalue(), day=DAY)
    for members in ("1.csv", "2.csv", "2.csv"):
        city.declare("things", COLUMNS, source={"uri": "/{day}/*", "connection": "there", "members": members})
        city.step("bring", DAY, TOWN)
    city.step("clean", DAY, TOWN)
    assert copied == ["all.zip"] * 2
    assert city.silver("things", "id") == ["b"]
