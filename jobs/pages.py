"""From an assessment to what the pages say: typed records, no markup and no disk."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import date
from typing import get_args

from expectations.arrivals import Arrival, Delivery, Item, withdrawn
from expectations.catalog import Catalog, Department, Unusable
from expectations.score import DIMENSIONS, PILLARS, Name, Score, Weights
from jobs.assess import CITY, Assessment
from jobs.books import Books
from jobs.findings import ExampleAt, findings, title, wording
from lakehouse.contract import Contract
from lakehouse.report.records import (
    CityPage,
    Dataset,
    DepartmentPage,
    Edition,
    Finding,
    Grade,
    Mark,
    MarkKind,
    Part,
    Point,
    Rows,
    Standing,
    Text,
    published,
)

WORST = 2
"""Findings named in a dataset's own row."""


def department_pages(
    assessment: Assessment, catalog: Catalog, books: Books, examples: ExampleAt
) -> tuple[DepartmentPage, ...]:
    """One page per department of the register, in its order."""
    ranks = _ranks(assessment, catalog.departments)
    edition, trends, failures = _edition(assessment, books), _trends(assessment, books), _failures(books)
    gone = _withdrawn(books)

    def page(department: Department) -> DepartmentPage:
        listed = [item for item in assessment.items if item.contract.department == department.id]
        unusable = [each for each in catalog.unusable if each.department == department.id]
        found = findings(listed, assessment.tallies, examples, assessment.weights, len(unusable))
        datasets = [_dataset(assessment, item, found, gone) for item in listed]
        datasets += [_unusable(assessment, each, catalog) for each in unusable]
        return DepartmentPage(
            edition,
            department.id,
            Text(department.zh, department.en),
            department.contact,
            _grade(assessment.scores[department.id, "", "overall"], assessment.weights),
            ranks.get(department.id),
            len(ranks),
            _pillars(assessment, department.id),
            _dimensions(assessment, department.id),
            found,
            tuple(sorted(datasets, key=lambda dataset: dataset.id)),
            trends[department.id],
            tuple(failures.get(department.id, ())),
        )

    return tuple(page(department) for department in catalog.departments)


def city_page(
    assessment: Assessment, catalog: Catalog, books: Books, departments: Iterable[DepartmentPage]
) -> CityPage:
    """The city's page from its departments' pages."""
    standings = [
        Standing(
            page.id,
            page.name,
            page.rank,
            page.grade,
            len(page.datasets),
            (*page.pillars[:3], *(part for part in page.dimensions if part.weight)),
            page.findings[0] if page.findings else None,
            page.failures,
        )
        for page in departments
    ]
    tonight = [a for item in assessment.items for a in item.arrivals if a.day == assessment.release.day]
    kinds = [_kind(arrival) for arrival in tonight]
    day = assessment.release.day
    return CityPage(
        _edition(assessment, books),
        _grade(assessment.scores[CITY, "", "overall"], assessment.weights),
        _pillars(assessment, CITY),
        tuple(sorted(standings, key=lambda s: (s.rank is None, s.rank, s.id))),
        len(catalog.contracts) + len(catalog.unusable),
        rows_of(told for days in assessment.deliveries.values() for told in days.get(day, ())),
        tuple((kind, kinds.count(kind)) for kind in get_args(MarkKind) if kind in kinds),
        _trends(assessment, books)[CITY],
        tuple(_failures(books).get(CITY, ())),
    )


def _edition(assessment: Assessment, books: Books) -> Edition:
    release, weights = assessment.release, assessment.weights
    month = [day for day in books.released if (day.year, day.month) == (release.day.year, release.day.month)]
    levels = tuple((step.from_, Text(step.zh, step.en)) for step in weights.levels.steps)
    return Edition(release.day, min(month), release.revision, release.at, len(month), weights.name, levels)


def _grade(score: Score, weights: Weights) -> Grade:
    level = weights.level(score.score)
    step = 0 if level is None else len(weights.levels.steps) - weights.levels.steps.index(level)
    return Grade(
        None if score.score is None else round(score.score, 6),
        round(score.coverage, 6),
        round(score.floor, 6),
        round(score.ceiling, 6),
        step,
        Text(level.zh, level.en) if level else None,
    )


def _pillars(assessment: Assessment, department: str) -> tuple[Part, ...]:
    return _parts(assessment, department, PILLARS, assessment.weights.pillars.points, wording().pillars)


def _dimensions(assessment: Assessment, department: str) -> tuple[Part, ...]:
    points, words = assessment.weights.dimensions.points, wording().dimensions
    return _parts(assessment, department, DIMENSIONS, points, words, within="quality.")


def _parts(
    assessment: Assessment,
    department: str,
    names: Iterable[Name],
    points: Mapping[Name, float],
    words: Mapping[Name, Text],
    within: str = "",
) -> tuple[Part, ...]:
    whole = sum(points.values())
    grades = {name: _grade(assessment.scores[department, "", within + name], assessment.weights) for name in names}
    return tuple(Part(name, words[name], 100 * points[name] / whole, grade) for name, grade in grades.items())


