"""Tables brought back: to an earlier version, or from damage. What has to be made again is made when its day runs again.

A slice of silver, quarantine or gold that was taken back is undone in the books, so the next run of its day makes it. A
delivery that is no longer whole in bronze is taken out of it, so the next run of its day loads it from landing.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import structlog

from jobs.written import WRITING, newest
from lakehouse import damage as damages
from lakehouse.damage import Damage
from lakehouse.deliveries import MANIFEST
from lakehouse.errors import UsageError
from lakehouse.runs import Run, code_version
from lakehouse.table import Commit, Table

_log = structlog.get_logger()


@dataclass(frozen=True)
class Restored:
    """What became of a table: its version (None: it was set aside whole), the days to run again, and how many deliveries
    can't be loaded again because their files are no longer landed."""

    version: int | None
    days: tuple[date, ...] = ()
    gone: int = 0


def version_of(run: Run, name: str, day: date) -> int:
    """The version of a table in the newest release of a day. Raises UsageError where there is none."""
    rows = [row for row in run.ops.read("releases", day=day).to_pylist() if name in json.loads(row["tables"])]
    if not rows:
        raise UsageError(f"no release of {day} names {name}", hint="`citylake status` lists the releases")
    return int(json.loads(max(rows, key=lambda row: row["revision"])["tables"])[name])


def restore(run: Run, name: str, version: int) -> Restored:
    """Give a table the content of an earlier version, in a new commit by the engine that owns it.

    Raises UsageError for the books and for versions that don't exist, LakeError when files of the version are gone.
    """
    layer, _, stored = name.partition(".")
    if layer == "ops":
        raise UsageError("the books are only added to", where=name, hint="leave --to out to mend a damaged one")
    table = run.table(layer, stored)
    now = table.version()
    if now is None or not 0 <= version <= now:
        raise UsageError(f"no version {version}", where=name, hint=f"`citylake history {name}` lists them")
    if version == now:
        return Restored(now)
    days = _days_since(run, table, version, now)
    _undo(run, table, days)
    commit = Commit(run.id, (("restored", str(version)),))
    if table.engine() == "spark":
        from lakehouse.engine import spark as engine  # a JVM only where the table is Spark's

        with engine.session(run.settings) as spark:
            engine.restore(spark, table, version, commit)
    else:
        table.restore(version, commit, _loads(run, table, version) if layer == "bronze" else None)
    return _again(run, table, days)


def mend(run: Run, damage: Damage) -> Restored:
    """Bring a damaged table back to what can be read. The newest released day is to run again in any case: its release may
    name files that are lost."""
    table, days = damage.table, damage.days()
    commit, aside = Commit(run.id, (("mended", "1"),)), run.settings.home / "damaged" / f"{table.name}-{run.id}"
    if table.layer == "ops":
        damages.mend(damage, commit, aside)
        return _mended_book(run, table, aside if damage.hopeless else table.path, sorted(days))
    wrote = _wrote(run, table)
    if damage.lost and not days:  # rows of any day
        days = set(wrote)
    _undo(run, table, set(wrote) if damage.spoilt else days)
    damages.mend(damage, commit, aside)
    version = table.version()
    restored = _again(run, table, days | {day for day, at in wrote.items() if version is None or at > version})
    released = max(run.ops.read("releases")["day"].to_pylist(), default=None)
    if released is None:
        return restored
    _note(run, table, [released], restored.version)
    return replace(restored, days=tuple(sorted({*restored.days, released})))


def _mended_book(run: Run, book: Table, files: Path, days: Sequence[date]) -> Restored:
    """Take up again what the book's own files still hold. The days of those that are lost are judged again, and what was
    released since is released once more: its scores look back."""
    taken_up = run.ops.take_up(book.path.name, files, run.id)
    _log.info("book mended", book=book.path.name, rows_taken_up=taken_up, days_lost=len(days))
    cleaned = run.ops.read("runs").filter(pc.field("step").isin(list(WRITING))).select(["department", "dataset", "day"])
    for department, dataset, day in {tuple(row.values()) for row in cleaned.to_pylist() if row["day"] in days}:
        if dataset:
            _noted(run, department, dataset, day, {f"silver.{department}__{dataset}": None})
    since = {day for day in run.ops.read("releases")["day"].to_pylist() if days and day >= days[0]}
    again = tuple(sorted({*days, *since}))
    for day in again:
        _noted(run, "", "", day, {book.name: None})
    return Restored(book.version(), again)


