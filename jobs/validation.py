"""What was found, as the validation results of Great Expectations: of a file on somebody's desk and of a release."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from expectations.catalog import Catalog, Standard
from expectations.suite.documents import Document, Judged, Noted, described, validation
from expectations.verify import misfits

if TYPE_CHECKING:
    from jobs.assess import Assessment
    from jobs.books import Books
    from jobs.check import Checked
    from jobs.profile import Profile
    from lakehouse.ops import Ops

MOST_PLACES = 20
"""Failing rows named per check: as many as Great Expectations names unasked."""

_SLICE = ["department", "dataset", "day"]
_ANSWER = [*_SLICE, "check_id", "run_id"]


def of_check(found: "Checked", standards: Mapping[str, Standard], at: datetime) -> Document:
    """A checked file's validation result; `at` is when it was checked."""
    rows = found.rows.received - found.rows.unparsable
    judged = Judged(found.day, at, rows, places(vars(row) for row in found.failing))
    return validation(found.contract, standards, [result.row() for result in found.results], judged)


def of_profile(found: "Profile", at: datetime) -> Document:
    """A described file: what was counted, and each suspicion as an expectation that wasn't met."""
    rows = found.rows - found.unparsable
    filled = {column.name: column.filled for column in found.columns}
    noted = [Noted(s.kind, s.column, s.said, s.count, s.rows) for s in found.suspicions]
    return described(found.file.name, at, rows, filled, noted)


def of_release(ops: "Ops", books: "Books", catalog: Catalog, assessment: "Assessment") -> dict[str, Document]:
    """Dataset (`department.dataset`) -> the validation result of its last slice in the release's books.

    A contract whose checks have mistakes has none: what it asks for isn't known.
    """
    last = _last_answers(books)
    failing = places(_failing(ops, books, last), at=lambda row: (row["department"], row["dataset"], row["check_id"]))
    found: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for row in last.to_pylist():
        found[row["department"], row["dataset"]].append(row)
    documents = {}
    for contract in catalog.contracts:
        place = (contract.department, contract.dataset)
        rows = found.get(place)
        if rows and not any(misfits(contract, catalog.file(contract))):
            day, at = rows[0]["day"], max(row["at"] for row in rows)
            told = [d for d in assessment.deliveries.get(place, {}).get(day, ()) if d.event == "cleaned"]
            count = sum((d.accepted or 0) + (d.quarantined or 0) for d in told)
            own = {row["check_id"]: failing.get((*place, row["check_id"]), ()) for row in rows}
            documents[contract.name] = validation(contract, catalog.standards, rows, Judged(day, at, count, own))
    return documents


def _last_answers(books: "Books") -> pa.Table:
    """Each dataset's rows of `ops.results` about its last released day: the newest of every check its contract then had."""
    released = pa.array(books.released, pa.date32())
    rows = books.results.filter(pc.is_in(books.results["day"], released))
    days = rows.group_by(_SLICE[:2]).aggregate([("day", "max")]).rename_columns(_SLICE)
    newest: dict[tuple[str, str], dict[str, dict[str, Any]]] = defaultdict(dict)
    for row in rows.join(days, _SLICE, join_type="left semi").sort_by("at").to_pylist():
        own = newest[row["department"], row["dataset"]]
        own.pop(row["check_id"], None)  # what was judged again comes last
        own[row["check_id"]] = row
    current = [
        row
        for own in newest.values()
        for row in own.values()
        if row["contract"] == next(reversed(own.values()))["contract"]
    ]
    return pa.Table.from_pylist(current, rows.schema)


def _failing(ops: "Ops", books: "Books", answers: pa.Table) -> list[dict[str, Any]]:
    """The failing rows that these answers' own runs noted, in file order."""
    wanted = answers.filter(pc.less(answers["passed"], answers["evaluated"])).select(_ANSWER)
    found: list[dict[str, Any]] = []
    for day in sorted(set(wanted["day"].to_pylist())):
        keys = ops.read("failing_keys", day=day).filter(pc.field("at") <= books.release.at)
        found += keys.join(wanted, _ANSWER, join_type="left semi").to_pylist()
    return sorted(found, key=lambda row: (row["source_file"] or "", row["source_row"] or 0, row["key"] or ""))


def places(
    failing: Iterable[Mapping[str, Any]], at: Any = lambda row: row["check_id"]
) -> dict[Any, list[dict[str, Any]]]:
    """By check id, or what `at` makes of a row: its first failing rows, by file, row and masked key."""
    found: dict[Any, list[dict[str, Any]]] = defaultdict(list)
    for row in failing:
        if len(found[at(row)]) < MOST_PLACES:
            place = {"_source_file": row["source_file"], "_source_row": row["source_row"], "key": row["key"]}
            found[at(row)].append(place)
    return dict(found)
