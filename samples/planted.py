"""The defects the sample carries, and the truth each one leaves behind."""

from dataclasses import dataclass, field
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

import yaml


@dataclass(frozen=True)
class Planted:
    """One item of `planted.yml`: `kind` is what is done, `rows` to how many rows, `args` the rest of what it needs.

    `checks` must name every row it hits; `verdicts` are checks that must fail for the whole slice.
    """

    dataset: str
    day: date
    kind: str
    rows: int = 0
    checks: tuple[str, ...] = ()
    verdicts: tuple[str, ...] = ()
    args: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Truth:
    """One row of `truth.csv`. `where`: `<file>#<source row>`, `<file>`, or empty when the whole slice is meant.

    `check_id` is a check of the contract, `arrival` (the delivery came late, unchanged, unreadable or not at all) or
    `unparsable` (`count` records of the file can't be read).
    """

    dataset: str
    day: date
    kind: str
    check_id: str
    where: str
    count: int


def planted(dataset: str, day: date) -> tuple[Planted, ...]:
    """What is planted in a dataset on a day, in the order of planting."""
    return _all().get((dataset, day), ())


def arrival_truths(dataset: str, day: date, path: str) -> list[Truth]:
    """The truth about deliveries that are late, missing, without news or unreadable."""
    late = [item for item in planted(dataset, day) if "arrival" in item.verdicts]
    return [Truth(dataset, day, item.kind, "arrival", path, 1) for item in late]


@cache
def _all() -> dict[tuple[str, date], tuple[Planted, ...]]:
    items = yaml.safe_load((Path(__file__).parent / "planted.yml").read_text("utf-8"))
    found: dict[tuple[str, date], tuple[Planted, ...]] = {}
    for item in items:
        lists = {name: tuple(item.get(name, ())) for name in ("checks", "verdicts")}
        entry = Planted(**{**item, **lists})
        key = entry.dataset, entry.day
        found[key] = (*found.get(key, ()), entry)
    return found
