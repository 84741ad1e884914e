"""How a column's text is written, and what looks wrong with it.

Reads the view `vals` (each value `v` of a column, its number of rows `n`, the first row `r`), and `samples`: some
values `v` of every column `c`.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import duckdb

from expectations.checks.accurate import DIRTY
from lakehouse.formats.reading import SOURCE_ROW
from lakehouse.instants import translated

SURE = 0.9
"""The share of values that must fit before a column is said to be of a type or to follow a standard."""

_SHOWN = 3

_NUMBERS = {
    "integer": (r"[+-]?(0|[1-9]\d{0,17})", "BIGINT"),
    "double": (r"[+-]?((0|[1-9]\d*)(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?", "DOUBLE"),
}
_DAYS = (
    "yyyy-MM-dd",
    "yyyy/MM/dd",
    "yyyy/M/d",
    "yyyyMMdd",
    "yyyy.MM.dd",
    "yyyy年MM月dd日",
    "yyyy年M月d日",
    "dd/MM/yyyy",
    "M/d/yyyy",
)
_INSTANTS = ("yyyy-MM-dd HH:mm:ss", "yyyy-MM-dd HH:mm", "yyyy/MM/dd HH:mm:ss", "yyyy/M/d H:mm:ss", "yyyy/M/d H:mm",
             "yyyy-MM-dd'T'HH:mm:ss", "yyyyMMddHHmmss")  # fmt: skip
"""Ways dates and times are written in deliveries, the stricter before the looser; names as in a contract's `format`."""

_ISO = r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?"

PLACEHOLDERS = (
    "null",
    "NULL",
    "None",
    "N/A",
    "n/a",
    "#N/A",
    "NaN",
    "nan",
    "-",
    "--",
    "/",
    "\\\\N",
    "无",
    "空",
    "未知",
    "待补",
)
"""Words for nothing."""
_ROUNDED = r"\d\.\d+[eE]\+1\d"
_DECORATION = r"[,，\s￥¥$%]|(元|万元|吨|千克|公斤|kg|km|米|m)$"

_LON, _LAT = (73, 136), (3, 54)
"""Degrees of all of China: a pair in each other's range is swapped."""

_CAPITAL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_LON_NAME = re.compile(r"(?<![a-z])(lon|lng|long|longitude)(?![a-z])|经度")
_LAT_NAME = re.compile(r"(?<![a-z])(lat|latitude)(?![a-z])|纬度")
"""Words of names, once capitals begin words: a plate is no latitude."""


@dataclass(frozen=True)
class Suspicion:
    """Something that looks wrong: `kind` for programs, `said` for people, its `count` of rows, the first of them."""

    column: str | None
    kind: str
    said: str
    count: int
    rows: tuple[int, ...] = ()


@dataclass(frozen=True)
class ColumnProfile:
    """One column: `type` and `format` as a contract would declare them, `fits` of `filled` rows are written so.

    `least` and `most` in the order of the type. `standard` is the one nearly all values follow. `values`: all of them,
    where they are few texts.
    """

    name: str
    type: str
    format: str | None
    standard: str | None
    filled: int
    distinct: int
    fits: int
    least: str | None
    most: str | None
    values: tuple[str, ...] = ()


@dataclass(frozen=True)
class Form:
    """A way of writing: the SQL `condition` on `v` that it holds, and the SQL `value` of `v` then (null otherwise)."""

    type: str
    format: str | None
    condition: str
    value: str


@dataclass(frozen=True)
class Written:
    """A column's form; for text, the SQL conditions on `v` that half its values are dates or decorated numbers by."""

    form: Form
    dates: str | None = None
    numbers: str | None = None


TEXT = Form("string", None, "true", "v")


def written(connection: duckdb.DuckDBPyConnection, columns: Sequence[str]) -> dict[str, Written]:
    """How nearly all the values of each column in `samples` are written; text when nothing else fits."""
    forms = _forms()
    dates = " OR ".join(form.condition for form in forms if form.format)
    bare = f"regexp_replace(v, {quoted(_DECORATION)}, '', 'g')"
    number = f"regexp_full_match({bare}, {quoted(_NUMBERS['double'][0])})"
    counts = ", ".join(f"count(*) FILTER ({condition})" for condition in [dates, number, *(f.condition for f in forms)])
    found = dict.fromkeys(columns, Written(TEXT))
    for column, seen, dated, numbered, *fitting in connection.execute(
        f"SELECT c, count(*), {counts} FROM samples GROUP BY c"
    ).fetchall():
        best = max(range(len(forms)), key=lambda n: (fitting[n], -n))
        form = forms[best] if fitting[best] >= max(1, SURE * seen) else TEXT
        found[column] = Written(form, dates if 2 * dated >= seen else None, number if 2 * numbered >= seen else None)
    return found


