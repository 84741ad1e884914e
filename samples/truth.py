"""How much of what was planted the night found, and how much it reported without cause."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path, PurePath
from typing import Any

import pyarrow as pa
import pyarrow.csv as pcsv

UNPLANTED = "(nothing planted)"
"""Stands for the kind of findings under checks for which nothing was planted in their dataset."""

_OVERDUE, _UNCHANGED, _REFUSED = "overdue", "unchanged", "refused"
_OUTCOMES = {"late": _OVERDUE, "missing": _OVERDUE, "touched": _UNCHANGED, "unchanged": _UNCHANGED}
"""What the books must say of an arrival of this kind; of every other kind, that it was refused."""

_TEXT, _DAY, _INSTANT = pa.string(), pa.date32(), pa.timestamp("s", "UTC")
_COLUMNS = {
    "truth.csv": {"dataset": _TEXT, "day": _DAY, "kind": _TEXT, "check_id": _TEXT, "where": _TEXT, "count": pa.int64()},
    "arrivals.csv": {
        "department": _TEXT, "dataset": _TEXT, "day": _DAY, "path": _TEXT, "received_at": _INSTANT, "due_at": _INSTANT,
    },
}  # fmt: skip
_KINDS = pa.schema([
    ("kind", _TEXT), ("planted", pa.int64()), ("found", pa.int64()), ("recall", pa.float64()),
    ("reported", pa.int64()), ("explained", pa.int64()), ("precision", pa.float64()),
])  # fmt: skip
_DIFFERENCES = pa.schema([
    ("what", _TEXT), ("kind", _TEXT), ("dataset", _TEXT), ("day", _DAY), ("check_id", _TEXT), ("place", _TEXT),
])  # fmt: skip

Slice = tuple[str, date]


@dataclass(frozen=True)
class Finding:
    """One thing reported, or to be reported.

    `place`: `<file>#<row>`, `<file> <count>` of unparsable records, what became of an arrival, or empty for the slice.
    """

    dataset: str
    day: date
    check_id: str
    place: str


@dataclass(frozen=True)
class Found:
    """The night's books: rows with the columns of `lakehouse.ops.SCHEMAS`, oldest first."""

    results: pa.Table
    failing_keys: pa.Table
    deliveries: pa.Table


def read(inbox: Path) -> tuple[pa.Table, pa.Table]:
    """The planted truth and the planned arrivals that `deliver` wrote into an inbox."""
    truth, arrivals = (
        pcsv.read_csv(inbox / name, convert_options=pcsv.ConvertOptions(column_types=types, strings_can_be_null=False))
        for name, types in _COLUMNS.items()
    )
    return truth, arrivals


def compare(truth: pa.Table, arrivals: pa.Table, found: Found) -> pa.Table:
    """One row per planted kind, and one for `UNPLANTED`: `kind planted found recall reported explained precision`.

    `planted`: the truths of the kind, `found`: those the night reports. `reported`: everything reported under a check
    in a dataset where that kind was planted, `explained`: what of it a planted defect accounts for, in the same row or
    in the slice as a whole. Recall and precision are shares, null of nothing. Only days in `found.deliveries` count.
    """
    matched = _Matched.of(truth, arrivals, found)
    rows = [_share(kind, *matched.counts(kind)) for kind in [*sorted({*matched.planted.values()}), UNPLANTED]]
    return pa.Table.from_pylist(rows, schema=_KINDS)


def differences(truth: pa.Table, arrivals: pa.Table, found: Found) -> pa.Table:
    """Every `missed` truth and every `unexplained` finding: `what kind dataset day check_id place`."""
    matched = _Matched.of(truth, arrivals, found)
    missed = [("missed", matched.planted[f], f) for f in matched.planted if not matched.has(f)]
    loose = [("unexplained", UNPLANTED, f) for f in sorted(matched.reported, key=str) if not matched.explains(f)]
    return pa.Table.from_pylist([{"what": w, "kind": k, **vars(f)} for w, k, f in missed + loose], schema=_DIFFERENCES)


