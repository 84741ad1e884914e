"""The lake kept small, readable and within its retention: the step `maintain`, and a restore drill.

Every table is kept by the engine that owns it (`lakehouse.upkeep`; Spark starts only when a table of its own needs it).
Landed bytes go when their contract's `keep` is over and their rows are in bronze; manifests and books stay for ever.
"""

import json
import os
import random
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TypeVar

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import structlog

from expectations.catalog import Catalog
from jobs.department import Outcome
from jobs.split import order_columns
from lakehouse import upkeep
from lakehouse.contract import Contract
from lakehouse.deliveries import landed
from lakehouse.errors import CitylakeError, LakeError
from lakehouse.runs import Run
from lakehouse.table import RETENTION_DAYS, Commit, Table, tables

_log = structlog.get_logger()

Result = TypeVar("Result")

_KEEP_LOGS = timedelta(days=RETENTION_DAYS)
_BOOKED = {"silver": "accepted", "quarantine": "quarantined"}


@dataclass(frozen=True)
class Drill:
    """A slice that was read again: its table, version, and rows."""

    table: str
    version: int
    rows: int


def maintain(run: Run, catalog: Catalog) -> Outcome:
    """Keep every table, landing and logs, then read one slice of the newest release again.

    Does nothing the second time. Raises LakeError with all that failed, when everything else is done.
    """
    faults: list[CitylakeError] = []
    orders = {contract.table: by for contract in catalog.contracts if (by := _order(contract))}
    changed = _keep_tables(run, [table for table in tables(run.settings.home) if table.exists()], orders, faults)
    removed = sum(_landing(run, contract) for contract in catalog.contracts) + _old_logs(run)
    drilled = _tried(faults, partial(drill, run))
    if faults:
        raise faults[0] if len(faults) == 1 else LakeError("; ".join(str(fault) for fault in faults))
    return Outcome(
        "succeeded" if changed or removed else "unchanged",
        rows_in=drilled.rows if drilled else None,
        reads=json.dumps({drilled.table: drilled.version}) if drilled else None,
        writes=json.dumps(changed) if changed else None,
    )


def _order(contract: Contract) -> str | None:
    """The column by which silver is sorted when its files are joined: where cleaning hasn't sorted it, places by cell."""
    return next(iter(order_columns(contract)), "_cell" if contract.point else None)


def _tried(faults: list[CitylakeError], work: Callable[[], Result]) -> Result | None:
    try:
        return work()
    except CitylakeError as fault:
        faults.append(fault)
        return None


def _keep_tables(run: Run, kept: list[Table], orders: Mapping[str, str], faults: list[CitylakeError]) -> dict[str, int]:
    """Keep them all, silver sorted by the columns `orders` has for datasets; gives the versions of those that changed. One that
    can't be kept doesn't stop the others."""
    since = _hours_since_release(run)
    hours, prune = upkeep.keep_hours(since), since <= RETENTION_DAYS * 24
    changed: dict[str, int] = {}
    sparks = []
    for table in kept:
        done = _tried(faults, partial(_kept, run, table, hours, prune, orders.get(table.path.name)))
        if isinstance(done, upkeep.Kept):
            if done.after != done.before:
                changed[table.name] = done.after
        elif done:
            sparks.append(table)
    if sparks:
        changed |= _tried(faults, partial(_keep_by_spark, run, sparks, hours)) or {}
    return changed


def _kept(run: Run, table: Table, hours: int, prune: bool, order: str | None) -> upkeep.Kept | bool:
    """What was done; of a table of Spark's whether it needs anything."""
    if table.engine() == "spark":
        need = upkeep.needs(table, hours)
        return bool(need.joins or need.deletes)
    limits = {"threads": run.settings.threads, "memory_mb": run.settings.memory_mb}
    by = order if table.layer == "silver" and order in {field.name for field in table.open().schema().fields} else None
    done = upkeep.keep(table, Commit(run.id), hours, prune=prune, order=by, **limits)
    if done.joined or done.deleted:
        _log.info("table kept", table=table.name, files_fewer=done.joined, files_deleted=done.deleted)
    return done


def _keep_by_spark(run: Run, kept: list[Table], hours: int) -> dict[str, int]:
    from lakehouse.engine import spark as engine  # a JVM and its modules only where a table needs them

    with engine.session(run.settings) as spark:
        for table in kept:
            engine.keep(spark, table, Commit(run.id), hours)
            _log.info("table kept", table=table.name, engine="spark")
    return {table.name: table.open().version() for table in kept}


def _hours_since_release(run: Run) -> float:
    newest = max((row["at"] for row in run.ops.read("releases").select(["at"]).to_pylist()), default=run.now)
    return max((run.now - newest).total_seconds() / 3600, 0.0)


