"""Grading a release from the books: what arrived, what counts, what stays unassessed, and that it computes again."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from expectations.arrivals import expected_days
from expectations.catalog import Catalog, Department, Unusable
from expectations.score import Score
from jobs.assess import Assessment, assess, read_weights
from jobs.books import Books
from lakehouse.errors import ContractError, LakeError
from lakehouse.ops import Ops
from tests.jobs.made_up import DAY, at, catalog, checked, contract, delivered, released

NEXT = DAY + timedelta(days=1)
FIRMS = contract("trade", "firms")
SHOPS = contract("trade", "shops")


@pytest.fixture
def ops(home: Path) -> Ops:
    return Ops(home)


def graded(ops: Ops, city: Catalog, day=DAY, revision: int | None = None) -> Assessment:
    ops.flush("test")
    return assess(Books.read(ops, city, day, revision), city, read_weights(city.path))


def of(assessment: Assessment, dimension: str, dataset: str = "", department: str = "trade") -> Score:
    return assessment.scores[department, dataset, dimension]


def test_a_good_night_is_full_marks_over_what_was_assessed(ops):
    delivered(ops, FIRMS, DAY)
    checked(ops, FIRMS, DAY, "id.required", 100, 100)
    released(ops, DAY)
    assessment = graded(ops, catalog([FIRMS]))
    assert of(assessment, "access").score == 100
    assert of(assessment, "timeliness").score == 100
    assert of(assessment, "quality").score == 100
    assert of(assessment, "quality").coverage == pytest.approx(0.2)
    assert of(assessment, "security").score is None
    assert of(assessment, "overall").coverage == pytest.approx(0.30 + 0.25 + 0.30 * 0.2)


def test_the_score_is_access_timeliness_and_quality_by_weight(ops):
    for day in (DAY, NEXT):
        delivered(ops, FIRMS, day, received_at=at(day, 7))
        checked(ops, FIRMS, day, "id.required", 50, 100)
        delivered(ops, SHOPS, day, event="missing")
        released(ops, day)
    assessment = graded(ops, catalog([FIRMS, SHOPS]), NEXT)
    assert of(assessment, "access") == Score(1, 2, 2)
    assert of(assessment, "timeliness") == Score(pytest.approx(1.4), 2, 4)
    assert of(assessment, "quality.complete").score == 50
    overall = of(assessment, "overall")
    assert overall.floor == pytest.approx(30 / 2 + 25 * 1.4 / 4 + 30 * 0.5 * 0.5 / 5)


@pytest.mark.parametrize(("hour", "points"), [(5.9, 1), (6, 1), (6.1, 0.7), (24 + 6, 0.7), (24 + 7, 0.3), (48 + 7, 0)])
def test_points_fall_with_the_first_arrival_s_lateness(ops, hour, points):
    delivered(ops, FIRMS, DAY, received_at=at(DAY, hour))
    released(ops, DAY, hour=100)
    delivered(ops, FIRMS, DAY, delivery_id="mended", at=at(DAY, 99), received_at=at(DAY, 98))
    assessment = graded(ops, catalog([FIRMS]))
    assert of(assessment, "timeliness") == Score(points, 1, 1)


def test_touching_a_file_is_no_update(ops):
    delivered(ops, FIRMS, DAY)
    delivered(ops, FIRMS, NEXT, event="unchanged")
    for day in (DAY, NEXT):
        released(ops, day)
    assessment = graded(ops, catalog([FIRMS]), NEXT)
    assert of(assessment, "access").score == 100
    assert of(assessment, "timeliness") == Score(pytest.approx(1.7), 2, 2)


def test_books_tell_of_an_unchanged_delivery_in_every_stage(ops):
    for day in (DAY, NEXT):
        delivered(ops, FIRMS, day, event="loaded", received_at=at(day, 5))
        delivered(ops, FIRMS, day, received_at=None, at=at(day, 8.6))
        released(ops, day)
    delivered(ops, FIRMS, NEXT, event="unchanged", received_at=at(NEXT, 5))
    assessment = graded(ops, catalog([FIRMS]), NEXT)
    assert [arrival.came for arrival in assessment.items[0].arrivals] == ["content", "unchanged"]
    assert of(assessment, "timeliness") == Score(pytest.approx(1.7), 2, 2)
    assert of(assessment, "access").score == 100


def test_the_planned_arrival_counts_not_the_hour_of_cleaning(ops):
    delivered(ops, FIRMS, DAY, event="loaded", received_at=at(DAY, 11))
    delivered(ops, FIRMS, DAY, received_at=None, at=at(DAY, 8.6))
    released(ops, DAY)
    assert of(graded(ops, catalog([FIRMS])), "timeliness") == Score(0.7, 1, 1)


def test_an_item_that_never_came_counts_in_access_only(ops):
    delivered(ops, FIRMS, DAY)
    delivered(ops, SHOPS, DAY, event="missing")
    released(ops, DAY)
    assessment = graded(ops, catalog([FIRMS, SHOPS]))
    assert of(assessment, "access") == Score(1, 2, 2)
    assert of(assessment, "timeliness") == Score(1, 1, 2)
    assert of(assessment, "timeliness", "shops").score is None


@pytest.mark.parametrize(
    "told",
    [
        {"event": "refused", "reason": "not UTF-8"},
        {"rows": 100, "accepted": 99},
    ],
)
def test_what_cannot_be_opened_or_reconciled_is_not_usable(ops, told):
    delivered(ops, FIRMS, DAY, **told)
    released(ops, DAY)
    assert of(graded(ops, catalog([FIRMS])), "access") == Score(0, 1, 1)


def test_a_broken_fail_rule_makes_the_slice_unusable(ops):
    delivered(ops, FIRMS, DAY)
    checked(ops, FIRMS, DAY, "row_count", 0, 1, level="fail")
    released(ops, DAY)
    assessment = graded(ops, catalog([FIRMS]))
    assert of(assessment, "access") == Score(0, 1, 1)
    assert of(assessment, "quality").score is None


def test_a_later_good_delivery_of_the_day_mends_it(ops):
    delivered(ops, FIRMS, DAY, event="refused")
    delivered(ops, FIRMS, DAY, delivery_id="second", received_at=at(DAY, 5))
    released(ops, DAY)
    assessment = graded(ops, catalog([FIRMS]))
    assert of(assessment, "access").score == 100
    assert of(assessment, "timeliness").score == 100


def test_what_is_not_due_yet_is_not_counted(ops):
    evening = contract("trade", "evening", arrives={"every": "day", "by": "20:00"})
    delivered(ops, evening, DAY, event="missing")
    released(ops, DAY)
    assessment = graded(ops, catalog([evening]))
    assert of(assessment, "overall").score is None
    assert of(assessment, "access").total == 0


def test_a_delivery_nobody_asked_for_is_unknown_not_missing(ops):
    delivered(ops, FIRMS, DAY)
    released(ops, DAY)
    assessment = graded(ops, catalog([FIRMS, SHOPS]))
    assert of(assessment, "access") == Score(1, 1, 2)
    assert of(assessment, "access").coverage == 0.5


def test_loaded_but_not_cleaned_is_unknown(ops):
    delivered(ops, FIRMS, DAY, event="loaded")
    released(ops, DAY)
    assert of(graded(ops, catalog([FIRMS])), "access") == Score(0, 0, 1)


def test_a_department_without_datasets_has_no_score(ops):
    delivered(ops, FIRMS, DAY)
    released(ops, DAY)
    register = [Department(id="trade", zh="t", en="t"), Department(id="idle", zh="i", en="i", weight=3)]
    assessment = graded(ops, catalog([FIRMS], register))
    assert of(assessment, "overall", department="idle").score is None
    assert of(assessment, "access", department="") == Score(1, 1, 4)


def test_a_dataset_with_a_wrong_contract_has_no_score_and_lowers_the_coverage(ops):
    delivered(ops, FIRMS, DAY)
    checked(ops, FIRMS, DAY, "id.required", 100, 100)
    released(ops, DAY)
    alone = graded(ops, catalog([FIRMS]))
    both = graded(ops, replace(catalog([FIRMS]), unusable=(Unusable("trade", "broken", ("x.yml:1: no",)),)))
    for dimension in ("overall", "access", "timeliness", "quality", "quality.complete"):
        assert both.scores["trade", "broken", dimension].score is None
        one, two = of(alone, dimension, dataset=""), of(both, dimension, dataset="")
        assert (two.score, two.coverage) == (pytest.approx(one.score), pytest.approx(one.coverage / 2))
    rows = {(row["dataset"], row["dimension"]): row for row in both.rows() if row["department"]}
    assert (rows["broken", "overall"]["score"], rows["broken", "overall"]["coverage"]) == (None, 0)


def test_nothing_delivered_at_all_is_no_score(ops):
    released(ops, DAY)
    assessment = graded(ops, catalog([FIRMS]))
    assert of(assessment, "overall").score is None
    assert of(assessment, "overall", department="").score is None


def test_a_broken_check_lowers_coverage_and_an_empty_slice_too(ops):
    delivered(ops, FIRMS, DAY)
    checked(ops, FIRMS, DAY, "id.required", 90, 100)
    checked(ops, FIRMS, DAY, "name.required", 0, 0, status="unknown")
    checked(ops, FIRMS, DAY, "town.required", 0, 0)
    checked(ops, FIRMS, DAY, "code.required", 0, 100, status="unknown")
    released(ops, DAY)
    complete = of(graded(ops, catalog([FIRMS])), "quality.complete", "firms")
    assert (complete.score, complete.coverage) == (pytest.approx(90), pytest.approx(0.25))


def test_the_newest_run_of_a_slice_counts_once(ops):
    delivered(ops, FIRMS, DAY)
    delivered(ops, FIRMS, DAY, at=at(DAY, 8.8), run_id="again")
    checked(ops, FIRMS, DAY, "id.required", 0, 100)
    checked(ops, FIRMS, DAY, "id.required", 80, 100, at=at(DAY, 8.8), run_id="again")
    checked(ops, FIRMS, DAY, "gone.required", 0, 100, declared_as="older")
    released(ops, DAY)
    assessment = graded(ops, catalog([FIRMS]))
    assert of(assessment, "quality.complete").score == pytest.approx(80)
    assert [tally.check_id for tally in assessment.tallies["trade", "firms"]] == ["id.required"]


def test_elements_of_all_days_of_the_month_are_pooled_per_check(ops):
    for day, passed, evaluated in ((DAY - timedelta(days=1), 0, 1000), (DAY, 100, 100), (NEXT, 200, 300)):
        delivered(ops, FIRMS, day)
        checked(ops, FIRMS, day, "id.required", passed, evaluated)
        released(ops, day)
    assert of(graded(ops, catalog([FIRMS]), NEXT), "quality.complete").score == pytest.approx(75)


def test_a_monthly_delivery_may_come_on_any_later_day_and_is_as_late_as_it_is(ops):
    monthly = contract("trade", "yearbook", arrives={"every": "month", "by": "05:00"})
    delivered(ops, monthly, DAY, event="missing")
    delivered(ops, monthly, NEXT)
    for day in (DAY, NEXT):
        released(ops, day)
    assessment = graded(ops, catalog([monthly]), NEXT)
    assert of(assessment, "access").score == 100
    assert of(assessment, "timeliness") == Score(0.7, 1, 1)


def test_with_nothing_expected_in_the_month_the_last_delivery_before_answers():
    weekly = contract("trade", "weekly", arrives={"every": "week", "weekday": 5})
    friday = DAY - timedelta(days=3)
    days = [friday + timedelta(days=n) for n in range(4)]
    assert expected_days(weekly, days, DAY) == (friday,)
    assert expected_days(weekly, days[1:], DAY) == ()
    assert expected_days(weekly, [], DAY) == ()


def test_an_old_release_computes_the_same_after_later_books(ops):
    city = catalog([FIRMS])
    delivered(ops, FIRMS, DAY, event="missing")
    released(ops, DAY)
    first = list(graded(ops, city).rows())
    delivered(ops, FIRMS, DAY, at=at(NEXT, 9), received_at=at(NEXT, 9))
    checked(ops, FIRMS, DAY, "id.required", 1, 2, at=at(NEXT, 9))
    released(ops, DAY, revision=2, hour=34)
    released(ops, NEXT, hour=10.5)
    second = list(graded(ops, city).rows())
    assert list(graded(ops, city, revision=1).rows()) == first
    assert second != first


def test_a_day_without_release_is_refused(ops):
    with pytest.raises(LakeError, match="no release of 2026-06-01"):
        Books.read(ops, catalog([FIRMS]), DAY)


def test_a_city_s_own_weights_come_first_and_mistakes_are_named(tmp_path):
    assert read_weights(tmp_path).version == "2026-1"
    (tmp_path / "weights.yml").write_text("version: mine\npillars: {source: x, points: {access: 1}}\n")
    with pytest.raises(ContractError, match="dimensions: Field required; states: Field required"):
        read_weights(tmp_path)
