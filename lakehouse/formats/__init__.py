"""Reading delivered files: any format in, batches of text out, nothing lost and nothing guessed."""

from pathlib import Path, PurePath

from lakehouse.contract import Contract
from lakehouse.errors import ContractError, DeliveryUnreadable
from lakehouse.formats import archive, csv, geojson, html, json, jsonl, pages, parquet, vector, xlsx, xml
from lakehouse.formats.kind import refuse_foreign
from lakehouse.formats.reading import Reading, Unparsable, Unparsables
from lakehouse.source import Dialect, Format, HttpSource, TableSource

__all__ = ["Reading", "Unparsable", "Unparsables", "format_of", "read"]

_BY_SUFFIX: dict[str, Format] = {
    **dict.fromkeys((".csv", ".tsv", ".psv", ".txt"), "csv"),
    **dict.fromkeys((".xlsx", ".xlsm", ".xls"), "xlsx"),
    ".ods": "ods",
    **dict.fromkeys((".jsonl", ".ndjson"), "jsonl"),
    ".json": "json",
    ".geojson": "geojson",
    ".xml": "xml",
    **dict.fromkeys((".html", ".htm"), "html"),
    **dict.fromkeys((".parquet", ".pq", ".geoparquet"), "parquet"),
    ".shp": "shapefile",
    ".gpkg": "geopackage",
    ".kml": "kml",
    ".dbf": "dbf",
}
_SHEETS = ("xlsx", "ods", "html")


def format_of(name: str) -> Format | None:
    """The format that a file's name tells by its suffix."""
    return _BY_SUFFIX.get(PurePath(name).suffix.lower())


def read(path: Path, contract: Contract, *, quoted: bool = True) -> Reading:
    """The file as names, batches of text and unparsable records; `quoted=False` promises that no quote occurs in it.

    Raises DeliveryUnreadable when the file as a whole isn't what the contract says, or neither contract nor file name
    tell the format; from `batches` too while they are read. ContractError for an encoding or delimiter there isn't.
    """
    match contract.source:
        case HttpSource() as source:
            return pages.read(path, contract, source)
        case TableSource():
            return parquet.read(path, contract)
        case Dialect() as source:
            return _read_file(path, contract, source, quoted)


def _read_file(path: Path, contract: Contract, source: Dialect, quoted: bool) -> Reading:
    where = f"{contract.name} {path.name}"
    kind = source.format or format_of(path.name)
    if archive.is_archive(path.name):
        archive.require_whole(path, contract.limits, source, where)
        kind = "shapefile"
    if source.header > 1 and kind not in _SHEETS:
        hint = "skip the rows above the last one of the header: 'skip' in 'source'"
        raise ContractError(f"header: {source.header} is for sheets", where=contract.name, hint=hint)
    if source.footer and kind not in {"csv", *_SHEETS}:
        hint = "leave out 'footer' in 'source'"
        raise ContractError("footer is for CSV and sheets", where=contract.name, hint=hint)
    match kind:
        case "csv":
            refuse_foreign(path, where, None)
            return csv.read(path, contract, source, quoted=quoted)
        case "jsonl":
            refuse_foreign(path, where, None)
            return jsonl.read(path, contract, source)
        case "json":
            refuse_foreign(path, where, None)
            return json.read(path, contract, source)
        case "geojson":
            refuse_foreign(path, where, None)
            return geojson.read(path, contract, source)
        case "shapefile" | "geopackage" | "kml" | "dbf":
            return vector.read(path, contract, source, kind)
        case "html":
            return html.read(path, contract, source)
        case "xml":
            return xml.read(path, contract, source)
        case "xlsx" | "ods":
            return xlsx.read(path, contract, source)
        case "parquet":
            return parquet.read(path, contract)
        case _:
            raise DeliveryUnreadable(
                f"the name '{path.name}' doesn't tell the format", where=contract.name, hint="set 'format' in 'source'"
            )
