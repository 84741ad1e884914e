"""The pages of an API: a folder of JSON or XML bodies as sent, in the order of their names."""

import zlib
from codecs import BOM_UTF8
from collections.abc import Iterator
from pathlib import Path

import msgspec

from lakehouse.api import HttpSource
from lakehouse.contract import Contract
from lakehouse.errors import DeliveryUnreadable
from lakehouse.formats import objects, xml
from lakehouse.formats.objects import Text
from lakehouse.formats.reading import Reading, over_limit

MOST_BYTES = 256 << 20
"""A page is held in memory, unpacked: larger answers have to be asked for in pages, or delivered as a file."""

_LIST = msgspec.json.Decoder(list[msgspec.Raw])
_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ANY = msgspec.json.Decoder(float_hook=str)
_GZIP = b"\x1f\x8b"
_XML_TEXT = "#text"


def read(folder: Path, contract: Contract, source: HttpSource) -> Reading:
    """The records of all pages, numbered from 1. A record of JSON that isn't an object is unparsable.

    Raises DeliveryUnreadable for a page that isn't what `format` says or has no records at the path `records`.
    """
    where = f"{contract.name} {folder.name}"

    def found() -> Iterator[tuple[int, Text]]:
        row = 0
        for number, path in enumerate(sorted(folder.iterdir()), 1):
            place = f"{where} page {number}"
            for record in records(body(path, place), source, contract.limits.row_bytes, place):
                row += 1
                yield row, record

    return objects.reading(found, contract, where)


def body(path: Path, where: str) -> bytes:
    """A page's bytes, unpacked where it was sent as gzip. Raises DeliveryUnreadable where that's too much or damaged."""
    packed = path.read_bytes()
    if not packed.startswith(_GZIP):
        return packed.removeprefix(BOM_UTF8)
    unpack, page = zlib.decompressobj(31), b""
    try:
        page = unpack.decompress(packed, MOST_BYTES + 1)
    except zlib.error as error:
        raise DeliveryUnreadable(f"damaged gzip: {error}", where=where, hint="ask the department") from error
    if len(page) > MOST_BYTES or not unpack.eof:
        what = f"more than {MOST_BYTES} bytes unpacked" if len(page) > MOST_BYTES else "the gzip ends too early"
        raise DeliveryUnreadable(what, where=where, hint="ask the department, or for smaller pages")
    return page.removeprefix(BOM_UTF8)


def records(page: bytes, source: HttpSource, row_bytes: int, where: str) -> list[Text]:
    """The records of a page as JSON texts: those of JSON as sent. Raises DeliveryUnreadable."""
    if source.format == "xml":
        return list(xml.elements(page, source.records, row_bytes, where))
    found = _list(page, source.records, where)
    for record in found:
        if len(memoryview(record)) > row_bytes:
            raise over_limit("row_bytes", len(memoryview(record)), row_bytes, where)
    return list(found)


def _list(page: bytes, path: str, where: str) -> list[msgspec.Raw]:
    inner: Text = page
    try:
        for step in filter(None, path.split(".")):
            inner = _OBJECT.decode(inner)[step]
        return _LIST.decode(inner)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        what = f"not JSON with a list of records{f' at {path!r}' if path else ''}: {error}"
    except KeyError as error:
        what = f"no {error} on the way to {path!r}"
    raise DeliveryUnreadable(what, where=where, hint="check 'records' in 'source', or ask the department what changed")


def value(page: bytes, path: str, source: HttpSource) -> str | None:
    """A single value of a page as text; None for null, where there is nothing, and of a page that can't be read."""
    if source.format == "json":
        return scalar(page, path)
    try:
        return scalar(next(xml.elements(page, path, MOST_BYTES, ""), b"{}"), _XML_TEXT)
    except DeliveryUnreadable:
        return None


def scalar(document: Text, path: str) -> str | None:
    """The value of a JSON object's field, or at a dotted path, as text (`true` for true); None for null and for nothing."""
    inner = document
    try:
        fields = _OBJECT.decode(inner)
        if path in fields:
            inner = fields[path]
        else:
            for step in path.split("."):
                inner = _OBJECT.decode(inner)[step]
        found = _ANY.decode(inner)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, KeyError):
        return None
    return found if found is None else str(found).lower() if isinstance(found, bool) else str(found)
