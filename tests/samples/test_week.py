"""The whole sample week: what was planted is found, what wasn't planted isn't reported, and no row vanishes."""

from collections.abc import Iterator
from contextlib import suppress
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset
import pytest

import samples
from expectations import catalog
from jobs.department import DatasetsFailed
from jobs.run import run
from jobs.steps import STEPS
from lakehouse.ops import Ops
from lakehouse.settings import Settings
from lakehouse.table import Table
from samples import truth

LAYERS = ("bronze", "silver", "quarantine")


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A lake in which every day of the sample was brought, cleaned, related, released and scored, its servers up."""
    home = tmp_path_factory.mktemp("city")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("CATALOG", "INBOX", "NOW"):
            patch.delenv(f"CITYLAKE_{name}", raising=False)
        patch.setenv("CITYLAKE_HOME", str(home))
        samples.deliver(home)
        with samples.serve(home):
            for day in samples.DAYS:
                night(day)
            yield home


def night(day: date) -> None:
    """Every nightly step of the day but the one that needs Spark."""
    departments = [department.id for department in catalog.departments(Settings.from_environment().catalog)]
    for name, step in STEPS.items():
        if name == "geo_index" or not step.nightly:
            continue
        for department in departments if step.scope == "department" else [None]:
            for _ in range(3):  # as Airflow would; planted: a day that the API doesn't have
                with suppress(DatasetsFailed):
                    run(name, day, department)
                    break


def versions(home: Path) -> dict[str, int | None]:
    return {
        f"{layer}.{path.name}": Table(path).version() for layer in LAYERS for path in sorted((home / layer).iterdir())
    }


def test_what_was_planted_is_found_and_nothing_else_is_reported(city: Path) -> None:
    planted, arrivals = truth.read(city / "inbox")
    ops = Ops(city)
    found = truth.Found(ops.read("results"), ops.read("failing_keys"), ops.read("deliveries"))
    kinds = truth.compare(planted, arrivals, found)
    wrong = truth.differences(planted, arrivals, found).to_pylist()
    rows = kinds.to_pylist()
    assert sum(row["planted"] for row in rows) > 800
    short = [row for row in rows if row["recall"] not in (1.0, None) or row["precision"] not in (1.0, None)]
    print(kinds.to_pandas().to_string())
    assert short == [], wrong[:20]


def test_no_row_vanishes(city: Path) -> None:
    rows = Ops(city).read("deliveries")
    cleaned = rows.filter(pc.field("event") == "cleaned")
    fates = pc.add(pc.add(cleaned["accepted"], cleaned["quarantined"]), cleaned["unparsable"])
    assert cleaned.num_rows > 200
    assert pc.all(pc.equal(cleaned["rows_in"], fates)).as_py()
    loaded = {row["delivery_id"]: row["rows_in"] for row in rows.filter(pc.field("event") == "loaded").to_pylist()}
    assert loaded == {row["delivery_id"]: row["rows_in"] for row in cleaned.to_pylist()}


def test_quarantine_and_silver_hold_what_the_books_say(city: Path) -> None:
    cleaned = Ops(city).read("deliveries").filter(pc.field("event") == "cleaned")
    told = cleaned.group_by(["department", "dataset"]).aggregate([("accepted", "sum"), ("quarantined", "sum")])
    upserted = {c.table for c in catalog.load(Settings.from_environment().catalog).contracts if c.load == "upsert"}
    for row in told.to_pylist():
        table = f"{row['department']}__{row['dataset']}"
        if table not in upserted:
            assert count(city / "silver" / table) == row["accepted_sum"], table
        assert count(city / "quarantine" / table) == row["quarantined_sum"], table


def count(path: Path) -> int:
    table = Table(path)
    return pa.dataset.dataset(table.files()).count_rows() if table.exists() and table.files() else 0


def test_a_released_day_again_changes_no_version_and_makes_no_release(city: Path) -> None:
    before, releases = versions(city), Ops(city).read("releases").num_rows
    night(samples.DAYS[2])
    assert versions(city) == before
    assert Ops(city).read("releases").num_rows == releases
