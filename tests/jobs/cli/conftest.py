"""A small city: two departments, one dataset each, in a catalogue of its own."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jobs.cli import call

BRIDGES = """
title: 桥梁 · bridges
kind: government
sharing: unconditional
source: {type: file, uri: "{inbox}/works/bridges/{day}/*.csv"}
load: snapshot
arrives: {every: day, by: "06:00", grace: 1h}
key: [id]
columns:
  id: {type: string}
  name: {type: string, required: true}
  phone: {type: string, class: sensitive, length: [11, 11]}
  length_m: {type: double, between: [1, 5000]}
expect:
  fail: [{row_count: {min: 1}}]
"""
TREES = """
title: 行道树 · street trees
kind: government
sharing: unconditional
source: {type: file, uri: "{inbox}/parks/trees/{day}/*.csv"}
load: append
columns:
  id: {type: string}
"""
DEPARTMENTS = "departments:\n  - {id: works, zh: 城建局, en: Works}\n  - {id: parks, zh: 园林局, en: Parks}\n"
HEADER = "id,name,phone,length_m\n"


@pytest.fixture
def catalog(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "expectations"
    for path, text in {
        "departments.yml": DEPARTMENTS,
        "contracts/works/bridges.yml": BRIDGES,
        "contracts/parks/trees.yml": TREES,
        "standards/layers/districts.geojson": '{"type": "FeatureCollection", "features": []}',
    }.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, "utf-8")
    monkeypatch.setenv("CITYLAKE_CATALOG", str(folder))
    return folder


@pytest.fixture
def deliver(home: Path) -> Callable[[str, str, str], Path]:
    """Puts a file into the inbox: dataset as `department/dataset`, day, text."""

    def put(dataset: str, day: str, text: str) -> Path:
        folder = home / "inbox" / dataset / day
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{dataset.rpartition('/')[2]}.csv"
        path.write_text(text, "utf-8")
        return path

    return put


@pytest.fixture
def told(capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """Runs a command line that must succeed with `--json` and gives what it printed."""

    def run(*args: str) -> Any:
        capsys.readouterr()
        assert call([*args, "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    return run
