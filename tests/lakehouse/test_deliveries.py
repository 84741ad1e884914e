"""Landing: bytes as sent under the name of their content, whole or not at all."""

import json
import os
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import pytest

from lakehouse import deliveries
from lakehouse.contract import Contract
from lakehouse.deliveries import Delivery, delivery_id, land, landed
from lakehouse.settings import Settings
from lakehouse.sources import Received

DAY = date(2026, 3, 1)
NOW = datetime(2026, 3, 1, 20, tzinfo=UTC)


def contract(dataset: str = "things") -> Contract:
    content = {
        "department": "town",
        "dataset": dataset,
        "title": "t",
        "kind": "government",
        "sharing": "unconditional",
        "load": "append",
        "source": {"type": "file", "uri": "{inbox}/*.csv"},
        "columns": {"id": {"type": "string"}},
    }
    return Contract.model_validate(content)


@pytest.fixture
def settings(home: Path) -> Settings:
    return Settings.from_environment()


def received(settings: Settings, content: bytes, name: str = "a.csv") -> Received:
    folder = settings.home / "staging" / "run"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_bytes(content)
    return Received(path, name, len(content), sha256(content).hexdigest(), None, b'"' in content)


def arrive(settings: Settings, content: bytes, name: str = "a.csv", day: date = DAY, at: datetime = NOW) -> Delivery:
    return land(settings, contract(), day, received(settings, content, name), at)


def test_bytes_stay_as_sent(settings: Settings) -> None:
    content = b'\xef\xbb\xbfid\r\n"\xff\x00"\r'
    delivery = arrive(settings, content)
    assert delivery.path.read_bytes() == content
    assert (delivery.bytes, delivery.sha256, delivery.name) == (len(content), sha256(content).hexdigest(), "a.csv")
    assert json.loads((delivery.folder / "manifest.json").read_text())["sha256"] == delivery.sha256
    assert delivery.folder.stat().st_mode & 0o777 == 0o700
    assert landed(settings, contract(), DAY) == [delivery]
    assert list((settings.home / "staging" / "run").iterdir()) == []


def test_the_same_bytes_are_the_same_delivery_and_keep_their_first_arrival(settings: Settings) -> None:
    first = arrive(settings, b"id\n1\n")
    again = arrive(settings, b"id\n1\n", "renamed.csv", at=NOW + timedelta(hours=3))
    assert again == first
    assert len(landed(settings, contract(), DAY)) == 1


def test_another_day_dataset_or_content_is_another_delivery(settings: Settings) -> None:
    one, other = received(settings, b"1"), received(settings, b"2", "b.csv")
    names = {
        delivery_id(contract(), DAY, one),
        delivery_id(contract(), DAY + timedelta(days=1), one),
        delivery_id(contract("others"), DAY, one),
        delivery_id(contract(), DAY, other),
    }
    assert len(names) == 4
    assert all(len(name) == 32 for name in names)


def test_empty_files_are_told_apart_by_their_names(settings: Settings) -> None:
    assert arrive(settings, b"", "a.csv").id != arrive(settings, b"", "b.csv").id
    assert len(landed(settings, contract(), DAY)) == 2


def test_deliveries_come_in_the_order_of_arrival_then_of_names(settings: Settings) -> None:
    late = arrive(settings, b"1", "0.csv", at=NOW + timedelta(minutes=1))
    second, first = arrive(settings, b"2", "b.csv"), arrive(settings, b"3", "a.csv")
    assert landed(settings, contract(), DAY) == [first, second, late]
    assert landed(settings, contract(), DAY + timedelta(days=1)) == []


def test_half_a_delivery_is_never_seen(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    replace, calls = os.replace, []

    def failing(*args: object) -> None:
        calls.append(args)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        replace(*args)

    monkeypatch.setattr(deliveries.os, "replace", failing)
    with pytest.raises(OSError, match="No space"):
        arrive(settings, b"id\n1\n")
    monkeypatch.undo()
    assert landed(settings, contract(), DAY) == []
    delivery = arrive(settings, b"id\n1\n", "again.csv")
    assert landed(settings, contract(), DAY) == [delivery]
    assert delivery.path.read_bytes() == b"id\n1\n"


def test_a_page_set_lands_as_a_folder(settings: Settings) -> None:
    folder = settings.home / "staging" / "run" / "pages"
    folder.mkdir(parents=True)
    (folder / "1.json").write_text("[]")
    delivery = land(settings, contract(), DAY, Received(folder, "pages", 2, "x" * 64, None, False, {"u": "tag"}), NOW)
    assert (delivery.path / "1.json").read_text() == "[]"
    assert landed(settings, contract(), DAY)[0].etags == {"u": "tag"}
