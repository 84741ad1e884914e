"""Excel workbooks: one sheet, every cell as text."""

import json
import subprocess
import sys
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

from lakehouse.contract import Contract
from lakehouse.errors import DeliveryUnreadable
from lakehouse.formats.package import cell_errors, inspect
from lakehouse.formats.reading import Reading, batched, declared, header
from lakehouse.source import Dialect

_ZIP, _OLE2 = b"PK\x03\x04", b"\xd0\xcf\x11\xe0"
_PROGRAM = Path(__file__).with_name("sheet.py")
_MOST_MEMORY = 2 << 30
_MOST_SECONDS = 300

Row = tuple[int, list[str | None]]


def read(path: Path, contract: Contract, source: Dialect) -> Reading:
    """A sheet of a workbook (.xlsx, .xlsm, .xls), the first unless the contract names one. Empty cells are null.

    Numbers have no false decimals, dates are `yyyy-MM-dd` or `yyyy-MM-dd HH:mm:ss`; a number that only looks like a
    date stays a number. Empty rows are skipped but keep their row number. Raises DeliveryUnreadable when it isn't a
    workbook, is protected, has no such sheet, is empty, or would take more memory than a workbook may.
    """
    where = f"{contract.name} {path.name}"
    lines = _lines(path, source.sheet, where)
    filled = _filled(lines, path, source.skip)
    first = next(filled, None)
    if first is None:
        raise DeliveryUnreadable("empty sheet", where=where, hint="check 'sheet' and 'skip' in 'source'")
    width = max(len(cells) for _, cells in chain([first], filled))
    body = _filled(lines, path, source.skip)
    if source.header:
        _, cells = next(body)
        names = header([cell or "" for cell in cells] + [""] * (width - len(cells)), contract, where)
    else:
        names = declared(contract)
    reading = Reading(names, where, contract.limits)
    reading.batches = batched(reading, _fitted(reading, body))
    return reading


def _lines(path: Path, sheet: str | None, where: str) -> IO[bytes]:
    """The sheet as the program `sheet.py` writes it."""
    with path.open("rb") as file:
        magic = file.read(4)
    if magic not in (_ZIP, _OLE2):
        what = "not an Excel workbook" if magic else "empty file"
        raise DeliveryUnreadable(what, where=where, hint="set the 'format' it has in 'source', or ask the department")
    if magic == _ZIP:
        inspect(path, where)
    lines = TemporaryFile()  # noqa: SIM115 (lives as long as the reading)
    command = [sys.executable, "-I", str(_PROGRAM), str(path), sheet or "", str(_MOST_MEMORY)]
    try:
        done = subprocess.run(command, stdout=lines, stderr=subprocess.PIPE, timeout=_MOST_SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        what = f"the workbook isn't read after {_MOST_SECONDS} s"
        raise DeliveryUnreadable(what, where=where, hint="deliver it as CSV") from error
    if done.returncode:
        what = "the workbook is damaged or takes too much memory"
        reason = done.stderr.decode(errors="replace").strip() if done.returncode == 2 else what
        raise DeliveryUnreadable(
            reason, where=where, hint="check 'sheet' in 'source', or ask for it again, as CSV perhaps"
        )
    return lines


def _filled(lines: IO[bytes], path: Path, skip: int) -> Iterator[Row]:
    """The rows behind `skip` that aren't empty, each up to its last filled cell."""
    lines.seek(0)
    name, left = json.loads(lines.readline())
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


def _fitted(reading: Reading, rows: Iterator[Row]) -> Iterator[tuple[int, list[str | None] | None]]:
    """Rows filled up to the number of names; one with more cells than that is rejected."""
    width = len(reading.names)
    for number, cells in rows:
        if len(cells) > width:
            reading.reject(number, f"{len(cells)} cells instead of {width}", "\t".join(cell or "" for cell in cells))
            yield number, None
        else:
            yield number, cells + [None] * (width - len(cells))
