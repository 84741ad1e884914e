"""One received object: its bytes as sent, in landing, hashed on the way."""

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime
from io import RawIOBase
from pathlib import Path

from lakehouse.contract import Contract
from lakehouse.errors import LakeError, in_one_line
from lakehouse.formats.reading import over_limit
from lakehouse.settings import Settings, clock

CHUNK = 4 << 20
"""Bytes read, hashed and written at a time."""

_UNSAFE = re.compile(r"[^\w.() +=-]")
_LONGEST_NAME = 150


@dataclass(frozen=True)
class State:
    """A file with all that a source held when the delivery of `day` was made."""

    path: Path
    day: date


@dataclass(frozen=True)
class Asked:
    """What is asked of a source: the delivery of `day`, its bytes into the empty folder `into`.

    `previous` are the ETags of the day's deliveries so far. `marks` are those of the last day before that was loaded, so
    that every run of the day asks for the same. `state` is what the source held when it was last read, on whichever day.
    """

    contract: Contract
    day: date
    settings: Settings
    into: Path
    previous: Mapping[str, str] = field(default_factory=dict)
    marks: Mapping[str, str] = field(default_factory=dict)
    state: State | None = None
    at: datetime = field(default_factory=clock)


@dataclass(frozen=True)
class Received:
    """What a department sent.

    `name` is the name as sent, `path` where it lies now: a file or, for a page set, a folder of pages. `sha256` is over
    all bytes in order. `quoted`: the contract's quote character occurs. `etags` (address to ETag) are `previous` of the
    next fetch; `unchanged`: the source said that nothing differs from `previous`, so there are no bytes. `marks` (column to
    its greatest value so far) say how far a source with `since` has been read; `state` is a file with the source's whole
    content where the delivery is what has changed in it. `member`: which file of the archive at `path` it is; `bytes`,
    `sha256` and `quoted` speak of that.
    """

    path: Path
    name: str
    bytes: int
    sha256: str
    modified: datetime | None
    quoted: bool
    etags: Mapping[str, str] = field(default_factory=dict)
    unchanged: bool = False
    marks: Mapping[str, str] = field(default_factory=dict)
    state: Path | None = None
    member: str | None = None


def shown(name: str) -> str:
    """A file name as a line of text: bytes that aren't UTF-8 are written \\xNN, line breaks and the like \\n, \\x1b."""
    return in_one_line(name.encode(errors="surrogateescape").decode(errors="backslashreplace"))


def place(name: str, folder: Path) -> Path:
    """Where an object called `name` goes: a plain, unique, visible file name in `folder`, the suffix kept."""
    plain = _UNSAFE.sub("_", shown(name)).lstrip(".") or "_"
    stem, dot, suffix = plain.rpartition(".") if "." in plain else (plain, "", "")
    while len((stem + dot + suffix).encode()) > _LONGEST_NAME:
        stem, suffix = stem[:-9] + stem[-8:], suffix[:20]  # the end stays: it may be half of .tar.gz
    path, twin = folder / (stem + dot + suffix), 1
    while path.exists():
        twin += 1
        path = folder / f"{stem}-{twin}{dot}{suffix}"
    return path


class Ledger:
    """Counts and hashes the bytes of one delivery, over one or more files."""

    def __init__(self, limit: int, quote: bytes, where: str) -> None:
        self.limit, self.where = limit, where
        self.size, self.quoted = 0, False
        self._quote, self._digest = quote, hashlib.sha256()

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    def store(self, chunks: Iterable[bytes], path: Path) -> None:
        """Writes the chunks to `path`. Hashing runs beside reading and writing: the slowest of the three sets the pace.

        Raises DeliveryUnreadable beyond the limit, LakeError when landing can't be written.
        """
        with writing(path):
            file = path.open("xb", buffering=0)
        with file, ThreadPoolExecutor(1) as hasher:
            hashed: Future[None] | None = None
            for chunk in chunks:
                self._count(chunk)
                if hashed:
                    hashed.result()
                hashed = hasher.submit(self._digest.update, chunk)
                with writing(path):
                    write(file, chunk)

    def add(self, path: Path) -> None:
        """Takes in a file that is written already."""
        with path.open("rb") as file:
            self.count(iter(lambda: file.read(CHUNK), b""))

    def count(self, chunks: Iterable[bytes]) -> None:
        """Takes in bytes that aren't written anywhere."""
        for chunk in chunks:
            self._count(chunk)
            self._digest.update(chunk)

    def _count(self, chunk: bytes) -> None:
        self.size += len(chunk)
        if self.size > self.limit:
            raise over_limit("bytes", self.size, self.limit, self.where)
        self.quoted = self.quoted or self._quote in chunk


def write(file: RawIOBase, chunk: bytes) -> None:
    """All of the chunk: an unbuffered file may take less, but never fails later, on being closed."""
    left = memoryview(chunk)
    while left:
        left = left[file.write(left) :]


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """A full disk or a closed folder, as LakeError."""
    try:
        yield
    except OSError as error:
        raise LakeError(
            f"landing can't be written: {error.strerror}",
            where=str(path),
            hint="free space or mend the folder, then run the step again; nothing of this delivery was kept",
        ) from error