def _dataset(
    assessment: Assessment, item: Item, found: tuple[Finding, ...], gone: Mapping[tuple[str, str], Mapping[str, date]]
) -> Dataset:
    contract, weights = item.contract, assessment.weights
    place = (contract.department, contract.dataset)
    since = item.arrivals[0].day if item.arrivals else assessment.release.day
    days = assessment.deliveries.get(place, {})
    return Dataset(
        contract.dataset,
        title(contract),
        contract.arrives.every,
        _by(contract),
        item.usable,
        _grade(assessment.scores[*place, "overall"], weights),
        _grade(assessment.scores[*place, "quality"], weights),
        rows_of(told for day in days if since <= day <= assessment.release.day for told in days[day]),
        tuple(Mark(a.day, _kind(a), a.due, a.received) for a in item.arrivals),
        tuple(f for f in found if f.dataset == contract.dataset)[:WORST],
        tuple(tally.check_id for tally in assessment.tallies.get(place, ()) if not tally.assessed),
        None,
        tuple(name for name, day in gone.get(place, {}).items() if since <= day <= assessment.release.day),
    )


def _unusable(assessment: Assessment, unusable: Unusable, catalog: Catalog) -> Dataset:
    """A dataset of whose contract nothing but its mistakes is known."""
    grade = _grade(assessment.scores[unusable.department, unusable.dataset, "overall"], assessment.weights)
    mistakes = "; ".join(unusable.mistakes).replace(f"{catalog.path}/", "")
    name = Text(unusable.dataset, unusable.dataset)
    return Dataset(
        unusable.dataset, name, None, None, "unknown", grade, grade, Rows(0, 0, 0, 0, 0), (), (), (), mistakes
    )


def _by(contract: Contract) -> str:
    """The last moment that isn't late, on the wall clock: `by` and the grace, `+1` past midnight."""
    day = date(2000, 1, 1)
    due = contract.arrives.due(day)
    later = (due.date() - day).days
    return f"{due:%H:%M}" + (f" +{later}" if later else "")


def rows_of(deliveries: Iterable[Delivery]) -> Rows:
    """Where the rows of these deliveries are; those that brought nothing new don't count."""
    loaded = [d for d in deliveries if d.loaded]
    cleaned = [d for d in loaded if d.event == "cleaned"]
    waiting = sum((d.rows_in or 0) - (d.unparsable or 0) for d in loaded if d.event == "loaded")
    return Rows(
        sum(d.rows_in or 0 for d in loaded),
        sum(d.accepted or 0 for d in cleaned),
        sum(d.quarantined or 0 for d in cleaned),
        sum(d.unparsable or 0 for d in loaded),
        waiting,
    )


def _kind(arrival: Arrival) -> MarkKind:
    """How the strip shows an arrival: a late absence is `missing`, whatever it is worth so far."""
    if arrival.came in ("unchanged", "refused"):
        return arrival.came
    late = arrival.state not in ("not_yet_due", "unknown")
    return "missing" if arrival.came == "nothing" and late else arrival.state


def _ranks(assessment: Assessment, departments: Iterable[Department]) -> dict[str, int]:
    """Ranks by the score as published, with one decimal; equals share a rank, a department without a score has none."""
    scores = {d.id: assessment.scores[d.id, "", "overall"].score for d in departments}
    shown = {name: published(score) for name, score in scores.items() if score is not None}
    return {name: 1 + sum(other > score for other in shown.values()) for name, score in shown.items()}


def _trends(assessment: Assessment, books: Books) -> Mapping[str, tuple[Point, ...]]:
    """Department (or the city) -> its overall score by day, as last published before this release, and this one's."""
    points: dict[str, dict[date, Point]] = defaultdict(dict)
    for row in books.scores.to_pylist():
        if row["dimension"] == "overall" and not row["dataset"]:
            point = Point(row["day"], row["score"], row["floor"], row["ceiling"])
            points[row["department"] or CITY][row["day"]] = point
    for (department, dataset, dimension), score in assessment.scores.items():
        if dimension == "overall" and not dataset:
            grade, day = _grade(score, assessment.weights), assessment.release.day
            points[department][day] = Point(day, grade.score, grade.floor, grade.ceiling)
    return {name: tuple(found[day] for day in sorted(found)) for name, found in points.items()}


def _withdrawn(books: Books) -> Mapping[tuple[str, str], Mapping[str, date]]:
    """Department and dataset -> the files that were taken away and not sent again, and the day they were for."""
    rows = books.deliveries.select(["department", "dataset", "day", "delivery_id", "name", "event"]).to_pylist()
    taken = withdrawn(rows)
    found: dict[tuple[str, str], dict[str, date]] = defaultdict(dict)
    for row in rows:
        if (row["delivery_id"], row["name"]) in taken:
            found[row["department"], row["dataset"]][row["name"]] = row["day"]
    return found


def _failures(books: Books) -> Mapping[str, list[str]]:
    """Department (or the city) -> the steps of the night whose newest run failed, each with its error."""
    last = {(r["department"] or CITY, r["dataset"] or "", r["step"]): r for r in books.runs.to_pylist()}
    failures: dict[str, list[str]] = defaultdict(list)
    for (department, dataset, step), run in sorted(last.items()):
        if run["status"] == "failed":
            failures[department].append(f"{step} {dataset}".strip() + f": {run['error'] or ''}")
    return failures
