"""A program of its own: writes one sheet of a workbook as JSON lines.

A damaged workbook can make the library ask for hundreds of gigabytes, which ends the process that asks. So this one
runs apart, within limits. Arguments: path, sheet (its name, number or a pattern; null for the first that is shown).
First line: the sheet's name, the position of its first column, and its merged cells as first and
last row and column, or null where the format doesn't tell; then every row from the first on, its cells as text or null.
"""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from python_calamine import (
    CalamineError,
    CalamineSheet,
    CalamineWorkbook,
    PasswordError,
    SheetTypeEnum,
    SheetVisibleEnum,
)

from lakehouse.program import begin, chosen, fail, write

_PLAIN_BELOW = 1e21
"""Larger numbers keep their exponent: written out they would be mostly zeros."""


def main(path: str, wanted: str | int | None) -> None:
    sheet = _open(path, wanted)
    left = sheet.start[1] + 1 if sheet.start else 1  # rows come from the top on, columns from the first filled one
    merged = sheet.merged_cell_ranges
    write([sheet.name, left, merged and [[*first, *last] for first, last in merged]])
    for values in sheet.iter_rows():
        write([*map(_text, values)])


def _open(path: str, wanted: str | int | None) -> CalamineSheet:
    try:
        with open(path, "rb") as file:
            workbook = CalamineWorkbook.from_filelike(file)
            tables = [sheet for sheet in workbook.sheets_metadata if sheet.typ is SheetTypeEnum.WorkSheet]
            shown = [sheet.name for sheet in tables if sheet.visible is SheetVisibleEnum.Visible]
            # People count what they see. A name may also mean a sheet that isn't shown.
            names = shown if isinstance(wanted, int) or wanted is None else [sheet.name for sheet in tables]
            return workbook.get_sheet_by_name(chosen(names, wanted or 1, "sheet"))
    except PasswordError:
        fail("it is protected by a password")
    except LookupError as error:
        fail(str(error.args[0]))
    except CalamineError as error:
        fail(f"the workbook is damaged or protected: {error}")


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


if __name__ == "__main__":
    main(*begin())
