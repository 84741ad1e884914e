"""What was read of a table: put in order, compared with what landed before, and written as one Parquet file of text."""

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import date, datetime, time, timedelta
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from lakehouse.contract import Contract, Operations
from lakehouse.engine.embedded import session
from lakehouse.errors import LakeError, NotDelivered
from lakehouse.settings import ZONE
from lakehouse.source import TableSource
from lakehouse.sources.received import Asked, Ledger, Received, place, writing

SEEN_AT = "_seen_at"
"""The column of changes with the instant they were found at. No column of a table orders them: it may change without."""

_MOMENT = r"\d{4}-\d\d-\d\d([ T]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d(:?\d\d)?)?)?"
_NAMES = b"columns"
_GROUP_BYTES = 64 << 20
_GROUP_ROWS = 100_000


def numbered(columns: int) -> list[str]:
    """`c0`, `c1` ...: names of a database may differ in nothing but case, DuckDB's may not."""
    return [f"c{number}" for number in range(columns)]


def delivered(asked: Asked, source: TableSource, spool: Path, columns: list[str]) -> Iterator[Received]:
    """The rows in `spool` (a Parquet file, or a folder of them; columns `numbered`) as a delivery with these column names.

    Rows are ordered by the key, then by the other columns. With `changes` they are what differs from `asked.state`: rows
    of new keys (I), all rows of keys of which one differs (U), and of keys that are gone one row as it was (D); nothing is
    delivered where the day has been compared already and nothing differs. Raises NotDelivered when the day has no rows,
    LakeError when the state is gone.
    """
    contract = asked.contract
    where = f"{contract.name} {source.name}"
    name = f"{source.name}.parquet"
    path, state = place(name, asked.into), None
    files = {"now": str(spool / "*.parquet" if spool.is_dir() else spool)}
    order = ", ".join(dict.fromkeys([*_key(contract, columns), *numbered(len(columns))]))
    everything = f"SELECT {', '.join(numbered(len(columns)))} FROM read_parquet($now) ORDER BY {order}"
    marks = {}
    with _faults(where), session(asked.settings) as connection:
        content = _Content(connection, files, len(columns))
        if source.day_column and not content.rows:
            hint = "it is looked for again with every run"
            raise NotDelivered(f"no rows of {asked.day}", where=where, hint=hint)
        if source.changes:
            state = place(f"{source.name}.whole.parquet", asked.into)
            content.write(everything, numbered(len(columns)), state, {_NAMES: json.dumps(columns)})
            before = _names(asked.state.path, where) if asked.state else None
            files |= {"then": str(asked.state.path)} if asked.state else {}
            content.write(f"{_changes(asked, columns, before)} ORDER BY {order}", [*columns, *_added(contract)], path)
            if asked.state and asked.state.day == asked.day and not pq.read_metadata(path).num_rows:
                return
            name = f"{source.name} {asked.at:%Y%m%dT%H%M%SZ}.parquet"
        else:
            content.write(everything, columns, path)
        if source.since:
            column = source.since.column
            greatest = content.greatest(f"c{columns.index(column)}", asked.marks.get(column), asked.day)
            marks = {column: greatest} if greatest else {}
    ledger = Ledger(contract.limits.bytes, b'"', where)
    ledger.add(path)
    yield Received(path, name, ledger.size, ledger.sha256, None, True, marks=marks, state=state)


def _key(contract: Contract, columns: list[str]) -> list[str]:
    sent = map(contract.sent_name, contract.key)
    return [f"c{columns.index(name)}" for name in sent if name in columns]


def _names(state: Path, where: str) -> list[str]:
    """What the columns of a state are called."""
    try:
        return json.loads(pq.read_schema(state).metadata[_NAMES])
    except (OSError, pa.ArrowException):
        hint = "put it back, or make the dataset again: without it what was deleted isn't known"
        raise LakeError(f"what the table held last is gone or damaged: {state}", where=where, hint=hint) from None


@contextmanager
def _faults(where: str) -> Iterator[None]:
    """DuckDB's errors, whose words may hold values, as ours."""
    try:
        yield
    except duckdb.Error as error:
        hint = "free space on the lake's disk, or raise CITYLAKE_MEMORY_MB; then run the step again"
        raise LakeError(f"the table can't be put in order: {type(error).__name__}", where=where, hint=hint) from None


def _added(contract: Contract) -> list[str]:
    """What changes say beside the table's columns."""
    return [(contract.operations or Operations()).op, SEEN_AT]


