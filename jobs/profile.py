"""What a file holds that no contract describes: columns, their types and standards, and what looks wrong."""

import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from expectations.catalog import Standard
from expectations.checks.recognise import recognised
from jobs.dialect import bare_contract, dialect, sheets
from jobs.judge import codes
from jobs.suspicion import (
    PLACEHOLDERS,
    SURE,
    TEXT,
    ColumnProfile,
    Suspicion,
    Written,
    coordinates,
    one,
    positions,
    quoted,
    suspicions,
    written,
)
from lakehouse.deliveries import unpacked
from lakehouse.engine import embedded as engine
from lakehouse.errors import DeliveryUnreadable
from lakehouse.formats import Reading, read
from lakehouse.formats.reading import SOURCE_ROW
from lakehouse.privacy import masked
from lakehouse.settings import Settings
from lakehouse.source import Dialect, FileSource, Source

if TYPE_CHECKING:
    from lakehouse.geo.infer import Inference

SAMPLE = 400
"""Different values looked at before one type and one standard are counted over all."""

_TITLES = 5
"""Rows of titles looked behind in a sheet."""

_NAMELESS = re.compile(r"column_\d+")
"""What the reader calls a column without a name: a title stands in one cell and leaves the others so."""

_FEW = 20
"""Different texts of a column that are all named."""

_ABLE = 6
"""Columns among which two are looked for that tell the rows apart."""

_TELLING = 3
"""Different values that must be on a code list before the column is said to follow it."""


@dataclass(frozen=True)
class Profile:
    """A described file. `duplicates` are rows equal in every column to an earlier one; `key` are columns whose values
    together differ in all rows, if there are; `placeholders` words in it that stand for nothing; `crs` what the positions in
    it, if there are, seem to be in."""

    file: Path
    source: Source
    rows: int
    unparsable: int
    duplicates: int
    columns: tuple[ColumnProfile, ...]
    suspicions: tuple[Suspicion, ...]
    key: tuple[str, ...] = ()
    placeholders: tuple[str, ...] = ()
    crs: "Inference | None" = None


def profile(
    file: Path, standards: dict[str, Standard], day: date, settings: Settings, source: Source | None = None
) -> Profile:
    """Read the file as `source` says, or as it seems to be written, and describe what is in it. `day` decides which codes
    are valid.

    Raises UsageError without such a file, DeliveryUnreadable when it can't be read at all.
    """
    folder = Path(tempfile.mkdtemp(prefix="citylake-"))
    try:
        file = unpacked(file, folder, source if isinstance(source, Dialect) else Dialect())
        read_as, reading = _opened(file, *dialect(file)) if source is None else (source, _read(file, source))
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
            followed = _followed(connection, numbered, standards)
            as_sent = written(connection, numbered)
            looked = [
                _look(connection, column, name, as_sent[column], followed[column], standards)
                for column, name in zip(numbered, reading.names, strict=True)
            ]
            columns = tuple(column for column, _ in looked)
            found = [suspicion for _, suspicions in looked for suspicion in suspicions]
            named = [(c, p.name) for c, p in zip(numbered, columns, strict=True)]
            found += positions(connection, named)
            crs = _crs(connection, *coordinates(named), settings.catalog / "standards" / "layers", day)
            copies = one(connection, "SELECT coalesce(sum(n - 1), 0)::BIGINT FROM (SELECT count(*) AS n FROM cells "
                         f"GROUP BY {', '.join(numbered)})")[0]  # fmt: skip
            key = _key(connection, numbered, columns, reading.rows_in - len(reading.unparsable) - copies)
            nothing = _placeholders(connection, numbered)
        lost = len(reading.unparsable)
        return Profile(file, read_as, reading.rows_in, lost, copies, columns, tuple(found), key, nothing, crs)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _crs(
    connection: duckdb.DuckDBPyConnection, x: str | None, y: str | None, layers: Path, day: date
) -> "Inference | None":
    """What the positions in two columns seem to be in; None without such columns, or without districts to tell by."""
    if x is None or y is None or not (layers / "districts.geojson").exists():
        return None
    from jobs.layers import inferred  # numba costs half a second: only files with positions pay it
    from lakehouse.geo.infer import Sample
    from lakehouse.geo.points import floats

    sample = Sample()
    for batch in engine.run(connection, f"SELECT try_cast({x} AS DOUBLE), try_cast({y} AS DOUBLE) FROM cells"):
        sample.add(*map(floats, batch.columns))
    return inferred(sample, layers, day)


