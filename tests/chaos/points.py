"""Where a process under test can be stopped: every write to the lake, before it, amid it, between data and commit, after it.

Only the child that is to be disturbed calls `install`; production code knows nothing of it. A point is called
`<verb> <table or folder> <phase>`, as `write silver/shops__licences data`.
"""

import functools
import os
import re
import shutil
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import deltalake.table
import deltalake.transaction
import pyarrow as pa
from deltalake import DeltaTable

import lakehouse.table
from lakehouse.ops import Ops

Act = Callable[[], None]

_LOCK = threading.RLock()


class Points:
    """Counts the points of one process and does what is planned at one of them. `seen` holds all, in order."""

    def __init__(self, home: Path, at: str = "", nth: int = 1, act: Act | None = None) -> None:
        self.home, self.seen = home, list[str]()
        self._at, self._nth, self._act = at, nth, act
        self._times: Counter[str] = Counter()

    def cross(self, name: str) -> None:
        with _LOCK:
            self.seen.append(name)
            self._times[name] += 1
            if self._act and name == self._at and self._times[name] == self._nth:
                act, self._act = self._act, None
                act()

    def is_next(self, name: str) -> bool:
        """Whether something is planned for the next time the point is come upon."""
        return self._act is not None and name == self._at and self._times[name] + 1 == self._nth

    def place(self, path: Any) -> str | None:
        """The table or folder a path belongs to, None outside the lake and for temporary files."""
        try:
            parts = Path(path).relative_to(self.home).parts
        except ValueError:
            return None
        if not parts or parts[0] == "logs":
            return None
        return "staging" if parts[0] == "staging" else re.sub(r"\.(pages)-.*", r"\1", "/".join(parts[:2]))


def install(points: Points) -> None:
    """Put a point before and after every function that changes what is on disk."""
    _writes(points)
    optimizer, merger, alterer = (
        getattr(deltalake.table, f"Table{name}") for name in ("Optimizer", "Merger", "Alterer")
    )
    for owner, name, verb in (
        (DeltaTable, "create_write_transaction", "take over"),
        (DeltaTable, "delete", "delete"),
        (DeltaTable, "restore", "restore"),
        (DeltaTable, "repair", "repair"),
        (DeltaTable, "vacuum", "vacuum"),
        (DeltaTable, "create_checkpoint", "checkpoint"),
        (DeltaTable, "cleanup_metadata", "prune"),
        (optimizer, "compact", "optimize"),
        (optimizer, "z_order", "optimize"),
        (merger, "execute", "merge"),
        (alterer, "add_columns", "alter"),
        (alterer, "set_table_description", "alter"),
    ):
        _around(points, owner, name, verb, _delta, commits=name not in ("create_checkpoint", "cleanup_metadata"))
    for name in ("replace", "rename"):
        _around(points, os, name, "rename", lambda args: args[1])
    _around(points, shutil, "rmtree", "remove", lambda args: args[0])
    _around(points, shutil, "move", "move", lambda args: args[1])
    _around(points, Path, "unlink", "remove", lambda args: args[0])
    _around(points, Path, "write_text", "note", lambda args: args[0])
    _around(points, Ops, "flush", "flush", lambda args: points.home / "ops")
    _copies(points)
    _amid_vacuum(points)


def install_on_spark(points: Points) -> None:
    """Before, amid and after every question to Spark that reads or writes a table. Amid: 0.3 s after it was asked, on a
    thread of its own; all other points are exact."""
    from pyspark.sql.connect.dataframe import DataFrame
    from pyspark.sql.connect.readwriter import DataFrameWriter
    from pyspark.sql.connect.session import SparkSession

    for owner, name in ((SparkSession, "sql"), (DataFrameWriter, "save"), (DataFrame, "collect")):
        _asked(points, owner, name)


