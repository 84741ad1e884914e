"""A program of its own: writes one table of a web page as JSON lines, as `sheet.py` writes a sheet.

Taking a hostile page to pieces can take long, so it runs apart. Arguments: path, table (its id, number from 1 or a pattern;
null for the first), encoding. A table without an id is called by its number.
"""

from dataclasses import dataclass, field
from html.parser import HTMLParser

from lakehouse.program import begin, chosen, fail, write

_AT_ONCE = 1 << 16
_MOST_COLUMNS, _MOST_SPANNED, _MOST_MERGED = 16_384, 65_534, 1_000
_SILENT = frozenset({"script", "style", "template"})
_BREAKS = frozenset({"br", "p", "div", "li"})

Attributes = list[tuple[str, str | None]]


def main(path: str, wanted: str | int | None, encoding: str) -> None:
    try:
        tables = _read(path, encoding, None)
        if not tables:
            fail("no table is in the page")
        at = _place([table.name for table in tables], wanted)
        write([tables[at].name, 1, tables[at].merged])
        _read(path, encoding, at)
    except UnicodeDecodeError:
        fail(f"the page isn't {encoding}")


def _place(names: list[str], wanted: str | int | None) -> int:
    try:
        return names.index(chosen(names, 1 if wanted is None else wanted, "table"))
    except LookupError as error:
        fail(str(error.args[0]))


@dataclass
class _Table:
    """A table as far as it is read: merged cells as first and last row and column, and for how many more rows columns are
    `taken` by cells above, in this row and in those `below`."""

    name: str
    is_written: bool
    rows: int = 0
    merged: list[list[int]] = field(default_factory=list)
    taken: dict[int, int] = field(default_factory=dict)
    below: dict[int, int] = field(default_factory=dict)
    row: list[str | None] | None = None
    cell: list[str] | None = None
    span: tuple[int, int] = (1, 1)


def _read(path: str, encoding: str, written: int | None) -> list[_Table]:
    """The page's tables; the rows of the one that is `written` go out."""
    page = _Page(written)
    with open(path, encoding=encoding) as text:
        while piece := text.read(_AT_ONCE):
            page.feed(piece)
    page.close()
    while page.open:
        page.handle_endtag("table")
    return page.tables


class _Page(HTMLParser):
    """Tables in the order in which they begin; what isn't closed ends where the next of its kind begins."""

    def __init__(self, written: int | None) -> None:
        super().__init__()
        self.tables: list[_Table] = []
        self.open: list[_Table] = []
        self._written = written
        self._silent = 0

    def handle_starttag(self, tag: str, attributes: Attributes) -> None:
        if tag == "table":
            table = _Table(dict(attributes).get("id") or str(len(self.tables) + 1), len(self.tables) == self._written)
            self.tables.append(table)
            self.open.append(table)
        elif tag in _SILENT:
            self._silent += 1
        elif self.open and tag == "tr":
            self._end_row(self.open[-1])
            self.open[-1].row = []
        elif self.open and tag in ("td", "th"):
            self._end_cell(table := self.open[-1])
            table.row = [] if table.row is None else table.row
            given = dict(attributes)
            table.span = _number(given.get("rowspan"), _MOST_SPANNED), _number(given.get("colspan"), _MOST_COLUMNS)
            table.cell = []
        elif tag in _BREAKS:
            self._add("\n")

    def handle_data(self, data: str) -> None:
        self._add(data.replace("\n", " "))

    def _add(self, text: str) -> None:
        if self.open and self.open[-1].cell is not None and not self._silent:
            self.open[-1].cell.append(text)

    def handle_endtag(self, tag: str) -> None:
        if tag in _SILENT:
            self._silent = max(self._silent - 1, 0)
        elif self.open and tag in ("td", "th"):
            self._end_cell(self.open[-1])
        elif self.open and tag in ("tr", "table"):
            self._end_row(self.open[-1])
            if tag == "table":
                self.open.pop()

    def _end_cell(self, table: _Table) -> None:
        if table.cell is None or table.row is None:
            return
        lines = (" ".join(line.split()) for line in "".join(table.cell).split("\n"))
        table.cell = None
        _skip_taken(table, table.row)
        down, right = table.span
        at = len(table.row)
        if at + right > _MOST_COLUMNS:
            fail(f"a row of table {table.name} has more than {_MOST_COLUMNS} columns")
        if (down > 1 or right > 1) and len(table.merged) < _MOST_MERGED:
            table.merged.append([table.rows, at, table.rows + down - 1, at + right - 1])
        if down > 1:
            table.below |= dict.fromkeys(range(at, at + right), down - 1)
        table.row += ["\n".join(filter(None, lines)) or None, *[None] * (right - 1)]

    def _end_row(self, table: _Table) -> None:
        self._end_cell(table)
        if table.row is None:
            return
        _skip_taken(table, table.row)
        if table.is_written:
            write(table.row)
        table.taken, table.below, table.row = table.below, {}, None
        table.rows += 1


def _skip_taken(table: _Table, row: list[str | None]) -> None:
    """Columns that a cell above still spans are empty here."""
    while left := table.taken.pop(len(row), 0):
        if left > 1:
            table.below[len(row)] = left - 1
        row.append(None)


def _number(text: str | None, most: int) -> int:
    return min(max(int(text), 1), most) if text and text.strip().isdecimal() else 1


if __name__ == "__main__":
    main(*begin())
