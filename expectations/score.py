"""How results become scores: pure arithmetic, no input or output.

A `Score` is three sums: points earned, points assessed, and points there are to be had. Everything published follows
from them, and scores of parts add up to scores of wholes without another rule. What was not assessed never counts as
good: it lowers the coverage and opens the interval between floor and ceiling.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from math import fsum
from typing import Any, Generic, Literal, Self, TypeVar, get_args

from pydantic import Field, model_validator

from lakehouse.declared import Record
from lakehouse.report.records import published

Pillar = Literal["access", "timeliness", "quality", "security", "closure"]
Dimension = Literal["norm", "complete", "accurate", "consistent", "timely", "accessible"]
Lateness = Literal["fresh", "due", "overdue", "delinquent"]

PILLARS: tuple[Pillar, ...] = get_args(Pillar)
DIMENSIONS: tuple[Dimension, ...] = get_args(Dimension)
LATENESS: tuple[Lateness, ...] = get_args(Lateness)


@dataclass(frozen=True)
class Score:
    """Points `passed` of `evaluated` points assessed, of `total` points there are; `passed <= evaluated <= total`."""

    passed: float
    evaluated: float
    total: float

    @property
    def score(self) -> float | None:
        """0 to 100 over what was assessed; None where nothing was: no score, never 100."""
        return 100 * self.passed / self.evaluated if self.evaluated else None

    @property
    def coverage(self) -> float:
        """The share (0 to 1) of the points that were assessed."""
        return self.evaluated / self.total if self.total else 0.0

    @property
    def floor(self) -> float:
        """0 to 100, as if everything unassessed had failed."""
        return 100 * self.passed / self.total if self.total else 0.0

    @property
    def ceiling(self) -> float:
        """0 to 100, as if everything unassessed had passed."""
        return 100 * (self.passed + self.total - self.evaluated) / self.total if self.total else 100.0


UNASSESSED = Score(0, 0, 0)
"""Nothing there to assess."""

UNKNOWN = Score(0, 0, 1)
"""A point of which nobody can say whether it is earned."""


def combine(parts: Iterable[tuple[float, Score]]) -> Score:
    """The score of a whole from its weighted parts; a part without assessment still holds its weight in the total."""
    weighed = list(parts)
    return Score(
        fsum(weight * part.floor / 100 for weight, part in weighed),
        fsum(weight * part.coverage for weight, part in weighed),
        fsum(weight for weight, _ in weighed),
    )


def pool(parts: Iterable[Score]) -> Score:
    """The score over all points of all parts: a part weighs as much as it has points."""
    scores = list(parts)
    return Score(fsum(s.passed for s in scores), fsum(s.evaluated for s in scores), fsum(s.total for s in scores))


Name = TypeVar("Name", bound=str)


class Points(Record, Generic[Name]):
    """Points by name, and where they come from."""

    source: str
    points: dict[Name, float]


class Freshness(Record):
    """Days after the last update at which a dataset is due, overdue and delinquent, by frequency in days."""

    source: str
    days: dict[int, tuple[int, int, int]]


class Level(Record):
    """One of the five levels, from a score of `from` points up."""

    from_: float = Field(alias="from", ge=0, le=100)
    zh: str
    en: str


class Levels(Record):
    """The five levels, highest first."""

    source: str
    steps: tuple[Level, Level, Level, Level, Level]

    @model_validator(mode="after")
    def _fall_to_zero(self) -> Self:
        floors = [step.from_ for step in self.steps]
        if floors != sorted(floors, reverse=True) or floors[-1] != 0:
            raise ValueError("steps stand highest first and the last begins at 0")
        return self


class Weights(Record):
    """Everything about scores that is a choice; the shape of `weights.yml`."""

    version: str
    pillars: Points[Pillar]
    dimensions: Points[Dimension]
    states: Points[Lateness]
    freshness: Freshness
    levels: Levels

    @model_validator(mode="after")
    def _complete(self) -> Self:
        sections: dict[str, tuple[tuple[str, ...], Mapping[Any, float]]] = {
            "pillars": (PILLARS, self.pillars.points),
            "dimensions": (DIMENSIONS, self.dimensions.points),
            "states": (LATENESS, self.states.points),
        }
        for name, (names, points) in sections.items():
            if missing := set(names) - set(points):
                raise ValueError(f"{name}.points: missing {', '.join(sorted(missing))}")
            if min(points.values()) < 0 or not sum(points.values()):
                raise ValueError(f"{name}.points: 0 or more each, and not all 0")
        if missing_days := {1, 7, 30, 90, 365} - set(self.freshness.days):
            raise ValueError(f"freshness.days: missing {sorted(missing_days)}")
        return self

    @property
    def name(self) -> str:
        """The version, and 8 hexadecimal digits that change when anything in it changes."""
        return f"{self.version}-{hashlib.sha256(self.model_dump_json(by_alias=True).encode()).hexdigest()[:8]}"

    def lateness(self, late: timedelta, every_days: int) -> Lateness:
        """The state of a delivery `late` after it was due (negative: early), by the freshness row of its frequency."""
        due, overdue, delinquent = (timedelta(days=days) for days in self.freshness.days[every_days])
        if late <= timedelta(0):
            return "fresh"
        if late <= overdue - due:
            return "due"
        return "overdue" if late <= delinquent - due else "delinquent"

    def level(self, score: float | None) -> Level | None:
        """The level of a score (0 to 100), judged as published, with one decimal; None without a score."""
        return None if score is None else next(step for step in self.levels.steps if published(score) >= step.from_)


@dataclass(frozen=True)
class Tally:
    """One check over all its slices in the period: X = passed / evaluated elements (A and B of GB/T 36344-2018).

    `assessed` of `slices` slices had a result: a check that broke, or found nothing to evaluate, is not assessed there.
    `failed` elements failed on `failed_on`, the latest day with any; `message` is the check's own word about it.
    """

    check_id: str
    check: str
    column: str | None
    dimension: Dimension
    indicator: str
    level: str
    passed: int
    evaluated: int
    assessed: int
    slices: int
    failed_on: date | None
    failed: int
    message: str | None

    @property
    def score(self) -> Score:
        """Every slice is one point; the assessed ones earn X."""
        share = self.passed / self.evaluated if self.evaluated else 0.0
        return Score(share * self.assessed, self.assessed, self.slices)


def dimensions(tallies: Iterable[Tally]) -> dict[Dimension, Score]:
    """The score of each dimension of one dataset: the mean of its indicators, each the mean of its checks.

    DB31/T 1523-2024 takes the mean of the conformances inside an indicator (010100); a mean keeps a check of one
    element from drowning beside one of a million. A dimension without any check is unassessed.
    """
    groups: dict[Dimension, dict[str, list[Score]]] = {dimension: defaultdict(list) for dimension in DIMENSIONS}
    for tally in tallies:
        groups[tally.dimension][tally.indicator].append(tally.score)
    return {
        dimension: combine((1, combine((1, check) for check in checks)) for _, checks in sorted(indicators.items()))
        for dimension, indicators in groups.items()
    }


def quality(by_dimension: dict[Dimension, Score], weights: Weights) -> Score:
    """The six dimensions weighed together; one without assessment lowers the coverage."""
    return combine((weights.dimensions.points[d], by_dimension[d]) for d in DIMENSIONS)


def overall(by_pillar: dict[Pillar, Score], weights: Weights) -> Score:
    """The five pillars weighed together."""
    return combine((weights.pillars.points[p], by_pillar[p]) for p in PILLARS)


def shares(tallies: Sequence[Tally], weights: Weights) -> dict[str, float]:
    """What each check of one dataset weighs in its quality: check id -> share (0 to 1), summing up to the coverage."""
    groups: dict[Dimension, dict[str, int]] = {dimension: defaultdict(int) for dimension in DIMENSIONS}
    for tally in tallies:
        groups[tally.dimension][tally.indicator] += 1
    whole = fsum(weights.dimensions.points.values())
    return {
        t.check_id: weights.dimensions.points[t.dimension]
        / whole
        / len(groups[t.dimension])
        / groups[t.dimension][t.indicator]
        for t in tallies
    }