@dataclass(frozen=True)
class _Matched:
    """Planted findings with their kinds, and the findings reported."""

    planted: dict[Finding, str]
    reported: frozenset[Finding]
    failed: frozenset[tuple[str, date, str]]
    rows: frozenset[tuple[str, date, str]]
    slices: frozenset[Slice]
    subjects: dict[tuple[str, str], set[str]]

    @classmethod
    def of(cls, truth: pa.Table, arrivals: pa.Table, found: Found) -> "_Matched":
        days = set(found.deliveries["day"].to_pylist())
        planted = {_expected(row): row["kind"] for row in truth.to_pylist() if row["day"] in days}
        subjects: dict[tuple[str, str], set[str]] = defaultdict(set)
        for finding, kind in planted.items():
            subjects[finding.dataset, finding.check_id].add(kind)
        rows = {(f.dataset, f.day, f.place) for f in planted if "#" in f.place}
        slices = {(f.dataset, f.day) for f in planted if not f.place}
        reported = frozenset(_reported(found, arrivals))
        failed = frozenset((f.dataset, f.day, f.check_id) for f in reported)
        return cls(planted, reported, failed, frozenset(rows), frozenset(slices), subjects)

    def has(self, planted: Finding) -> bool:
        """Whether the planted finding is reported; for a slice as a whole it is enough that rows of it are named."""
        whole = (planted.dataset, planted.day, planted.check_id)
        return planted in self.reported or (not planted.place and whole in self.failed)

    def explains(self, finding: Finding) -> bool:
        """Whether something planted accounts for the finding."""
        whole = Finding(finding.dataset, finding.day, finding.check_id, "")
        if finding in self.planted or whole in self.planted:
            return True
        if finding.place:
            return (finding.dataset, finding.day, finding.place) in self.rows
        return (finding.dataset, finding.day) in self.slices

    def counts(self, kind: str) -> tuple[int, int, int, int]:
        """Planted, found, reported and explained of one kind."""
        planted = [finding for finding, its in self.planted.items() if its == kind]
        reported = [f for f in self.reported if kind in self.subjects.get((f.dataset, f.check_id), {UNPLANTED})]
        explained = sum(map(self.explains, reported))
        return len(planted), sum(map(self.has, planted)), len(reported), explained


def _share(kind: str, planted: int, found: int, reported: int, explained: int) -> dict[str, Any]:
    return {
        "kind": kind, "planted": planted, "found": found, "recall": found / planted if planted else None,
        "reported": reported, "explained": explained, "precision": explained / reported if reported else None,
    }  # fmt: skip


def _expected(row: dict[str, Any]) -> Finding:
    places = {
        "arrival": _OUTCOMES.get(row["kind"], _REFUSED),
        "unparsable": f"{row['where']} {row['count']}",
    }
    return Finding(row["dataset"], row["day"], row["check_id"], places.get(row["check_id"], row["where"]))


def _reported(found: Found, arrivals: pa.Table) -> Iterator[Finding]:
    yield from _judged(found, {(a["dataset"], a["day"]) for a in _named(arrivals) if not a["path"]})
    due = {(a["dataset"], a["day"]): a["due_at"] for a in _named(arrivals)}
    events: dict[Slice, list[dict[str, Any]]] = defaultdict(list)
    for row in _named(found.deliveries):
        events[row["dataset"], row["day"]].append(row)
    for (dataset, day), told in events.items():
        yield from (Finding(dataset, day, "arrival", outcome) for outcome in _outcomes(told, due.get((dataset, day))))
        lost = {row["name"]: row["unparsable"] for row in told if row["name"] and row["unparsable"]}
        yield from (Finding(dataset, day, "unparsable", f"{name} {count}") for name, count in lost.items())


def _judged(found: Found, served: set[Slice]) -> Iterator[Finding]:
    """Failing rows as the newest run has them, and failed checks that name no row."""
    newest = {(row["dataset"], row["day"], row["check_id"]): row for row in _named(found.results)}
    naming = set()
    for row in _named(found.failing_keys):
        check = (row["dataset"], row["day"], row["check_id"])
        if check in newest and row["run_id"] == newest[check]["run_id"]:
            naming.add(check)
            file = "" if check[:2] in served else PurePath(row["source_file"]).name
            yield Finding(*check, f"{file}#{row['source_row']}")
    for check, row in newest.items():
        if row["status"] == "failed" and check not in naming:
            yield Finding(*check, "")


def _outcomes(told: list[dict[str, Any]], due: datetime | None) -> set[str]:
    """What became of a delivery: any of `overdue`, `unchanged` and `refused`. Nothing is overdue that has no `due`."""
    events = {row["event"] for row in told}
    received = [row["received_at"] for row in told if row["event"] in ("loaded", "refused") and row["received_at"]]
    outcomes = events & {_UNCHANGED, _REFUSED}
    overdue = due is not None and (min(received) > due if received else not outcomes)
    return outcomes | ({_OVERDUE} if overdue else set())


def _named(table: pa.Table) -> list[dict[str, Any]]:
    """The table's rows, `dataset` written `department.dataset`."""
    return [{**row, "dataset": f"{row['department']}.{row['dataset']}"} for row in table.to_pylist()]
