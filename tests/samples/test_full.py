"""A whole city's night, made small: what its contracts say is what is delivered, and one row in a hundred is broken."""

import hashlib
from pathlib import Path

import pyarrow.compute as pc
import pytest

from jobs.run import run
from lakehouse.ops import Ops
from samples import full
from tests.jobs.small_city import own_settings

UNITS, ROWS, READINGS = 2, 200, 20_000


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("full")
    full.deliver(home, units=UNITS, rows=ROWS, readings=READINGS)
    return home


def test_the_same_seed_makes_the_same_bytes(home: Path, tmp_path: Path) -> None:
    full.deliver(tmp_path, units=UNITS, rows=ROWS, readings=READINGS)
    assert _hashes(home) == _hashes(tmp_path)
    full.deliver(tmp_path, seed=8, units=UNITS, rows=ROWS, readings=READINGS)
    assert _hashes(home) != _hashes(tmp_path)


def test_a_night_takes_all_but_the_broken_rows(home: Path) -> None:
    with own_settings() as patch:
        patch.setenv("CITYLAKE_HOME", str(home))
        patch.setenv("CITYLAKE_CATALOG", str(home / "catalog"))
        for step in ("bring", "clean"):
            for department in ("unit_01", "unit_02", "sensing"):
                run(step, full.DAY, department)
    books = Ops(home)
    cleaned = books.read("deliveries").filter(pc.field("event") == "cleaned").to_pylist()
    assert len(cleaned) == UNITS * 10 + UNITS  # ten datasets of every unit, and a file of readings of each
    for row in cleaned:
        assert row["accepted"] + row["quarantined"] == row["loaded"] == row["rows_in"]
    broken = {
        (row["dataset"], row["department"]): row["quarantined"] for row in cleaned if row["dataset"] == "penalties"
    }
    assert set(broken.values()) == {ROWS // 100}  # the column that orders versions must be there
    (out_of_bounds,) = {
        result["evaluated"] - result["passed"]
        for result in books.read("results").filter(pc.field("dataset") == "readings").to_pylist()
        if result["check"] == "between" and result["column"] == "value"
    }
    assert out_of_bounds in range(READINGS // 1_000 - 4, READINGS // 1_000 + 1)


def _hashes(home: Path) -> dict[str, str]:
    files = sorted(path for path in (home / "inbox").rglob("*") if path.is_file())
    return {str(path.relative_to(home)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
