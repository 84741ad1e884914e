"""Files dropped where Citylake can read them, on any file system fsspec knows."""

import glob
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from itertools import takewhile
from pathlib import Path, PurePosixPath
from typing import BinaryIO

import fsspec
import structlog
from fsspec.implementations.local import LocalFileSystem

from lakehouse.contract import Contract
from lakehouse.errors import (
    CitylakeError,
    DeliveryUnreadable,
    EnvironmentFault,
    NotDelivered,
    SourceRefused,
    SourceUnavailable,
)
from lakehouse.settings import Settings
from lakehouse.source import FileSource
from lakehouse.sources.received import CHUNK, Asked, Ledger, Received, place, shown

_UNFINISHED = (".tmp", ".part", ".crdownload", ".filepart")
"""Endings under which uploading programs write until the file is whole."""

_log = structlog.get_logger()


@dataclass(frozen=True)
class _Drop:
    """Where files are dropped: links may not lead out of `root`."""

    system: fsspec.AbstractFileSystem
    pattern: str
    root: Path
    where: str


def fetch(asked: Asked, source: FileSource) -> Iterator[Received]:
    """The day's files in the order of their names. A file that is still being written is left for the next run.

    Raises NotDelivered when no whole file is there; after the last file what was wrong with single ones: SourceRefused
    for a link out of the inbox or an unreadable file, DeliveryUnreadable above the limit.
    """
    contract, day, into = asked.contract, asked.day, asked.into
    drop = _drop(contract, source, day, asked.settings)
    growing: list[str] = []
    faults: list[CitylakeError] = []
    found = False
    for path in _listed(drop):
        name = shown(PurePosixPath(path).name)
        ledger = Ledger(contract.limits.bytes, source.quote.encode(), f"{contract.name} {name}")
        try:
            received = _copied(drop, path, ledger, into)
        except _OF_ONE_FILE as fault:
            faults.append(fault)
            continue
        if received:
            found = True
            yield received
        else:
            growing.append(name)
            _log.warning("still being written, left for the next run", where=drop.where, file=name)
    if faults:
        raise _joined(faults)
    if not found:
        raise NotDelivered(
            f"still being written: {', '.join(growing)}" if growing else f"nothing delivered for {day}",
            where=drop.where,
            hint="it is looked for again with every run; ask the department if it stays away",
        )


_OF_ONE_FILE = (SourceRefused, DeliveryUnreadable, NotDelivered)
"""Faults that say nothing about the next file, the gravest first."""


def _joined(faults: Sequence[CitylakeError]) -> CitylakeError:
    """One error that says all of them, of the gravest kind."""
    gravest = min(faults, key=lambda fault: _OF_ONE_FILE.index(type(fault)))
    return gravest if len(faults) == 1 else type(gravest)("; ".join(map(str, faults)))


def _drop(contract: Contract, source: FileSource, day: date, settings: Settings) -> _Drop:
    where = f"{contract.name} {source.uri.replace('{day}', day.isoformat())}"
    uri = source.uri.replace("{inbox}", glob.escape(str(settings.inbox))).replace("{day}", day.isoformat())
    try:
        system, pattern = fsspec.url_to_fs(uri)
    except (ImportError, ValueError) as error:
        raise EnvironmentFault(
            f"the file system can't be opened: {error}", where=where, hint="install its driver"
        ) from error
    fixed = takewhile(lambda part: not glob.has_magic(part), PurePosixPath(pattern).parts[:-1])
    root = settings.inbox if source.uri.startswith("{inbox}") else Path(*fixed)
    return _Drop(system, pattern, root.resolve(), where)


def _listed(drop: _Drop) -> list[str]:
    with _refusals(drop.where):
        found = drop.system.glob(drop.pattern, detail=True)
    return sorted(path for path, info in found.items() if info["type"] != "directory" and is_meant(path))


def is_meant(path: str) -> bool:
    """Whether a file is what somebody sends: not hidden, not a program's own, not still being uploaded."""
    name = PurePosixPath(path).name
    return not name.startswith((".", "~$")) and not name.lower().endswith(_UNFINISHED)


def _copied(drop: _Drop, path: str, ledger: Ledger, into: Path) -> Received | None:
    """The file in `into`, or None if it changed while it was copied."""
    name = PurePosixPath(path).name
    target = place(name, into)
    try:
        with _refusals(ledger.where), _stream(drop, path) as stream:
            before = _look(drop.system, path)
            ledger.store(iter(lambda: stream.read(CHUNK), b""), target)
            after = _look(drop.system, path)
    except CitylakeError:
        target.unlink(missing_ok=True)
        raise
    if before != after or ledger.size != after[0]:
        target.unlink()
        return None
    return Received(target, shown(name), ledger.size, ledger.sha256, after[1], ledger.quoted)


def _look(system: fsspec.AbstractFileSystem, path: str) -> tuple[int, datetime | None]:
    system.invalidate_cache()
    try:
        modified = system.modified(path)
    except NotImplementedError:
        modified = None
    return system.size(path), modified.astimezone(UTC) if modified else None


@contextmanager
def _stream(drop: _Drop, path: str) -> Iterator[BinaryIO]:
    if not isinstance(drop.system, LocalFileSystem):
        with drop.system.open(path, "rb") as stream:
            yield stream
        return
    real, name = Path(path).resolve(), shown(Path(path).name)
    if not real.is_relative_to(drop.root):
        raise SourceRefused(f"'{name}' is a link out of the inbox", where=drop.where, hint="deliver the file itself")
    # O_NONBLOCK: opening a named pipe would wait for its writer for ever
    handle = os.open(real, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with open(handle, "rb", buffering=0) as stream:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise SourceRefused(f"'{name}' is not a plain file", where=drop.where, hint="deliver a plain file")
        yield stream


@contextmanager
def _refusals(where: str) -> Iterator[None]:
    """Trouble of the file system, as errors of ours."""
    try:
        yield
    except PermissionError as error:
        raise SourceRefused(
            "we may not read it", where=where, hint="give the account of Citylake read access"
        ) from error
    except FileNotFoundError as error:
        raise NotDelivered("it vanished while it was copied", where=where, hint="it is looked for again") from error
    except (OSError, TimeoutError) as error:
        raise SourceUnavailable(
            f"reading failed: {error.strerror or error}", where=where, hint="try again later"
        ) from error
