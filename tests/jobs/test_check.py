"""A file on somebody's desk is counted as the night counts it, though sound rows are never looked at one by one."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from expectations.catalog import load
from jobs.check import check
from lakehouse.settings import Settings
from tests.expectations.test_checks import CASES, declared
from tests.jobs.small_city import DAY, City, own_settings, text_of

ROW_CHECKS = (
    "required",
    "type",
    "length",
    "pattern",
    "standard",
    "in",
    "between",
    "unique",
    "when",
    "compare",
    "clean_text",
)


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[City]:
    with own_settings():
        city = City(tmp_path_factory.mktemp("checked"))
        declared(city)
        city.night()
        yield city


@pytest.mark.parametrize("dataset", CASES)
def test_a_file_and_a_night_count_the_same(lake: City, dataset: str) -> None:
    catalog = load(lake.catalog)
    (file,) = (lake.inbox / dataset / DAY.isoformat()).glob("*")
    found = check(file, catalog.contract(f"town.{dataset}"), catalog.standards, DAY, Settings.from_environment())
    counted = {r.rule.id: (r.status, r.evaluated, r.passed) for r in found.results if r.rule.check.name in ROW_CHECKS}
    noted = lake.results(dataset)
    assert counted == {name: noted[name] for name in counted}
    failing = [(f.check_id, f.source_row, f.key) for f in found.failing]
    kept = [(f["check_id"], f["source_row"], f["key"]) for f in lake.book("failing_keys", dataset)]
    assert sorted(f for f in failing if f[0] in counted) == sorted(f for f in kept if f[0] in counted)
    fates = lake.last_run("clean", dataset)
    assert (found.rows.accepted, found.rows.quarantined) == (fates["accepted"], fates["quarantined"])


def test_the_first_failing_rows_come_first(lake: City, tmp_path: Path) -> None:
    lake.declare("long", {"n": {"type": "integer", "between": [0, 5], "level": "error"}, "v": {"type": "string"}})
    file = tmp_path / "long.csv"
    file.write_text(text_of(["n", "v"], [[9 if n % 7 == 6 else 1, ""] for n in range(300_000)]))
    contract = load(lake.catalog).contract("town.long")
    found = check(file, contract, {}, DAY, Settings.from_environment())
    assert [f.source_row for f in found.failing] == [8 + 7 * n for n in range(1_000)]
    assert (found.rows.accepted, found.rows.quarantined) == (300_000 - 42_857, 42_857)
