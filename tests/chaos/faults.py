"""What happens to a process at its point: the faults it suffers itself. Each is made for one plan in one town."""

import ctypes
import os
import random
import resource
import signal
import time
from collections.abc import Callable
from pathlib import Path

from lakehouse.engine import server
from tests.chaos.plan import Plan

_ZONES = ("America/New_York", "Europe/Berlin", "Australia/Lord_Howe", "Asia/Kathmandu", "UTC")

SMALL_BYTES = 64 << 20
"""Size of the disk that is filled up. No larger one ever is: it may be somebody else's."""

BALLAST = "ballast"
"""The file that fills the disk, in the town's folder."""


def _kill(plan: Plan, root: Path) -> Callable[[], None]:
    return lambda: os.kill(os.getpid(), signal.SIGKILL)


def _kill_engine(plan: Plan, root: Path) -> Callable[[], None]:
    """The JVM of the lake's own engine ends: its process id stands in its record."""

    def kill() -> None:
        running = server.found(root / "lake")
        if running and running.pid:
            os.kill(running.pid, signal.SIGKILL)

    return kill


def _stop(plan: Plan, root: Path) -> Callable[[], None]:
    return lambda: os.kill(os.getpid(), signal.SIGSTOP)


def _move(plan: Plan, root: Path) -> Callable[[], None]:
    """The process believes to be elsewhere: no point, from the start."""
    os.environ["TZ"] = random.Random(plan.chance).choice(_ZONES)
    time.tzset()
    return lambda: None


def _fill(plan: Plan, root: Path) -> Callable[[], None]:
    """From now on the disk is full but for a few KB; where the town has no small disk of its own, files can't be longer."""
    left = random.Random(plan.chance).choice([0, 4, 20, 100]) << 10

    def fill() -> None:
        disk = os.statvfs(root)
        if disk.f_blocks * disk.f_frsize > SMALL_BYTES:
            resource.setrlimit(resource.RLIMIT_FSIZE, (left, resource.RLIM_INFINITY))
            return
        with (root / BALLAST).open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, max(disk.f_bavail * disk.f_frsize - left, 1))

    return fill


def _deny(plan: Plan, root: Path) -> Callable[[], None]:
    """From now on one of the lake's folders can't be written."""

    def deny() -> None:
        folders = sorted(
            path for layer in (root / "lake").iterdir() for path in [layer, *layer.glob("*")] if path.is_dir()
        )
        random.Random(plan.chance).choice(folders).chmod(0o500)

    return deny


def allowed_again(root: Path) -> None:
    """Undo what was denied, and make room."""
    (root / BALLAST).unlink(missing_ok=True)
    for folder in (root / "lake").glob("**/"):
        if not folder.stat().st_mode & 0o200:
            folder.chmod(0o700)


ACTS: dict[str, Callable[[Plan, Path], Callable[[], None]]] = {
    "kill": _kill,
    "engine": _kill_engine,
    "zombie": _stop,
    "full": _fill,
    "denied": _deny,
    "clock": _move,
}
"""Fault -> what it does in the process."""


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Sets(ctypes.Structure):
    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))


def drop_override(libc: ctypes.CDLL) -> None:
    """Take CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH (bits 1 and 2 of capabilities(7)) from this thread and those it starts."""
    header, sets = _Header(0x20080522, 0), (_Sets * 2)()
    if libc.capget(ctypes.byref(header), sets) == 0:
        sets[0].effective &= ~0b110
        libc.capset(ctypes.byref(header), sets)
