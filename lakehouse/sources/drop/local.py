"""Folders Citylake can read like its own: a drop on this machine's disks."""

import os
import stat
from collections.abc import Generator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fsspec.implementations.local import LocalFileSystem

from lakehouse.errors import SourceRefused
from lakehouse.sources.drop.place import Entry, Look, refusals
from lakehouse.sources.received import CHUNK, shown


class Local:
    """Files below `root`: links may not lead out of it."""

    def __init__(self, root: Path, where: str) -> None:
        self._system = LocalFileSystem()
        self._root, self._where = root.resolve(), where

    def entries(self, folder: str) -> Iterator[Entry]:
        with refusals(self._where):
            infos = self._system.ls(folder, detail=True)
        return (Entry(info["name"], info["type"] == "directory", _look(info)) for info in infos)

    def look(self, path: str) -> Look:
        with refusals(self._where):
            return _look(self._system.info(path))

    def pieces(self, path: str, look: Look) -> Generator[bytes]:
        real, name = Path(path).resolve(), shown(Path(path).name)
        if not real.is_relative_to(self._root):
            hint = "deliver the file itself"
            raise SourceRefused(f"'{name}' is a link out of the inbox", where=self._where, hint=hint)
        with refusals(self._where):
            # O_NONBLOCK: opening a named pipe would wait for its writer for ever
            handle = os.open(real, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with open(handle, "rb", buffering=0) as stream:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise SourceRefused(f"'{name}' is not a plain file", where=self._where, hint="deliver a plain file")
            while True:
                with refusals(self._where):
                    piece = stream.read(CHUNK)
                if not piece:
                    return
                yield piece


def _look(info: dict[str, Any]) -> Look:
    """Here even a content of the same size, put in place of another within a second, shows."""
    parts = info["size"], info["mtime"], info["created"], info["ino"]
    return Look(info["size"], datetime.fromtimestamp(info["mtime"], UTC), "-".join(map(repr, parts)))
