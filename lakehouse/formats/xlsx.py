"""Excel workbooks: one sheet, every cell as text."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import chain
from pathlib import Path
from typing import Any

from python_calamine import CalamineError, CalamineSheet, CalamineWorkbook, PasswordError, WorksheetNotFound

from lakehouse.contract import Contract, Dialect
from lakehouse.errors import DeliveryUnreadable
from lakehouse.formats.package import cell_errors, inspect
from lakehouse.formats.reading import Reading, batched, declared, header

_ZIP, _OLE2 = b"PK\x03\x04", b"\xd0\xcf\x11\xe0"
_PLAIN_BELOW = 1e21
"""Larger numbers keep their exponent: written out they would be mostly zeros."""

Errors = dict[tuple[int, int], str]
Row = tuple[int, list[str | None]]


def read(path: Path, contract: Contract, source: Dialect) -> Reading:
    """A sheet of a workbook (.xlsx, .xlsm, .xls), the first unless the contract names one. Empty cells are null.

    Numbers have no false decimals, dates are `yyyy-MM-dd` or `yyyy-MM-dd HH:mm:ss`; a number that only looks like a
    date stays a number. Empty rows are skipped but keep their row number. Raises DeliveryUnreadable when it isn't a
    workbook, is protected, has no such sheet, is empty, or would take more memory than a workbook may.
    """
    where = f"{contract.name} {path.name}"
    sheet, errors = _sheet(path, source.sheet, where)
    filled = _filled(sheet, errors, source.skip)
    first = next(filled, None)
    if first is None:
        raise DeliveryUnreadable("empty sheet", where=where, hint="check 'sheet' and 'skip' in 'source'")
    width = max(len(cells) for _, cells in chain([first], _filled(sheet, errors, source.skip)))
    if source.header:
        names = header([*(cell or "" for cell in first[1]), *[""] * (width - len(first[1]))], contract, where)
    else:
        names, filled = declared(contract), chain([first], filled)
    reading = Reading(names, where, contract.limits)
    reading.batches = batched(reading, _fitted(reading, filled))
    return reading


def _sheet(path: Path, name: str | None, where: str) -> tuple[CalamineSheet, Errors]:
    with path.open("rb") as file:
        magic = file.read(4)
        if magic not in (_ZIP, _OLE2):
            what = "not an Excel workbook" if magic else "empty file"
            raise DeliveryUnreadable(
                what, where=where, hint="set the 'format' it has in 'source', or ask the department"
            )
        if magic == _ZIP:
            inspect(path, where)
        file.seek(0)
        try:
            workbook = CalamineWorkbook.from_filelike(file)
            sheet = workbook.get_sheet_by_name(name) if name else workbook.get_sheet_by_index(0)
        except PasswordError as error:
            raise DeliveryUnreadable(
                "it is protected by a password", where=where, hint="deliver it unprotected"
            ) from error
        except WorksheetNotFound as error:
            what = f"no sheet '{name}' among {', '.join(workbook.sheet_names)}" if name else "no sheet"
            raise DeliveryUnreadable(what, where=where, hint="change 'sheet' in 'source'") from error
        except CalamineError as error:
            what = "damaged" if magic == _ZIP else "damaged or protected by a password"
            raise DeliveryUnreadable(
                f"the workbook is {what}: {error}", where=where, hint="deliver it again"
            ) from error
    return sheet, cell_errors(path, sheet.name) if magic == _ZIP else {}


def _filled(sheet: CalamineSheet, errors: Errors, skip: int) -> Iterator[Row]:
    """The rows behind `skip` that aren't empty, each up to its last filled cell."""
    failed = {row for row, _ in errors}
    left = sheet.start[1] + 1 if sheet.start else 1  # rows come from the top on, columns from the first filled one
    for number, values in enumerate(sheet.iter_rows(), 1):
        if number <= skip:
            continue
        cells = [*map(_text, values)]
        if number in failed:
            cells = [errors.get((number, position), cell) for position, cell in enumerate(cells, left)]
        while cells and cells[-1] is None:
            cells.pop()
        if cells:
            yield number, cells


def _text(value: Any) -> str | None:
    match value:
        case "":
            return None
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case float() | int():
            plain = value + 0.0  # -0.0 becomes 0.0
            return f"{Decimal(repr(plain)):f}".removesuffix(".0") if abs(value) < _PLAIN_BELOW else repr(value)
        case datetime():
            return value.isoformat(" ")
        case timedelta():
            minutes, seconds = divmod(round(value.total_seconds()), 60)
            return f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"
        case _:
            return str(value)


def _fitted(reading: Reading, rows: Iterator[Row]) -> Iterator[tuple[int, list[str | None] | None]]:
    """Rows filled up to the number of names; one with more cells than that is rejected."""
    width = len(reading.names)
    for number, cells in rows:
        if len(cells) > width:
            reading.reject(number, f"{len(cells)} cells instead of {width}", "\t".join(cell or "" for cell in cells))
            yield number, None
        else:
            yield number, cells + [None] * (width - len(cells))
