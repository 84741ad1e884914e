"""One row that names the version of every table: what readers of the lake read. The step `release`."""

import json
from datetime import datetime
from typing import Any

import structlog

from expectations.catalog import Catalog
from jobs.department import Outcome
from jobs.rebuild import REBUILT
from lakehouse.errors import LakeError
from lakehouse.layout import LAYERS
from lakehouse.runs import Run
from lakehouse.table import tables

_log = structlog.get_logger()

CHANGING = ("bring", "clean", "relate", "gx", "geo_index", "stays", "sites", "restore")
"""The steps whose work a release publishes."""

RELEASED = tuple(layer for layer in LAYERS if layer != "ops")


def release(run: Run, catalog: Catalog) -> Outcome:
    """Publish the day: a new revision when a step of the day has changed anything since the last, nothing otherwise.

    Departments whose newest run of the day failed are named in the release; what they served before stays in it. So do
    those with a table that can't be opened.
    """
    versions, damaged = _versions(run)
    before = run.ops.read("releases", day=run.day).to_pylist()
    runs = run.ops.read("runs", day=run.day).to_pylist()
    failed = json.dumps(sorted(_failed(runs) | damaged))
    if before and before[-1]["failed"] == failed and not _changed_since(before[-1]["at"], runs):
        return Outcome("unchanged")
    run.ops.note(
        "releases",
        at=run.now,
        run_id=run.id,
        day=run.day,
        revision=len(before) + 1,
        tables=json.dumps(versions),
        departments=len(catalog.departments),
        failed=failed,
    )
    return Outcome("succeeded", reads=json.dumps(versions))


def _versions(run: Run) -> tuple[dict[str, int], set[str]]:
    """The version of every table; of one that can't be opened, or is being made again, that of the last release. And the
    departments of those that can't be opened."""
    found: dict[str, int] = {}
    damaged: set[str] = set()
    half_made: set[str] = set()
    for table in tables(run.settings.home, RELEASED):
        try:
            opened = table.open() if table.exists() else None
            version = opened.version() if opened else None
            if opened and table.layer == "silver" and opened.transaction_version(REBUILT):
                half_made.add(table.path.name)
        except LakeError as error:
            _log.error("table left as last released", table=table.name, error=str(error))
            damaged |= {table.path.name.partition("__")[0]} if "__" in table.path.name else set()
            version = _last(run).get(table.name)
        if table.layer in ("silver", "quarantine") and table.path.name in half_made:
            version = _last(run).get(table.name)
        if version is not None:
            found[table.name] = version
    return found, damaged


def _last(run: Run) -> dict[str, int]:
    released = run.ops.read("releases")["tables"].to_pylist()
    return json.loads(released[-1]) if released else {}


def _failed(runs: list[dict[str, Any]]) -> set[str]:
    newest = {(row["department"], row["dataset"], row["step"]): row["status"] for row in runs}
    return {department for (department, _, _), status in newest.items() if status == "failed" and department}


def _changed_since(instant: datetime, runs: list[dict[str, Any]]) -> bool:
    return any(row["at"] > instant and row["status"] == "succeeded" and row["step"] in CHANGING for row in runs)
