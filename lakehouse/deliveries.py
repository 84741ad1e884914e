"""Landing: the bytes as the department sent them, each delivery in a folder of its own with a manifest.

A delivery is one received object. Its id is made of dataset, day and content, so the same bytes under another name are the
same delivery, and on another day count as an arrival without a change. Every member of an archive is a delivery: its folder
holds a hard link to the archive (docs/decisions/archives.md).
"""

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import date, datetime
from pathlib import Path, PurePosixPath
from typing import Any, Self

from lakehouse.contract import Contract, Limits
from lakehouse.errors import DeliveryUnreadable, UsageError
from lakehouse.formats import archive
from lakehouse.settings import Settings
from lakehouse.source import Dialect
from lakehouse.sources import Received
from lakehouse.sources.received import place, writing

MANIFEST = "manifest.json"

_SAID = "said.jsonl"


@dataclass(frozen=True)
class Delivery:
    """One delivery in landing. `received_at` is when its content was first seen (UTC); `etags`, `marks` and `state` (a file
    beside the bytes) are what the source gave for the next fetch. `member`: which file of the archive at `path` it is."""

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
    member: str | None = None

    @property
    def path(self) -> Path:
        """The bytes: a file, the folder of a page set, or the archive that holds the member."""
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
            received.state.name if received.state else None, received.member,
        )  # fmt: skip
        arriving = received.path.parent / f"{received.path.name}.delivery"
        arriving.mkdir(mode=0o700)
        if received.member:
            _link(received.path, arriving / received.path.name)
        else:
            for path in filter(None, (received.path, received.state)):
                os.replace(path, arriving / path.name)
        (arriving / MANIFEST).write_text(json.dumps(_plain(delivery), ensure_ascii=False, indent=1), "utf-8")
        folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(arriving, folder)
        return _read(folder)
    known = _read(folder)
    if received.etags.items() <= known.etags.items():
        return known
    return _tagged(known, received.etags)


def _tagged(delivery: Delivery, etags: Mapping[str, str]) -> Delivery:
    """The same delivery, also under what its source calls it by now."""
    tagged = replace(delivery, etags={**delivery.etags, **etags})
    draft = delivery.folder / f".{MANIFEST}"
    draft.write_text(json.dumps(_plain(tagged), ensure_ascii=False, indent=1), "utf-8")
    os.replace(draft, delivery.folder / MANIFEST)
    return tagged


def _link(path: Path, target: Path) -> None:
    """The same bytes under a second name; a copy where the disk knows no links, or no more of them."""
    try:
        os.link(path, target)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK):
            raise
        shutil.copyfile(path, target)


def landed(settings: Settings, contract: Contract, day: date) -> list[Delivery]:
    """The deliveries of one dataset and day, as `in_order`."""
    folders = landing(settings, contract, day).glob(f"*/{MANIFEST}")
    return in_order(_read(manifest.parent) for manifest in folders)


def landed_days(settings: Settings) -> list[date]:
    """The days landing knows of: on which something landed, or of which something is said. Oldest first."""
    home = settings.home / "landing"
    days = {path.name for path in home.glob("*/*/*") if path.is_dir()}
    days |= {str(row["day"]) for journal in home.glob(f"*/*/{_SAID}") for row in _lines(journal)}
    return sorted(map(date.fromisoformat, days))


def say(settings: Settings, contract: Contract, row: Mapping[str, object]) -> None:
    """Write beside what landed what its bytes don't tell: under which names they lie, and that nothing came. `row`: of
    ops.deliveries, which can be made again from it. Raises LakeError on a full disk."""
    journal = _journal(settings, contract)
    with writing(journal):
        journal.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with journal.open("a", encoding="utf-8") as lines:  # a line that was cut off spoils no other
            lines.write("\n" + json.dumps(row, ensure_ascii=False, default=str))


