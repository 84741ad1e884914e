"""What is inside a zipped workbook, looked at before anything is built from it."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO
from xml.parsers import expat
from zipfile import BadZipFile, ZipFile
from zlib import error as ZlibError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import ParseError, fromstring

from lakehouse.contract import Limits
from lakehouse.errors import DeliveryUnreadable
from lakehouse.formats.archive import looked_through

_LIMITS = Limits(bytes=1 << 30)
_MOST_CELLS = 20_000_000
"""A reader keeps the whole rectangle of a sheet in memory, up to 32 bytes a cell: one cell in the last corner of an
otherwise empty sheet would ask for 500 GB."""

_CELL = re.compile(rb"""<(?:\w+:)?c\s[^<>]*?\br=["']([A-Z]{1,3})([0-9]{1,7})["'][^<>/]*>""")
_ERROR = re.compile(
    rb"""<(?:\w+:)?c\s(?=[^<>]*\bt=["']e["'])[^<>]*?\br=["']([A-Z]{1,3})([0-9]{1,7})["'][^<>]*>"""
    rb"""(?:<(?:\w+:)?f[^<>]*>(?:[^<>]*</(?:\w+:)?f>)?)?<(?:\w+:)?v>([^<>]*)<"""
)
_CONTENT = "content.xml"
"""Where an OpenDocument has its sheets."""
_RELATION = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"


def inspect(path: Path, where: str) -> None:
    """Unpacks every entry once, keeping nothing. Raises DeliveryUnreadable for a bomb, a damaged or foreign package."""
    try:
        with ZipFile(path) as package:
            if not {"xl/workbook.xml", _CONTENT} & {*package.namelist()}:
                raise _unreadable("it is a zip file without a workbook", where, "save it as .xlsx")
            for entry in looked_through(package, path, _LIMITS, where):
                with package.open(entry) as stream:
                    rows, columns = _extent(stream)
                if rows * columns > _MOST_CELLS:
                    raise _unreadable(f"a sheet reaches to row {rows}, column {columns}", where, "deliver it as CSV")
    except (BadZipFile, ZlibError, EOFError, NotImplementedError, RuntimeError, OSError) as error:
        raise _unreadable(f"the workbook is damaged: {error}", where, "ask the department to deliver again") from error


def cell_errors(path: Path, sheet: str) -> dict[tuple[int, int], str]:
    """The error cells of a sheet, like `#DIV/0!`, by row and column from 1; none for an .xls or a lost entry."""
    try:
        with ZipFile(path) as package:
            xml = package.read(_entry(package, sheet))
    except (BadZipFile, KeyError, ParseError, DefusedXmlException, StopIteration):
        return {}
    if b't="e"' not in xml and b"t='e'" not in xml:
        return {}
    return {(int(row), _position(column)): text.decode() for column, row, text in _ERROR.findall(xml)}


def spans(path: Path, sheet: str, until: int) -> list[tuple[int, int, int, int]]:
    """Merged cells of an OpenDocument's sheet above row `until`: first row and column, last row and column, from 0."""
    rows = _Spans(sheet, until)
    parser = expat.ParserCreate()
    parser.StartElementHandler, parser.EndElementHandler = rows.start, rows.end
    try:
        with ZipFile(path) as package, package.open(_CONTENT) as content:
            parser.ParseFile(content)
    except (BadZipFile, KeyError, ValueError, expat.ExpatError, _Enough):
        pass
    return rows.found


class _Enough(Exception):
    """No more rows are wanted."""


class _Spans:
    def __init__(self, sheet: str, until: int) -> None:
        self.found: list[tuple[int, int, int, int]] = []
        self._sheet, self._until = sheet, until
        self._inside = False
        self._row = self._column = self._repeated = 0

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if name == "table:table":
            self._inside = attributes.get("table:name") == self._sheet
        elif self._inside and name == "table:table-row":
            self._column, self._repeated = 0, int(attributes.get("table:number-rows-repeated", 1))
        elif self._inside and name in ("table:table-cell", "table:covered-table-cell"):
            down = int(attributes.get("table:number-rows-spanned", 1))
            right = int(attributes.get("table:number-columns-spanned", 1))
            if down > 1 or right > 1:
                self.found.append((self._row, self._column, self._row + down - 1, self._column + right - 1))
            self._column += int(attributes.get("table:number-columns-repeated", 1))

    def end(self, name: str) -> None:
        if self._inside and name == "table:table-row":
            self._row += self._repeated
            if self._row >= self._until:
                raise _Enough


def _entry(package: ZipFile, sheet: str) -> str:
    sheets = fromstring(package.read("xl/workbook.xml")).iter()
    relation = next(s.get(_RELATION) for s in sheets if s.tag.endswith("}sheet") and s.get("name") == sheet)
    relations = fromstring(package.read("xl/_rels/workbook.xml.rels"))
    target = next(r.get("Target", "") for r in relations if r.get("Id") == relation)
    return target.lstrip("/") if target.startswith("/") else f"xl/{target}"


def _extent(stream: IO[bytes]) -> tuple[int, int]:
    """The last row and column with a filled cell; 0, 0 for an entry that isn't a sheet."""
    rows = columns = 0
    for piece in _whole_tags(stream):
        if cells := _CELL.findall(piece):
            rows = max(rows, *{int(row) for _, row in cells})
            columns = max(columns, *{_position(column) for column in {column for column, _ in cells}})
    return rows, columns


def _whole_tags(stream: IO[bytes]) -> Iterator[bytes]:
    rest = b""
    while chunk := stream.read(1 << 20):
        piece = rest + chunk
        cut = max(piece.rfind(b"<"), 0)
        yield piece[:cut]
        rest = piece[cut:][-4096:]
    yield rest


def _position(letters: bytes) -> int:
    """Excel's column letters as a number: A is 1, AA is 27."""
    position = 0
    for letter in letters:
        position = position * 26 + letter - ord("A") + 1
    return position


def _unreadable(what: str, where: str, hint: str) -> DeliveryUnreadable:
    return DeliveryUnreadable(what, where=where, hint=hint)