def suspicions(
    connection: duckdb.DuckDBPyConnection, column: ColumnProfile, as_sent: Written, rows: int, broken: int | None
) -> Iterator[Suspicion]:
    """What looks wrong with the values in `vals`. `broken` rows don't follow the column's standard."""
    form = TEXT if column.standard else as_sent.form

    def found(kind: str, condition: str, said: str) -> Iterator[Suspicion]:
        count = one(connection, f"SELECT coalesce(sum(n), 0)::BIGINT FROM vals WHERE {condition}")[0]
        if count:
            first = connection.execute(f"SELECT r FROM vals WHERE {condition} ORDER BY r LIMIT {_SHOWN}").fetchall()
            yield Suspicion(column.name, kind, said, count, tuple(row[0] for row in first))

    placeholder = f"v IN ({', '.join(map(quoted, PLACEHOLDERS))})"
    if not column.filled:
        yield Suspicion(column.name, "empty", "always empty", rows)
        return
    if column.distinct == 1 and rows > 1 and column.filled == rows:
        yield Suspicion(column.name, "constant", "always the same value", rows)
    yield from found(
        "mojibake", f"regexp_matches(v, {quoted(DIRTY)})", "broken text: decoded with the wrong encoding somewhere"
    )
    yield from found("rounded", f"regexp_full_match(v, {quoted(_ROUNDED)})", "long numbers rounded by a spreadsheet")
    yield from found("placeholder", placeholder, "a word for nothing: list it under 'null' in the source")
    if broken:
        yield Suspicion(column.name, "standard", f"doesn't follow the standard {column.standard}", broken)
    if form.type == "string":
        for kind, hidden, said in (
            ("numbers_as_text", as_sent.numbers, "numbers with thousands separators or units"),
            ("mixed_dates", as_sent.dates, "dates in several formats"),
        ):
            if hidden and not column.standard:
                yield from found(kind, hidden, said)
    else:
        other = f"NOT ({form.condition}) AND NOT {placeholder}"
        wrong = "written in another date format" if form.format else f"not a number ({form.type})"
        yield from found("mixed_dates" if form.format else "misfit", other, wrong)


def positions(connection: duckdb.DuckDBPyConnection, columns: Sequence[tuple[str, str]]) -> Iterator[Suspicion]:
    """What looks wrong with the pair of columns named like longitude and latitude: swapped, or 0, 0."""
    lon, lat = coordinates(columns)
    if lon is None or lat is None:
        return
    names = dict(columns)
    x, y = f"try_cast({lon} AS DOUBLE)", f"try_cast({lat} AS DOUBLE)"
    swapped = f"{x} BETWEEN {_LAT[0]} AND {_LAT[1]} AND {y} BETWEEN {_LON[0]} AND {_LON[1]}"
    for kind, condition, said in (
        ("swapped", swapped, "longitude and latitude are swapped"),
        ("null_island", f"abs({x}) < 0.001 AND abs({y}) < 0.001", "position 0, 0: no fix"),
    ):
        rows = connection.execute(
            f"SELECT {SOURCE_ROW} FROM cells WHERE {condition} ORDER BY 1 LIMIT {_SHOWN}"
        ).fetchall()
        if rows:
            count = one(connection, f"SELECT count(*) FROM cells WHERE {condition}")[0]
            yield Suspicion(f"{names[lon]}, {names[lat]}", kind, said, count, tuple(row[0] for row in rows))


def coordinates(columns: Sequence[tuple[str, str]]) -> tuple[str | None, str | None]:
    """Of columns and their names the first that is named like a longitude, and like a latitude."""
    lon, lat = (
        next((column for column, name in columns if kind.search(_CAPITAL.sub("_", name).lower())), None)
        for kind in (_LON_NAME, _LAT_NAME)
    )
    return lon, lat


def _forms() -> list[Form]:
    """Every way of writing but plain text, the more telling first: 20260301 is a day before it is a number."""
    found = [_moment(kind, one_) for kind, formats in (("date", _DAYS), ("timestamp", _INSTANTS)) for one_ in formats]
    words = "lower(v) IN ('true', 'false', '是', '否')"
    numbers = [
        Form(kind, None, f"regexp_full_match(v, {quoted(pattern)})", f"try_cast(v AS {cast})")
        for kind, (pattern, cast) in _NUMBERS.items()
    ]
    iso = rf"{_ISO}(Z|[+-]\d{{2}}(:?\d{{2}})?)?"
    found.append(Form("timestamp", "iso", f"regexp_full_match(v, {quoted(iso)})", "try_cast(v AS TIMESTAMPTZ)"))
    return [*found, Form("boolean", None, words, "lower(v)"), *numbers]


def _moment(kind: str, form: str) -> Form:
    pattern, strptime = translated(form)
    value = f"try_strptime(v, {quoted(strptime)})"
    if kind == "date":
        value = f"CAST({value} AS DATE)"
    plausible = f"year({value}) BETWEEN 1900 AND 2100"  # 20260301 is a day, 99991231 a number
    return Form(kind, form, f"(regexp_full_match(v, {quoted(pattern)}) AND coalesce({plausible}, false))", value)


def one(connection: duckdb.DuckDBPyConnection, query: str) -> tuple[Any, ...]:
    """The first row of a query that always has one."""
    row = connection.execute(query).fetchone()
    assert row is not None
    return row


def quoted(text: str) -> str:
    """A text of ours as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"
