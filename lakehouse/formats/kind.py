"""What a file is by how it begins, whatever its name says."""

from codecs import BOM_UTF8
from pathlib import Path

from lakehouse.errors import DeliveryUnreadable

_BEGINNINGS = {
    b"PK\x03\x04": "a zip file or workbook",
    b"\xd0\xcf\x11\xe0": "an old Office file",
    b"\x1f\x8b": "compressed (gzip)",
    b"PAR1": "Parquet",
    b"%PDF": "a PDF",
    b"SQLite format 3\0": "an SQLite database or GeoPackage",
    b"\0\0\x27\x0a": "a part of a shapefile",
    b"mime-version:": "a saved web page (MHTML)",
    **dict.fromkeys((b"<!doctype html", b"<html", b"<head", b"<meta", b"<table"), "a web page"),
    b"<?xml": "XML",
}


def kind(path: Path) -> str | None:
    """What the file is, None where its beginning doesn't tell."""
    with path.open("rb") as file:
        head = file.read(64).removeprefix(BOM_UTF8)
    begins = next((begin for begin in _BEGINNINGS if head.startswith(begin)), None)
    text = head.lstrip().lower()
    begins = begins or next((begin for begin in _BEGINNINGS if text.startswith(begin)), None)
    return _BEGINNINGS[begins] if begins else None


def refuse_foreign(path: Path, where: str, *expected: str | None) -> None:
    """Raises DeliveryUnreadable for a file that is known to be something else than one of the `expected`."""
    found = kind(path)
    if found not in expected:
        other = f"the file isn't {expected[0]}" if path.stat().st_size else "empty file"
        what = f"the file is {found}" if found else other
        hint = "set 'format: html'" if found == "a web page" else "set the 'format' it has"
        raise DeliveryUnreadable(what, where=where, hint=f"ask the department, or {hint} in 'source'")
