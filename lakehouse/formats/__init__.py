"""Reading delivered files: any format in, batches of text out, nothing lost and nothing guessed."""

from codecs import BOM_UTF8
from pathlib import Path

from lakehouse.contract import Contract
from lakehouse.errors import DeliveryUnreadable
from lakehouse.formats import archive, csv, json, jsonl, pages, parquet, xlsx, xml
from lakehouse.formats.reading import Reading, Unparsable, Unparsables
from lakehouse.source import Dialect, HttpSource, PostgresSource

__all__ = ["Reading", "Unparsable", "Unparsables", "read"]

_BY_SUFFIX = {
    **dict.fromkeys((".csv", ".tsv", ".psv", ".txt"), "csv"),
    **dict.fromkeys((".xlsx", ".xlsm", ".xls"), "xlsx"),
    **dict.fromkeys((".jsonl", ".ndjson"), "jsonl"),
    ".json": "json",
    ".xml": "xml",
    **dict.fromkeys((".parquet", ".pq"), "parquet"),
}
_NO_TEXT = {
    b"PK\x03\x04": "a zip file or Excel workbook",
    b"\xd0\xcf\x11\xe0": "an old Office file",
    b"\x1f\x8b": "compressed (gzip)",
    b"PAR1": "Parquet",
    b"%PDF": "a PDF",
    b"<!doctype html": "a web page",
    b"<html": "a web page",
    b"<?xml": "XML",
}
"""How files begin that are often delivered under a text file's name."""


def read(path: Path, contract: Contract, *, quoted: bool = True) -> Reading:
    """The file as names, batches of text and unparsable records; `quoted=False` promises that no quote occurs in it.

    Raises DeliveryUnreadable when the file as a whole isn't what the contract says, or neither contract nor file name
    tell the format; from `batches` too while they are read. ContractError for an encoding or delimiter there isn't.
    """
    match contract.source:
        case HttpSource() as source:
            return pages.read(path, contract, source)
        case PostgresSource():
            return parquet.read(path, contract)
        case Dialect() as source:
            return _read_file(path, contract, source, quoted)


def _read_file(path: Path, contract: Contract, source: Dialect, quoted: bool) -> Reading:
    kind = source.format or _BY_SUFFIX.get(path.suffix.lower())
    if archive.is_archive(path.name):
        archive.require_whole(path, contract.limits, source, f"{contract.name} {path.name}")
        kind = "shapefile"
    match kind:
        case "csv":
            _refuse_foreign(path, contract)
            return csv.read(path, contract, source, quoted=quoted)
        case "jsonl":
            _refuse_foreign(path, contract)
            return jsonl.read(path, contract, source)
        case "json":
            _refuse_foreign(path, contract)
            return json.read(path, contract, source)
        case "xml":
            return xml.read(path, contract, source)
        case "xlsx":
            return xlsx.read(path, contract, source)
        case "parquet":
            return parquet.read(path, contract)
        case _:
            raise DeliveryUnreadable(
                f"the name '{path.name}' doesn't tell the format", where=contract.name, hint="set 'format' in 'source'"
            )


def _refuse_foreign(path: Path, contract: Contract) -> None:
    with path.open("rb") as file:
        head = file.read(64).removeprefix(BOM_UTF8).lstrip()
    for magic, kind in _NO_TEXT.items():
        if head.startswith(magic) or head.lower().startswith(magic):
            where = f"{contract.name} {path.name}"
            raise DeliveryUnreadable(
                f"the file is {kind}", where=where, hint="ask the department, or set 'format' in 'source'"
            )
