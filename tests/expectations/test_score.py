"""Scores: sums that add up, coverage that shows what wasn't assessed, and never a 100 for nothing."""

from datetime import date, timedelta
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

import expectations
from expectations.score import (
    UNASSESSED,
    Score,
    Tally,
    Weights,
    combine,
    dimensions,
    overall,
    pool,
    quality,
    shares,
)

WEIGHTS_FILE = Path(expectations.__file__).parent / "weights.yml"


@pytest.fixture
def weights() -> Weights:
    return Weights.model_validate(yaml.safe_load(WEIGHTS_FILE.read_text("utf-8")))


def tally(
    check_id: str, dimension: str, indicator: str, passed: int, evaluated: int, assessed: int = 1, slices: int = 1
):
    return Tally(
        check_id,
        check_id,
        None,
        dimension,
        indicator,
        "warn",
        passed,
        evaluated,
        assessed,
        slices,
        date(2026, 6, 1),
        0,
        None,
    )  # type: ignore[arg-type]


def test_a_score_publishes_coverage_floor_and_ceiling():
    score = Score(passed=3, evaluated=4, total=5)
    assert (score.score, score.coverage, score.floor, score.ceiling) == (75, 0.8, 60, 80)


def test_nothing_assessed_is_no_score():
    assert UNASSESSED.score is None
    assert (UNASSESSED.coverage, UNASSESSED.floor, UNASSESSED.ceiling) == (0, 0, 100)
    assert Score(0, 0, 7).score is None


def test_a_whole_is_its_weighted_parts_and_unassessed_parts_keep_their_weight():
    whole = combine([(30, Score(1, 1, 1)), (10, Score(1, 2, 2)), (60, UNASSESSED)])
    assert whole.score == pytest.approx(100 * 35 / 40)
    assert whole.coverage == pytest.approx(0.4)
    assert (whole.floor, whole.ceiling) == (pytest.approx(35), pytest.approx(95))


def test_combining_nothing_is_no_score():
    assert combine([]).score is None
    assert pool([]).score is None


def test_the_order_of_parts_changes_no_bit():
    parts = [(0.1 * n, Score(0.1 * n, 0.3 * n, n)) for n in range(1, 30)]
    assert combine(parts) == combine(reversed(parts))


@pytest.mark.parametrize(
    ("late", "every", "state"),
    [
        (timedelta(hours=-2), 1, "fresh"),
        (timedelta(0), 1, "fresh"),
        (timedelta(seconds=1), 1, "due"),
        (timedelta(days=1), 1, "due"),
        (timedelta(days=1, seconds=1), 1, "overdue"),
        (timedelta(days=2), 1, "overdue"),
        (timedelta(days=2, seconds=1), 1, "delinquent"),
        (timedelta(days=14), 30, "due"),
        (timedelta(days=30), 30, "overdue"),
        (timedelta(days=31), 30, "delinquent"),
    ],
)
def test_lateness_follows_the_freshness_row_of_the_frequency(weights, late, every, state):
    assert weights.lateness(late, every) == state


@pytest.mark.parametrize(
    ("score", "level"),
    [
        (100, "excellent"),
        (89.95, "excellent"),
        (89.94, "good"),
        (60, "sufficient"),
        (59.9, "insufficient"),
        (0, "insufficient"),
    ],
)
def test_levels_are_judged_as_published(weights, score, level):
    assert weights.level(score).en == level


def test_no_score_has_no_level(weights):
    assert weights.level(None) is None


def test_a_check_of_one_element_stands_beside_one_of_a_million():
    by_dimension = dimensions(
        [tally("a", "complete", "0202", 0, 1), tally("b", "complete", "0201", 1_000_000, 1_000_000)]
    )
    assert by_dimension["complete"].score == 50
    assert by_dimension["norm"].score is None


def test_an_unknown_check_lowers_coverage_and_never_passes():
    by_dimension = dimensions([tally("a", "norm", "0101", 9, 10), tally("b", "norm", "0101", 0, 0, assessed=0)])
    assert by_dimension["norm"].score == pytest.approx(90)
    assert by_dimension["norm"].coverage == 0.5
    assert (by_dimension["norm"].floor, by_dimension["norm"].ceiling) == (pytest.approx(45), pytest.approx(95))


def test_a_check_that_broke_on_some_days_is_assessed_on_the_others():
    by_dimension = dimensions([tally("a", "norm", "0101", 30, 30, assessed=3, slices=4)])
    assert (by_dimension["norm"].score, by_dimension["norm"].coverage) == (100, 0.75)


def test_unassessed_pillars_show_in_the_coverage(weights):
    full = Score(1, 1, 1)
    score = overall(
        {"access": full, "timeliness": full, "quality": full, "security": UNASSESSED, "closure": UNASSESSED}, weights
    )
    assert (score.score, score.coverage, score.floor, score.ceiling) == (
        100,
        pytest.approx(0.85),
        pytest.approx(85),
        100,
    )


def test_a_check_s_share_is_what_it_moves_the_quality_by(weights):
    def tallies(passed: int) -> list[Tally]:
        return [
            tally("a", "norm", "0101", passed, 10),
            tally("b", "norm", "0101", 5, 10),
            tally("c", "norm", "0105", 1, 1),
        ]

    before, after = (quality(dimensions(tallies(passed)), weights) for passed in (0, 10))
    assert shares(tallies(0), weights)["a"] * 100 == pytest.approx(100 * (after.passed - before.passed) / after.total)
    assert sum(shares(tallies(0), weights).values()) == pytest.approx(after.coverage)


def test_weights_name_changes_with_their_content(weights):
    other = weights.model_copy(
        update={"states": weights.states.model_copy(update={"points": {**weights.states.points, "due": 0.6}})}
    )
    assert weights.name.startswith("2026-1-")
    assert other.name != weights.name


@pytest.mark.parametrize(
    ("section", "content", "fault"),
    [
        ("pillars", {"source": "x", "points": {"access": 1}}, "missing closure, quality, security, timeliness"),
        ("pillars", {"source": "x", "points": {"beauty": 1}}, "beauty"),
        ("states", {"source": "x", "points": {"fresh": 1, "due": -1, "overdue": 0, "delinquent": 0}}, "0 or more"),
        ("freshness", {"source": "x", "days": {1: [1, 2, 3]}}, "missing"),
    ],
)
def test_incomplete_weights_are_refused(section, content, fault):
    document = yaml.safe_load(WEIGHTS_FILE.read_text("utf-8"))
    with pytest.raises(ValidationError, match=fault):
        Weights.model_validate(document | {section: content})