def _changes(asked: Asked, columns: list[str], before: list[str] | None) -> str:
    """What differs between the rows `$now` and `$then`, whose columns were called `before`; None before the first delivery.

    A column that is new counts as empty before; one that is gone isn't compared.
    """
    names, key = numbered(len(columns)), _key(asked.contract, columns)
    then = {name: f"c{number}" for number, name in enumerate(before or ())}
    aligned = ", ".join(f"{then.get(name, 'NULL::VARCHAR')} AS {own}" for name, own in zip(columns, names, strict=True))
    operations = asked.contract.operations or Operations()
    insert, update, delete = (_literal(words[0].upper()) for words in operations.words.values())
    seen = _literal(asked.at.isoformat())

    def same(other: str) -> str:
        return " AND ".join(f"one.{name} IS NOT DISTINCT FROM {other}.{name}" for name in key)

    return f"""
        WITH after AS (SELECT {", ".join(names)} FROM read_parquet($now)),
        before AS ({f"SELECT {aligned} FROM read_parquet($then)" if before else "SELECT * FROM after WHERE false"}),
        differing AS ((FROM after EXCEPT ALL FROM before) UNION ALL (FROM before EXCEPT ALL FROM after)),
        known AS (SELECT DISTINCT {", ".join(key)}, true AS is_known FROM before)
        SELECT one.*, CASE WHEN known.is_known THEN {update} ELSE {insert} END, {seen}
        FROM after AS one SEMI JOIN differing ON {same("differing")} LEFT JOIN known ON {same("known")}
        UNION ALL
        (SELECT one.*, {delete}, {seen} FROM before AS one ANTI JOIN after ON {same("after")}
        QUALIFY row_number() OVER (PARTITION BY {", ".join(key)} ORDER BY {", ".join(names)}) = 1)
    """


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


class _Content:
    """The rows that were put aside, for DuckDB to order and compare; `files` are those a query calls `$now`, `$then`."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, files: dict[str, str], columns: int) -> None:
        self._connection, self._files = connection, files
        lengths = " + ".join(f"coalesce(sum(strlen({name})), 0)" for name in numbered(columns))
        measured = f"SELECT count(*), ({lengths})::BIGINT FROM read_parquet($now)"
        self.rows, size = connection.execute(measured, files).fetchall()[0]
        # by the mean size of a row, which doesn't depend on the order they came in
        self._group = max(1, min(_GROUP_ROWS, _GROUP_BYTES * self.rows // max(size, 1)))

    def write(self, query: str, names: list[str], path: Path, metadata: dict[bytes, str] | None = None) -> None:
        """The query's rows in groups whose sizes follow from the rows alone."""
        schema = pa.schema([(name, pa.string()) for name in names], metadata)
        found = self._connection.execute(query, self._files).to_arrow_reader(self._group)
        with writing(path):
            writer = pq.ParquetWriter(path, schema, compression="zstd", store_schema=bool(metadata))
        with writer:
            for group in _groups(found, self._group):
                with writing(path):
                    writer.write_table(pa.Table.from_arrays(group.columns, schema=schema))

    def greatest(self, column: str, mark: str | None, day: date) -> str | None:
        """The greatest number or moment (ISO 8601) in the column and `mark`. Moments after the day don't count: one wrong date
        would hide all that comes until then."""
        sql = f"""
            SELECT coalesce(arg_max(value, number), arg_max(value, moment) FILTER (moment < $until)) FROM (
                SELECT value, CASE WHEN regexp_full_match(value, '-?\\d{{1,38}}') THEN value::HUGEINT END AS number,
                    CASE WHEN regexp_full_match(value, '{_MOMENT}') THEN TRY_CAST(value AS TIMESTAMPTZ) END AS moment
                FROM (SELECT {column} AS value FROM read_parquet($now) UNION ALL SELECT $mark)
            )
        """
        until = datetime.combine(day + timedelta(days=1), time(), ZONE)
        self._connection.execute(f"SET TimeZone = '{ZONE.key}'")  # of moments without offset
        asked = {"now": self._files["now"], "mark": mark, "until": until}
        return self._connection.execute(sql, asked).fetchall()[0][0]


def _groups(batches: Iterable[pa.RecordBatch], rows: int) -> Iterator[pa.Table]:
    """The same rows, `rows` at a time."""
    held: list[pa.RecordBatch] = []
    count = 0
    for batch in batches:
        while count + len(batch) >= rows:
            yield pa.Table.from_batches([*held, batch.slice(0, rows - count)])
            batch, held, count = batch.slice(rows - count), [], 0
        held.append(batch)
        count += len(batch)
    if count:
        yield pa.Table.from_batches(held)
