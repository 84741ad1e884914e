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
OWNER = "market_supervision"
DATASETS = ("firms", "food_licences")
DAYS = (date(2026, 3, 1), date(2026, 3, 2))


@pytest.fixture(scope="module")
def small_lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Two released days of two datasets of the sample city."""
    root = tmp_path_factory.mktemp("notebooks")
    catalog, shipped = root / "catalog", ROOT / "expectations"
    (catalog / "contracts" / OWNER).mkdir(parents=True)
    for name in DATASETS:
        shutil.copy(shipped / "contracts" / OWNER / f"{name}.yml", catalog / "contracts" / OWNER)
    for name in ("weights.yml", "wording.yml", "standards"):
        (catalog / name).symlink_to(shipped / name)
    (catalog / "departments.yml").write_text(f"departments: [{{id: {OWNER}, zh: 市场监督管理局, en: Market}}]", "utf-8")
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
            for step, owner in (("bring", OWNER), ("clean", OWNER), ("release", None), ("score", None)):
                run(step, day, owner)
        yield root / "lake"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs_and_shows_no_identifier(small_lake: Path, path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(
        notebook, timeout=60, kernel_name="python3", resources={"metadata": {"path": str(path.parent)}}
    ).execute()
    shown = json.dumps([cell.get("outputs") for cell in notebook.cells], ensure_ascii=False)
    assert shown.count("<table") >= 7
    assert "2026-03-02" in shown
    assert "key.unique" in shown
    bare = _sensitive(small_lake)
    assert bare
    assert not [value for value in bare if value in shown]


def _sensitive(home: Path) -> set[str]:
    """Sensitive values of the rows that are shown."""
    firms = Lake.open(home).table("silver.market_supervision__firms", masked=False)
    return set(firms.head()["phone"].dropna())


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_is_kept_without_outputs(path: Path) -> None:
    cells = nbformat.read(path, as_version=4).cells
    assert not [cell for cell in cells if cell.get("outputs") or cell.get("execution_count")]
