"""One row that names the version of every table: what readers of the lake read. The step `release`."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

from expectations.catalog import Catalog
from jobs.department import Outcome
from lakehouse.runs import Run
from lakehouse.table import Table

CHANGING = ("bring", "clean", "relate", "gx", "geo_index")
"""The steps whose work a release publishes."""

LAYERS = ("bronze", "silver", "quarantine", "gold")


def release(run: Run, catalog: Catalog) -> Outcome:
    """Publish the day: a new revision when a step of the day has changed anything since the last, nothing otherwise.

    Departments whose newest run of the day failed are named in the release; what they served before stays in it.
    """
    tables = {
        f"{layer}.{path.name}": version for layer in LAYERS for path, version in _versions(run.settings.home / layer)
    }
    before = run.ops.read("releases", day=run.day).to_pylist()
    runs = run.ops.read("runs", day=run.day).to_pylist()
    failed = json.dumps(sorted(_failed(runs)))
    if before and before[-1]["failed"] == failed and not _changed_since(before[-1]["at"], runs):
        return Outcome("unchanged")
    run.ops.note(
        "releases",
        at=run.now,
        run_id=run.id,
        day=run.day,
        revision=len(before) + 1,
        tables=json.dumps(tables),
        departments=len(catalog.departments),
        failed=failed,
    )
    return Outcome("succeeded", reads=json.dumps(tables))


def _versions(layer: Path) -> list[tuple[Path, int]]:
    found = [(path, Table(path).version()) for path in sorted(layer.glob("*"))]
    return [(path, version) for path, version in found if version is not None]


def _failed(runs: list[dict[str, Any]]) -> set[str]:
    newest = {(row["department"], row["dataset"], row["step"]): row["status"] for row in runs}
    return {department for (department, _, _), status in newest.items() if status == "failed" and department}


def _changed_since(instant: datetime, runs: list[dict[str, Any]]) -> bool:
    return any(row["at"] > instant and row["status"] == "succeeded" and row["step"] in CHANGING for row in runs)
