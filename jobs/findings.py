"""What a department should put right first: every loss of points, largest first, with rows to look at."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path

import yaml
from pydantic import TypeAdapter

from expectations.arrivals import Item
from expectations.score import Dimension, Pillar, Tally, Weights, shares
from lakehouse.contract import Contract
from lakehouse.declared import Record
from lakehouse.report.records import Example, Finding, Text

ExampleAt = Mapping[tuple[str, str, str], tuple[Example, ...]]
"""(department, dataset, check id) -> rows to look at."""


class Words(Record):
    """How a finding is called, and what to do about it."""

    name: Text
    advice: Text


class Wording(Record):
    """The shape of `wording.yml`."""

    pillars: dict[Pillar, Text]
    dimensions: dict[Dimension, Text]
    deliveries: dict[str, Words]
    otherwise: Text
    checks: dict[str, Words]

    def of(self, check: str) -> Words:
        """The words for a check; a check without any goes by its own name."""
        return self.checks.get(check) or Words(name=Text(check, check), advice=self.otherwise)


@cache
def wording() -> Wording:
    """The words that come with Citylake."""
    path = Path(__file__).parent.parent / "expectations" / "wording.yml"
    return TypeAdapter(Wording).validate_python(yaml.safe_load(path.read_text("utf-8")))


def title(contract: Contract) -> Text:
    """The contract's title by language: `中文 · English`, or one title for both."""
    zh, _, en = contract.title.partition(" · ")
    return Text(zh, en or zh)


def findings(
    listed: Sequence[Item],
    tallies: Mapping[tuple[str, str], tuple[Tally, ...]],
    examples: ExampleAt,
    weights: Weights,
    unusable: int = 0,
) -> tuple[Finding, ...]:
    """The findings of one department's items, the largest gain first. Gains are points of the department's floor.

    `unusable`: how many more datasets the department has whose contracts can't be used; they hold points too.
    """
    points = weights.pillars.points
    per_point = {pillar: 100 * weight / sum(points.values()) for pillar, weight in points.items()}
    due = [item for item in listed if item.usable != "not_yet_due"]
    datasets = len(due) + unusable
    deliveries = sum(item.timeliness(weights).total for item in due) + unusable
    found: list[Finding] = []
    for item in due:
        place = (item.contract.department, item.contract.dataset)
        own = tallies.get(place, ())
        if item.usable == "unusable":
            found.append(_no_version(item, own, per_point["access"] / datasets))
        elif item.usable == "usable":
            found += _late(item, weights, per_point["timeliness"] / deliveries)
        gain = per_point["quality"] / datasets if item.usable == "usable" else 0.0
        found += _broken_checks(item.contract, own, examples, weights, gain)
    return tuple(sorted(found, key=lambda f: (-round(f.gain, 9), -f.failed, f.dataset, f.check)))


def _no_version(item: Item, tallies: Sequence[Tally], gain: float) -> Finding:
    words = wording().deliveries["no_version"]
    due = [a for a in item.arrivals if a.state != "not_yet_due"]
    broken = next((t.message for t in tallies if t.level == "fail" and t.failed_on and t.message), None)
    return Finding(
        "access",
        item.contract.dataset,
        title(item.contract),
        "",
        words.name,
        words.advice,
        wording().pillars["access"],
        len(due),
        len(due),
        due[-1].day,
        1,
        due[-1].reason or broken,
        (),
        gain,
    )


def _late(item: Item, weights: Weights, per_delivery: float) -> Iterator[Finding]:
    """One finding for each way in which deliveries lost points: late, unchanged, unreadable, not delivered."""
    judged = [(a, 1 - points) for a in item.arrivals if (points := a.points(weights)) is not None]
    for came, words in wording().deliveries.items():
        lost = [(arrival, loss) for arrival, loss in judged if loss > 0 and arrival.came == came]
        if lost:
            last = lost[-1][0]
            yield Finding(
                "timeliness",
                item.contract.dataset,
                title(item.contract),
                "",
                words.name,
                words.advice,
                wording().pillars["timeliness"],
                len(lost),
                len(judged),
                last.day,
                1,
                last.reason,
                (),
                per_delivery * sum(loss for _, loss in lost),
            )


def _broken_checks(
    contract: Contract, tallies: Sequence[Tally], examples: ExampleAt, weights: Weights, per_dataset: float
) -> Iterator[Finding]:
    share = shares(tallies, weights)
    for tally in tallies:
        if tally.failed_on is None:
            continue
        words = wording().of(tally.check)
        lost = (tally.score.evaluated - tally.score.passed) / tally.score.total
        yield Finding(
            "quality",
            contract.dataset,
            title(contract),
            tally.check_id,
            words.name,
            words.advice,
            wording().dimensions[tally.dimension],
            tally.evaluated - tally.passed,
            tally.evaluated,
            tally.failed_on,
            tally.failed,
            tally.message,
            examples.get((contract.department, contract.dataset, tally.check_id), ()),
            per_dataset * share[tally.check_id] * lost,
        )
