"""Seeds of the day: an act of the town, disturbed. `make chaos` runs many more. What it found is played again."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.chaos.__main__ import disk
from tests.chaos.plan import FOUND, Plan, drawn
from tests.chaos.promises import differences
from tests.chaos.seeds import Stage, tried
from tests.chaos.story import SMALL
from tests.jobs.small_city import DAY, own_settings

LONG = ("maintain", "replay")
"""Acts that take too long for every day; `make chaos` plays them."""


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with _stage("embedded") as stage:
        yield stage


@contextmanager
def _stage(engine: str) -> Iterator[Stage]:
    with own_settings() as patch, disk(engine) as root:
        for name in ("LOG_LEVEL", "THREADS", "MIN_FREE_MB", "DEBUG"):
            patch.setenv(f"CITYLAKE_{name}", "")
        patch.setenv("CITYLAKE_LOG_LEVEL", "CRITICAL")
        yield Stage(root, engine)


@pytest.mark.parametrize("seed", range(25))
def test_every_promise_holds_whatever_happens(stage: Stage, seed: int) -> None:
    verdict = tried(stage, drawn(seed, stage.points([SMALL])))
    assert not verdict.broken, f"{verdict.plan}: {verdict.broken}"


def test_every_promise_holds_when_the_engine_is_killed() -> None:
    with _stage("spark") as stage:
        for seed in range(2):
            verdict = tried(stage, drawn(seed, stage.points(), "spark"))
            assert not verdict.broken, f"{verdict.plan}: {verdict.broken}"


@pytest.mark.parametrize("text", [text for text in FOUND if text.split(":")[0] not in LONG])
def test_what_was_broken_once_holds(stage: Stage, text: str) -> None:
    verdict = tried(stage, Plan.of(text))
    assert verdict.hit
    assert not verdict.broken, verdict.broken


def test_a_lake_made_again_from_landing_is_the_lake(stage: Stage) -> None:
    again, before = stage.scene("from landing").after, stage.scene("two nights").after
    other = differences(again, before)
    # what was replaced before isn't cleaned any more, and the first day is scored as what it is known as now
    assert {line.split(":")[0].split()[0] for line in other} <= {"delivery", "scores"}
    assert all(": superseded " in line or line.startswith(f"scores {DAY}") for line in other)
