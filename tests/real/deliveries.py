"""What is delivered on which day, the lake it goes into, and the same files read without any of Citylake's code."""

import csv
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import openpyxl
import pytest

from jobs.run import run
from lakehouse.ops import Ops
from lakehouse.table import Table

SHARED = Path(__file__).parents[3] / "shared" / "data"
CATALOG = Path(__file__).parent / "catalog"
DAY, NEXT = date(2026, 3, 2), date(2026, 3, 3)
DEPARTMENTS = ("requests", "hotline", "air", "taxis", "places", "water", "divisions")

DROPS = {
    ("requests.calls", DAY): "requests_311/2016.csv",
    ("requests.calls", NEXT): "requests_311/2018.csv",
    ("hotline.posts", DAY): "hotline/messages_sheet_3.xlsx",
    ("hotline.replies", DAY): "hotline/messages_sheet_4.xlsx",
    ("hotline.categories", DAY): "hotline/category_tree_sheet_1.xlsx",
    ("air.stations", DAY): "air/*.csv",
    ("taxis.fixes", DAY): "gps_tdrive/*.txt",
    ("places.shanghai", DAY): "poi_shanghai/*.csv",
    ("water.telemetry", DAY): "water/*.csv",
    ("divisions.areas", DAY): "divisions/areas.csv",
    ("divisions.streets", DAY): "divisions/streets.csv",
    ("divisions.tree", DAY): "divisions/ok_data_level4.csv",
}
"""What lies in the inbox: the files of a dataset and day, as a pattern under the shared folder."""

Records = list[list[Any]]


class Lake:
    """A lake of its own under `root`. Every step runs a minute after the last."""

    def __init__(self, root: Path) -> None:
        self.home, self._inbox = root / "lake", root / "inbox"
        self._now = datetime(2026, 3, 3, 23, tzinfo=UTC)

    def night(self, day: date, departments: Sequence[str]) -> None:
        """Every step of the night but the index on Spark."""
        for department in departments:
            self._step("bring", day, department)
            self._step("clean", day, department)
        for step in ("relate", "release", "score"):
            self._step(step, day, None)

    def _step(self, step: str, day: date, department: str | None) -> None:
        self._now += timedelta(minutes=1)
        given = {"HOME": self.home, "CATALOG": CATALOG, "INBOX": self._inbox, "NOW": self._now.isoformat()}
        with pytest.MonkeyPatch.context() as patch:
            for name, value in given.items():
                patch.setenv(f"CITYLAKE_{name}", str(value))
            run(step, day, department)

    def rows(self, layer: str, dataset: str, *columns: str, day: date = DAY) -> list[dict[str, Any]]:
        """The rows of a day in a layer with where they come from: file by file, row by row."""
        table = Table(self.home / layer / dataset.replace(".", "__"))
        found = table.read(day=day, columns=[*columns, "_source_file", "_source_row"]) if table.exists() else None
        return found.sort_by([("_source_file", "ascending"), ("_source_row", "ascending")]).to_pylist() if found else []

    def deliveries(self, dataset: str, event: str, *, day: date = DAY) -> list[dict[str, Any]]:
        """The rows of an event in the deliveries' ledger."""
        return [row for row in self._book("deliveries", dataset, day) if row["event"] == event]

    def results(self, dataset: str, *, day: date = DAY) -> dict[str, tuple[str, int, int]]:
        """Status, elements judged and elements that failed, by check id."""
        rows = self._book("results", dataset, day)
        return {row["check_id"]: (row["status"], row["evaluated"], row["evaluated"] - row["passed"]) for row in rows}

    def found(self, dataset: str, *, day: date = DAY) -> dict[str, int]:
        """How many elements failed, by check id, where any did."""
        return {check_id: failed for check_id, (_, _, failed) in self.results(dataset, day=day).items() if failed}

    def versions(self) -> dict[str, int | None]:
        """The version of every table a release names, and how many releases there are."""
        folders = [path for layer in ("bronze", "silver", "quarantine") for path in (self.home / layer).iterdir()]
        return {str(path): Table(path).version() for path in [*folders, self.home / "ops" / "releases"]}

    def _book(self, name: str, dataset: str, day: date) -> list[dict[str, Any]]:
        rows = Ops(self.home).read(name, day=day).to_pylist()
        return [row for row in rows if f"{row['department']}.{row['dataset']}" == dataset]


@cache
def table_of(path: Path) -> tuple[list[Any], Records]:
    """Header and records of a delimited file or a workbook's first sheet."""
    if path.suffix == ".xlsx":
        sheet = openpyxl.load_workbook(path, read_only=True).worksheets[0]
        header, *records = [list(row) for row in sheet.iter_rows(values_only=True)]
    else:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            header, *records = csv.reader(lines)
    return header, records


def column(file: str, name: str) -> list[Any]:
    """One column of a delivered file, in its order."""
    header, records = table_of(SHARED / file)
    return [record[header.index(name)] for record in records]


def repeats(values: Sequence[Any]) -> int:
    """How many equal an earlier one."""
    return len(values) - len(set(values))


def in_china(cell: Any, form: str = "%Y/%m/%d %H:%M:%S") -> datetime:
    """A cell's wall-clock time in China, in UTC."""
    wall = cell if isinstance(cell, datetime) else datetime.strptime(cell, form)
    return wall.replace(tzinfo=ZoneInfo("Asia/Shanghai")).astimezone(UTC)
