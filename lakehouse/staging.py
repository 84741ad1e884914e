"""Folders for temporary files, inside the raw zone. Each is locked by its process; what a killed one left is swept away."""

import fcntl
import os
import shutil
import threading
import time
import uuid
from pathlib import Path

from lakehouse.errors import LakeError

KINDS = ("runs", "spill", "spark")
"""What folders are for: one of a run, what DuckDB spills, what Spark does."""

_UNNAMED_S = 3600
_held: dict[Path, int] = {}
_claiming = threading.Lock()


def claim(home: Path, kind: str, name: str) -> Path:
    """The folder `staging/<kind>/<name>`, locked until it is released or the process ends. Raises LakeError on a full disk."""
    path = home / "staging" / kind / name
    with _claiming:
        if path not in _held:
            try:
                _held[path] = _made(path)
            except OSError as error:
                hint = "free space or mend the folder, then run the step again"
                raise LakeError(f"can't be made ({error.strerror})", where=str(path), hint=hint) from error
    return path


def _made(path: Path) -> int:
    """Makes and locks the folder before it gets its name: a sweep never sees it without a lock."""
    path.parent.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    new = path.with_name(f".{uuid.uuid4().hex}")
    new.mkdir(parents=True, mode=0o700)
    handle = os.open(new, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    new.rename(path)
    return handle


def release(home: Path, kind: str, name: str) -> None:
    """Remove the folder, if it was claimed."""
    path = home / "staging" / kind / name
    with _claiming:
        handle = _held.pop(path, None)
    if handle is not None:
        shutil.rmtree(path, ignore_errors=True)
        os.close(handle)


def sweep(home: Path) -> None:
    """Remove the folders whose process is gone."""
    for path in abandoned(home):
        shutil.rmtree(path, ignore_errors=True)


def abandoned(home: Path) -> list[Path]:
    """The folders whose process is gone."""
    folders = [folder for kind in KINDS for folder in (home / "staging" / kind).glob("[!.]*")]
    unnamed = (home / "staging").glob("*/.*")  # between making and naming one, its process locks it
    folders += [folder for folder in unnamed if _is_old(folder)]
    return [folder for folder in folders if _is_free(folder)]


def _is_old(folder: Path) -> bool:
    try:
        return time.time() - folder.stat().st_mtime > _UNNAMED_S
    except FileNotFoundError:
        return False  # it has just got its name


def _is_free(folder: Path) -> bool:
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return False  # another process has swept it, or it is no folder of ours
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except BlockingIOError:
        return False  # its process lives
    finally:
        os.close(handle)
