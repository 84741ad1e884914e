"""A file on somebody's desk, judged as the night would judge it: no lake, no JVM, nothing kept."""

import shutil
import tempfile
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from importlib import import_module
from itertools import islice
from pathlib import Path
from threading import Thread

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from expectations.catalog import Standard
from expectations.plan import Plan
from expectations.rules import Rule
from jobs.judge import judged, measured, prepare, unsound
from jobs.load import arriving, bronze_schema
from jobs.results import Failing, Result
from jobs.split import Split, silver_schema
from jobs.tally import Tally, Verdict
from lakehouse.contract import Contract
from lakehouse.deliveries import Delivery, unpacked
from lakehouse.engine import embedded as engine
from lakehouse.errors import UsageError
from lakehouse.formats import Unparsable
from lakehouse.report.records import Rows
from lakehouse.settings import Settings
from lakehouse.source import FileSource, Source

_UNPARSABLE_SHOWN = 100
_BESIDE = ("reference", "change")
"""Kinds of checks that look at more than the file."""


@dataclass(frozen=True)
class Checked:
    """What a night would make of the file. `unjudged` are rules that look at more than the file, and those under `gx:`
    where they weren't asked for.

    `failing` holds at most 1,000 rows a rule, `lost` the first unparsable records. A slice that isn't `served` broke
    a `fail:` rule: all its rows would be quarantined.
    """

    contract: Contract
    file: Path
    day: date
    rows: Rows
    served: bool
    undeclared: tuple[str, ...]
    missing: tuple[str, ...]
    results: tuple[Result, ...]
    failing: tuple[Failing, ...]
    lost: tuple[Unparsable, ...]
    unjudged: tuple[Rule, ...]

    @property
    def broken(self) -> tuple[Result, ...]:
        """The failed rules that cost rows or the slice: level error and fail."""
        return tuple(r for r in self.results if r.status == "failed" and r.rule.level in ("error", "fail"))


def check(
    file: Path, contract: Contract, standards: dict[str, Standard], day: date, settings: Settings, *, gx: bool = False
) -> Checked:
    """Read the file, or the one in an archive, as the delivery of `day` and judge it by the contract and the catalogue's standards.

    With `gx`, Great Expectations judges the accepted rows by the contract's `gx:` rules; importing it takes seconds.

    Rules about earlier days pass, as there are none. Raises UsageError without such a file, DeliveryUnreadable when it
    isn't what the contract says.
    """
    if not file.is_file():
        raise UsageError("no such file", where=str(file), hint="name a delivered file")
    folder = Path(tempfile.mkdtemp(prefix="citylake-"))
    try:
        source = _as_file(contract.source)
        load = contract.load if contract.operations else "append"  # it is compared with nothing
        as_file = contract.model_copy(update={"source": source, "load": load})
        return _check(unpacked(file, folder, source), as_file, standards, day, settings, folder, gx)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _as_file(source: Source) -> FileSource:
    """How a file of the source is written: an export of an API or a database will do."""
    return source if isinstance(source, FileSource) else FileSource(type="file", uri="", null=source.null)


def _check(
    file: Path,
    contract: Contract,
    standards: dict[str, Standard],
    day: date,
    settings: Settings,
    folder: Path,
    gx: bool,
) -> Checked:
    if contract.point:  # the positions' kernels take a second to load: beside the reading, on the other core
        Thread(target=import_module, args=("lakehouse.geo.points",), daemon=True).start()
    now = datetime.now(UTC)
    delivery = Delivery(
        id=file.name,
        department=contract.department,
        dataset=contract.dataset,
        day=day,
        name=file.name,
        file=file.name,
        bytes=file.stat().st_size,
        sha256="",
        quoted=True,
        received_at=now,
        folder=file.parent,
        etags={},
    )
    reading, done, batches = arriving(contract, delivery, file, now)
    bronze = folder / "bronze.parquet"
    with pq.ParquetWriter(bronze, bronze_schema(contract), compression="lz4") as writer:
        for batch in batches:
            writer.write_batch(batch)
    plan = Plan(contract, standards, day)
    asked = tuple(rule for rule in plan.rules if gx and rule.check.kind == "gx")
    with engine.session(settings.model_copy(update={"home": folder})) as connection:
        engine.read_slice(connection, "bronze", [str(bronze)], deliveries=[file.name], names=[file.name])
        prepare(connection, settings.catalog, plan)
        layers = settings.catalog / "standards" / "layers"
        verdict = Verdict(plan, [done], measured(connection, plan), layers)
        rows = pq.read_metadata(bronze).num_rows
        tally, told, more = _tallied(connection, plan, layers, folder, asked, rows)
    return Checked(
        contract,
        file,
        day,
        Rows(reading.rows_in, tally.accepted, tally.quarantined, len(reading.unparsable), 0),
        not verdict.broken(tally),
        tuple(done.undeclared),
        tuple(done.missing),
        (*(result for result in verdict.results(tally) if result.rule.check.kind not in _BESIDE), *told),
        (*tally.failing, *more),
        tuple(islice(reading.unparsable, _UNPARSABLE_SHOWN)),
        tuple(rule for rule in plan.rules if rule.check.kind in (*_BESIDE, "gx") and rule not in asked),
    )


def _tallied(
    connection: duckdb.DuckDBPyConnection, plan: Plan, layers: Path, folder: Path, asked: tuple[Rule, ...], rows: int
) -> tuple[Tally, list[Result], list[Failing]]:
    """What is counted, and what Great Expectations says where it is asked. Sound rows are looked at one by one only where
    their positions or their values are wanted."""
    if not asked and not plan.point_rules and not plan.positions_rules:
        return Tally.of_unsound(plan, unsound(connection, plan), rows), [], []
    split = Split(plan, layers, folder)
    accepted = split.accepted_batches(judged(connection, plan))
    told, more = _by_gx(plan.contract, asked, accepted) if asked else ([], [])
    deque(accepted, maxlen=0)
    return split.tally, told, more


def _by_gx(
    contract: Contract, asked: tuple[Rule, ...], accepted: Iterator[pa.RecordBatch]
) -> tuple[list[Result], list[Failing]]:
    """What Great Expectations says of the accepted rows."""
    from jobs import gx  # the step, and with it half the lake: a plain check does without

    wanted = gx.columns(contract, asked)
    schema = pa.schema([silver_schema(contract).field(name) for name in wanted])
    return gx.judged(contract, asked, pa.Table.from_batches((batch.select(wanted) for batch in accepted), schema))
