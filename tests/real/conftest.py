"""Real deliveries, exactly as their publishers made them, through the night's own steps. None of them is kept here."""

import shutil

import pytest

from tests.real.deliveries import DAY, DEPARTMENTS, DROPS, NEXT, SHARED, Lake


@pytest.fixture(scope="session")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """Two nights over everything delivered: all departments on the first day, requests once more on the second."""
    if not SHARED.is_dir():
        pytest.skip(f"the real deliveries are not here ({SHARED}); see docs/real-deliveries.md")
    root = tmp_path_factory.mktemp("real")
    for (dataset, day), pattern in DROPS.items():
        folder = root / "inbox" / dataset.replace(".", "/") / day.isoformat()
        folder.mkdir(parents=True)
        for path in SHARED.glob(pattern):
            shutil.copyfile(path, folder / path.name)
    lake = Lake(root)
    lake.night(DAY, DEPARTMENTS)
    lake.night(NEXT, ("requests",))
    return lake
