"""The typed records of a contract's `source`: where a dataset comes from, and how it is written there."""

import re
from pathlib import PurePath
from typing import Annotated, Literal, Self, get_args

from pydantic import Field, field_validator, model_validator

from lakehouse.api import HttpSource as HttpSource
from lakehouse.declared import Identifier, Record
from lakehouse.declared import Since as Since

Format = Literal[
    "csv", "xlsx", "ods", "html", "json", "jsonl", "xml", "parquet", "geojson", "shapefile", "geopackage", "kml", "dbf"
]  # fmt: skip


class Dialect(Record):
    """How a file is written. What is left out is taken from the file name and RFC 4180."""

    format: Format | None = None
    encoding: str = "utf-8"
    delimiter: str | None = Field(None, min_length=1, max_length=8)
    quote: str = Field('"', min_length=1, max_length=1)
    header: bool | Annotated[int, Field(ge=1, le=9)] = True
    skip: int = Field(0, ge=0)
    footer: Annotated[int, Field(ge=0, le=1000)] | str = 0
    ragged: bool = False
    sheet: str | Annotated[int, Field(ge=1)] | None = None
    records: str = ""
    members: str | None = None
    null: tuple[str, ...] = ()

    @field_validator("footer")
    @classmethod
    def _compiles(cls, footer: int | str) -> int | str:
        try:
            re.compile(str(footer))
        except re.error as error:
            raise ValueError(f"'{footer}' is not a regular expression: {error}") from error
        return footer

    def is_footer(self, line: str, behind: int) -> bool:
        """Whether a line belongs to the footer where the `behind` lines after it do, which aren't blank."""
        return behind < self.footer if isinstance(self.footer, int) else bool(re.match(self.footer, line))

    def delimiter_of(self, name: str) -> str:
        """The delimiter of a file called `name`: the declared one, else that of its suffix, else a comma."""
        return self.delimiter or _DELIMITERS.get(PurePath(name).suffix.lower(), ",")


_DELIMITERS = {".tsv": "\t", ".psv": "|"}


class FileSource(Dialect):
    """Files in a folder here or elsewhere: any fsspec URI with `{inbox}` and `{day}`, wildcards in the names. Log-ins come
    from the connection."""

    type: Literal["file"]
    uri: str
    connection: Identifier | None = None

    @field_validator("uri")
    @classmethod
    def _can_be_asked_for(cls, uri: str) -> str:
        if "@" in uri.partition("://")[2].partition("/")[0]:
            raise ValueError("a log-in belongs into the 'connection', not into 'uri'")
        if uri.startswith(("http://", "https://")) and "*" in uri:
            raise ValueError("what a web server has can't be listed: name one file, or use WebDAV")
        return uri


class TableSource(Record):
    """A table or view of a database: all of it, the rows whose day column is the slice's day, those that are new since an
    earlier day, or the `changes` since the last."""

    connection: Identifier
    table: str | tuple[str, ...]
    day_column: str | None = Field(None, min_length=1)
    since: Since | None = None
    changes: bool = False
    null: tuple[str, ...] = ()

    @property
    def path(self) -> tuple[str, ...]:
        """The names that lead to the table, its own the last."""
        return tuple(self.table.split(".")) if isinstance(self.table, str) else self.table

    @property
    def name(self) -> str:
        return ".".join(self.path)

    @model_validator(mode="after")
    def _asks_one_thing(self) -> Self:
        if not all(self.path):
            raise ValueError("table: a name is empty")
        asked = [name for name in ("day_column", "since", "changes") if getattr(self, name)]
        if len(asked) > 1:
            raise ValueError(f"{' and '.join(asked)}: only one of them")
        return self


class PostgresSource(TableSource):
    """Of a PostgreSQL database."""

    type: Literal["postgres"]


class SqliteSource(TableSource):
    """Of an SQLite database file."""

    type: Literal["sqlite"]


class MysqlSource(TableSource):
    """Of a MySQL or MariaDB database."""

    type: Literal["mysql"]


class DriverSource(TableSource):
    """Of any database that has a driver. `quote` is the character around its names."""

    quote: str = Field('"', min_length=1, max_length=1)


class OdbcSource(DriverSource):
    """By ODBC."""

    type: Literal["odbc"]


class JdbcSource(DriverSource):
    """By JDBC, on Spark: with `part_by`, a column of whole numbers, in `parts` that are read side by side."""

    type: Literal["jdbc"]
    part_by: str | None = Field(None, min_length=1)
    parts: int = Field(8, ge=1, le=256)


DatasetName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}\.[a-z][a-z0-9_]{0,62}$")]
"""`department.dataset`."""


class ExchangeSource(Dialect):
    """Packages that another party sends (docs/exchange.md): `uri` is the folder they arrive in, `dataset` the sender's name
    for what they hold."""

    type: Literal["exchange"]
    uri: str
    sender: Identifier
    dataset: DatasetName


Source = Annotated[
    FileSource | HttpSource | PostgresSource | SqliteSource | MysqlSource | OdbcSource | JdbcSource | ExchangeSource,
    Field(discriminator="type"),
]

KINDS: dict[str, type[Record]] = {
    get_args(kind.model_fields["type"].annotation)[0]: kind for kind in get_args(get_args(Source)[0])
}
"""Every kind of source by its `type`."""
