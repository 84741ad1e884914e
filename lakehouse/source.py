"""The typed records of a contract's `source`: where a dataset comes from, and how it is written there."""

from pathlib import PurePath
from typing import Annotated, Literal

from pydantic import Field

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
    delimiter: str | None = Field(None, min_length=1, max_length=1)
    quote: str = Field('"', min_length=1, max_length=1)
    header: bool | Annotated[int, Field(ge=1, le=9)] = True
    skip: int = Field(0, ge=0)
    sheet: str | Annotated[int, Field(ge=1)] | None = None
    records: str = ""
    members: str | None = None
    null: tuple[str, ...] = ()

    def delimiter_of(self, name: str) -> str:
        """The delimiter of a file called `name`: the declared one, else that of its suffix, else a comma."""
        return self.delimiter or _DELIMITERS.get(PurePath(name).suffix.lower(), ",")


_DELIMITERS = {".tsv": "\t", ".psv": "|"}


class FileSource(Dialect):
    """Files dropped where Citylake can read them: any fsspec URI with `{inbox}` and `{day}`, wildcards in the name."""

    type: Literal["file"]
    uri: str


class PostgresSource(Record):
    """A table or view of a PostgreSQL database; `where` day column filters to the slice's day."""

    type: Literal["postgres"]
    connection: Identifier
    table: str = Field(pattern=r"^[a-z_][a-z0-9_]*(\.[a-z_][a-z0-9_]*)?$")
    day_column: Identifier | None = None
    null: tuple[str, ...] = ()


class ExchangeSource(Dialect):
    """Packages that another party sends (docs/exchange.md): `uri` is the folder they arrive in, `dataset` the sender's name
    for what they hold."""

    type: Literal["exchange"]
    uri: str
    sender: Identifier
    dataset: str = Field(pattern=r"^[a-z][a-z0-9_]{0,62}\.[a-z][a-z0-9_]{0,62}$")


Source = Annotated[FileSource | HttpSource | PostgresSource | ExchangeSource, Field(discriminator="type")]
