"""Grades every department for a release: from the books to rows of `ops.scores`."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import yaml
from pydantic import ValidationError

from expectations.arrivals import Item, Told, expected_days, items, newest
from expectations.catalog import Catalog
from expectations.score import (
    DIMENSIONS,
    PILLARS,
    UNASSESSED,
    UNKNOWN,
    Dimension,
    Pillar,
    Score,
    Tally,
    Weights,
    combine,
    dimensions,
    overall,
    pool,
    quality,
)
from jobs.books import Books, Release
from lakehouse.errors import ContractError

CITY = ""
"""The department of the city's own scores; a department's own have no dataset."""

Place = tuple[str, str, str]
"""(department, dataset, dimension), as in ops.scores."""


@dataclass(frozen=True)
class Assessment:
    """Every score of one release, and what each rests on: the lists' items, the checks' tallies, the deliveries."""

    release: Release
    weights: Weights
    scores: Mapping[Place, Score]
    items: tuple[Item, ...]
    tallies: Mapping[tuple[str, str], tuple[Tally, ...]]
    deliveries: Told

    def rows(self) -> Iterator[dict[str, Any]]:
        """Rows for ops.scores but for `at` and `run_id`, in order: score, floor and ceiling 0 to 100, coverage 0 to 1.

        `passed` of `evaluated` are the points earned of those assessed: score = 100 * passed / evaluated, null if none.
        """
        for (department, dataset, dimension), score in sorted(self.scores.items()):
            yield {
                "day": self.release.day,
                "revision": self.release.revision,
                "department": department,
                "dataset": dataset,
                "dimension": dimension,
                "score": None if score.score is None else round(score.score, 6),
                "coverage": round(score.coverage, 6),
                "floor": round(score.floor, 6),
                "ceiling": round(score.ceiling, 6),
                "passed": round(score.passed, 6),
                "evaluated": round(score.evaluated, 6),
                "weights": self.weights.name,
            }


def assess(books: Books, catalog: Catalog, weights: Weights) -> Assessment:
    """The scores of every dataset, every department and the city for one release. Pure."""
    release = books.release
    tallies = _tallies(books, catalog)
    broken = _broken_slices(books.results)
    told = newest(books.deliveries.to_pylist())
    listed = items(catalog.contracts, told, broken, books.released, release.day, release.at, weights)
    scores: dict[Place, Score] = {}
    for item in listed:
        contract = item.contract
        own = tallies.get((contract.department, contract.dataset), ())
        scores |= _dataset_scores(item, own if item.usable == "usable" else (), weights)
    due = [(i.contract.department, i.contract.dataset) for i in listed if i.usable != "not_yet_due"]
    for (
        each
    ) in catalog.unusable:  # nobody can say what it should deliver: no score, and less of the department is covered
        unknown = _named(UNKNOWN, UNKNOWN, dimensions(()), weights)
        scores |= {(each.department, each.dataset, name): score for name, score in unknown.items()}
        due.append((each.department, each.dataset))
    for department in catalog.departments:
        own_due = [dataset for owner, dataset in due if owner == department.id]
        scores |= _department_scores(department.id, own_due, scores, weights)
    scores |= _city_scores({d.id: d.weight for d in catalog.departments}, scores)
    return Assessment(release, weights, scores, listed, tallies, told)


def _dataset_scores(item: Item, tallies: tuple[Tally, ...], weights: Weights) -> dict[Place, Score]:
    scores = _named(item.access, item.timeliness(weights), dimensions(tallies), weights)
    return {(item.contract.department, item.contract.dataset, name): score for name, score in scores.items()}


def _department_scores(
    department: str, due: list[str], scores: Mapping[Place, Score], weights: Weights
) -> dict[Place, Score]:
    """Access per item and timeliness per delivery; each dimension the mean of the datasets that were due."""

    def of(dimension: str) -> list[Score]:
        return [scores[department, dataset, dimension] for dataset in due]

    by_dimension = {d: combine((1, score) for score in of(f"quality.{d}")) for d in DIMENSIONS}
    named = _named(pool(of("access")), pool(of("timeliness")), by_dimension, weights)
    return {(department, "", name): score for name, score in named.items()}


def _named(
    access: Score, timeliness: Score, by_dimension: dict[Dimension, Score], weights: Weights
) -> dict[str, Score]:
    """Scores by their names in ops.scores. Security and closure aren't measured yet and say so by their coverage."""
    by_pillar: dict[Pillar, Score] = {
        "access": access,
        "timeliness": timeliness,
        "quality": quality(by_dimension, weights),
        "security": UNASSESSED,
        "closure": UNASSESSED,
    }
    named: dict[str, Score] = {"overall": overall(by_pillar, weights)}
    named.update({str(pillar): score for pillar, score in by_pillar.items()})
    named.update({f"quality.{dimension}": score for dimension, score in by_dimension.items()})
    return named


