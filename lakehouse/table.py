"""The one door to Delta tables written by delta-rs: every write is atomic, named after its run, and may be repeated.

A table has one writing engine, recorded in its description at creation; the other engine is refused.
Spark's own writes go through `lakehouse.engine.spark`, which asks `claim` first.
"""

import fcntl
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from itertools import chain
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import (
    ColumnProperties,
    CommitProperties,
    DeltaTable,
    Schema,
    Transaction,
    WriterProperties,
    write_deltalake,
)
from deltalake.exceptions import DeltaError
from deltalake.transaction import AddAction
from pyarrow.dataset import Dataset

from lakehouse import merging, store
from lakehouse.errors import LakeError, WrongEngine
from lakehouse.layout import LAYERS

Engine = Literal["embedded", "spark"]

RETENTION_DAYS = 35
"""How long replaced files and log entries are kept: any release within it can be read again."""

PROPERTIES = {
    "delta.deletedFileRetentionDuration": f"interval {RETENTION_DAYS} days",
    "delta.logRetentionDuration": f"interval {RETENTION_DAYS} days",
    "delta.dataSkippingNumIndexedCols": "32",
}
"""Properties of every table, whichever engine creates it."""
# delta-rs would write one file per core at once, each with its row groups in memory: 2.0 GB for 900 MB of CSV on two
# cores instead of 0.9, and not faster. Side by side go datasets, and the parts of a large slice.
os.environ.setdefault("DELTARS_MAX_CONCURRENT_WRITERS", "1")
_WRITING: dict[str, Any] = {"compression": "ZSTD", "compression_level": 1, "max_row_group_size": 1 << 20}
_ALONG = {"max_row_group_size": 1 << 16}

CURVES = ("_space", "_space_time", "_track")
"""Columns of `lakehouse.geo.curve`: rows of a table that has one lie by it, in row groups small enough to skip many."""


@dataclass(frozen=True)
class Commit:
    """Who writes: goes into the commit so that the history answers it. `facts` are plain counts, never values."""

    run_id: str
    facts: tuple[tuple[str, str], ...] = ()
    transaction: str | None = None

    def properties(self, transactions: Mapping[str, int] | None = None) -> CommitProperties:
        """As delta-rs takes them; `transactions` are noted with these numbers, 0 as if they had never been made."""
        noted = ({self.transaction: 1} if self.transaction else {}) | dict(transactions or {})
        return CommitProperties(
            custom_metadata={"run_id": self.run_id, **dict(self.facts)},
            app_transactions=[Transaction(name, number) for name, number in noted.items()] or None,
            max_commit_retries=15,
        )


