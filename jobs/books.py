"""The rows of the books that one release's scores and pages rest on.

The period of a scorecard is the month of its day: every released day of that calendar month up to the day. A dataset
with nothing expected in it yet answers for its last expected delivery before. Only rows written no later than the
release count, so any release's scores and pages can be computed again from the append-only books.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from expectations.arrivals import expected_days
from expectations.catalog import Catalog
from lakehouse.errors import LakeError
from lakehouse.ops import Ops

TREND = timedelta(days=31)
"""How far back the pages show earlier scores."""


@dataclass(frozen=True)
class Release:
    """One row of ops.releases: what is graded, and the instant as of which."""

    day: date
    revision: int
    at: datetime


@dataclass(frozen=True)
class Books:
    """The rows of the books one release's scores rest on, none newer than the release."""

    release: Release
    released: tuple[date, ...]
    deliveries: pa.Table
    results: pa.Table
    runs: pa.Table
    scores: pa.Table

    @classmethod
    def read(cls, ops: Ops, catalog: Catalog, day: date, revision: int | None = None) -> "Books":
        """The books as of release (`day`, `revision` or the newest). Raises LakeError when there is no such release."""
        releases = ops.read("releases").select(["day", "revision", "at"]).to_pylist()
        release = _release(releases, day, revision)
        released = tuple(sorted({r["day"] for r in releases if r["at"] <= release.at and r["day"] <= day}))
        month = day.replace(day=1)
        since = {c.name: min(expected_days(c, released, day), default=month) for c in catalog.contracts}
        deliveries = ops.read("deliveries", since=min([month, *since.values()]))
        earlier = _earlier_days(deliveries, since, month)
        return cls(
            release,
            released,
            _until(deliveries, release),
            _until(
                pa.concat_tables([ops.read("results", since=month), *(ops.read("results", day=d) for d in earlier)]),
                release,
            ),
            _until(ops.read("runs", day=day), release),
            _until(ops.read("scores", since=day - TREND), release),
        )


def _release(releases: list[dict[str, Any]], day: date, revision: int | None) -> Release:
    found = [Release(**row) for row in releases if row["day"] == day and revision in (None, row["revision"])]
    if not found:
        which = f"revision {revision} of {day}" if revision is not None else str(day)
        raise LakeError(f"no release of {which}", where="ops.releases", hint="`citylake status` lists what is released")
    return max(found, key=lambda release: (release.revision, release.at))


def _earlier_days(deliveries: pa.Table, since: Mapping[str, date], month: date) -> list[date]:
    """Days before the month on which a dataset that answers for an earlier delivery has one."""
    slices = (
        deliveries.select(["department", "dataset", "day"]).group_by(["department", "dataset", "day"]).aggregate([])
    )
    named = ((f"{s['department']}.{s['dataset']}", s["day"]) for s in slices.to_pylist())
    return sorted({day for name, day in named if since.get(name, month) <= day < month})


def _until(rows: pa.Table, release: Release) -> pa.Table:
    kept = rows.filter(pc.field("at") <= pa.scalar(release.at, rows.schema.field("at").type))
    return kept.sort_by([("at", "ascending"), ("run_id", "ascending")])
