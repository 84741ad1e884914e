"""The versions of a table as its log tells them."""

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from lakehouse.errors import LakeError
from lakehouse.table import Table

_STEP = re.compile(r"-([a-z_]+)$")


@dataclass(frozen=True)
class Version:
    """One commit: its instant (UTC), the run that made it and its step (None where nobody said), the operation as Delta
    calls it, and rows and files of the table after it (None where its log is summed up by now)."""

    version: int
    at: datetime
    step: str | None
    operation: str
    rows: int | None
    files: int | None
    run_id: str | None


def history(table: Table, limit: int) -> list[Version]:
    """The newest versions of a table, newest first. Raises LakeError when it is damaged."""
    return [_version(table, entry) for entry in table.history()[:limit]]


def _version(table: Table, entry: dict[str, Any]) -> Version:
    said = json.loads(entry.get("userMetadata") or "{}")
    run_id = entry.get("run_id") or said.get("run_id")
    step = _STEP.search(run_id) if run_id else None
    at = datetime.fromtimestamp(entry["timestamp"] / 1000, UTC)
    rows, files = _size(table, entry["version"])
    return Version(entry["version"], at, step[1] if step else None, entry["operation"], rows, files, run_id)


def _size(table: Table, version: int) -> tuple[int, int] | tuple[None, None]:
    try:
        return table.rows(version=version), len(table.files(version=version))
    except LakeError:
        return None, None