class Table:
    """A Delta table at `path`. Cheap to make; opened at the first question.

    Where the lake has its tables on a server, the folder is a copy for readers and the place of the lock (`lakehouse.store`).
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._store = store.of(path)

    @property
    def where(self) -> str:
        """Where it lies: a folder, or an address on a server."""
        return self._store.uri if self._store else str(self.path)

    @property
    def is_on_server(self) -> bool:
        """Whether it lies on a server, where Spark doesn't write."""
        return self._store is not None

    @property
    def layer(self) -> str:
        """The folder of the lake it lies in: bronze, silver, quarantine, gold, ops."""
        return self.path.parent.name

    @property
    def name(self) -> str:
        """How books, releases and people call it: `silver.works__bridges`."""
        return f"{self.layer}.{self.path.name}"

    def exists(self) -> bool:
        """Whether a first commit has been made."""
        if self._store:
            self._store.follow()
        return any((self.path / "_delta_log").glob("[0-9]*.json"))  # a writer that was killed may leave other files

    def open(self, version: int | None = None) -> DeltaTable:
        """The table at `version`, or the newest, to be read. Raises LakeError when it is missing or damaged."""
        if self._store:
            self._store.follow()
        return self._open(str(self.path), version, None)

    def original(self) -> DeltaTable:
        """The newest version where it lies, to be written."""
        return self._open(self.where, None, self._options)

    def _open(self, where: str, version: int | None, options: dict[str, str] | None) -> DeltaTable:
        try:
            return DeltaTable(where, version=version, storage_options=options)
        except (DeltaError, OSError) as error:
            if fault := store.explained(error, where):
                raise fault from error
            raise LakeError(
                f"can't be opened at version {version if version is not None else 'newest'} ({_first_line(error)})",
                where=where,
                hint="run `citylake doctor` to see what is damaged",
            ) from error

    @property
    def _options(self) -> dict[str, str] | None:
        return self._store.options if self._store else None

    def version(self) -> int | None:
        """The newest version, None before the first commit."""
        return self.open().version() if self.exists() else None

    def engine(self) -> Engine | None:
        """The engine that owns the table, None before the first commit."""
        return _owner(self.open()) if self.exists() else None

    def claim(self, engine: Engine) -> None:
        """Raise WrongEngine unless `engine` may write here."""
        self._refuse_unless(engine, self.engine())

    def _refuse_unless(self, engine: Engine, owner: Engine | None) -> None:
        if self._store and engine == "spark":
            raise WrongEngine("lies on a server", where=self.where, hint="write it with engine 'embedded'")
        if owner not in (None, engine):
            raise WrongEngine(
                f"belongs to the {owner} engine", where=self.where, hint=f"write it with engine '{owner}'"
            )

    def append_once(
        self, schema: pa.Schema, batches: Iterable[pa.RecordBatch], commit: Commit, *, partition_by: str = "_day"
    ) -> bool:
        """Append the batches unless a commit with the same transaction was made. Returns whether it wrote."""
        with self._opened() as table:
            if table and commit.transaction and table.transaction_version(commit.transaction):
                return False
            self._write(table, schema, batches, commit, mode="append", partition_by=[partition_by])
            return True

    def replace_slice(self, day: date, schema: pa.Schema, batches: Iterable[pa.RecordBatch], commit: Commit) -> None:
        """Make the batches the only content of `_day = day`, in one commit. A schema that grew is merged in.

        An error raised by `batches` ends the write without a commit and comes back as it is.
        """
        self.replace_slices([day], schema, batches, commit)

    def replace_slices(
        self, days: Iterable[date], schema: pa.Schema, batches: Iterable[pa.RecordBatch], commit: Commit
    ) -> None:
        """Make the batches the only content of these days, as `replace_slice` does of one."""
        listed = ", ".join(f"'{day.isoformat()}'" for day in sorted(days))
        with self._opened() as table:
            predicate = f"_day IN ({listed})" if table else None
            self._write(table, schema, batches, commit, mode="overwrite", predicate=predicate, partition_by=["_day"])

    def take_over(self, day: date, schema: pa.Schema, others: Sequence["Table"], commit: Commit) -> None:
        """Make the rows of `others`, tables written aside with this schema, the only content of `_day = day`, in one commit.

        Their files are moved, not written again: they have to lie on the lake's file system.
        """
        plain = uncoded(schema)
        with self._opened() as table:
            table = table or DeltaTable.create(
                self.where,
                plain,
                partition_by=["_day"],
                description="engine=embedded",
                configuration=PROPERTIES,
                storage_options=self._options,
            )
            self._refuse_other_types(table, plain)
            known = {field.name for field in table.schema().fields}
            if added := [field for field in Schema.from_arrow(plain).fields if field.name not in known]:
                table.alter.add_columns(added)
            table.create_write_transaction(
                [self._moved(other, action) for other in others for action in _written(other)],
                mode="overwrite",
                schema=table.schema(),
                partition_by=["_day"],
                partition_filters=[("_day", "=", day.isoformat())],
                commit_properties=commit.properties(),
            )

    def _moved(self, other: "Table", action: AddAction) -> AddAction:
        path = unquote(action.path)
        if self._store:
            self._store.put(other.path / path, path)
            return action
        target = self.path / path
        target.parent.mkdir(exist_ok=True)
        os.replace(other.path / path, target)
        return action

    def merge(self, rows: pa.Table, commit: Commit, *, key: Sequence[str], rank: Sequence[str]) -> None:
        """Upsert `rows` (one per `key`): a row replaces another only when it is newer by the columns `rank`.

        Without such a row there is no commit.
        """
        with self._opened() as table:
            rows = rows.cast(uncoded(rows.schema))
            if table:
                self.refuse_unmergeable(table, rows.schema, rank)
            new, replacing = merging.changing(rows, self.files(version=table.version()) if table else (), key, rank)
            if replacing.num_rows:
                assert table is not None
                names = merging.quoted(key)
                merger = table.merge(
                    pa.concat_tables([replacing, new]),
                    f"{merging.same(names)} AND {merging.within(names[0], replacing[key[0]])}",
                    source_alias="s",
                    target_alias="t",
                    merge_schema=True,
                    commit_properties=commit.properties(),
                    writer_properties=writing(None),
                )
                newer = merging.newer(merging.quoted(rank))
                merger.when_matched_update_all(predicate=newer).when_not_matched_insert_all().execute()
            elif new.num_rows or table is None:
                self._write(table, new.schema, new.to_batches(), commit, mode="append", partition_by=None)

    def restore(self, version: int, commit: Commit, transactions: Mapping[str, int] | None = None) -> None:
        """Give the table the content of an earlier version, in a new commit. Delta keeps the transactions of the newest one:
        `transactions` says which the content has (1) and which it hasn't (0)."""
        with self._opened() as table:
            assert table is not None
            table.restore(version, commit_properties=commit.properties(transactions))

    def forget(self, deliveries: Sequence[str], commit: Commit) -> None:
        """Take the rows of deliveries (ids are hexadecimal digits) out, and the transactions that appended them back."""
        listed = ", ".join(f"'{int(delivery, 16):032x}'" for delivery in deliveries)
        with self._opened() as table:
            assert table is not None
            undone = commit.properties(dict.fromkeys(deliveries, 0))
            before = table.version()
            table.delete(f"_delivery_id IN ({listed})", commit_properties=undone)
            if table.version() == before:  # no row of theirs is there: delta-rs makes no commit
                _note(table, undone)

    def take_back(self, transaction: str, commit: Commit) -> None:
        """Note that a transaction no longer counts as made."""
        with lake_faults(self.where), self.lock():
            _note(self.original(), commit.properties({transaction: 0}))

    def holding(self, transactions: Iterable[str]) -> set[str]:
        """Those of the transactions that were made here."""
        table = self.open() if self.exists() else None
        return {each for each in transactions if table and table.transaction_version(each)}

    def days(self) -> set[date]:
        """The days that have files."""
        if not self.exists():
            return set()
        found = self.open().partitions()
        return {date.fromisoformat(str(p["_day"])) for p in found if p.get("_day") is not None}

    def files(self, day: date | None = None, version: int | None = None) -> list[str]:
        """Absolute paths of the Parquet files of `day` (all days when None), which are here to be read."""
        filters = [("_day", "=", day.isoformat())] if day else None
        return self.here(unquote(uri) for uri in self.open(version).file_uris(file_pruning_predicate=filters))

    def here(self, files: Iterable[str]) -> list[str]:
        """The paths, sorted; on a server's table their files have been brought, where they weren't here yet."""
        wanted = sorted(files)
        if self._store:
            self._store.bring(str(Path(file).relative_to(self.path)) for file in wanted)
        return wanted

    def sizes(self, paths: Iterable[str]) -> dict[str, int]:
        """Those of its files, by their path in the table, that are where it lies, and their bytes."""
        if self._store:
            there = self._store.sizes()
            return {path: there[path] for path in paths if path in there}
        return {path: (self.path / path).stat().st_size for path in paths if (self.path / path).exists()}

    def renew(self, spoilt: Sequence[Path]) -> None:
        """Bring the log of a copy anew where files of it are spoilt."""
        if self._store and spoilt:
            self._store.forget_log()

    def tidy(self) -> None:
        """Drop what a copy has and its server no longer."""
        if self._store:
            self._store.tidy()

    def files_by_day(self, version: int | None = None) -> dict[date | None, list[str]]:
        """Absolute paths of the Parquet files of every day; of a table without days all under None. Read what `here` gives."""
        found: dict[date | None, list[str]] = {}
        for file in added(self.open(version)):
            found.setdefault(file.get("partition._day"), []).append(str(self.path / unquote(file["path"])))
        return {day: sorted(files) for day, files in found.items()}

    def rows(self, day: date | None = None, version: int | None = None) -> int:
        """How many rows the log says there are of `day` (all days when None)."""
        files = [file for file in added(self.open(version)) if day is None or file["partition._day"] == day]
        return sum(file["num_records"] for file in files)

    def read(
        self, *, day: date | None = None, version: int | None = None, columns: list[str] | None = None
    ) -> pa.Table:
        """The rows of `day` (all when None) at `version`."""
        condition = None if day is None else pc.field("_day") == pa.scalar(day, pa.date32())
        return self.dataset(version, day).to_table(columns=columns, filter=condition)

    def dataset(self, version: int | None = None, day: date | None = None) -> Dataset:
        """The table at `version` as pyarrow reads it; where it lies on a server only `day` may be read (all when None)."""
        if self._store:
            self.files(day, version)
        return self.open(version).to_pyarrow_dataset()

    def history(self) -> list[dict[str, Any]]:
        """Commits, newest first: version, timestamp, operation, run_id and counts."""
        return self.open().history()

    @contextmanager
    def _opened(self) -> Iterator[DeltaTable | None]:
        """The table for one write, None before the first commit. Opened once: replaying a long log is what costs."""
        with lake_faults(self.where), self.lock():
            table = self.original() if self.exists() else None
            self._refuse_unless("embedded", _owner(table) if table else None)
            yield table

    def _write(
        self,
        table: DeltaTable | None,
        schema: pa.Schema,
        batches: Iterable[pa.RecordBatch],
        commit: Commit,
        **options: Any,
    ) -> None:
        if table and options.get("schema_mode") != "overwrite":
            self._refuse_other_types(table, schema)
        rest = iter(batches)
        first = next(rest, None)
        stream = _Stream(schema, rest if first is None else chain([first], rest))
        creation = {"description": "engine=embedded", "configuration": PROPERTIES}
        try:
            write_deltalake(
                table or self.where,
                stream.reader,
                storage_options=self._options,
                commit_properties=commit.properties(),
                writer_properties=writing(first, schema.names),
                **({"schema_mode": "merge"} if table else creation) | options,
            )
        except Exception as error:
            if stream.error is not None:
                raise stream.error from error
            raise

    def _refuse_other_types(self, table: DeltaTable, schema: pa.Schema) -> None:
        """delta-rs would cast without a word what a changed contract types otherwise."""
        stored = {field.name: field.type for field in table.schema().fields}
        now = {field.name: field.type for field in Schema.from_arrow(uncoded(schema)).fields}
        if other := sorted(name for name in now.keys() & stored.keys() if now[name] != stored[name]):
            raise LakeError(
                f"the contract gives other types than the table has ({', '.join(other)})",
                where=self.where,
                hint=self._rebuild,
            )

    def refuse_unmergeable(self, table: DeltaTable, schema: pa.Schema, rank: Sequence[str]) -> None:
        """Raise LakeError unless rows of this schema can be merged into the opened table by the columns `rank`."""
        self._refuse_other_types(table, schema)
        if table.metadata().partition_columns or set(rank) - {field.name for field in table.schema().fields}:
            raise LakeError("isn't kept by the newest row of a key yet", where=self.where, hint=self._rebuild)

    @property
    def _rebuild(self) -> str:
        return f"run `citylake rebuild {self.path.name.replace('__', '.', 1)}`"

    def reset(self, schema: pa.Schema, engine: Engine, commit: Commit, *, partition_by: list[str]) -> None:
        """Empty the table and give it this schema, partitioning and writing engine; earlier versions stay readable."""
        with lake_faults(self.where), self.lock():
            self._refuse_unless(engine, None)
            table = self.original()
            options = {"schema_mode": "overwrite", "mode": "overwrite", "partition_by": partition_by}
            self._write(table, schema, (), commit, **options)
            table.update_incremental()
            if _owner(table) != engine:
                table.alter.set_table_description(f"engine={engine}", commit_properties=commit.properties())

    @contextmanager
    def lock(self) -> Iterator[None]:
        """A lock that dies with the process: writers of one table take turns."""
        self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = os.open(self.path, os.O_RDONLY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)


