"""Puts a folder of files in another's place, whole or not at all."""

import os
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

from lakehouse.errors import LakeError


def replace_folder(folder: Path, files: Iterable[tuple[str, str]]) -> None:
    """Make `files` (name, text) the only content of `folder`. A reader sees the old files or the new, never a mixture.

    Raises LakeError when the disk won't; the old folder is still there then.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        try:
            for name, text in files:
                (fresh / name).write_text(text, "utf-8", newline="\n")
            fresh.chmod(0o755)
            _swap(fresh, folder)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
    except OSError as error:
        raise LakeError(
            f"can't be written ({error.strerror})",
            where=str(folder),
            hint="free some space or give access and run again",
        ) from error


def _swap(fresh: Path, folder: Path) -> None:
    """A folder can't be renamed onto a full one: the old one steps aside, and back if the fresh one can't come."""
    old = fresh.with_name(f"{fresh.name}-old")
    if folder.exists():
        os.rename(folder, old)
    try:
        os.rename(fresh, folder)
    except OSError:
        if old.exists():
            os.rename(old, folder)
        raise
    shutil.rmtree(old, ignore_errors=True)