def _city_scores(weight: Mapping[str, float], scores: Mapping[Place, Score]) -> dict[Place, Score]:
    names = ("overall", *PILLARS, *(f"quality.{d}" for d in DIMENSIONS))
    return {(CITY, "", name): combine((w, scores[d, "", name]) for d, w in weight.items()) for name in names}


_TALLIES = """
with newest as (
    select r.* from results r join windows w using (department, dataset) join released d using (day)
    where r.day >= w.since
    qualify row_number() over (partition by department, dataset, day, check_id order by r.at desc, run_id desc) = 1
), current as (
    -- a check that a newer contract no longer has is gone
    select * from newest
    qualify contract is not distinct from first_value(contract)
        over (partition by department, dataset, day order by "at" desc, run_id desc)
), assessed as (
    select *, status <> 'unknown' and evaluated > 0 as is_assessed, is_assessed and passed < evaluated as is_failed
    from current
)
select department, dataset, check_id,
    arg_max("check", day) as "check", arg_max("column", day) as "column",
    arg_max(dimension, day) as dimension, arg_max(indicator, day) as indicator, arg_max(level, day) as level,
    coalesce(sum(passed) filter (is_assessed), 0)::bigint as passed,
    coalesce(sum(evaluated) filter (is_assessed), 0)::bigint as evaluated,
    count(*) filter (is_assessed) as assessed, count(*) as slices,
    max(day) filter (is_failed) as failed_on,
    coalesce(arg_max(evaluated - passed, day) filter (is_failed), 0)::bigint as failed,
    coalesce(arg_max(message, day) filter (is_failed), arg_max(message, day) filter (not is_assessed)) as message
from assessed group by all order by department, dataset, check_id
"""


def _tallies(books: Books, catalog: Catalog) -> dict[tuple[str, str], tuple[Tally, ...]]:
    """(department, dataset) -> its checks over the period, by check id."""
    day = books.release.day
    month = day.replace(day=1)
    windows = pa.Table.from_pylist(
        [
            {
                "department": c.department,
                "dataset": c.dataset,
                "since": min(expected_days(c, books.released, day), default=month),
            }
            for c in catalog.contracts
        ],
        schema=pa.schema([("department", pa.string()), ("dataset", pa.string()), ("since", pa.date32())]),
    )
    with duckdb.connect(":memory:", config={"threads": 2}) as connection:
        connection.register("results", books.results)
        connection.register("windows", windows)
        connection.register("released", pa.table({"day": pa.array(books.released, pa.date32())}))
        rows = connection.sql(_TALLIES).to_arrow_table().to_pylist()
    found: dict[tuple[str, str], list[Tally]] = defaultdict(list)
    for row in rows:
        found[row.pop("department"), row.pop("dataset")].append(Tally(**row))
    return {place: tuple(tallies) for place, tallies in found.items()}


def _broken_slices(results: pa.Table) -> frozenset[tuple[str, str, date]]:
    """Slices whose newest word on a `fail` rule is that it is broken: they aren't served."""
    last: dict[tuple[str, str, date, str], str] = {}
    rules = results.filter(pc.field("level") == "fail")
    for row in rules.select(["department", "dataset", "day", "check_id", "status"]).to_pylist():
        last[row["department"], row["dataset"], row["day"], row["check_id"]] = row["status"]
    return frozenset(place[:3] for place, status in last.items() if status == "failed")


def read_weights(catalog: Path) -> Weights:
    """The city's own `weights.yml`, else the one that comes with Citylake. Raises ContractError with every mistake."""
    path = next((p for p in (catalog / "weights.yml", _WEIGHTS) if p.exists()), _WEIGHTS)
    try:
        return Weights.model_validate(yaml.safe_load(path.read_text("utf-8")))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ContractError("not YAML in UTF-8", where=str(path), hint=str(error).splitlines()[0]) from error
    except ValidationError as error:
        faults = [f"{'.'.join(map(str, f['loc']))}: {f['msg']}" for f in error.errors(include_url=False)]
        raise ContractError("; ".join(faults), where=str(path), hint="mend the keys named here") from error


_WEIGHTS = Path(__file__).parent.parent / "expectations" / "weights.yml"
