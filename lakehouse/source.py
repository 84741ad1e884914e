"""The typed records of a contract's `source`: where a dataset comes from, and how it is written there."""

from pathlib import PurePath
from typing import Annotated, Literal

from pydantic import Field

from lakehouse.declared import Duration, Identifier, Record

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


class Paging(Record):
    """A numbered page request: `?<param>=<start>&<size_param>=<size>`; ends at the first page shorter than `size`."""

    param: str = "page"
    start: int = 1
    size_param: str = "size"
    size: int = Field(1000, ge=1)


class HttpSource(Record):
    """A paged JSON API. `records` is the dotted path to the list of rows; the token comes from the connection."""

    type: Literal["http"]
    uri: str
    records: str = ""
    page: Paging | None = None
    connection: Identifier | None = None
    rate_per_s: float = Field(10, gt=0)
    null: tuple[str, ...] = ()


class Since(Record):
    """Only what is new: rows whose `column` is above the greatest value landed on an earlier day, less `overlap` (a time, or
    a number where the column counts versions)."""

    column: str = Field(min_length=1)
    overlap: Duration | Annotated[int, Field(ge=0)] = 0


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
