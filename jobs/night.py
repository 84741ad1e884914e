"""Which day is next, and what became of a night: the pure part of `citylake status` and of `make nightly`."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

from expectations.arrivals import newest
from expectations.catalog import Catalog, Department
from jobs.pages import rows_of
from jobs.steps import STEPS
from lakehouse.ops import Ops
from lakehouse.report.records import Rows
from lakehouse.settings import Settings

_CAME = ("loaded", "cleaned", "unchanged")
"""Events of a delivery that arrived and could be read."""


@dataclass(frozen=True)
class Released:
    """The newest release of a day. `failed` are departments whose newest run failed."""

    day: date
    revision: int
    at: datetime
    failed: tuple[str, ...]


@dataclass(frozen=True)
class DepartmentNight:
    """One department's night: `datasets` it should deliver on the day, `delivered` ones, its score (None: no score)."""

    department: Department
    datasets: int
    delivered: int
    rows: Rows
    score: float | None
    failures: tuple[str, ...]


@dataclass(frozen=True)
class Night:
    """One night: `seconds` of work per step in its newest runs, `failures` of steps over the whole city."""

    day: date
    release: Released | None
    score: float | None
    rows: Rows
    departments: tuple[DepartmentNight, ...]
    seconds: Mapping[str, float]
    failures: tuple[str, ...]

    def worst(self, count: int) -> tuple[DepartmentNight, ...]:
        """The departments with the lowest scores, the lowest first."""
        scored = [d for d in self.departments if d.score is not None]
        return tuple(sorted(scored, key=lambda d: (d.score or 0.0, d.department.id))[:count])


def delivered_days(settings: Settings) -> tuple[date, ...]:
    """The days for which something lies in the inbox (`<department>/<dataset>/<day>`) or in landing, oldest first."""
    folders = (*settings.inbox.glob("*/*/*"), *(settings.home / "landing").glob("*/*/*"))
    return tuple(sorted({day for path in folders if path.is_dir() and (day := _day(path))}))


def next_day(settings: Settings, ops: Ops) -> date | None:
    """The oldest delivered day that isn't released, None when there is none."""
    done = releases(ops)
    return next((day for day in delivered_days(settings) if day not in done), None)


def releases(ops: Ops) -> dict[date, Released]:
    """The newest release of every released day."""
    found: dict[date, Released] = {}
    for row in ops.read("releases").to_pylist():
        if row["day"] not in found or row["revision"] >= found[row["day"]].revision:
            failed = tuple(json.loads(row["failed"] or "[]"))
            found[row["day"]] = Released(row["day"], row["revision"], row["at"], failed)
    return found


def night(ops: Ops, catalog: Catalog, day: date) -> Night:
    """What the books say about a day."""
    runs = _newest_runs(ops.read("runs", day=day).to_pylist())
    scores = _scores(ops.read("scores", day=day).to_pylist())
    told = newest(ops.read("deliveries", day=day).to_pylist())
    everything = [delivery for days in told.values() for delivery in days.get(day, ())]
    departments = []
    for department in catalog.departments:
        came = {dataset: days.get(day, ()) for (owner, dataset), days in told.items() if owner == department.id}
        delivered = {dataset for dataset, arrived in came.items() if any(d.event in _CAME for d in arrived)}
        due = {c.dataset for c in catalog.of(department.id) if c.arrives.expected_on(day)}
        departments.append(
            DepartmentNight(
                department,
                len(due | delivered),
                len(delivered),
                rows_of(delivery for arrived in came.values() for delivery in arrived),
                scores.get(department.id),
                _failures(runs, department.id),
            )
        )
    return Night(
        day,
        releases(ops).get(day),
        scores.get(""),
        rows_of(everything),
        tuple(departments),
        _seconds(runs),
        _failures(runs, ""),
    )


def _day(path: Path) -> date | None:
    try:
        return date.fromisoformat(path.name)
    except ValueError:
        return None


def _newest_runs(rows: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The newest run of each step and dataset, in the order of the steps."""
    last = {(row["step"], row["department"], row["dataset"]): row for row in rows if row["step"] in STEPS}
    order = list(STEPS)
    return sorted(last.values(), key=lambda r: (order.index(r["step"]), r["department"] or "", r["dataset"] or ""))


def _seconds(runs: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    found: dict[str, float] = {}
    for row in runs:
        found[row["step"]] = round(found.get(row["step"], 0.0) + (row["seconds"] or 0.0), 3)
    return found


def _failures(runs: Sequence[Mapping[str, Any]], department: str) -> tuple[str, ...]:
    failed = [r for r in runs if r["status"] == "failed" and (r["department"] or "") == department]
    return tuple(f"{r['step']} {r['dataset'] or ''}".strip() + f": {r['error'] or 'failed'}" for r in failed)


def _scores(rows: Iterable[Mapping[str, Any]]) -> dict[str, float | None]:
    """Department (empty for the city) -> overall score in the newest release of the day."""
    found = {}
    for row in sorted(rows, key=lambda r: (r["revision"], r["at"])):
        if row["dimension"] == "overall" and not row["dataset"]:
            found[row["department"] or ""] = row["score"]
    return found
