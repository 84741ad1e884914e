"""What is delivered on which day, the lake it goes into, and counts made without any of Citylake's code."""

import csv
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from jobs.run import run
from lakehouse.ops import Ops
from lakehouse.table import Table

SHARED = Path(__file__).parents[3] / "shared" / "data"
CATALOG = Path(__file__).parent / "catalog"
DAY, NEXT = date(2026, 3, 2), date(2026, 3, 3)
DEPARTMENTS = ("requests", "hotline", "air", "taxis", "places", "water")

DROPS = {
    ("requests/calls", DAY): "requests_311/2016.csv",
    ("requests/calls", NEXT): "requests_311/2018.csv",
    ("hotline/posts", DAY): "hotline/messages_sheet_3.xlsx",
    ("hotline/replies", DAY): "hotline/messages_sheet_4.xlsx",
    ("hotline/categories", DAY): "hotline/category_tree_sheet_1.xlsx",
    ("air/stations", DAY): "air/*.csv",
    ("taxis/fixes", DAY): "gps_tdrive/*.txt",
    ("places/shanghai", DAY): "poi_shanghai/*.csv",
    ("water/telemetry", DAY): "water/*.csv",
}
"""(department/dataset, day) and the files that are delivered."""


class Lake:
    """A lake of its own under `root`. Every step runs a minute after the last."""

    def __init__(self, root: Path, patch: pytest.MonkeyPatch) -> None:
        self.home, self._patch = root / "lake", patch
        self._now = datetime(2026, 3, 3, 23, tzinfo=UTC)
        for name, value in (("HOME", self.home), ("CATALOG", CATALOG), ("INBOX", root / "inbox")):
            patch.setenv(f"CITYLAKE_{name}", str(value))

    def night(self, day: date, departments: Sequence[str]) -> None:
        """Every step of the night but the index on Spark."""
        for department in departments:
            self._step("bring", day, department)
            self._step("clean", day, department)
        for step in ("relate", "release", "score"):
            self._step(step, day, None)

    def _step(self, step: str, day: date, department: str | None) -> None:
        self._now += timedelta(minutes=1)
        self._patch.setenv("CITYLAKE_NOW", self._now.isoformat())
        run(step, day, department)

    def rows(self, layer: str, dataset: str, *columns: str, day: date = DAY) -> list[dict[str, Any]]:
        """The rows of a day in a layer, with where they come from, file by file."""
        table = Table(self.home / layer / dataset.replace(".", "__"))
        names = [*columns, "_source_file", "_source_row", *(["_errors"] if layer == "quarantine" else [])]
        found = table.read(day=day, columns=names).to_pylist() if table.exists() else []
        return sorted(found, key=lambda row: (row["_source_file"], row["_source_row"]))

    def deliveries(self, dataset: str, event: str, *, day: date = DAY) -> list[dict[str, Any]]:
        """The rows of an event in the deliveries' ledger."""
        return [row for row in self._book("deliveries", dataset, day) if row["event"] == event]

    def results(self, dataset: str, *, day: date = DAY) -> dict[str, tuple[str, int, int]]:
        """Status, elements judged and elements that failed, by check id."""
        rows = self._book("results", dataset, day)
        return {row["check_id"]: (row["status"], row["evaluated"], row["evaluated"] - row["passed"]) for row in rows}

    def message(self, dataset: str, check_id: str, *, day: date = DAY) -> str | None:
        """What a check said."""
        return next(row["message"] for row in self._book("results", dataset, day) if row["check_id"] == check_id)

    def versions(self) -> dict[str, int | None]:
        """The version of every table that a release names, and of the releases."""
        folders = [path for layer in ("bronze", "silver", "quarantine") for path in (self.home / layer).iterdir()]
        return {str(path): Table(path).version() for path in [*folders, self.home / "ops" / "releases"]}

    def _book(self, name: str, dataset: str, day: date) -> list[dict[str, Any]]:
        department, _, plain = dataset.partition(".")
        rows = Ops(self.home).read(name, day=day).to_pylist()
        return [row for row in rows if (row["department"], row["dataset"]) == (department, plain)]
