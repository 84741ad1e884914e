"""What a file holds that no contract describes: columns, their types and standards, and what looks wrong."""

import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from expectations.catalog import Standard
from expectations.checks.recognise import recognised
from jobs.dialect import dialect, sheets
from jobs.judge import codes
from jobs.suspicion import SURE, TEXT, ColumnProfile, Form, Suspicion, one, positions, quoted, suspicions, written
from lakehouse.contract import Contract, FileSource
from lakehouse.engine import embedded as engine
from lakehouse.errors import DeliveryUnreadable
from lakehouse.formats import Reading, read
from lakehouse.formats.reading import SOURCE_ROW
from lakehouse.privacy import masked
from lakehouse.settings import Settings

SAMPLE = 1_000
"""Different values looked at before one type and one standard are counted over all."""

_TITLES = 5
"""Rows of titles looked behind in a sheet."""

_NAMELESS = re.compile(r"column_\d+")
"""What the reader calls a column without a name: a title stands in one cell and leaves the others so."""

_TELLING = 3
"""Different values that must be on a code list before the column is said to follow it."""


@dataclass(frozen=True)
class Profile:
    """A described file. `duplicates` are rows equal in every column to an earlier one."""

    file: Path
    source: FileSource
    rows: int
    unparsable: int
    duplicates: int
    columns: tuple[ColumnProfile, ...]
    suspicions: tuple[Suspicion, ...]


def profile(file: Path, standards: dict[str, Standard], day: date, settings: Settings) -> Profile:
    """Read the file as it seems to be written and describe what is in it. `day` decides which codes are valid.

    Raises UsageError without such a file, DeliveryUnreadable when it can't be read at all.
    """
    source, width = dialect(file)
    folder = Path(tempfile.mkdtemp(prefix="citylake-"))
    try:
        source, reading = _opened(file, source, width)
        numbered = [f"c{n}" for n in range(len(reading.names))]
        schema = pa.schema([*((name, pa.string()) for name in numbered), (SOURCE_ROW, pa.int64())])
        with pq.ParquetWriter(folder / "sent.parquet", schema, compression="lz4") as writer:
            for batch in reading.batches:
                writer.write_batch(batch.rename_columns(schema.names))
        with engine.session(settings.model_copy(update={"home": folder})) as connection:
            engine.read(connection, "sent", [str(folder / "sent.parquet")])
            _tidy(connection, numbered)
            for name, standard in standards.items():
                if standard.codes:
                    listed = codes(settings.catalog / "standards" / standard.codes, day)
                    connection.register(f"codes_{name}", listed)
            looked = [_look(connection, c, name, standards) for c, name in zip(numbered, reading.names, strict=True)]
            columns = tuple(column for column, _ in looked)
            found = [suspicion for _, suspicions in looked for suspicion in suspicions]
            found += positions(connection, [(c, p.name) for c, p in zip(numbered, columns, strict=True)])
            copies = one(connection, "SELECT coalesce(sum(n - 1), 0)::BIGINT FROM (SELECT count(*) AS n FROM cells "
                         f"GROUP BY {', '.join(numbered)})")[0]  # fmt: skip
        return Profile(file, source, reading.rows_in, len(reading.unparsable), copies, columns, tuple(found))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _opened(file: Path, source: FileSource, width: int) -> tuple[FileSource, Reading]:
    """The file being read. In a workbook the first sheet with a table, behind the titles above it."""
    if source.format != "xlsx":
        return source, read(file, _scratch_contract(file, source, width))
    for sheet in sheets(file):
        for skip in range(_TITLES):
            tried = source.model_copy(update={"sheet": sheet, "skip": skip})
            try:
                reading = read(file, _scratch_contract(file, tried, width))
            except DeliveryUnreadable:
                break  # nothing left behind the titles
            if sum(not _NAMELESS.fullmatch(name) for name in reading.names) > max(1, len(reading.names) // 2):
                return tried, reading
    return source, read(file, _scratch_contract(file, source, width))


def _scratch_contract(file: Path, source: FileSource, width: int) -> Contract:
    """The reader asks for a contract; this one declares as many columns as there are and nothing about them."""
    columns = {f"column_{n}": {"type": "string"} for n in range(1, max(width, 1) + 1)}
    content = {
        "department": "unknown",
        "dataset": "unknown",
        "title": file.name,
        "kind": "accepted",
        "sharing": "unconditional",
        "source": source,
        "load": "append",
        "columns": columns,
    }
    return Contract.model_validate(content)


def _tidy(connection: duckdb.DuckDBPyConnection, columns: Sequence[str]) -> None:
    """The view `cells`: the text without outer white space, null where nothing is left."""
    trimmed = ", ".join(f"nullif(trim({name}, {quoted(engine.SPACES)}), '') AS {name}" for name in columns)
    connection.execute(f"CREATE TEMP VIEW cells AS SELECT {trimmed}, {SOURCE_ROW} FROM sent")


def _look(
    connection: duckdb.DuckDBPyConnection, column: str, name: str, standards: Mapping[str, Standard]
) -> tuple[ColumnProfile, list[Suspicion]]:
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE vals AS SELECT {column} AS v, count(*) AS n, min({SOURCE_ROW}) AS r "
        f"FROM cells WHERE {column} IS NOT NULL GROUP BY ALL"
    )
    rows = one(connection, "SELECT count(*) FROM cells")[0]
    filled, distinct = one(connection, "SELECT coalesce(sum(n), 0)::BIGINT, count(*) FROM vals")
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE seen AS SELECT v, 1::BIGINT AS n FROM vals ORDER BY hash(v) LIMIT {SAMPLE}"
    )
    form = written(connection)
    standard = _standard(connection, standards, form)
    if standard:  # digits that are a code are text
        form = TEXT
    fits, least, most = one(
        connection,
        f"SELECT coalesce(sum(n) FILTER ({form.condition}), 0)::BIGINT, min({form.value})::VARCHAR, "
        f"max({form.value})::VARCHAR FROM vals",
    )
    if standard and standards[standard].class_ == "sensitive":
        least, most = masked(least), masked(most)
    found = ColumnProfile(name, form.type, form.format, standard, filled, distinct, fits, least, most)
    broken = _against(connection, standards[standard]) if standard else None
    return found, list(suspicions(connection, found, form, rows, broken))


