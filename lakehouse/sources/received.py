"""One received object: its bytes as sent, in landing, hashed on the way."""

import hashlib
import re
from collections.abc import Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from lakehouse.errors import LakeError
from lakehouse.formats.reading import over_limit

CHUNK = 4 << 20
"""Bytes read, hashed and written at a time."""

_UNSAFE = re.compile(r"[^\w.() +=-]")
_LONGEST_NAME = 150


@dataclass(frozen=True)
class Received:
    """What a department sent.

    `name` is the name as sent, `path` where it lies now: a file or, for a page set, a folder of pages. `sha256` is over all
    bytes in order. `quoted`: the contract's quote character occurs. `etags` (address to ETag) are the next fetch's `previous`;
    `unchanged`: the source said that nothing differs from `previous`, so there are no bytes.
    """

    path: Path
    name: str
    bytes: int
    sha256: str
    modified: datetime | None
    quoted: bool
    etags: Mapping[str, str] = field(default_factory=dict)
    unchanged: bool = False


def shown(name: str) -> str:
    """A file name as text: bytes that aren't UTF-8 are written \\xNN."""
    return name.encode(errors="surrogateescape").decode(errors="backslashreplace")


def place(name: str, folder: Path) -> Path:
    """Where an object called `name` goes: a plain, unique, visible file name in `folder`, the suffix kept."""
    plain = _UNSAFE.sub("_", shown(name)).lstrip(".") or "_"
    stem, dot, suffix = plain.rpartition(".") if "." in plain else (plain, "", "")
    while len((stem + dot + suffix).encode()) > _LONGEST_NAME:
        stem, suffix = stem[:-1], suffix[:20]
    path, twin = folder / (stem + dot + suffix), 1
    while path.exists():
        twin += 1
        path = folder / f"{stem}-{twin}{dot}{suffix}"
    return path


@dataclass
class Ledger:
    """Counts and hashes what passes, over one or more files of a delivery."""

    limit: int
    quote: bytes
    where: str
    bytes: int = 0
    quoted: bool = False
    digest: "hashlib._Hash" = field(default_factory=hashlib.sha256)

    def store(self, chunks: Iterable[bytes], path: Path) -> None:
        """Writes the chunks to `path`. Hashing runs beside reading and writing, so the slowest of the three sets the pace.

        Raises DeliveryUnreadable beyond the limit, LakeError when landing can't be written.
        """
        with ThreadPoolExecutor(1) as hasher:
            hashed: Future[None] | None = None
            for chunk in _written(chunks, path):
                self.bytes += len(chunk)
                if self.bytes > self.limit:
                    raise over_limit("bytes", self.bytes, self.limit, self.where)
                self.quoted = self.quoted or self.quote in chunk
                if hashed:
                    hashed.result()
                hashed = hasher.submit(self.digest.update, chunk)


def _written(chunks: Iterable[bytes], path: Path) -> Iterable[bytes]:
    try:
        file = path.open("xb")
    except OSError as error:
        raise _unwritable(path, error) from error
    with file:
        for chunk in chunks:
            yield chunk
            try:
                file.write(chunk)
            except OSError as error:
                raise _unwritable(path, error) from error


def _unwritable(path: Path, error: OSError) -> LakeError:
    return LakeError(
        f"can't be written: {error.strerror}",
        where=str(path),
        hint="free space or mend the folder, then run the step again; nothing of this delivery was kept",
    )
