"""Processes that outlive the command that started them: found again by number and start time, ended with all their kin.

A record is a small file. It names a process by its number, its start and the machine's boot, so neither a reboot nor a
number given out anew is mistaken for it; and its session, which every child is in, also one whose parent has died.
"""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

_LOOK_EVERY_S = 0.1


@dataclass(frozen=True)
class _Stat:
    """What the kernel says of a living process. `started` is in ticks since boot."""

    group: int
    session: int
    started: int


@dataclass(frozen=True)
class Record:
    """A process that was started. `folder` is where it and its children work."""

    pid: int
    session: int
    started: int
    boot: str
    folder: str


def start(
    command: Sequence[str], *, env: Mapping[str, str], record: Path, folder: Path, log: Path
) -> "subprocess.Popen[bytes]":
    """Starts `command` in a session of its own, working in `folder`, saying everything to `log`. It is on record first."""
    with log.open("ab") as file:
        return subprocess.Popen(
            command,
            env=env,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
            preexec_fn=lambda: sign(record),
        )


def sign(path: Path) -> None:
    """Records the calling process in `path`."""
    pid = os.getpid()
    stat = _stat(pid)
    if stat is None:
        raise ProcessLookupError(pid)
    draft = path.with_suffix(".new")
    draft.write_text(json.dumps(asdict(Record(pid, stat.session, stat.started, _boot(), os.getcwd()))))
    draft.replace(path)


def recorded(path: Path) -> Record | None:
    """The process recorded in `path`; None where there is no record, or one from before a reboot or of no use."""
    try:
        record = Record(**json.loads(path.read_text()))
    except (FileNotFoundError, ValueError, TypeError):
        return None
    return record if record.boot == _boot() else None


def runs(record: Record | None) -> bool:
    """Whether that very process is alive."""
    stat = _stat(record.pid) if record else None
    return record is not None and stat is not None and stat.started == record.started


def kin(record: Record) -> list[int]:
    """Every living process of the record's session that works in its folder, itself included."""
    return [pid for pid, stat in _living() if stat.session == record.session and _works_in(pid, record.folder)]


def groups(record: Record) -> list[int]:
    """Process groups below the recorded process: those that its children have opened."""
    return [
        pid
        for pid, stat in _living()
        if stat.session == record.session
        and stat.group == pid
        and pid not in {record.pid, record.session}
        and _works_in(pid, record.folder)
    ]


def ended(record: Record, *, within_s: float) -> bool:
    """Waits until nobody of the record's session is left; False when somebody is after `within_s`."""
    deadline = time.monotonic() + within_s
    while kin(record):
        if time.monotonic() > deadline:
            return False
        time.sleep(_LOOK_EVERY_S)
    return True


def signal_all(pids: Sequence[int], number: signal.Signals) -> None:
    """Sends `number` to each; one that has ended meanwhile is no mistake."""
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue


def _living() -> Iterator[tuple[int, _Stat]]:
    for entry in os.scandir("/proc"):
        if entry.name.isdecimal() and (stat := _stat(int(entry.name))):
            yield int(entry.name), stat


def _stat(pid: int) -> _Stat | None:
    """None for a process that has ended, also where nobody has asked for its result yet."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in "ZX" else _Stat(int(fields[2]), int(fields[3]), int(fields[19]))


def _works_in(pid: int, folder: str) -> bool:
    try:
        return os.readlink(f"/proc/{pid}/cwd") == folder
    except OSError:  # ended meanwhile, or somebody else's
        return False


def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