def _opened(file: Path, source: FileSource, width: int) -> tuple[FileSource, Reading]:
    """The file being read. In a workbook the first sheet with a table, behind the titles above it."""
    if source.format != "xlsx":
        return source, _read(file, source, width)
    for sheet in sheets(file):
        for skip in range(_TITLES):
            tried = source.model_copy(update={"sheet": sheet, "skip": skip})
            try:
                reading = _read(file, tried, width)
            except DeliveryUnreadable:
                break  # nothing left behind the titles
            if sum(not _NAMELESS.fullmatch(name) for name in reading.names) > max(1, len(reading.names) // 2):
                return tried, reading
    return source, _read(file, source, width)


def _read(file: Path, source: Source, width: int = 1) -> Reading:
    """The reader asks for a contract; this one declares as many columns as there are and nothing about them."""
    return read(file, bare_contract(source, columns=max(width, 1)))


def _key(
    connection: duckdb.DuckDBPyConnection, numbered: Sequence[str], columns: Sequence[ColumnProfile], rows: int
) -> tuple[str, ...]:
    """The first column, else the first two, whose values differ in all `rows`; measures can't be a key."""
    able = [
        (c, p) for c, p in zip(numbered, columns, strict=True) if p.distinct and p.type not in ("double", "boolean")
    ]
    for _, one_ in able:
        if one_.distinct == rows:
            return (one_.name,)
    for (a, left), (b, right) in combinations(sorted(able, key=lambda item: -item[1].distinct)[:_ABLE], 2):
        if left.distinct * right.distinct >= rows:
            together = (
                f"SELECT count(*) FROM (SELECT DISTINCT {a}, {b} FROM cells WHERE {a} IS NOT NULL AND {b} IS NOT NULL)"
            )
            if one(connection, together)[0] == rows:
                return tuple(p.name for p in columns if p in (left, right))
    return ()


def _placeholders(connection: duckdb.DuckDBPyConnection, numbered: Sequence[str]) -> tuple[str, ...]:
    listed = f"v IN ({', '.join(map(quoted, PLACEHOLDERS))})"
    seen = " UNION ".join(f"SELECT v FROM vals_{column} WHERE {listed}" for column in numbered)
    return tuple(sorted(word for (word,) in connection.execute(seen).fetchall()))


def _tidy(connection: duckdb.DuckDBPyConnection, columns: Sequence[str]) -> None:
    """The view `cells`: the text without outer white space, null where nothing is left."""
    trimmed = ", ".join(f"nullif(trim({name}, {quoted(engine.SPACES)}), '') AS {name}" for name in columns)
    connection.execute(f"CREATE TEMP VIEW cells AS SELECT {trimmed}, {SOURCE_ROW} FROM sent")


def _followed(
    connection: duckdb.DuckDBPyConnection, columns: Sequence[str], standards: Mapping[str, Standard]
) -> dict[str, list[str]]:
    """By column the standards that nearly all its values follow, the likeliest first.

    Leaves the tables `vals_<column>` (its values `v`, their rows `n`, the first `r`) and `samples` (some of all of them).
    """
    for column in columns:
        connection.execute(
            f"CREATE TEMP TABLE vals_{column} AS SELECT '{column}' AS c, {column} AS v, count(*) AS n, "
            f"min({SOURCE_ROW}) AS r FROM cells WHERE {column} IS NOT NULL GROUP BY ALL"
        )
    some = [f"(SELECT c, v, 1::BIGINT AS n FROM vals_{c} ORDER BY hash(v) LIMIT {SAMPLE})" for c in columns]
    connection.execute(f"CREATE TEMP TABLE samples AS {' UNION ALL '.join(some)}")
    followed: dict[str, list[str]] = {column: [] for column in columns}
    if standards:
        seen = dict(connection.execute("SELECT c, count(*) FROM samples GROUP BY c").fetchall())
        for column, *passed in connection.execute(engine.sql(recognised(standards, "samples"))).fetchall():
            likely = [
                (bool(standard.digit), bool(standard.codes), count, name)
                for (name, standard), count in zip(standards.items(), passed, strict=True)
                if count >= SURE * seen[column] and (not standard.codes or seen[column] >= _TELLING)
            ]
            followed[column] = [name for *_, name in sorted(likely, reverse=True)]
    return followed


def _look(
    connection: duckdb.DuckDBPyConnection,
    column: str,
    name: str,
    as_sent: Written,
    likely: Sequence[str],
    standards: Mapping[str, Standard],
) -> tuple[ColumnProfile, list[Suspicion]]:
    connection.execute(f"CREATE OR REPLACE TEMP VIEW vals AS SELECT v, n, r FROM vals_{column}")
    rows = one(connection, "SELECT count(*) FROM cells")[0]
    filled, distinct = one(connection, "SELECT coalesce(sum(n), 0)::BIGINT, count(*) FROM vals")
    form = as_sent.form
    # numbers with decimals follow a standard only where it lists them, dates none
    tells = {"string": likely, "integer": likely, "double": [n for n in likely if standards[n].codes]}.get(
        form.type, []
    )
    standard, broken = next(iter(tells), None), None
    if standard:
        form = TEXT  # digits that are a code are text
        question = engine.sql(recognised({standard: standards[standard]}, f"vals_{column}"))
        broken = filled - one(connection, question)[1]
    fits, least, most = one(
        connection,
        f"SELECT coalesce(sum(n) FILTER ({form.condition}), 0)::BIGINT, min({form.value})::VARCHAR, "
        f"max({form.value})::VARCHAR FROM vals",
    )
    if standard and standards[standard].class_ == "sensitive":
        least, most = masked(least), masked(most)
    few = form.type == "string" and not standard and distinct <= _FEW
    values = tuple(v for (v,) in connection.execute("SELECT v FROM vals ORDER BY v").fetchall()) if few else ()
    found = ColumnProfile(name, form.type, form.format, standard, filled, distinct, fits, least, most, values)
    return found, list(suspicions(connection, found, as_sent, rows, broken))