def _note(table: DeltaTable, properties: CommitProperties) -> None:
    """A commit that changes no row."""
    by = table.metadata().partition_columns
    table.create_write_transaction([], "append", table.schema(), by, commit_properties=properties)


def _owner(table: DeltaTable) -> Engine:
    return "spark" if table.metadata().description == "engine=spark" else "embedded"


def tables(home: Path, layers: Sequence[str] = LAYERS) -> list[Table]:
    """Every folder of the layers as a table, also one without a commit yet; by layer and name."""
    return [
        Table(home / layer / name)
        for layer in layers
        for name in sorted({path.name for path in (home / layer).glob("*")} | store.names(home, layer))
    ]


def added(table: DeltaTable) -> list[dict[str, Any]]:
    """The log's entries of the files of an opened table: path, size_bytes, num_records, the partition as `partition._day`."""
    return pa.table(table.get_add_actions(flatten=True)).to_pylist()


def uncoded(schema: pa.Schema) -> pa.Schema:
    """The schema with the types of the values where columns are dictionaries: what a table holds."""
    return pa.schema(
        [field.with_type(field.type.value_type) if pa.types.is_dictionary(field.type) else field for field in schema]
    )


def _written(table: Table) -> list[AddAction]:
    """The files of a table written in one commit."""
    log = (table.path / "_delta_log" / f"{0:020}.json").read_text("utf-8")
    adds = [entry["add"] for line in log.splitlines() if "add" in (entry := json.loads(line))]
    return [
        AddAction(a["path"], a["size"], a["partitionValues"], a["modificationTime"], True, a["stats"]) for a in adds
    ]


