"""A made-up town in a temporary folder: contracts as data, deliveries as text, and the steps of the night run for real."""

import csv
import io
import os
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from jobs.run import run
from lakehouse.ops import Ops
from lakehouse.table import Table

DAY = date(2026, 3, 2)
"""A Monday."""

TOWN = "town"
STANDARDS = Path(__file__).parents[2] / "expectations" / "standards"
_DECLARED = {"title": "things", "kind": "government", "sharing": "unconditional", "load": "append"}


@contextmanager
def own_settings() -> Iterator[pytest.MonkeyPatch]:
    """What the steps of a block set in the environment is undone after it."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("HOME", "CATALOG", "INBOX", "NOW"):
            patch.setenv(f"CITYLAKE_{name}", "")
        yield patch


class City:
    """A lake, an inbox and a catalogue under one folder. Every step runs a minute after the last."""

    def __init__(self, root: Path) -> None:
        self.home, self.catalog, self.inbox = root / "lake", root / "catalog", root / "inbox"
        self.now = datetime(2026, 3, 2, 22, tzinfo=UTC)
        (self.catalog / "contracts").mkdir(parents=True)
        (self.catalog / "standards").symlink_to(STANDARDS)
        self.departments(TOWN)

    def departments(self, *names: str) -> None:
        rows = [{"id": name, "zh": name, "en": name} for name in names]
        (self.catalog / "departments.yml").write_text(yaml.safe_dump({"departments": rows}), "utf-8")

    def declare(self, dataset: str, columns: dict[str, Any], *, department: str = TOWN, **declared: Any) -> None:
        """One contract; the source is `<inbox>/<dataset>/<day>/*.csv` with the given dialect under `source`, or another one
        that says its `type`."""
        source = declared.pop("source", {})
        if "type" not in source:
            source = {"type": "file", "uri": f"{{inbox}}/{dataset}/{{day}}/*.csv", **source}
        content = {**_DECLARED, "source": source, "columns": columns, **declared}
        folder = self.catalog / "contracts" / department
        folder.mkdir(exist_ok=True)
        text = yaml.safe_dump(content, allow_unicode=True, sort_keys=False)
        (folder / f"{dataset}.yml").write_text(text, "utf-8")

    def deliver(self, dataset: str, content: str | bytes, *, day: date = DAY, name: str = "part.csv") -> None:
        folder = self.inbox / dataset / day.isoformat()
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)

    def step(self, step: str, day: date = DAY, department: str | None = None, **options: Any) -> None:
        """Run one step as the night does."""
        self.point()
        run(step, day, department, **options)

    def point(self) -> None:
        """Point the process at this town, a minute after the last step."""
        self.now += timedelta(minutes=1)
        given = {
            "CITYLAKE_HOME": self.home,
            "CITYLAKE_CATALOG": self.catalog,
            "CITYLAKE_INBOX": self.inbox,
            "CITYLAKE_NOW": self.now.isoformat(),
        }
        os.environ.update({name: str(value) for name, value in given.items()})

    def night(self, day: date = DAY, department: str = TOWN) -> None:
        """Bring and clean."""
        self.step("bring", day, department)
        self.step("clean", day, department)

    def table(self, layer: str, dataset: str, department: str = TOWN) -> Table:
        name = "unparsable" if dataset == "unparsable" else f"{department}__{dataset}"
        return Table(self.home / layer / name)

    def rows(self, layer: str, dataset: str, columns: Sequence[str] = (), *, day: date | None = DAY) -> list[Any]:
        """The rows in the order of their files: dicts, tuples of `columns`, or values where there is one column."""
        table = self.table(layer, dataset)
        if not table.exists():
            return []
        found = sorted(table.read(day=day).to_pylist(), key=lambda r: (r["_day"], r["_source_file"], r["_source_row"]))
        if not columns:
            return found
        return [r[columns[0]] if len(columns) == 1 else tuple(r[c] for c in columns) for r in found]

    def silver(self, dataset: str, *columns: str, day: date | None = DAY) -> list[Any]:
        return self.rows("silver", dataset, columns, day=day)

    def quarantine(self, dataset: str, *columns: str, day: date | None = DAY) -> list[Any]:
        return self.rows("quarantine", dataset, columns, day=day)

    def book(self, name: str, dataset: str | None = None, *, day: date | None = DAY) -> list[dict[str, Any]]:
        """Rows of an ops table, oldest first."""
        rows = Ops(self.home).read(name, day=day).to_pylist()
        return [row for row in rows if dataset is None or row["dataset"] == dataset]

    def results(self, dataset: str, *, day: date = DAY) -> dict[str, tuple[str, int, int]]:
        """(status, evaluated, passed) by check id, as last judged."""
        rows = self.book("results", dataset, day=day)
        return {row["check_id"]: (row["status"], row["evaluated"], row["passed"]) for row in rows}

    def last_run(self, step: str, dataset: str, *, day: date = DAY) -> dict[str, Any]:
        return [row for row in self.book("runs", dataset, day=day) if row["step"] == step][-1]

    def versions(self) -> dict[str, int | None]:
        """The version of every table of the layers that a release names."""
        layers = ("bronze", "silver", "quarantine")
        folders = [path for layer in layers for path in sorted((self.home / layer).glob("*"))]
        return {f"{path.parent.name}.{path.name}": Table(path).version() for path in folders}


def text_of(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """The rows as CSV, every cell quoted that needs it."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([header, *rows])
    return out.getvalue()


def zipped(**members: str | bytes) -> bytes:
    """A zip of members: `zipped(**{"a.csv": "..."})`."""
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as package:
        for name, content in members.items():
            package.writestr(name, content)
    return written.getvalue()
