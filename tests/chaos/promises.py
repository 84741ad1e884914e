"""What a lake holds, in a form two lakes can be compared by, and the promises that must hold in it whatever happened."""

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from expectations.arrivals import carried
from jobs.cli.books import ledger
from lakehouse import staging
from lakehouse.damage import find
from lakehouse.errors import LakeError
from lakehouse.layout import LAYERS
from lakehouse.ops import Ops
from lakehouse.table import Table, tables
from tests.chaos.story import Town

Picture = dict[str, str]
"""What is where: `silver.shops__licences 2026-03-02` -> rows and an order-free checksum over everything but when it was
loaded. The same for the books' newest words, and for what releases show."""

MERGED = ("works", "fines")
"""Datasets whose silver has a row only until a newer one of its key comes, whatever the day."""

GONE = "gone"

_WHEN = {"_loaded_at", "_received_at", "received_at", "at", "run_id", "revision", "message", "contract"}
_NEWEST = {
    "results": ("department", "dataset", "day", "check_id"),
    "scores": ("day", "department", "dataset", "dimension"),
}
"""Per book the key of which the newest row counts."""


def picture(town: Town) -> Picture:
    """The whole lake as it stands."""
    found: Picture = {}
    for table in tables(town.home, [layer for layer in LAYERS if layer != "ops"]):
        if table.exists():
            found |= {f"{table.name} {day}": said for day, said in _slices(table.read()).items()}
    return found | _books(town.home) | released(town)


def released(town: Town) -> Picture:
    """What readers see: the tables of every day's newest release, at the versions it names; what is over is `gone`.

    A day that is released once more shows what later days have brought by then, too: that isn't compared.
    """
    newest = {row["day"]: row for row in Ops(town.home).read("releases").to_pylist()}
    found = {}
    for day, row in newest.items():
        found[f"release {day} failed"] = row["failed"]
        for name, version in json.loads(row["tables"]).items():
            table = Table(town.home / name.replace(".", "/", 1))
            try:
                gone = any(not Path(file).exists() for file in table.files(version=version))
            except LakeError:
                gone = True
            if gone:
                found[f"release {day} {name}"] = GONE
                continue
            for of, said in _slices(table.read(version=version)).items():
                if of <= str(day):
                    found[f"release {day} {name} {of}"] = said
    return found


def _slices(rows: pa.Table) -> Picture:
    """Day -> checksum. Days without rows aren't there."""
    days = defaultdict(list)
    for row in rows.to_pylist():
        days[str(row["_day"])].append(_hash(row))
    return {day: _sum(hashes) for day, hashes in sorted(days.items())}


def _sum(hashes: list[int]) -> str:
    return f"{len(hashes)} rows {sum(hashes) % (1 << 64):016x}"


def _hash(row: Mapping[str, Any]) -> int:
    kept = {name: str(value) for name, value in row.items() if name not in _WHEN and value is not None}
    return int.from_bytes(hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).digest()[:8])


def _books(home: Path) -> Picture:
    ops, found = Ops(home), {}
    rows = ops.read("deliveries").to_pylist()
    new = {(row["day"], row["delivery_id"]) for row in rows if row["event"] != "unchanged"}
    # a run that was stopped for a while finds loaded what it was about to load, and says that nothing has changed
    told = [row for row in rows if row["event"] != "unchanged" or (row["day"], row["delivery_id"]) not in new]
    for row in ledger(told):
        if row["event"] != "missing":
            key = f"delivery {row['day']} {row['dataset']} {row['name']} {row['delivery_id']}"
            event = "cleaned" if row["event"] == "loaded" and row["accepted"] is not None else row["event"]
            found[key] = f"{event} {row['rows_in']} {row['accepted']} {row['quarantined']} {row['unparsable']}"
    for book, key in _NEWEST.items():
        newest = {tuple(str(row[name]) for name in key): row for row in ops.read(book).to_pylist()}
        for place, row in newest.items():
            facts = {name: value for name, value in row.items() if name not in _WHEN and name not in key}
            found[f"{book} {' '.join(place)}"] = json.dumps(facts, default=str)
    return found


