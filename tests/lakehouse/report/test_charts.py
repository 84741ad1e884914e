"""Pages made from records alone: figures as people read them, charts at their edges."""

import json
import re
from dataclasses import replace
from datetime import UTC, date, datetime

import pytest

from lakehouse.report.records import CityPage, Edition, Grade, Point, Rows, Standing, Text
from lakehouse.report.render import city_html, page_json

DAY = date(2026, 6, 1)
LEVELS = tuple((float(floor), Text("级", "level")) for floor in (90, 80, 70, 60, 0))
NONE = Grade(None, 0.0, 0.0, 100.0, 0, None)
EMPTY = CityPage(
    Edition(DAY, DAY, 1, datetime(2026, 6, 1, 1, tzinfo=UTC), 1, "w", LEVELS),
    NONE,
    (),
    (),
    0,
    Rows(0, 0, 0, 0, 0),
    (),
    (),
    (),
)


def standing(grade: Grade, rank: int | None = 1) -> Standing:
    return Standing("trade", Text("商", "Trade"), rank, grade, 1, (), None, ())


def test_an_empty_city_is_a_page():
    html = city_html(EMPTY)
    assert '<p class="big">—' in html
    assert "nan" not in html.lower()


@pytest.mark.parametrize(
    ("coverage", "shown"), [(0.0, "0 %"), (0.001, "&lt; 1 %"), (0.5, "50 %"), (0.999, "&gt; 99 %"), (1.0, "100 %")]
)
def test_a_little_short_of_everything_is_not_everything(coverage, shown):
    html = city_html(replace(EMPTY, grade=replace(NONE, coverage=coverage)))
    assert f"coverage</span> {shown}</span>" in html


def test_a_bar_is_solid_to_the_floor_light_to_the_ceiling_and_ticked_at_the_score():
    html = city_html(replace(EMPTY, standings=(standing(Grade(75.0, 0.8, 60.0, 80.0, 3, Text("中", "fair"))),)))
    bar = re.findall(r'<svg class="bar".*?</svg>', html, re.S)[1]
    assert "商 · Trade: 75.0 [60.0, 80.0]" in bar
    assert '<rect class="sure s3" width="60.0"' in bar
    assert '<rect class="maybe" x="60.0" width="20.0"' in bar
    assert '<line class="tick" x1="75.0"' in bar


def test_a_department_without_score_is_named_and_unranked():
    html = city_html(replace(EMPTY, standings=(standing(NONE, None),)))
    assert "无评分" in html
    assert "tick" not in re.findall(r'<svg class="bar".*?</svg>', html, re.S)[1]


@pytest.mark.parametrize("days", [1, 2, 31])
def test_a_trend_has_a_dot_for_each_day_with_a_score(days):
    points = tuple(Point(date(2026, 5, 1 + n), 50.0 + n, 40.0, 90.0) for n in range(days))
    html = city_html(replace(EMPTY, trend=(*points, Point(date(2026, 6, 1), None, 0.0, 100.0))))
    assert html.count("<circle") == days


def test_rows_that_do_not_add_up_raise_an_alarm():
    assert "alarm" in city_html(replace(EMPTY, night=Rows(10, 5, 3, 1, 0))).split("</style>")[1]
    assert "alarm" not in city_html(replace(EMPTY, night=Rows(10, 5, 3, 1, 1))).split("</style>")[1]


def test_json_is_the_record():
    page = json.loads(page_json(EMPTY))
    assert page["edition"]["at"] == "2026-06-01T01:00:00+00:00"
    assert page["grade"]["score"] is None
