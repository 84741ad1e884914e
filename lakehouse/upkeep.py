"""Keeping tables small, fast and within their retention. None of it changes a row.

Small files are joined (Delta calls it OPTIMIZE), files that no version within the retention needs are deleted (VACUUM),
the log is summed up in checkpoints. What needs nothing is left as it is, so a second time does nothing. These functions
are for tables of the embedded engine; `jobs.maintain` asks Spark to do the same to Spark's own, by what `needs` says.
"""

from collections import Counter
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from lakehouse.table import RETENTION_DAYS, Commit, Table, added, lake_faults, writing

_SMALL_BYTES = 100 << 20
"""A file below this is joined with others of its day: what delta-rs writes at most into one."""

_COMMITS = 10
"""After how many commits a checkpoint saves readers their replay; Spark's own default."""


@dataclass(frozen=True)
class Need:
    """What a table has to have done: `joins` files of days with several small ones, `deletes` files, `commits` without a checkpoint."""

    joins: int
    deletes: int
    commits: int


@dataclass(frozen=True)
class Kept:
    """What was done to a table: how many files are fewer, how many were deleted, its version before and after."""

    joined: int
    deleted: int
    before: int
    after: int


def keep_hours(since_release: float) -> int:
    """How long replaced files stay, given the hours since the newest release: the retention, and as long as it is the
    newest release they are read by."""
    return max(RETENTION_DAYS * 24, int(since_release) + 1)


def needs(table: Table, hours: int) -> Need:
    """What `keep` would do. Opens the table, changes nothing."""
    delta = table.original()
    with lake_faults(table.where):
        files = added(delta)
        gone = delta.vacuum(retention_hours=hours, dry_run=True, full=True)
    small = Counter(_folder(file["path"]) for file in files if file["size_bytes"] < _SMALL_BYTES)
    return Need(
        sum(count for count in small.values() if count > 1),
        len(table.sizes(path for path in gone if not _name(path).startswith("."))),  # Hadoop's checksums
        delta.version() - _checkpoint(table.path),
    )


def keep(
    table: Table,
    commit: Commit,
    hours: int,
    *,
    threads: int,
    prune: bool,
    order: str | None = None,
    memory_mb: int = 1024,
) -> Kept:
    """Join small files, delete those that nothing within `hours` needs, sum up the log and, with `prune`, shorten it.

    With `order` the rows of a day that lie in several files are sorted by that column on the way into one.

    Raises WrongEngine for a table of Spark's, LakeError when the lake can't.
    """
    with lake_faults(table.where), table.lock():
        table.claim("embedded")
        need, delta = needs(table, hours), table.open()
        before = delta.version()
        files = len(delta.file_uris())
        by, names = [order] if order else [], [field.name for field in delta.schema().fields]
        for day in _scattered(table) if by and need.joins else ():
            filters = [("_day", "=", day.isoformat())]
            how: dict[str, Any] = {"writer_properties": writing(None, names), "max_spill_size": memory_mb << 20}
            table.original().optimize.z_order(by, filters, commit_properties=commit.properties(), **how)
        if need.joins:
            how = {"writer_properties": writing(None, names), "max_concurrent_tasks": threads}
            table.original().optimize.compact(commit_properties=commit.properties(), **how)
        if need.deletes:
            delta = table.original()
            delta.vacuum(retention_hours=hours, dry_run=False, full=True, commit_properties=commit.properties())
        delta = table.original()
        if delta.version() - _checkpoint(table.path) >= _COMMITS:
            delta.create_checkpoint()
        if prune:
            delta.cleanup_metadata()
        table.tidy()
    return Kept(files - len(delta.file_uris()), need.deletes, before, delta.version())


def _scattered(table: Table) -> list[date]:
    """The days of a table whose rows lie in several small files."""
    small = Counter(file.get("partition._day") for file in added(table.open()) if file["size_bytes"] < _SMALL_BYTES)
    return sorted(day for day, count in small.items() if day and count > 1)


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def _folder(path: str) -> str:
    return path.rpartition("/")[0]


def _checkpoint(path: Path) -> int:
    """The version of the newest checkpoint, -1 without one."""
    found = [int(file.name.partition(".")[0]) for file in (path / "_delta_log").glob("[0-9]*.checkpoint*.parquet")]
    return max(found, default=-1)
