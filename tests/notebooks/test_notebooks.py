"""The notebooks run from top to bottom on a small lake, and are kept without outputs."""

import json
import shutil
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from expectations.catalog import load
from jobs.run import run
from lakehouse import Lake
from samples.city import build
from samples.delivery import content, file_path

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
DATASETS = {"market_supervision": ("firms", "food_licences"), "urban_management": ("muck_trucks",)}
SHOWN = {
    "first_look": {"<table": 7, "2026-03-02": 1, "key.unique": 1},
    "movement": {"<table": 3, "<iframe": 4, "rows in cells of": 1},
}
"""What each notebook shows, and how often at least."""
DAYS = (date(2026, 3, 1), date(2026, 3, 2))


@pytest.fixture(scope="module")
def small_lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Two released days of three datasets of the sample city."""
    root = tmp_path_factory.mktemp("notebooks")
    catalog, shipped = root / "catalog", ROOT / "expectations"
    for owner, names in DATASETS.items():
        (catalog / "contracts" / owner).mkdir(parents=True)
        for name in names:
            shutil.copy(shipped / "contracts" / owner / f"{name}.yml", catalog / "contracts" / owner)
    for name in ("weights.yml", "wording.yml", "sites.yml", "standards"):
        (catalog / name).symlink_to(shipped / name)
    register = [{"id": owner, "zh": owner, "en": owner} for owner in DATASETS]
    (catalog / "departments.yml").write_text(json.dumps({"departments": register}), "utf-8")
    city = build(7)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CITYLAKE_HOME", str(root / "lake"))
        patch.setenv("CITYLAKE_CATALOG", str(catalog))
        patch.setenv("CITYLAKE_INBOX", str(root / "lake" / "inbox"))
        patch.setenv("PYTHONPATH", str(ROOT))
        for day in DAYS:
            for contract in load(catalog).contracts:
                file = root / "lake" / "inbox" / file_path(contract, day)
                file.parent.mkdir(parents=True)
                file.write_bytes(content(city, contract, day)[0])
            patch.setenv("CITYLAKE_NOW", f"{day}T09:00:00+08:00")
            for owner in DATASETS:
                run("bring", day, owner)
                run("clean", day, owner)
            for step in ("stays", "sites", "release", "score"):
                run(step, day, None)
        yield root / "lake"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs_and_shows_no_identifier(small_lake: Path, path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(
        notebook, timeout=60, kernel_name="python3", resources={"metadata": {"path": str(path.parent)}}
    ).execute()
    shown = json.dumps([cell.get("outputs") for cell in notebook.cells], ensure_ascii=False)
    for what, times in SHOWN[path.stem].items():
        assert shown.count(what) >= times, what
    bare = _sensitive(small_lake)
    assert len(bare) > 20
    assert not [value for value in bare if value in shown]


def _sensitive(home: Path) -> set[str]:
    """Sensitive values of the rows that are shown."""
    lake = Lake.open(home)
    phones = lake.table("silver.market_supervision__firms", masked=False).head()["phone"]
    plates = lake.sql("SELECT DISTINCT plate FROM silver.urban_management__muck_trucks", masked=False).to_pandas()
    return {*phones.dropna(), *plates["plate"].dropna()}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_is_kept_without_outputs(path: Path) -> None:
    cells = nbformat.read(path, as_version=4).cells
    assert not [cell for cell in cells if cell.get("outputs") or cell.get("execution_count")]
