"""The folders of a lake, and who may read them."""

import os
import re
import shutil
from pathlib import Path
from typing import TextIO

from lakehouse.errors import LakeError
from lakehouse.settings import Settings

LAYERS = ("bronze", "silver", "quarantine", "gold", "ops")
"""Folders of Delta tables."""

RAW_ZONE = ("landing", "bronze", "silver", "quarantine", "staging")
"""Folders that hold values as delivered: mode 0700, for the lake's own user only."""

ON_SERVER = ("bronze", "silver", "quarantine", "ops")
"""Folders whose tables may lie on a server instead. Gold is Spark's and stays."""

OPEN = ("gold", "ops", "pages", "logs")
"""Folders without sensitive values."""


_UNUSABLE = re.compile(r"[\[\]^|\\\t\r\n]|%[0-9A-Fa-f]{2}")
"""What delta-rs 1.6 takes for something else in a path."""


def require_path(home: Path) -> None:
    """Raise LakeError unless tables can lie in this folder."""
    if found := _UNUSABLE.search(str(home)):
        raise LakeError(
            f"tables can't lie in a folder whose name holds {found[0]!r}",
            where=str(home),
            hint="set CITYLAKE_HOME to another",
        )


_NOTE = "tables.txt"


def tables_at(home: Path) -> str | None:
    """The address on a server below which the lake has its tables (`ON_SERVER`); None: they lie in its folder."""
    try:
        return (home / _NOTE).read_text("utf-8").strip()
    except (FileNotFoundError, NotADirectoryError):
        return None


def _settle(home: Path, uri: str) -> None:
    """Note in the lake, once and for all, that its tables lie at `uri`: a shell without the setting finds them too."""
    there = tables_at(home)
    if there == uri:
        return
    if there or any(path for layer in ON_SERVER for path in (home / layer).glob("*/_delta_log")):
        raise LakeError(
            f"its tables lie {f'at {there}' if there else 'in this folder'}, not at {uri}",
            where=str(home),
            hint="unset CITYLAKE_TABLES, or set CITYLAKE_HOME to a lake of their own",
        )
    draft = home / f".{_NOTE}"
    draft.write_text(f"{uri}\n", "utf-8")
    draft.replace(home / _NOTE)


def private(path: Path) -> TextIO:
    """`path` opened for writing, readable by its user alone from the first byte."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w")


def free_mb(folder: Path) -> float:
    """Free space on the folder's disk in MB of a million bytes."""
    return shutil.disk_usage(folder).free / 1_000_000


def require_room(settings: Settings, coming_mb: float) -> None:
    """Raise LakeError unless the lake's disk has room for what is coming, and `min_free_mb` at the least."""
    free, needed = free_mb(settings.home), max(coming_mb, settings.min_free_mb)
    if free < needed:
        raise LakeError(
            f"{free:,.0f} MB are free, {needed:,.0f} MB are needed",
            where=str(settings.home),
            hint="`citylake maintain` deletes what is over; free some space, then run it again",
        )


def prepare(settings: Settings) -> None:
    """Make the folders that are missing and close the raw zone. Raises LakeError when the disk won't, or tables can't lie there."""
    require_path(settings.home)
    try:
        for folder in (*(settings.home / name for name in (*RAW_ZONE, *OPEN)), settings.inbox):
            folder.mkdir(parents=True, exist_ok=True)
        for name in RAW_ZONE:
            if (settings.home / name).stat().st_mode & 0o077:
                (settings.home / name).chmod(0o700)
        if settings.tables:
            _settle(settings.home, settings.tables)
    except OSError as error:
        raise LakeError(
            f"can't be made ({error.strerror})", where=str(error.filename), hint="give access, or set CITYLAKE_HOME"
        ) from error
