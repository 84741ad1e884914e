"""What a page says. One record makes a page and the JSON beside it, so both hold the same numbers.

Scores, floors and ceilings are 0 to 100, coverage and shares 0 to 1; a null score is "no score".
"""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal


def published(score: float, digits: int = 1) -> float:
    """Points as everybody sees them; a score a little short of 100 is never shown as 100: something is still to be mended."""
    shown = round(score, digits)
    return 100 - 10**-digits if shown >= 100 > score else shown


@dataclass(frozen=True)
class Text:
    """The same words in Chinese and English."""

    zh: str
    en: str


@dataclass(frozen=True)
class Edition:
    """What a page speaks of: the release, its period and the weights; the same release gives the same bytes."""

    day: date
    since: date
    revision: int
    at: datetime
    days: int
    weights: str
    levels: tuple[tuple[float, Text], ...]


@dataclass(frozen=True)
class Grade:
    """A score with what it rests on. `step`: 5 best to 1, 0 without a score."""

    score: float | None
    coverage: float
    floor: float
    ceiling: float
    step: int
    level: Text | None


@dataclass(frozen=True)
class Part:
    """A pillar or a dimension; `weight` is its share of the whole, in percent."""

    id: str
    name: Text
    weight: float
    grade: Grade


@dataclass(frozen=True)
class Rows:
    """Where the rows that came in are: in = accepted + quarantined + unparsable + waiting (loaded, not yet cleaned)."""

    received: int
    accepted: int
    quarantined: int
    unparsable: int
    waiting: int

    @property
    def lost(self) -> int:
        """What the equation leaves over; anything but 0 is a fault of the lake."""
        return self.received - self.accepted - self.quarantined - self.unparsable - self.waiting


MarkKind = Literal["fresh", "due", "overdue", "delinquent", "missing", "unchanged", "refused", "not_yet_due", "unknown"]


@dataclass(frozen=True)
class Mark:
    """One expected delivery in the calendar strip."""

    day: date
    kind: MarkKind
    due: datetime
    received: datetime | None


@dataclass(frozen=True)
class Example:
    """Where to look for one failing row. The key is masked."""

    delivery: str | None
    file: str | None
    row: int | None
    key: str | None


@dataclass(frozen=True)
class Finding:
    """Something to put right. `gain`: points the department's score is sure to gain by it.

    `failed` of `evaluated` are rows, deliveries or versions over the period; `failed_last` those of `day`, the latest.
    """

    pillar: str
    dataset: str
    title: Text
    check: str
    name: Text
    advice: Text
    topic: Text
    failed: int
    evaluated: int
    day: date | None
    failed_last: int
    message: str | None
    examples: tuple[Example, ...]
    gain: float


@dataclass(frozen=True)
class Dataset:
    """One row of a department's list. `fault`: why its contract can't be used; then nothing else is known of it.
    `withdrawn`: files of the period that were taken away after they had been received."""

    id: str
    title: Text
    every: str | None
    by: str | None
    usable: str
    grade: Grade
    quality: Grade
    rows: Rows
    marks: tuple[Mark, ...]
    worst: tuple[Finding, ...]
    unassessed: tuple[str, ...]
    fault: str | None
    withdrawn: tuple[str, ...] = ()


@dataclass(frozen=True)
class Point:
    """A day of the trend."""

    day: date
    score: float | None
    floor: float
    ceiling: float


@dataclass(frozen=True)
class DepartmentPage:
    """Everything one department sees."""

    edition: Edition
    id: str
    name: Text
    contact: str
    grade: Grade
    rank: int | None
    ranked: int
    pillars: tuple[Part, ...]
    dimensions: tuple[Part, ...]
    findings: tuple[Finding, ...]
    datasets: tuple[Dataset, ...]
    trend: tuple[Point, ...]
    failures: tuple[str, ...]


@dataclass(frozen=True)
class Standing:
    """A department's row on the city page. `first` is what it should put right first."""

    id: str
    name: Text
    rank: int | None
    grade: Grade
    datasets: int
    cells: tuple[Part, ...]
    first: Finding | None
    failures: tuple[str, ...]


@dataclass(frozen=True)
class CityPage:
    """The city at a glance. `standings` are ranked best first; departments without a score come last."""

    edition: Edition
    grade: Grade
    pillars: tuple[Part, ...]
    standings: tuple[Standing, ...]
    datasets: int
    night: Rows
    arrivals: tuple[tuple[MarkKind, int], ...]
    trend: tuple[Point, ...]
    failures: tuple[str, ...]


@dataclass(frozen=True)
class CheckLine:
    """One check of a slice. `judged` rows of which `failed`, or the one figure `observed`; `name` where it has words."""

    id: str
    name: Text | None
    expectation: str
    arguments: str
    status: Literal["passed", "failed", "unknown"]
    level: str
    dimension: Text
    judged: int | None
    failed: int | None
    observed: str | None
    message: str | None
    examples: tuple[Example, ...]


@dataclass(frozen=True)
class CheckedDataset:
    """A dataset's last slice of the period: `met` of `asked` checks passed. No `day`: nothing was checked."""

    id: str
    title: Text
    day: str | None
    file: str | None
    met: int
    asked: int
    checks: tuple[CheckLine, ...]


@dataclass(frozen=True)
class ChecksPage:
    """Every check of one department, the broken ones first."""

    edition: Edition
    id: str
    name: Text
    datasets: tuple[CheckedDataset, ...]
