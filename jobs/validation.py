"""What was found, as the validation results of Great Expectations: for a file on somebody's desk and for a night's slice."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from expectations.catalog import Standard
from expectations.suite.documents import Document, Judged, Noted, described, validation
from jobs.check import Checked
from jobs.profile import Profile

MOST_PLACES = 20
"""Failing rows named per check: as many as Great Expectations names unasked."""


def of_check(found: Checked, standards: Mapping[str, Standard], at: datetime) -> Document:
    """A checked file's validation result; `at` is when it was checked."""
    rows = found.rows.received - found.rows.unparsable
    judged = Judged(found.day, at, rows, places(vars(row) for row in found.failing))
    return validation(found.contract, standards, [result.row() for result in found.results], judged)


def of_profile(found: Profile, at: datetime) -> Document:
    """A described file: what was counted, and each suspicion as an expectation that wasn't met."""
    rows = found.rows - found.unparsable
    filled = {column.name: column.filled for column in found.columns}
    noted = [Noted(s.kind, s.column, s.said, s.count, s.rows) for s in found.suspicions]
    return described(found.file.name, at, rows, filled, noted)


def places(failing: Iterable[Mapping[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Check id -> its first failing rows, by file, row and masked key."""
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in failing:
        if len(found[row["check_id"]]) < MOST_PLACES:
            found[row["check_id"]].append(
                {"_source_file": row["source_file"], "_source_row": row["source_row"], "key": row["key"]}
            )
    return dict(found)
