"""The page of every check: it says what the validation results say, and those are read by Great Expectations."""

import json
import re
from datetime import timedelta
from pathlib import Path

import pytest
from great_expectations.core.expectation_validation_result import expectationSuiteValidationResultSchema

from expectations.catalog import Catalog
from jobs.scorecard import write_pages
from lakehouse.ops import Ops
from tests.jobs.made_up import DAY, at, catalog, checked, contract, delivered, failing, released, whole_city

NEXT = DAY + timedelta(days=1)


@pytest.fixture
def books(tmp_path: Path) -> tuple[Ops, Catalog]:
    """Two days of one dataset: a check broken on both, one that could not be computed, one judged twice, one gone since."""
    columns = {"id": {"type": "string"}, "age": {"type": "integer", "between": [0, 120]}}
    people = contract("town", "people", columns=columns, expect={"warn": [{"row_count": {"min": 5}}]})
    ops = Ops(tmp_path)
    for day in (DAY, NEXT):
        delivered(ops, people, day, rows=10, quarantined=2)
        checked(ops, people, day, "age.between", 7, 9, at=at(day, 8.6))
        failing(ops, people, day, "age.between", source_file=f"{day}.csv", source_row=4, key="id=A*")
        checked(ops, people, day, "age.type", 0, 0, status="unknown", message="it broke")
    checked(ops, people, NEXT, "row_count", 0, 1, observed="4", status="failed", at=at(NEXT, 8.6))
    checked(ops, people, NEXT, "row_count", 1, 1, observed="10", at=at(NEXT, 8.7), run_id="again")
    checked(ops, people, NEXT, "gone.in", 1, 2, declared_as="older", at=at(NEXT, 8.5), run_id="before")
    for day in (DAY, NEXT):
        released(ops, day)
    ops.flush("made up")
    return ops, catalog([people, contract("town", "silent")])


def page(books: tuple[Ops, Catalog], folder: Path) -> str:
    write_pages(folder, *books, NEXT)
    return (folder / "town.checks.html").read_text("utf-8").split("</style>")[1]


def test_the_last_slice_is_told_by_its_newest_words(books: tuple[Ops, Catalog], tmp_path: Path) -> None:
    page(books, tmp_path / "pages")
    text = (tmp_path / "pages" / "town.people.gx.json").read_text("utf-8")
    found = expectationSuiteValidationResultSchema.loads(text)
    said = {r.expectation_config.meta["citylake"]["id"]: r for r in found.results}
    assert said.keys() == {"age.between", "age.type", "row_count"}
    assert found.meta["active_batch_definition"]["batch_identifiers"] == {"day": str(NEXT)}
    between = said["age.between"]
    assert between.expectation_config.type == "expect_column_values_to_be_between"
    assert (between.result["element_count"], between.result["missing_count"], between.result["unexpected_count"]) == (
        10,
        1,
        2,
    )
    assert between.result["partial_unexpected_index_list"] == [
        {"_source_file": f"{NEXT}.csv", "_source_row": 4, "key": "id=A*"}
    ]
    assert said["row_count"].success and said["row_count"].result == {"observed_value": 10}
    assert said["age.type"].exception_info["exception_message"] == "it broke" and not said["age.type"].success


def test_the_page_shows_what_is_broken_first(books: tuple[Ops, Catalog], tmp_path: Path) -> None:
    html = page(books, tmp_path / "pages")
    assert re.findall(r'scope="row" class="what">.*?<code>(.*?)</code>', html, re.S) == [
        "age.between",
        "age.type",
        "row_count",
    ]
    assert "1 / 3" in html and "it broke" in html and f"{NEXT}.csv" in html and "id=A*" in html
    assert "Nothing was checked in the period." in html  # of the dataset that is silent


def test_a_department_links_to_its_checks_and_those_to_the_results(tmp_path: Path) -> None:
    write_pages(tmp_path / "pages", *whole_city(tmp_path / "lake", days=2), NEXT)
    linked = set()
    for path in (tmp_path / "pages").glob("*.html"):
        for link in re.findall(r'<a [^>]*href="([^"#]+)"', path.read_text("utf-8")):
            assert (tmp_path / "pages" / link).exists(), link
            linked.add(link)
    assert {p.name for p in (tmp_path / "pages").glob("*.gx.json")} <= linked
    assert {p.name for p in (tmp_path / "pages").glob("*.checks.html")} <= linked


def test_every_document_of_a_city_is_read_by_great_expectations(tmp_path: Path) -> None:
    write_pages(tmp_path / "pages", *whole_city(tmp_path / "lake", days=2), NEXT)
    documents = sorted((tmp_path / "pages").glob("*.gx.json"))
    assert len(documents) > 20
    for path in documents:
        document = json.loads(path.read_text("utf-8"))
        read = expectationSuiteValidationResultSchema.load(document)
        assert read.statistics["evaluated_expectations"] == len(read.results) == len(document["results"])
