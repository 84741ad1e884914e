"""A town of three departments with one dataset each: what goes wrong happens to the shops, the others must not notice."""

import hashlib
import json
from pathlib import Path
from typing import Any

from lakehouse.errors import CitylakeError
from lakehouse.table import Table
from tests.jobs.small_city import DAY, City, text_of

SHOPS = "shops"
DATASETS = {"roads": "works", SHOPS: "licences", "trees": "plantings"}
COLUMNS: dict[str, Any] = {
    "id": {"type": "string"},
    "name": {"type": "string", "required": True},
    "opened": {"type": "date"},
    "area": {"type": "double", "between": [0, 500]},
}
ROWS = [
    *([f"{n:04}", f"商店{n}", f"2026-02-{n % 28 + 1:02}", str(n / 4)] for n in range(300)),
    ["0007", "商店7", "2026-02-08", "1.75"],  # a second time
    ["", "nobody's", "2026-02-01", "1"],
    ["0300", "too large", "2026-02-30", "900"],  # a date that isn't, an area that can't be
]
SOUND = text_of(list(COLUMNS), ROWS)


class Town(City):
    """The town with sound contracts; `night` runs what the schedule runs, and nothing stops it."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.departments(*DATASETS)
        for department, dataset in DATASETS.items():
            self.contract(department, dataset)

    def contract(self, department: str = SHOPS, dataset: str = DATASETS[SHOPS], **declared: Any) -> None:
        """A contract of the columns above, with what is declared otherwise."""
        self.declare(dataset, COLUMNS, department=department, key=["id"], load="snapshot", **declared)

    def deliver_all(self, *but: str) -> None:
        """Sound deliveries of every department but some."""
        for department in DATASETS.keys() - set(but):
            self.deliver(DATASETS[department], SOUND)

    def whole_night(self) -> dict[str, CitylakeError]:
        """Every step up to the release as the schedule runs them, and what failed: by `step department`."""
        steps = [(step, department) for department in DATASETS for step in ("bring", "clean")]
        failed: dict[str, CitylakeError] = {}
        for step, department in [*steps, ("relate", None), ("release", None)]:
            try:
                self.step(step, DAY, department)
            except CitylakeError as error:
                failed[f"{step} {department or ''}".strip()] = error
        return failed

    def content(self, department: str) -> dict[str, str]:
        """Rows and an order-free checksum over everything but the technical columns, by layer."""
        return {
            layer: _checksum(Table(self.home / layer / f"{department}__{DATASETS[department]}"))
            for layer in ("silver", "quarantine")
        }

    def said(self, event: str) -> list[str]:
        """The reasons the ledger gives for an event of the shops."""
        return [row["reason"] for row in self.book("deliveries", DATASETS[SHOPS]) if row["event"] == event]

    def failed_departments(self) -> list[str]:
        """Whom the newest release names as failed."""
        failed: list[str] = json.loads(self.book("releases")[-1]["failed"])
        return failed

    def balances(self) -> bool:
        """Whether every loaded delivery that is still served closes: in = accepted + quarantined + unparsable."""
        cleaned = {row["delivery_id"]: row for row in self.book("deliveries") if row["event"] == "cleaned"}
        return bool(cleaned) and all(
            row["rows_in"] == row["accepted"] + row["quarantined"] + row["unparsable"] for row in cleaned.values()
        )


def one_line(text: str) -> bool:
    """Whether a message is a single line that names what, where and what to do next."""
    return "\n" not in text and ": " in text and "; " in text


Contents = dict[str, dict[str, str]]
"""What every department's layers hold."""


def others_are_as_ever(town: Town, undisturbed: Contents) -> bool:
    """Whether nobody but the shops has noticed anything."""
    return all(town.content(each) == undisturbed[each] for each in DATASETS if each != SHOPS)


def healed(town: Town, undisturbed: Contents) -> bool:
    """Whether the next night ends as if nothing had been."""
    failed = town.whole_night()
    assert not failed, failed
    assert town.failed_departments() == []
    assert town.balances()
    return {department: town.content(department) for department in DATASETS} == undisturbed


def quiet(town: Town) -> bool:
    """Whether one more night changes no table and makes no release."""
    before = town.versions(), len(town.book("releases"))
    return town.whole_night() == {} and (town.versions(), len(town.book("releases"))) == before


def _checksum(table: Table) -> str:
    rows = table.read().to_pylist() if table.exists() else []
    kept = (
        {n: str(v) for n, v in row.items() if n in COLUMNS or n in ("_errors", "_warnings", "_raw")} for row in rows
    )
    hashes = (hashlib.sha256(json.dumps(row, sort_keys=True).encode()).digest() for row in kept)
    return f"{len(rows)} rows {sum(int.from_bytes(each[:8]) for each in hashes) % (1 << 64):016x}"
