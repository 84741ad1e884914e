"""`citylake export`."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jobs.cli import call
from tests.jobs.cli.conftest import HEADER

DAY = "2026-03-01"
SELECT = "SELECT *, CASE WHEN id = 'b1' THEN 120.8 END AS lon, 32.0 AS lat FROM silver.works__bridges"


def test_rows_of_a_release_as_geojson(
    catalog: Path, deliver: Callable[..., Path], told: Callable[..., Any], tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    deliver("works/bridges", DAY, HEADER + "b1,One,13800000001,10\nb2,Two,13800000002,20\n")
    assert call(["backfill", "--from", DAY, "--to", DAY]) == 0
    file = tmp_path / "桥梁.geojson"
    said = told("export", SELECT, str(file))
    assert (said["rows"], said["nowhere"], said["kinds"], said["file"]) == (2, 1, ["Point"], str(file))
    first, second = json.loads(file.read_text("utf-8"))["features"]
    assert first["geometry"] == {"type": "Point", "coordinates": [120.8, 32.0]} and second["geometry"] is None
    assert (first["properties"]["name"], first["properties"]["phone"]) == ("One", "13*******01")
    assert call(["export", SELECT, str(file), "--no-masked", "--day", DAY]) == 0
    assert capsys.readouterr().out == f"{file}  2 rows, 1 of them without a geometry\n"
    assert "13800000001" in file.read_text("utf-8")
    page = tmp_path / "map.html"
    assert told("export", SELECT, str(page), "--color", "name")["says"] == "1 row, 1 without a position"
    assert "<svg" in page.read_text("utf-8") and "13800000001" not in page.read_text("utf-8")
    assert call(["export", "silver.works__bridges", str(file)]) == 2
    assert "no geometry among the columns id, name" in capsys.readouterr().err
