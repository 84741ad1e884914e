"""What the rules of files ask of a place where files are dropped, be it a folder here or a system elsewhere."""

import os
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import PurePosixPath
from typing import Protocol, TypeVar

from lakehouse.errors import NotDelivered, SourceRefused, SourceUnavailable

NAMES = 100_000
"""The most names that are taken in of one folder: more are no delivery, and a server may list for ever."""

_SETTLED = timedelta(minutes=2)
"""How long ago a file was modified before size and time vouch for its content: systems elsewhere give whole seconds, and
their clocks differ from ours."""

T = TypeVar("T")


@dataclass(frozen=True)
class Look:
    """What is said of a file: its size in bytes, when it was modified (UTC), and a text that changes with its content;
    None or empty where the system doesn't say."""

    size: int | None = None
    modified: datetime | None = None
    etag: str = ""

    @property
    def mark(self) -> str:
        """Equal marks mean equal content. Empty where nobody vouches for that."""
        if self.etag:
            return self.etag
        if self.size is None or self.modified is None or datetime.now(UTC) - self.modified < _SETTLED:
            return ""
        return f"{self.size} {self.modified.isoformat()}"


@dataclass(frozen=True)
class Entry:
    """A name in a folder; `title` is that of a file whose path doesn't end in its name."""

    path: str
    is_folder: bool = False
    look: Look = Look()
    title: str = ""

    @property
    def name(self) -> str:
        return self.title or PurePosixPath(self.path).name


class Changed(NotDelivered):
    """The file isn't the one it was when its copy began: somebody is writing it."""


class Unreachable(SourceUnavailable):
    """The system doesn't answer at all: nothing more needs to be asked of it in this run."""


class Drop(Protocol):
    """Where files lie. Whatever goes wrong comes as NotDelivered, SourceUnavailable or SourceRefused."""

    def entries(self, folder: str) -> Iterable[Entry]:
        """What lies in the folder."""

    def look(self, path: str) -> Look:
        """What the system says of the file just now."""

    def pieces(self, path: str, look: Look) -> Generator[bytes]:
        """Its content; to be closed. Raises Changed when it shows that it isn't as in `look` any more."""


def capped(names: Iterable[T], where: str) -> list[T]:
    """All of them. Raises SourceRefused when there are more than `NAMES`."""
    found = list(islice(names, NAMES + 1))
    if len(found) > NAMES:
        hint = "ask the department to sort its files into folders, a day each"
        raise SourceRefused(f"more than {NAMES:,} names in one folder", where=where, hint=hint)
    return found


@contextmanager
def refusals(where: str) -> Iterator[None]:
    """Trouble of a file system, as errors of ours. What a stranger's system says isn't passed on."""
    try:
        yield
    except PermissionError as error:
        hint = "give the account of Citylake read access"
        raise SourceRefused("we may not read it", where=where, hint=hint) from error
    except FileNotFoundError as error:
        raise NotDelivered("not there", where=where, hint="it is looked for again with every run") from error
    except (OSError, EOFError) as error:
        code = getattr(error, "errno", None)
        said = os.strerror(code) if code else "the connection broke off"
        raise SourceUnavailable(
            f"reading failed: {said}", where=where, hint="it is tried again with the next run"
        ) from error