def _landing(run: Run, contract: Contract) -> int:
    """Remove landed bytes whose time is over; gives how many deliveries. Their manifests stay, so they stay known, and what
    a source held on the last day that was loaded, for the next is compared with it."""
    if contract.keep is None:
        return 0
    folder = run.settings.home / "landing" / contract.department / contract.dataset
    over = [day for path in folder.glob("*") if (day := _day(path)) and day < run.day - contract.keep]
    old = [delivery for day in sorted(over) for delivery in landed(run.settings, contract, day)]
    there = [delivery for delivery in old if delivery.path.exists()]
    bronze = run.table("bronze", contract.table)
    states = [delivery for delivery in old if delivery.state]
    if not (there or states) or not bronze.exists():
        return 0
    own = (pc.field("department") == contract.department) & (pc.field("dataset") == contract.dataset)
    rows = run.ops.read("deliveries").filter(own & (pc.field("event") == "loaded"))
    newest = max(zip(rows["received_at"].to_pylist(), rows["delivery_id"].to_pylist(), strict=True), default=None)
    for delivery in states:
        if newest and delivery.id != newest[1]:
            (delivery.folder / str(delivery.state)).unlink(missing_ok=True)
    held = bronze.holding(set(rows["delivery_id"].to_pylist()) & {delivery.id for delivery in there})
    gone = [delivery for delivery in there if delivery.id in held]
    for delivery in gone:
        with suppress(FileNotFoundError):  # by another who maintains the lake just now
            shutil.rmtree(delivery.path) if delivery.path.is_dir() else delivery.path.unlink()
    if gone:
        _log.info("landed bytes removed", dataset=contract.name, deliveries=len(gone), bytes=sum(d.bytes for d in gone))
    return len(gone)


def _day(path: Path) -> date | None:
    try:
        return date.fromisoformat(path.name)
    except ValueError:
        return None


def _old_logs(run: Run) -> int:
    """Remove log files nothing was written to for the retention; gives how many."""
    until = (run.now - _KEEP_LOGS).timestamp()
    old = [path for path in _files(run.settings.home / "logs") if path.stat().st_mtime < until]
    for path in old:
        path.unlink(missing_ok=True)
    return len(old)


def _files(folder: Path) -> Iterator[Path]:
    for inner, _, names in os.walk(folder):
        yield from (Path(inner, name) for name in names)


def drill(run: Run) -> Drill | None:
    """Read one slice of one table, chosen by the day, as the newest release names it; None before the first release.

    Raises LakeError when it can't be read whole, or has other rows than its log or the books say.
    """
    releases = run.ops.read("releases").sort_by("at").select(["at", "tables"]).to_pylist()
    named = sorted(json.loads(releases[-1]["tables"]).items()) if releases else []
    if not named:
        return None
    chance = random.Random(run.day.isoformat())
    name, version = chance.choice(named)
    layer, _, stored = name.partition(".")
    table = run.table(layer, stored)
    try:
        days = table.files_by_day(version)
        day = chance.choice(sorted(days, key=str)) if days else None
        files = table.here(days.get(day, []))
        rows = _read_again(files)
    except (LakeError, OSError, pa.ArrowException) as error:
        said = error.what if isinstance(error, LakeError) else str(error).splitlines()[0][:200]
        raise LakeError(
            f"restore drill: version {version} can't be read again ({said})", where=name, hint="run `citylake doctor`"
        ) from error
    for who, told in (
        ("its log says", table.rows(day, version)),
        ("the books say", _booked(run, layer, stored, day, releases[-1]["at"])),
    ):
        if told is not None and told != rows:
            raise LakeError(
                f"restore drill: version {version} of {day or 'all days'} has {rows:,} rows, {who} {told:,}",
                where=name,
                hint="run `citylake doctor`",
            )
    _log.info("restore drill passed", table=name, version=version, slice=str(day), rows=rows)
    return Drill(name, version, rows)


def _read_again(files: list[str]) -> int:
    """The rows, every value decoded, a batch at a time."""
    return sum(batch.num_rows for file in files for batch in ds.dataset(file, format="parquet").to_batches())


def _booked(run: Run, layer: str, table: str, day: date | None, at: datetime) -> int | None:
    """How many rows the books as of `at` give a slice; None where they don't say."""
    department, _, dataset = table.partition("__")
    if day is None or not dataset:
        return None
    ours = (pc.field("department") == department) & (pc.field("dataset") == dataset) & (pc.field("at") <= pa.scalar(at))
    if layer == "bronze":
        rows = run.ops.read("deliveries", day=day).filter(ours & (pc.field("event") == "loaded")).to_pylist()
        return sum({row["delivery_id"]: row["loaded"] for row in rows}.values())
    if layer not in _BOOKED:
        return None
    wrote = pc.field("step").isin(["clean", "restore"]) & (pc.field("status") == "succeeded")
    runs = run.ops.read("runs", day=day).filter(ours & wrote).to_pylist()
    return runs[-1][_BOOKED[layer]] if runs else None
