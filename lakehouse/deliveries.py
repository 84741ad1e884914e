"""Landing: the bytes as the department sent them, each delivery in a folder of its own with a manifest.

A delivery is one received object. Its id is made of dataset, day and content, so the same bytes under another name are the
same delivery, and on another day count as an arrival without a change.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any

from lakehouse.contract import Contract
from lakehouse.settings import Settings
from lakehouse.sources import Received

MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Delivery:
    """One delivery in landing. `received_at` is when its content was first seen (UTC); `etags`, `marks` and `state` (a file
    beside the bytes) are what the source gave for the next fetch."""

    id: str
    department: str
    dataset: str
    day: date
    name: str
    file: str
    bytes: int
    sha256: str
    quoted: bool
    received_at: datetime
    folder: Path
    etags: dict[str, str]
    marks: dict[str, str] = field(default_factory=dict)
    state: str | None = None

    @property
    def path(self) -> Path:
        """The bytes: a file, or the folder of a page set."""
        return self.folder / self.file


def delivery_id(contract: Contract, day: date, received: Received) -> str:
    """32 hexadecimal digits made of dataset, day and content. Without any content the name tells deliveries apart."""
    content = received.sha256 if received.bytes else received.name
    return hashlib.sha256(f"{contract.name}|{day.isoformat()}|{content}".encode()).hexdigest()[:32]


def landing(settings: Settings, contract: Contract, day: date) -> Path:
    """The folder of the deliveries of one dataset and day."""
    return settings.home / "landing" / contract.department / contract.dataset / day.isoformat()


def land(settings: Settings, contract: Contract, day: date, received: Received, received_at: datetime) -> Delivery:
    """Move what was received into landing and write its manifest; what has landed before stays as it is.

    The folder appears under its name in one rename, manifest included: half a delivery is never seen.
    """
    name = delivery_id(contract, day, received)
    folder = landing(settings, contract, day) / name
    if not (folder / MANIFEST).exists():
        delivery = Delivery(
            name, contract.department, contract.dataset, day, received.name, received.path.name, received.bytes,
            received.sha256, received.quoted, received_at, folder, dict(received.etags), dict(received.marks),
            received.state.name if received.state else None,
        )  # fmt: skip
        arriving = received.path.parent / f"{received.path.name}.delivery"
        arriving.mkdir(mode=0o700)
        for path in filter(None, (received.path, received.state)):
            os.replace(path, arriving / path.name)
        (arriving / MANIFEST).write_text(json.dumps(_plain(delivery), ensure_ascii=False, indent=1), "utf-8")
        folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(arriving, folder)
    return _read(folder)


def landed(settings: Settings, contract: Contract, day: date) -> list[Delivery]:
    """The deliveries of one dataset and day, as `in_order`."""
    folders = landing(settings, contract, day).glob(f"*/{MANIFEST}")
    return in_order(_read(manifest.parent) for manifest in folders)


def in_order(deliveries: Iterable[Delivery]) -> list[Delivery]:
    """In the order they were received, then of their names."""
    return sorted(deliveries, key=lambda d: (d.received_at, d.name, d.id))


def _plain(delivery: Delivery) -> dict[str, Any]:
    record = asdict(delivery) | {"day": delivery.day.isoformat(), "received_at": delivery.received_at.isoformat()}
    del record["folder"]
    return record


def _read(folder: Path) -> Delivery:
    record = json.loads((folder / MANIFEST).read_text("utf-8"))
    moments = {"day": date.fromisoformat(record["day"]), "received_at": datetime.fromisoformat(record["received_at"])}
    return Delivery(**(record | moments | {"folder": folder}))