def broken(town: Town) -> Iterator[str]:
    """Every promise that doesn't hold in a lake after an ordinary run, in a line each."""
    yield from unclosed(town)
    yield from _damaged(town.home)
    yield from (f"left over: {path}" for path in staging.abandoned(town.home))


def unclosed(town: Town) -> Iterator[str]:
    """Nothing vanishes: what came in of a delivery is what the books say, and what the tables hold of it."""
    rows = Ops(town.home).read("deliveries").to_pylist()
    counting = {delivery for delivery, _ in carried(rows)}
    loaded = {row["delivery_id"]: row for row in rows if row["event"] == "loaded"}
    cleaned = {row["delivery_id"]: row for row in rows if row["event"] == "cleaned"}
    held: dict[str, dict[str, list[tuple[Any, ...]]]] = defaultdict(lambda: defaultdict(list))
    for table in tables(town.home, ("bronze", "silver", "quarantine")):
        layer = "unparsable" if table.path.name == "unparsable" else table.layer
        if table.exists():
            places = table.read(columns=["_delivery_id", "_source_file", "_source_row"]).to_pylist()
            for row in places:
                held[row["_delivery_id"]][layer].append((row["_source_file"], row["_source_row"]))
    for name, row in loaded.items():
        there, where = held[name], f"{row['dataset']} {row['day']} {row['name']}"
        if len(there["bronze"]) != row["loaded"] or len(there["unparsable"]) != row["unparsable"]:
            yield f"{where}: {row['loaded']} + {row['unparsable']} loaded, bronze has {_counts(there)}"
        if name not in counting:
            continue
        told = cleaned.get(name)
        if told is None:
            yield f"{where}: never cleaned"
        elif told["rows_in"] != told["accepted"] + told["quarantined"] + told["unparsable"]:
            yield f"{where}: the equation doesn't close: {told}"
        elif row["dataset"] in MERGED:
            if len(there["quarantine"]) != told["quarantined"]:
                yield f"{where}: {told['quarantined']} quarantined, there are {_counts(there)}"
        elif sorted(there["silver"] + there["quarantine"]) != sorted(there["bronze"]):
            yield f"{where}: not every row is in silver or quarantine once: {_counts(there)}"


def _counts(there: Mapping[str, list[Any]]) -> dict[str, int]:
    return {layer: len(rows) for layer, rows in there.items()}


def _damaged(home: Path) -> Iterator[str]:
    for table in tables(home):
        if table.exists() and (damage := find(table)):
            yield f"{table.name}: {damage.said()}"


def differences(now: Picture, *allowed: Picture) -> list[str]:
    """Keys under which `now` has what none of the allowed pictures has."""
    keys = {key for key in now.keys() | set().union(*allowed) if not _is_merged(key)}
    return sorted(
        f"{key}: {now.get(key, 'nothing')}, not {' or '.join(dict.fromkeys(one.get(key, 'nothing') for one in allowed))}"
        for key in keys
        if all(now.get(key) != one.get(key) for one in allowed)
    )


def _is_merged(key: str) -> bool:
    """Whether it speaks of merged silver as a release shows it."""
    return key.startswith("release") and any(f" silver.parks__{name}" in key for name in MERGED)


def is_quiet(town: Town, ordinary: Iterable[tuple[str, ...]]) -> list[str]:
    """Idempotent: one more run of what has just run writes no row and makes no release."""
    from tests.chaos.story import perform

    before = town.versions(), Ops(town.home).read("releases").num_rows
    failed = perform(town, tuple(ordinary))
    after = town.versions(), Ops(town.home).read("releases").num_rows
    return failed + (
        [f"a second run wrote: {_changed(before[0], after[0])}, {after[1] - before[1]} releases"]
        if before != after
        else []
    )


def _changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    return ", ".join(name for name in after if before.get(name) != after[name]) or "no table"