def _standard(connection: duckdb.DuckDBPyConnection, standards: Mapping[str, Standard], form: Form) -> str | None:
    """The standard that nearly all the seen values follow; one with check digits before one with a list before others.

    Numbers with decimals follow one only where it lists them, dates none.
    """
    if form.type == "double":
        standards = {name: standard for name, standard in standards.items() if standard.codes}
    if not standards or form.type not in ("string", "integer", "double"):
        return None
    seen = one(connection, "SELECT count(*) FROM seen")[0]
    passed = engine.run(connection, recognised(standards)).read_all().to_pylist()[0]
    likely = [name for name, count in passed.items() if seen and count >= SURE * seen and _tells(standards[name], seen)]
    rank = {name: (bool(standards[name].digit), bool(standards[name].codes), passed[name]) for name in likely}
    return max(likely, key=lambda name: rank[name], default=None)


def _tells(standard: Standard, seen: int) -> bool:
    return not standard.codes or seen >= _TELLING


def _against(connection: duckdb.DuckDBPyConnection, standard: Standard) -> int:
    """Rows whose value breaks the standard."""
    connection.execute("CREATE OR REPLACE TEMP TABLE seen AS SELECT v, n::BIGINT AS n FROM vals")
    passed = engine.run(connection, recognised({standard.name: standard})).read_all().to_pylist()[0]
    return int(one(connection, "SELECT coalesce(sum(n), 0)::BIGINT FROM vals")[0] - passed[standard.name])