def _asked(points: Points, owner: Any, name: str) -> None:
    original = getattr(owner, name)

    @functools.wraps(original)
    def call(self: Any, *args: Any, **options: Any) -> Any:
        verb = str(args[0]).split()[0] if name == "sql" else name
        points.cross(f"spark {verb} before")
        amid = threading.Timer(0.3, points.cross, (f"spark {verb} amid",))
        amid.start()
        try:
            return original(self, *args, **options)
        finally:
            amid.cancel()
            points.cross(f"spark {verb} after")

    setattr(owner, name, call)


def _delta(args: tuple[Any, ...]) -> str:
    """The table of a call on a DeltaTable or on its optimizer, merger or alterer."""
    table = args[0]
    if not isinstance(table, DeltaTable):
        table = getattr(table, "table", None) or table._table
    uri = table.table_uri if isinstance(table, DeltaTable) else table.table_uri()
    return unquote(str(uri).removeprefix("file://").rstrip("/"))


def _around(
    points: Points,
    owner: Any,
    name: str,
    verb: str,
    path_of: Callable[[tuple[Any, ...]], Any],
    *,
    commits: bool = False,
) -> None:
    original = getattr(owner, name)

    @functools.wraps(original)
    def call(*args: Any, **options: Any) -> Any:
        path = path_of(args)
        place = points.place(path)
        if place is None or options.get("dry_run"):
            return original(*args, **options)
        points.cross(f"{verb} {place} before")
        done = (
            _committed(points, f"{verb} {place} data", Path(path), original, args, options)
            if commits
            else original(*args, **options)
        )
        points.cross(f"{verb} {place} after")
        return done

    setattr(owner, name, call)


def _committed(points: Points, name: str, path: Path, original: Any, args: Any, options: Any) -> Any:
    """Call what writes data and then a commit. Is this the moment, the log takes no commit: the data is there, and then
    happens what is planned."""
    if not points.is_next(name):
        points.cross(name)
        return original(*args, **options)
    log = path / "_delta_log"
    log.mkdir(parents=True, exist_ok=True)
    log.chmod(0o500)
    try:
        return original(*args, **options)
    except Exception:
        log.chmod(0o700)
        points.cross(name)
        raise
    finally:
        log.chmod(0o700)


def _amid_vacuum(points: Points) -> None:
    """Where VACUUM has deleted files of all folders but one: the one that is kept closed at the moment."""
    original = DeltaTable.vacuum

    def vacuum(table: DeltaTable, *args: Any, **options: Any) -> Any:
        place, path = points.place(_delta((table,))), Path(_delta((table,)))
        name = f"vacuum {place} amid"
        if place is None or options.get("dry_run"):
            return original(table, *args, **options)
        if not points.is_next(name):
            points.cross(name)
            return original(table, *args, **options)
        closed = max(
            (folder for folder in path.glob("**/") if folder.name != "_delta_log"), key=lambda folder: folder.name
        )
        closed.chmod(0o500)
        try:
            return original(table, *args, **options)
        finally:
            closed.chmod(0o700)
            points.cross(name)

    DeltaTable.vacuum = vacuum  # type: ignore[method-assign]


def _writes(points: Points) -> None:
    original = lakehouse.table.write_deltalake

    def write(table: Any, data: Any, **options: Any) -> None:
        path = table if isinstance(table, str) else _delta((table,))
        if (place := points.place(path)) is None:
            return original(table, data, **options)
        points.cross(f"write {place} before")
        amid = pa.RecordBatchReader.from_batches(data.schema, _each(points, f"write {place} amid", data))
        _committed(points, f"write {place} data", Path(path), original, (table, amid), options)
        points.cross(f"write {place} after")

    lakehouse.table.write_deltalake = write


def _each(points: Points, name: str, batches: Any) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        yield batch
        points.cross(name)


def _copies(points: Points) -> None:
    """Amid every piece of a delivery that a source writes."""
    from lakehouse.sources import received

    original = received.write

    def write(*args: Any, **options: Any) -> None:
        original(*args, **options)
        points.cross("copy delivery amid")

    for name, module in list(sys.modules.items()):
        if name.startswith("lakehouse.sources") and getattr(module, "write", None) is original:
            module.write = write  # type: ignore[attr-defined]