def writing(sample: pa.RecordBatch | None, names: Iterable[str] = ()) -> WriterProperties:
    """How Parquet with columns `names` is written: those whose values hardly repeat in `sample` go without a dictionary, which
    would only cost time."""
    plain = (
        []
        if sample is None
        else [n for n, c in zip(sample.schema.names, sample.columns, strict=True) if _hardly_repeats(c)]
    )
    how = _WRITING if set(CURVES).isdisjoint(names) else _WRITING | _ALONG
    return WriterProperties(
        **how, column_properties={name: ColumnProperties(dictionary_enabled=False) for name in plain}
    )


def _hardly_repeats(column: pa.Array) -> bool:
    if pa.types.is_dictionary(column.type) or pa.types.is_nested(column.type):
        return False
    return bool(pc.count_distinct(column, mode="only_valid").as_py() > (len(column) - column.null_count) // 2)


class _Stream:
    """Hands batches to the writer and keeps the error that ended them: it loses its type on the way through Arrow's C stream."""

    def __init__(self, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> None:
        self.error: Exception | None = None
        self.reader = pa.RecordBatchReader.from_batches(schema, self._pass(batches))

    def _pass(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        try:
            yield from batches
        except Exception as error:
            self.error = error
            raise


@contextmanager
def lake_faults(where: str) -> Iterator[None]:
    """Turn what the disk, a server and delta-rs raise into a LakeError that says what to do."""
    try:
        yield
    except (DeltaError, OSError) as error:
        if fault := store.explained(error, where):
            raise fault from error
        full = "No space left" in str(error)
        raise LakeError(
            "the disk is full" if full else f"write failed ({_first_line(error)})",
            where=where,
            hint="free some space and run the same command again"
            if full
            else "run `citylake doctor`, then the same command again",
        ) from error


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