def said(settings: Settings, contract: Contract, day: date) -> list[dict[str, Any]]:
    """What was said of a dataset and day, in that order."""
    journal = _journal(settings, contract)
    rows = _lines(journal) if journal.exists() else ()
    return [row | {"day": day} for row in rows if row["day"] == day.isoformat()]


def _journal(settings: Settings, contract: Contract) -> Path:
    return settings.home / "landing" / contract.department / contract.dataset / _SAID


def _lines(journal: Path) -> Iterator[dict[str, Any]]:
    for line in journal.read_text("utf-8", "replace").splitlines():
        with suppress(ValueError):
            yield json.loads(line)


def in_order(deliveries: Iterable[Delivery]) -> list[Delivery]:
    """In the order they were received, then of their names."""
    return sorted(deliveries, key=lambda d: (d.received_at, d.name, d.id))


def sent_in(name: str) -> str:
    """The object that brought the delivery of this name: the archive of a member, else the delivery itself."""
    return name.partition("/")[0]


class Opener:
    """Gives the bytes of deliveries as files: as landed, or unpacked into `folder` while somebody reads them.

    An archive stays open for its next member.
    """

    def __init__(self, folder: Path, contract: Contract) -> None:
        self._folder, self._contract = folder, contract
        self._open = ExitStack()
        self._archive: tuple[int, int] | None = None
        self._members: dict[str, archive.Member] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    @contextmanager
    def file(self, delivery: Delivery) -> Iterator[Path]:
        """The delivery's bytes. Raises DeliveryUnreadable when they can't be unpacked, LakeError when the disk is full."""
        if delivery.member is None:
            yield delivery.path
            return
        where = f"{self._contract.name} {delivery.name}"
        member = self._look(delivery.path, where)[delivery.member]
        path = _written(member, delivery.path, self._folder, self._contract.limits, where)
        try:
            yield path
        except DeliveryUnreadable as error:  # its reader knows no archive
            told = error.where.replace(path.name, delivery.name) if delivery.name not in error.where else error.where
            raise DeliveryUnreadable(error.what, where=told, hint=error.hint) from error
        finally:
            path.unlink(missing_ok=True)

    def _look(self, path: Path, where: str) -> dict[str, archive.Member]:
        found = path.stat()
        if self._archive != (found.st_dev, found.st_ino):
            self._open.close()
            self._archive = None
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            looked = archive.opened(path, self._folder, self._contract.limits, where)
            self._members = self._open.enter_context(looked)
            self._archive = found.st_dev, found.st_ino
        return self._members


def unpacked(file: Path, folder: Path, source: Dialect) -> Path:
    """The file itself or, of an archive, the one file in it, unpacked into `folder`.

    Raises DeliveryUnreadable for an archive nobody should unpack, UsageError for one that holds several files.
    """
    if not archive.is_archive(file.name):
        return file
    with archive.opened(file, folder, Limits(), file.name) as members:
        if archive.is_whole(members, source):
            return file
        found = archive.meant(members, source)
        if len(found) != 1:
            what = f"{len(found)} files of it are meant"
            raise UsageError(what, where=file.name, hint="unpack it and name one of them")
        return _written(found[0], file, folder, Limits(), file.name)


def _written(member: archive.Member, file: Path, folder: Path, limits: Limits, where: str) -> Path:
    path = place(PurePosixPath(member.name).name, folder)
    with writing(path), path.open("xb") as target:
        target.writelines(archive.chunks(member, file.stat().st_size, limits, where))
    return path


def _plain(delivery: Delivery) -> dict[str, Any]:
    record = asdict(delivery) | {"day": delivery.day.isoformat(), "received_at": delivery.received_at.isoformat()}
    del record["folder"]
    return record


def _read(folder: Path) -> Delivery:
    record = json.loads((folder / MANIFEST).read_text("utf-8"))
    moments = {"day": date.fromisoformat(record["day"]), "received_at": datetime.fromisoformat(record["received_at"])}
    return Delivery(**(record | moments | {"folder": folder}))
