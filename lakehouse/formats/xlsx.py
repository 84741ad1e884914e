"""Workbooks: one sheet, every cell as text."""

import json
from collections.abc import Iterator
from itertools import chain, takewhile
from pathlib import Path
from typing import IO

from lakehouse.contract import Contract
from lakehouse.errors import DeliveryUnreadable
from lakehouse.formats import apart
from lakehouse.formats.kind import kind, refuse_foreign
from lakehouse.formats.package import cell_errors, inspect, spans
from lakehouse.formats.reading import Reading, batched, declared, header, without_footer
from lakehouse.source import Dialect

_ZIP, _OLE2 = "a zip file or workbook", "an old Office file"

Row = tuple[int, list[str | None]]
Span = tuple[int, int, int, int]
"""First row and column, last row and column of merged cells, from 0."""


def read(path: Path, contract: Contract, source: Dialect) -> Reading:
    """A sheet of a workbook (.xlsx, .xlsm, .xls, .ods), the first shown unless the contract chooses one. Empty cells are null.

    Numbers have no false decimals, dates are `yyyy-MM-dd` or `yyyy-MM-dd HH:mm:ss`; a number that only looks like a
    date stays a number. Empty rows are skipped but keep their row number. With `header: n` the names of a column in n rows
    are one, merged cells counting for each column they span. Raises DeliveryUnreadable when it isn't a workbook, is
    protected, has no such sheet, is empty, or would take more memory than a workbook may.
    """
    where = f"{contract.name} {path.name}"
    refuse_foreign(path, where, _ZIP, _OLE2)
    if kind(path) == _ZIP:
        inspect(path, where)
    return rows(apart.run("sheet.py", path, source.sheet, where=where), path, contract, source, where)


def rows(lines: IO[bytes], path: Path, contract: Contract, source: Dialect, where: str) -> Reading:
    """A sheet as the program `sheet.py` writes it, as a reading. Raises DeliveryUnreadable when it is empty."""
    filled = _filled(lines, path, source.skip)
    first = next(filled, None)
    if first is None:
        raise DeliveryUnreadable("empty sheet", where=where, hint="check 'sheet' and 'skip' in 'source'")
    width = max(len(cells) for _, cells in chain([first], filled))
    begin = first[0] + int(source.header)
    if source.header:
        above = takewhile(lambda row: row[0] < begin, _filled(lines, path, source.skip))
        names = header(
            _joined(dict(above), width, _merged(lines, path, begin) if source.header > 1 else []), contract, where
        )
    else:
        names = declared(contract)
    body = (row for row in _filled(lines, path, source.skip) if row[0] >= begin)
    reading = Reading(names, where, contract.limits)
    reading.batches = batched(reading, _fitted(reading, without_footer(body, source.footer, _text)))
    return reading


def _merged(lines: IO[bytes], path: Path, until: int) -> list[Span]:
    """Merged cells that begin above row `until`, columns counted from the sheet's first filled one."""
    lines.seek(0)
    name, left, merged = json.loads(lines.readline())
    found = spans(path, name, until) if merged is None else merged
    return [(top, start - left + 1, bottom, end - left + 1) for top, start, bottom, end in found]


def _joined(rows: dict[int, list[str | None]], width: int, merged: list[Span]) -> list[str]:
    """The names that some header rows give together: what is above first, nothing twice in a row."""
    cells = {number: [*row, *[None] * (width - len(row))] for number, row in rows.items()}
    for top, start, bottom, end in merged:
        if top + 1 in cells and 0 <= start < width:
            value = cells[top + 1][start]
            for number in cells.keys() & range(top + 1, bottom + 2):
                cells[number][start : end + 1] = [value] * (min(end + 1, width) - start)
    return [
        " ".join(dict.fromkeys(part.strip() for part in column if part)) for column in zip(*cells.values(), strict=True)
    ]


def _filled(lines: IO[bytes], path: Path, skip: int) -> Iterator[Row]:
    """The rows behind `skip` that aren't empty, each up to its last filled cell."""
    lines.seek(0)
    name, left, _ = json.loads(lines.readline())
    errors = cell_errors(path, name)
    failed = {row for row, _ in errors}
    for number, line in enumerate(lines, 1):
        if number <= skip:
            continue
        cells = json.loads(line)
        if number in failed:
            cells = [errors.get((number, position), cell) for position, cell in enumerate(cells, left)]
        while cells and cells[-1] is None:
            cells.pop()
        if cells:
            yield number, cells


def _text(row: Row) -> str:
    return "\t".join(cell or "" for cell in row[1])


def _fitted(reading: Reading, rows: Iterator[Row]) -> Iterator[tuple[int, list[str | None] | None]]:
    """Rows filled up to the number of names; one with more cells than that is rejected."""
    width = len(reading.names)
    for number, cells in rows:
        if len(cells) > width:
            reading.reject(number, f"{len(cells)} cells instead of {width}", _text((number, cells)))
            yield number, None
        else:
            yield number, cells + [None] * (width - len(cells))
