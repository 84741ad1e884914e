"""Tables that can't be read whole: what is damaged, and how to get the rest back.

Log files that can't be read are set aside inside `_delta_log`; files the log names but the disk no longer has, or not
whole, are taken off the log (Delta calls it FSCK). A table that has no usable log left is set aside as a whole. What
was lost that way is made again from the layer before: this module says which days, `jobs.restore` sees to it.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from lakehouse.errors import LakeError, TablesUnreachable
from lakehouse.table import Commit, Table, added, lake_faults


@dataclass(frozen=True)
class Damage:
    """What is wrong with a table. `spoilt`: log files nobody can read. `lost`: data files gone or cut short, and their days
    (None: of a table without days). `hopeless`: without the spoilt files no log is left."""

    table: Table
    spoilt: tuple[Path, ...] = ()
    lost: tuple[tuple[Path, date | None], ...] = ()
    hopeless: bool = False

    def said(self) -> str:
        """The damage in one clause."""
        parts = [f"{path.name} of its log can't be read" for path in self.spoilt[:1]]
        parts += [f"{len(self.spoilt) - 1} more log files can't be used"] if len(self.spoilt) > 1 else []
        parts += [f"{len(self.lost)} data files are gone or cut short"] if self.lost else []
        return ", ".join(parts) or "it can't be opened"

    def days(self) -> set[date]:
        """The days whose rows are lost, as far as files tell."""
        return {day for _, day in self.lost if day}


def find(table: Table) -> Damage | None:
    """What is damaged in a table's newest version; None when it is whole. Looks at sizes, not into the data.

    Raises TablesUnreachable when the table's server doesn't answer.
    """
    table.renew(_spoilt(table.path / "_delta_log"))
    spoilt = _spoilt(table.path / "_delta_log")
    try:
        delta = None if spoilt else table.open()  # delta-rs reads an empty commit as one that did nothing
    except TablesUnreachable:
        raise
    except LakeError:
        delta = None
    if delta is None:
        return _of_log(table, spoilt)
    lost = _lost(table, delta)
    return Damage(table, lost=lost) if lost else None


def mend(damage: Damage, commit: Commit, aside: Path) -> None:
    """Make the table open again, without what is lost. What can't be used is kept: log files and data under other names
    inside the table; a hopeless table is moved to `aside`. Raises LakeError for the log of a table on a server."""
    table = damage.table
    if table.is_on_server and not damage.lost:
        hint = "bring the objects of its `_delta_log` back by the server's own means"
        raise LakeError("its log can't be mended on a server", where=table.where, hint=hint)
    with lake_faults(table.where), table.lock():
        if damage.hopeless:
            aside.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            shutil.move(table.path, aside)
            return
        for path in damage.spoilt:
            os.replace(path, path.with_name(f"{path.name}.damaged"))
        for path, _ in damage.lost:
            if path.exists():
                os.replace(path, path.with_name(f"{path.name}.damaged"))
        if damage.lost:
            table.original().repair(commit_properties=commit.properties())


def _of_log(table: Table, spoilt: tuple[Path, ...]) -> Damage:
    with tempfile.TemporaryDirectory(prefix="citylake-") as folder:
        copy = Path(folder, "_delta_log")
        shutil.copytree(
            table.path / "_delta_log", copy, ignore=lambda _, names: {*names} & {path.name for path in spoilt}
        )
        try:
            delta = DeltaTable(folder)
        except (DeltaError, OSError):
            return Damage(table, spoilt, hopeless=True)
        return Damage(table, spoilt, _lost(table, delta))


def _lost(table: Table, delta: DeltaTable) -> tuple[tuple[Path, date | None], ...]:
    named = {unquote(file["path"]): file for file in added(delta)}
    there = table.sizes(named)
    return tuple(
        (table.path / path, file.get("partition._day", file.get("partition.day")))
        for path, file in named.items()
        if there.get(path) != file["size_bytes"]
    )


def _spoilt(log: Path) -> tuple[Path, ...]:
    """Checkpoints that can't be read and the pointer to them, and every commit from the first one that can't be read, or
    that comes after a missing one."""
    checkpoints = sorted(log.glob("[0-9]*.checkpoint*.parquet"))
    unreadable = [path for path in checkpoints if not _is_parquet(path)]
    readable = {_version(path) for path in checkpoints if path not in unreadable}
    pointer = log / "_last_checkpoint"
    if pointer.exists() and _pointed(pointer) not in readable:
        unreadable.append(pointer)
    summed_up = max(readable, default=-1)
    commits = [path for path in sorted(log.glob("[0-9]*.json")) if _version(path) > summed_up]
    for place, path in enumerate(commits):
        if _version(path) != summed_up + 1 + place or not _is_commit(path):
            return (*unreadable, *commits[place:])
    return tuple(unreadable)


def _pointed(pointer: Path) -> int | None:
    try:
        return int(json.loads(pointer.read_text("utf-8"))["version"])
    except (OSError, ValueError, LookupError, TypeError):
        return None


def _version(path: Path) -> int:
    return int(path.name.partition(".")[0])


def _is_parquet(path: Path) -> bool:
    try:
        return pq.read_metadata(path).num_rows >= 0
    except (OSError, pa.ArrowException):
        return False


def _is_commit(path: Path) -> bool:
    try:
        lines: Sequence[object] = [json.loads(line) for line in path.read_text("utf-8").splitlines() if line]
    except (OSError, ValueError):
        return False
    return bool(lines) and all(isinstance(line, dict) for line in lines)
