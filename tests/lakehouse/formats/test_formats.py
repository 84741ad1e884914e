"""Which reader a file gets, and how the readers stand real and hostile files."""

import csv
import io
import json
import time
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import pytest
from openpyxl import load_workbook

from lakehouse.errors import CitylakeError, DeliveryUnreadable

Reads = Callable[..., object]
SHARED = Path(__file__).parents[3].parent / "shared" / "data"
needs_shared = pytest.mark.skipif(not SHARED.exists(), reason="the real deliveries (../shared/data) are not here")


def test_the_format_is_declared_or_told_by_the_name(reads: Reads):
    assert reads(b"a,b\n1,2\n", "X.CSV").rows == [("1", "2")]
    assert reads(b"a,b\n1,2\n", "x.dat", format="csv").rows == [("1", "2")]
    with pytest.raises(DeliveryUnreadable, match=r"'x\.dat' doesn't tell the format"):
        reads(b"a,b\n1,2\n", "x.dat")


@needs_shared
@pytest.mark.parametrize("format", ["csv", "xlsx", "jsonl", "json", "xml", "parquet"])
def test_files_of_another_format_end_as_rows_or_one_clear_error(reads: Reads, format: str):
    for path in sorted((SHARED / "messy").glob("*[!s]")):  # workbooks of other programs are read as such elsewhere
        start = time.monotonic()
        try:
            reads(path.read_bytes(), path.name, columns=("a",), format=format)
        except CitylakeError as error:
            assert error.what and error.where and error.hint and "\n" not in str(error)
        assert time.monotonic() - start < 30


@needs_shared
@pytest.mark.parametrize(
    ("file", "rows", "unparsable", "source"),
    [
        ("hotline/messages_sheet_3.xlsx", 4326, 0, {}),
        ("hotline/messages_sheet_4.xlsx", 2816, 0, {}),
        ("hotline/category_tree_sheet_1.xlsx", 517, 0, {}),
        ("requests_311/2016.csv", 117, 0, {}),
        ("requests_311/2018.csv", 1000, 0, {}),
        ("air/Aotizhongxin.csv", 35064, 0, {}),
        ("divisions/streets.csv", 41352, 0, {}),
        ("divisions/ok_data_level4.csv", 43118, 0, {}),
        ("water/batadal_dataset04.csv", 4177, 0, {}),
    ],
)
def test_rows_of_real_files(reads: Reads, file: str, rows: int, unparsable: int, source: dict[str, str]):
    path = SHARED / file
    got = reads(path.read_bytes(), path.name, columns=("a",), **source)
    assert (len(got.rows), len(got.unparsable)) == (rows, unparsable)


@needs_shared
@pytest.mark.parametrize("file", ["hotline/category_tree_sheet_1.xlsx", "messy/sw_gen.xlsx", "messy/large.xlsx"])
def test_cells_are_those_another_reader_finds(reads: Reads, file: str):
    """Compared with openpyxl."""
    sheet = load_workbook(SHARED / file, read_only=True, data_only=True).worksheets[0]
    cells = [*sheet.iter_rows(values_only=True)]
    width = max(len(row) for row in cells)
    got = reads((SHARED / file).read_bytes(), "x.xlsx", header=False, columns=tuple(map(str, range(width))))
    expected = {n: tuple([*map(_written, row), *[None] * (width - len(row))]) for n, row in enumerate(cells, 1)}
    found = dict(zip(got.numbers, got.rows, strict=True))
    assert found == {n: row for n, row in expected.items() if any(row)}


def _written(value: object) -> str | None:
    match value:
        case None | "":
            return None
        case bool():
            return str(value).lower()
        case float():
            return f"{Decimal(repr(value)):f}".removesuffix(".0")
        case datetime():
            return str(value).removesuffix(" 00:00:00") if value.time() == datetime.min.time() else str(value)
    return str(value)


@needs_shared
def test_an_empty_gps_file_and_one_without_header(reads: Reads):
    path = SHARED / "gps_tdrive"
    columns = ("id", "time", "lon", "lat")
    with pytest.raises(CitylakeError, match="empty file"):
        reads((path / "10115.txt").read_bytes(), "10115.txt", columns=columns, header=False)
    got = reads((path / "1131.txt").read_bytes(), "1131.txt", columns=columns, header=False, quoted=False)
    assert got.names == list(columns)
    assert got.rows[0][0] == "1131" and not got.unparsable


@needs_shared
def test_naughty_strings_survive_csv_and_json_lines(reads: Reads):
    strings = json.loads((SHARED / "naughty" / "blns.json").read_text("utf-8"))
    written = io.StringIO()
    csv.writer(written).writerows([["a", "b"], *([text, text[::-1]] for text in strings)])
    rows = [(text, text[::-1]) for text in strings]
    assert reads(written.getvalue().encode()).rows == rows
    lines = "\n".join(json.dumps({"a": a, "b": b}) for a, b in rows)
    assert reads(lines.encode(), "x.jsonl").rows == rows
