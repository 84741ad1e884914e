"""A register of three departments and the DAGs parsed over it."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from airflow.sdk import DAG

DAGS = Path(__file__).parents[2] / "dags"


def write_register(folder: Path) -> Path:
    """A catalogue folder whose register knows fire, water and parks."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [{"id": name, "zh": name, "en": name} for name in ("fire", "water", "parks")]
    (folder / "departments.yml").write_text(json.dumps({"departments": rows}))
    return folder


@pytest.fixture(scope="session")
def parsed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, DAG]]:
    """Every DAG of the folder by its name."""
    from airflow.dag_processing.dagbag import DagBag

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CITYLAKE_CATALOG", str(write_register(tmp_path_factory.mktemp("catalog"))))
        bag = DagBag(dag_folder=DAGS)
        assert bag.import_errors == {}
        yield bag.dags


@pytest.fixture(scope="session")
def nightly(parsed: dict[str, DAG]) -> DAG:
    return parsed["nightly"]
