"""Publishes a release's scorecards: a city page, and per department its scores and every check, as HTML and as JSON."""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import date
from itertools import chain
from pathlib import Path
from typing import Any

from expectations.catalog import Catalog
from expectations.suite.documents import Document
from jobs.assess import Assessment, assess, read_weights
from jobs.books import Books, Release
from jobs.checks_page import checks_page, file_of
from jobs.department import Outcome
from jobs.findings import ExampleAt
from jobs.pages import city_page, department_pages
from jobs.validation import of_release
from lakehouse.errors import ContractError
from lakehouse.ops import Ops
from lakehouse.report.records import CityPage, DepartmentPage, Edition, Example
from lakehouse.report.render import checks_html, city_html, department_html, page_json
from lakehouse.report.shelf import replace_folder
from lakehouse.runs import Run

EXAMPLES = 3
"""Rows shown per finding."""

_FRONT = "index"


def score(run: Run, catalog: Catalog) -> Outcome:
    """The step: notes the scores of the day's newest release and publishes its pages in `pages/`.

    Unchanged when the release has these scores already. Raises LakeError when the day isn't released.
    """
    assessment = _write(run.settings.home / "pages", run.ops, catalog, run.day, None)
    rows = list(assessment.rows())
    if _noted(run.ops, assessment.release) == rows:
        return Outcome("unchanged")
    for row in rows:
        run.ops.note("scores", at=run.now, run_id=run.id, **row)
    return Outcome("succeeded")


def write_pages(folder: Path, ops: Ops, catalog: Catalog, day: date, revision: int | None = None) -> None:
    """Replace `folder` by the pages of release (`day`, `revision` or the newest): the same release, the same bytes."""
    _write(folder, ops, catalog, day, revision)


def _write(folder: Path, ops: Ops, catalog: Catalog, day: date, revision: int | None) -> Assessment:
    if _FRONT in {department.id for department in catalog.departments}:
        raise ContractError(f"'{_FRONT}' is the city page's name", where="departments.yml", hint="give it another id")
    books = Books.read(ops, catalog, day, revision)
    assessment = assess(books, catalog, read_weights(catalog.path))
    departments = department_pages(assessment, catalog, books, _examples(ops, assessment))
    city = city_page(assessment, catalog, books, departments)
    checked = of_release(ops, books, catalog, assessment)
    replace_folder(folder, chain(_files(city, departments), _check_files(city.edition, catalog, checked)))
    return assessment


def _noted(ops: Ops, release: Release) -> list[dict[str, Any]]:
    """The release's newest rows in ops.scores, as `Assessment.rows` gives them."""
    noted = [row for row in ops.read("scores", day=release.day).to_pylist() if row["revision"] == release.revision]
    last = noted[-1]["run_id"] if noted else None
    rows = [
        {name: value for name, value in row.items() if name not in ("at", "run_id")}
        for row in noted
        if row["run_id"] == last
    ]
    return sorted(rows, key=lambda row: (row["department"], row["dataset"], row["dimension"]))


def _files(city: CityPage, departments: tuple[DepartmentPage, ...]) -> Iterator[tuple[str, str]]:
    yield f"{_FRONT}.html", city_html(city)
    yield f"{_FRONT}.json", page_json(city)
    for page in departments:
        yield f"{page.id}.html", department_html(page)
        yield f"{page.id}.json", page_json(page)


def _check_files(edition: Edition, catalog: Catalog, checked: Mapping[str, Document]) -> Iterator[tuple[str, str]]:
    """A page of every check for each department, and what it rests on: a validation result for each dataset."""
    for department in catalog.departments:
        contracts = catalog.of(department.id)
        yield f"{department.id}.checks.html", checks_html(checks_page(edition, department, contracts, checked))
        for contract in contracts:
            if document := checked.get(contract.name):
                yield file_of(contract), json.dumps(document, ensure_ascii=False, indent=1) + "\n"


def _examples(ops: Ops, assessment: Assessment) -> ExampleAt:
    """A few failing rows per broken check, from the latest day on which it was broken."""
    wanted: dict[date, set[tuple[str, str, str]]] = defaultdict(set)
    for (department, dataset), tallies in assessment.tallies.items():
        for tally in tallies:
            if tally.failed_on:
                wanted[tally.failed_on].add((department, dataset, tally.check_id))
    found: dict[tuple[str, str, str], tuple[Example, ...]] = {}
    for day, places in sorted(wanted.items()):
        found |= _examples_of(ops, day, places, assessment)
    return found


def _examples_of(
    ops: Ops, day: date, places: set[tuple[str, str, str]], assessment: Assessment
) -> dict[tuple[str, str, str], tuple[Example, ...]]:
    """The first rows of each place in file order, from its newest run only: an older run may have seen other rows."""
    last: dict[tuple[str, str, str], tuple[object, str]] = {}
    rows: dict[tuple[str, str, str], set[Example]] = defaultdict(set)
    keys = ops.read("failing_keys", day=day)
    for row in keys.to_pylist():
        place = (row["department"], row["dataset"], row["check_id"])
        if place not in places or row["at"] > assessment.release.at:
            continue
        run = (row["at"], row["run_id"])
        if run > last.get(place, run):
            rows[place].clear()
        if run >= last.get(place, run):
            last[place] = run
            rows[place].add(Example(row["delivery_id"], row["source_file"], row["source_row"], row["key"]))
    return {place: tuple(sorted(examples, key=_place_in_file)[:EXAMPLES]) for place, examples in rows.items()}


def _place_in_file(example: Example) -> tuple[str, str, int, str]:
    return example.delivery or "", example.file or "", example.row or 0, example.key or ""
