"""Locks of the lake that die with their process, and who holds them (Linux only: elsewhere nobody is found)."""

import fcntl
import os
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from lakehouse.errors import LakeError
from lakehouse.staging import KINDS


@dataclass(frozen=True)
class Holder:
    """A process that holds locks of the lake: what it was called with, when it began, and the files and folders it holds."""

    pid: int
    command: str
    since: datetime
    paths: tuple[Path, ...]


@contextmanager
def alone(path: Path, who: str, hint: str) -> Iterator[None]:
    """Hold the lock at `path` for a block. Raises LakeError, saying `who` has it, where another process does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise LakeError(who, where=str(path.parent), hint=hint) from error
        yield


def holders(home: Path) -> list[Holder]:
    """The processes that hold a lock on a table, a folder of a run or a file of the lake, the oldest first."""
    held: dict[int, list[Path]] = defaultdict(list)
    inodes = _flocks()
    patterns = ("*", "*/*", *(f"staging/{kind}/*" for kind in KINDS))
    places = (path for pattern in patterns for path in sorted(home.glob(pattern)))
    for path in dict.fromkeys(places):
        for pid in inodes.get(_inode(path), ()):
            held[pid].append(path)
    found = [_holder(pid, tuple(paths)) for pid, paths in held.items() if pid != os.getpid()]
    return sorted((holder for holder in found if holder), key=lambda holder: (holder.since, holder.pid))


def _flocks() -> dict[int, set[int]]:
    """Inode -> processes, from the kernel's list: `1: FLOCK ADVISORY WRITE 4242 fe:00:123 0 EOF`."""
    try:
        lines = Path("/proc/locks").read_text().splitlines()
    except OSError:
        return {}
    found: dict[int, set[int]] = defaultdict(set)
    for words in map(str.split, lines):
        if words[1] == "FLOCK":  # waiting ones have `->` there
            found[int(words[5].rpartition(":")[2])].add(int(words[4]))
    return found


def _inode(path: Path) -> int:
    try:
        return path.stat().st_ino
    except OSError:
        return -1


def _holder(pid: int, paths: tuple[Path, ...]) -> Holder | None:
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace").strip()
        since = datetime.fromtimestamp(Path(f"/proc/{pid}").stat().st_ctime, UTC)
    except OSError:
        return None  # it has ended meanwhile
    return Holder(pid, command[:120], since, paths)
