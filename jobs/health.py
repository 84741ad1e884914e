"""Whether the lake itself is sound: disk, owner, locks, tables, left-overs, clock. Part of `citylake doctor`."""

import os
import shlex
import stat
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from lakehouse import staging
from lakehouse.engine import server
from lakehouse.errors import CitylakeError, LakeError
from lakehouse.layout import LAYERS, RAW_ZONE, free_mb, require_path
from lakehouse.locks import holders
from lakehouse.settings import Settings, clock

_ENOUGH = 10
"""Times the least room a night needs: below it doctor says so."""

_SKEW_S = 60


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. `broken`: a night would fail; `note`: it works, but not for all or not for long."""

    subject: str
    verdict: Literal["fine", "note", "broken"]
    said: str
    mend: str = ""


def lake(settings: Settings) -> Iterator[Finding]:
    """Everything about the lake, in the order in which it should be mended."""
    home = settings.home
    try:
        require_path(home)
    except LakeError as error:
        yield Finding("lake", "broken", str(error), "mv the lake into a folder without them, and set CITYLAKE_HOME")
        return
    if not home.exists():
        yield Finding("lake", "note", f"{home} doesn't exist yet", "citylake init")
        return
    if (unwritable := _unwritable(home)) is not None:
        yield unwritable
        return
    yield _disk(settings)
    yield from _raw_zone(home)
    yield from _locks(home)
    yield from _tables(home)
    yield from _left(home)


def clocks(settings: Settings) -> Finding:
    """A clock behind the books would hide new rows behind old ones."""
    now, machine = clock(), datetime.now(UTC)
    mend = "timedatectl set-ntp true, or unset CITYLAKE_NOW"
    installed = datetime.fromtimestamp(Path(__file__).stat().st_mtime, UTC)
    if machine.timestamp() + _SKEW_S < installed.timestamp():
        return Finding("clock", "broken", f"{_at(machine)} is before Citylake was installed, {_at(installed)}", mend)
    if (newest := _newest_row(settings)) and newest > now:
        return Finding("clock", "broken", f"{_at(now)} is before the last run, {_at(newest)}", mend)
    logs = (log for layer in LAYERS for log in (settings.home / layer).glob("*/_delta_log"))
    written = max((log.stat().st_mtime for log in logs), default=0.0)
    if written > time.time() + _SKEW_S:
        said = f"{_at(machine)} is before the newest commit, {_at(datetime.fromtimestamp(written, UTC))}"
        return Finding("clock", "broken", said, mend)
    return Finding("clock", "fine", _at(now))


def _unwritable(home: Path) -> Finding | None:
    """Tried by writing: what permissions promise, a mount may refuse."""
    for folder in (home, home / "staging"):
        try:
            with tempfile.TemporaryFile(dir=folder):
                pass
        except FileNotFoundError:
            return Finding("lake", "broken", f"{folder} is missing", "citylake init")
        except OSError as error:
            mend = f'chown -R "$(id -u)" {shlex.quote(str(home))}; chmod u+rwx {shlex.quote(str(folder))}'
            if error.strerror == os.strerror(30):  # EROFS
                mend = f'mount -o remount,rw "$(df --output=target {shlex.quote(str(home))} | tail -1)"'
            elif error.strerror == os.strerror(28):  # ENOSPC
                mend = "citylake maintain, then free some space"
            return Finding("lake", "broken", f"{folder} can't be written ({error.strerror})", mend)
    return None


def _disk(settings: Settings) -> Finding:
    free, least = free_mb(settings.home), settings.min_free_mb
    said = f"{settings.home}, {free / 1000:,.1f} GB free"
    if free < least:
        return Finding(
            "lake", "broken", f"{said}, a night needs {least / 1000:,.1f}", "citylake maintain, then free some space"
        )
    if free < _ENOUGH * least:
        return Finding("lake", "note", said, "citylake maintain, or a larger disk")
    return Finding("lake", "fine", said)


def _raw_zone(home: Path) -> Iterator[Finding]:
    seen = [home / name for name in RAW_ZONE if (home / name).is_dir()]
    if readable := [path for path in seen if stat.S_IMODE(path.stat().st_mode) & 0o077]:
        yield Finding("raw zone", "note", "other users may read it", f"chmod 700 {shlex.join(map(str, readable))}")
    owner = home.stat().st_uid
    if foreign := [path for path in seen if path.stat().st_uid != owner]:
        names = ", ".join(path.name for path in foreign)
        said = f"{names} belongs to user {foreign[0].stat().st_uid}, the lake to {owner}"
        yield Finding("raw zone", "broken", said, f"chown -R {owner} {shlex.join(map(str, foreign))}")


def _locks(home: Path) -> Iterator[Finding]:
    engine = server.found(home)  # said by `citylake doctor` on its own
    for holder in holders(home):
        if engine and holder.pid in (engine.keeper, engine.pid):
            continue
        first = holder.paths[0].relative_to(home)
        more = f" and {len(holder.paths) - 1} more" if len(holder.paths) > 1 else ""
        said = f"{first}{more} held by process {holder.pid} since {_at(holder.since)}: {holder.command}"
        yield Finding("lock", "note", said, f"wait until it has ended; if it hangs: kill {holder.pid}")


def _tables(home: Path) -> Iterator[Finding]:
    from lakehouse.damage import find
    from lakehouse.table import tables

    try:
        there = tables(home)
        damaged = [damage for table in there if table.exists() and (damage := find(table))]
    except CitylakeError as error:
        yield Finding("tables", "broken", f"{error.where}: {error.what}" if error.where else error.what, error.hint)
        return
    for damage in damaged:
        name = damage.table.name
        yield Finding(f"table {name}", "broken", damage.said(), f"citylake restore {name}")
    if not damaged:
        yield Finding("tables", "fine", f"{len(there)} are whole")


def _left(home: Path) -> Iterator[Finding]:
    if left := staging.abandoned(home):
        yield Finding("staging", "note", f"{len(left)} folders of runs that were killed", "citylake maintain")


def _newest_row(settings: Settings) -> datetime | None:
    import pyarrow.compute as pc

    from lakehouse.ops import Ops

    try:
        return pc.max(Ops(settings.home).read("runs")["at"]).as_py()
    except (CitylakeError, OSError):
        return None  # said under `tables`


def _at(instant: datetime) -> str:
    return f"{instant:%Y-%m-%d %H:%M} UTC"
