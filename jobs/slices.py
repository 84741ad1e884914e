"""One slice judged and written: in one stream, or in parts side by side where it is large.

A slice that breaks a `fail:` rule isn't served: its rows go to quarantine whole, and the last good slice stays.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Literal

import duckdb
import pyarrow as pa
import structlog

from expectations.plan import Plan
from jobs import changes
from jobs.judge import judged
from jobs.parts import Each, Judged, Part, Pass, cut, judge_parts
from jobs.split import Split, quarantine_schema, refused_batches, silver_schema
from jobs.tally import Tally, Verdict
from lakehouse import merging
from lakehouse.contract import Contract
from lakehouse.engine import embedded
from lakehouse.errors import EnvironmentFault, SliceRefused
from lakehouse.runs import Run
from lakehouse.table import Commit, Engine, Table

_log = structlog.get_logger()

PART_ROWS = 2_000_000
"""Rows of a part: enough to outweigh what starting one costs, few enough to fill many cores."""


def cleaned(
    run: Run, of: Pass, verdict: Verdict, connection: duckdb.DuckDBPyConnection, files: Sequence[str], *, size: int
) -> Tally:
    """Judge the rows of the view `bronze`, which stand in `files`, and write them. `size` is what was delivered, in bytes."""
    contract, tally = of.plan.contract, Tally()
    engine = _judging_engine(run, contract, size)
    owner = _owner(run, contract, engine)
    parts = cut(of, files, PART_ROWS)
    try:
        if len(parts) > 1 or (parts and "spark" in (engine, owner)):
            tally, done = _judge_parts(run, connection, of, parts, engine)
            _refuse(verdict, tally, of)
            _take_over(run, connection, of, tally, done, owner)
        else:
            split = Split(of.plan, of.layers, of.folder)
            tally = split.tally
            _write(run, connection, of, split, _served(verdict, of, split, judged(connection, of.plan)))
    except SliceRefused:
        _quarantine_whole(run, of.plan, tally, connection, [rule.id for rule in verdict.broken(tally)])
    return tally


def _judging_engine(run: Run, contract: Contract, size: int) -> Engine:
    """The engine that judges a slice of `size` bytes: what contract or settings ask for, by size where they leave it open."""
    asked = _asked(run, contract)
    if asked != "auto":
        return asked
    return "spark" if size >= run.settings.spark_above_mb * 1_000_000 else "embedded"


def _asked(run: Run, contract: Contract) -> Literal["auto", "embedded", "spark"]:
    return contract.engine or run.settings.engine


def _judge_parts(
    run: Run, connection: duckdb.DuckDBPyConnection, of: Pass, parts: Sequence[Part], engine: Engine
) -> tuple[Tally, list[Judged]]:
    """Judge all parts by `engine`. Where that is left open, Spark that doesn't start costs no slice its night."""
    try:
        return judge_parts(connection, of, parts, _each(run, engine))
    except EnvironmentFault as fault:
        if engine == "embedded" or _asked(run, of.plan.contract) == "spark":
            raise
        _log.warning("judged without Spark", dataset=of.plan.contract.name, day=str(run.day), error=str(fault))
    return judge_parts(connection, of, parts, _each(run, "embedded"))


def _owner(run: Run, contract: Contract, engine: Engine) -> Engine:
    """The engine that writes silver. Spark's workers leave files that need but a commit; upserts also need Spark's shuffle."""
    if not contract.rank:
        return "embedded"
    silver = run.table("silver", contract.table)
    return silver.engine() or ("embedded" if silver.is_on_server else engine)


def _each(run: Run, engine: Engine) -> Each:
    if engine == "embedded":
        return partial(embedded.each, run.settings)
    from lakehouse.engine import spark  # half a second, and a JVM

    return partial(spark.each, run.settings)


def _refuse(verdict: Verdict, tally: Tally, of: Pass) -> None:
    """Raise SliceRefused where a `fail:` rule is broken."""
    if broken := verdict.broken(tally):
        said = ", ".join(rule.id for rule in broken)
        raise SliceRefused(f"broken: {said}", where=f"{of.plan.contract.name} {of.plan.day}")


def _served(verdict: Verdict, of: Pass, split: Split, rows: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
    """The accepted rows. Raises SliceRefused at their end: what has been written of them isn't committed."""
    yield from split.laid_out(rows)
    _refuse(verdict, split.tally, of)


def _write(
    run: Run, connection: duckdb.DuckDBPyConnection, of: Pass, split: Split, accepted: Iterator[pa.RecordBatch]
) -> None:
    """The slice as one stream: accepted rows to silver, then rejected rows to quarantine."""
    contract = of.plan.contract
    silver, schema = run.table("silver", contract.table), silver_schema(contract)
    if contract.rank:
        rows = pa.Table.from_batches(accepted, schema)
        connection.register("accepted", rows)
        changes.compare(run, connection, of.plan, split.tally)
        _merge(run, contract, rows)
    else:
        silver.replace_slice(run.day, schema, accepted, Commit(run.id))
    if quarantine := _quarantine(run, contract, split.tally):
        quarantine.replace_slice(run.day, quarantine_schema(contract), split.rejected_batches(), Commit(run.id))


def _take_over(
    run: Run, connection: duckdb.DuckDBPyConnection, of: Pass, tally: Tally, parts: Sequence[Judged], owner: Engine
) -> None:
    """The slice from what its parts have written."""
    contract = of.plan.contract
    accepted, silver = [Table(part.accepted) for part in parts], run.table("silver", contract.table)
    if contract.rank:
        files = [file for table in accepted for file in table.files()]
        none = silver_schema(contract).empty_table()
        connection.register("accepted", connection.read_parquet(files, hive_partitioning=True) if files else none)
        changes.compare(run, connection, of.plan, tally)
    if not contract.rank:
        silver.take_over(run.day, silver_schema(contract), accepted, Commit(run.id))
    elif owner == "embedded":
        _merge(run, contract, pa.concat_tables([table.read() for table in accepted]))
    else:
        from lakehouse.engine import spark

        spark.merge(run.settings, accepted, silver, Commit(run.id), key=contract.key, rank=contract.rank)
    if quarantine := _quarantine(run, contract, tally):
        rejected = [Table(part.rejected) for part in parts if part.rejected]
        quarantine.take_over(run.day, quarantine_schema(contract), rejected, Commit(run.id))


def _merge(run: Run, contract: Contract, rows: pa.Table) -> None:
    newest = merging.newest(rows, contract.key, contract.rank)
    run.table("silver", contract.table).merge(newest, Commit(run.id), key=contract.key, rank=contract.rank)


def _quarantine(run: Run, contract: Contract, tally: Tally) -> Table | None:
    """The quarantine table, if the slice has rows for it or has had some."""
    quarantine = run.table("quarantine", contract.table)
    return quarantine if tally.quarantined or run.day in quarantine.days() else None


def _quarantine_whole(
    run: Run, plan: Plan, tally: Tally, connection: duckdb.DuckDBPyConnection, broken: list[str]
) -> None:
    contract = plan.contract
    silver = run.table("silver", contract.table)
    if not contract.rank and run.day in silver.days():
        silver.replace_slice(run.day, silver_schema(contract), iter(()), Commit(run.id))
    rows = refused_batches(plan, tally, embedded.everything(connection, "bronze"), broken)
    run.table("quarantine", contract.table).replace_slice(run.day, quarantine_schema(contract), rows, Commit(run.id))