def _undo(run: Run, table: Table, days: Iterable[date]) -> None:
    """Say beforehand what has to be made again: a process that ends between the two leaves too much to do, never too little."""
    if _by_slice(table) or table.layer == "gold":
        _note(run, table, days, None)
        run.ops.flush(run.id)


def _again(run: Run, table: Table, days: Iterable[date]) -> Restored:
    """Note what has to be made again."""
    restored = _load_again(run, table) if table.layer == "bronze" else Restored(table.version(), tuple(sorted(days)))
    _note(run, table, restored.days if _by_slice(table) or table.layer == "gold" else (run.day,), restored.version)
    return restored


def _note(run: Run, table: Table, days: Iterable[date], version: int | None) -> None:
    department, _, dataset = table.path.name.partition("__") if _by_slice(table) else ("", "", "")
    for day in days:
        _noted(run, department, dataset, day, {table.name: version})


def _noted(run: Run, department: str, dataset: str, day: date, writes: Mapping[str, int | None]) -> None:
    run.ops.note(
        "runs", at=run.now, run_id=run.id, step=run.step, department=department, dataset=dataset, day=day,
        status="succeeded", writes=json.dumps(writes), code=code_version(),
    )  # fmt: skip


def _by_slice(table: Table) -> bool:
    return table.layer in ("silver", "quarantine")


def _days_since(run: Run, table: Table, version: int, now: int) -> set[date]:
    """The days whose rows a table has from commits after `version`."""
    if table.layer == "gold":
        before, after = table.files_by_day(version), table.files_by_day(now)
        return {day for day in before.keys() | after.keys() if day and before.get(day) != after.get(day)}
    return {day for day, at in _wrote(run, table).items() if at > version}


def _wrote(run: Run, table: Table) -> Mapping[date, int]:
    """Day -> the version its rows were last written in, by the books."""
    known = newest(run.ops, table.layer, {table.path.name}).get(table.path.name, {})
    return {day: written.version for day, written in known.items()}


def _loads(run: Run, bronze: Table, version: int) -> dict[str, int]:
    """Which deliveries a version of bronze holds whole (1), and which it doesn't (0)."""
    rows = run.ops.read("deliveries")
    rows = _of(bronze, rows.filter((pc.field("event") == "loaded") & pc.field("loaded").is_valid())).to_pylist()
    counts = _counts(bronze, version)
    return {row["delivery_id"]: int(_told(bronze, row) == counts.get(row["delivery_id"], 0)) for row in rows}


def _load_again(run: Run, bronze: Table) -> Restored:
    """Take deliveries out of bronze that aren't whole there, as long as their files are still landed."""
    rows = run.ops.read("deliveries")
    rows = rows.filter((pc.field("event") == "loaded") & pc.field("loaded").is_valid())
    counts = _counts(bronze)
    short = [row for row in _of(bronze, rows).to_pylist() if _told(bronze, row) != counts.get(row["delivery_id"], 0)]
    there = [row for row in short if _landed(run, row)]
    if there and bronze.exists():
        bronze.forget(sorted({row["delivery_id"] for row in there}), Commit(run.id))
    gone = {row["delivery_id"] for row in short} - {row["delivery_id"] for row in there}
    return Restored(bronze.version(), tuple(sorted({row["day"] for row in there})), len(gone))


def _of(bronze: Table, rows: pa.Table) -> pa.Table:
    """The rows of the ledger about one dataset; `bronze.unparsable` has records of all."""
    department, _, dataset = bronze.path.name.partition("__")
    if not dataset:
        return rows
    return rows.filter((pc.field("department") == department) & (pc.field("dataset") == dataset))


def _told(bronze: Table, row: Mapping[str, int]) -> int:
    return row["loaded" if "__" in bronze.path.name else "unparsable"]


def _counts(bronze: Table, version: int | None = None) -> dict[str, int]:
    """Rows in bronze by delivery."""
    if not bronze.exists():
        return {}
    counted = bronze.read(columns=["_delivery_id"], version=version)["_delivery_id"].value_counts().to_pylist()
    return {each["values"]: each["counts"] for each in counted}


def _landed(run: Run, row: Mapping[str, object]) -> bool:
    folder = run.settings.home / "landing" / str(row["department"]) / str(row["dataset"]) / str(row["day"])
    return any(path.name != MANIFEST for path in (folder / str(row["delivery_id"])).glob("*"))
