"""From a seed to what happens: which act, which fault, at which point. The same seed, the same plan, while the code is the same."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_WEIGHTS = {
    "embedded": {"kill": 10, "zombie": 3, "full": 2, "denied": 2, "clock": 2, "damage": 3},
    "spark": {"engine": 3, "kill": 1},
}
"""How often what happens; on Spark the engine is killed, or the process that has asked it."""
_GOES_ON = ("zombie", "full", "denied")
"""Faults after which the process goes on: not possible where the log is closed to get between data and commit."""

_OF_NO_POINT = ("clock", "damage")


@dataclass(frozen=True)
class Plan:
    """One disturbed act. `nth`: at the n-th time that the point is come upon. `chance` seeds what else is left to chance."""

    act: str
    fault: str
    point: str = ""
    nth: int = 1
    chance: int = 0

    def __str__(self) -> str:
        return ":".join((self.act, self.fault, self.point, str(self.nth), str(self.chance)))

    @classmethod
    def of(cls, text: str) -> "Plan":
        """The plan that reads like this."""
        act, fault, point, nth, chance = text.split(":")
        return cls(act, fault, point, int(nth), int(chance))


def drawn(seed: int, points: Mapping[str, Sequence[str]], engine: str = "embedded") -> Plan:
    """The plan of a seed; `points` are those every act comes upon when nothing disturbs it."""
    chance = random.Random(f"{engine} {seed}")
    act = chance.choice(sorted(points))
    weights = _WEIGHTS[engine]
    fault = chance.choices(list(weights), list(weights.values()))[0]
    if fault in _OF_NO_POINT:
        return Plan(act, fault, chance=chance.randrange(1_000_000))
    there = [point for point in points[act] if fault not in _GOES_ON or not point.endswith(" data")]
    point = chance.choice(sorted(set(there)))  # by name first: the rare ones count as much as the frequent ones
    return Plan(act, fault, point, chance.randint(1, there.count(point)), chance.randrange(1_000_000))


FOUND = (
    # a restore cut off after its commit: nobody knew that the days had to run again
    "restore:kill:restore silver/shops__licences after:1:0",
    # the same in bronze: the deliveries counted as loaded, and never came back
    "restore:kill:restore bronze/parks__plantings after:1:0",
    # a rebuild cut off: the next release served what was there of it
    "rebuild:kill:write silver/shops__licences after:1:0",
    # two rebuild at once: the release left silver as it was, but named the half-made quarantine
    "rebuild:zombie:write ops/runs before:8:0",
    # two maintain the lake at once: a landed file was gone already
    "maintain:zombie:remove landing/parks before:1:0",
    # after a clock that was ahead, scores left out what was dated later than their release
    "two nights:clock::1:447149",
    # a damaged book was asked before it was mended
    "one department:damage:ops.runs lose_a_checkpoint:1:0",
    # a damaged table was mended, but the newest release named the lost file until the next night
    "replay:damage:silver.shops__visits lose_a_file:1:0",
    # a mended book lacked the rows of the commits that were lost, though their files were there
    "first night:damage:ops.results lose_a_commit:1:0",
    "first night:damage:ops.deliveries lose_the_log:1:0",
    # days of changes that ran again, in order, were compared with what later days had brought
    "two nights:damage:quarantine.parks__fines lose_the_log:1:0",
    # a book's file was lost: the days it told of didn't run again
    "first night:damage:ops.scores lose_a_file:1:0",
)
"""Plans that broke a promise once, and what was wrong."""
