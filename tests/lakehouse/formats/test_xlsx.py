import io
import zipfile
from collections.abc import Callable
from datetime import date, datetime, time, timedelta

import pytest
from openpyxl import Workbook

from lakehouse.errors import DeliveryUnreadable
from lakehouse.formats import xlsx

Reads = Callable[..., object]


def workbook(*rows: list[object], start: str = "A1", **sheets: list[list[object]]) -> bytes:
    book = Workbook()
    first = book.active
    for down, row in enumerate(rows):
        for right, value in enumerate(row):
            first[start].offset(down, right).value = value
    for name, more in sheets.items():
        sheet = book.create_sheet(name)
        for row in more:
            sheet.append(row)
    written = io.BytesIO()
    book.save(written)
    return written.getvalue()


def test_cells_as_text(reads: Reads):
    data = workbook(
        ["a", "b"],
        [3.0, 0.1],
        [43831.5, -7],
        [1e22, 123456789012],
        [True, None],
        [date(2026, 1, 2), datetime(2026, 1, 2, 3, 4, 5)],
        [time(3, 4), timedelta(hours=30)],
        [" 007 ", "中\n文"],
    )
    got = reads(data, "x.xlsx")
    assert got.rows == [
        ("3", "0.1"),
        ("43831.5", "-7"),
        ("1e+22", "123456789012"),
        ("true", None),
        ("2026-01-02", "2026-01-02 03:04:05"),
        ("03:04:00", "30:00:00"),
        (" 007 ", "中\n文"),
    ]
    assert got.numbers == list(range(2, 9))


def test_error_cells_show_what_excel_shows(reads: Reads):
    book = Workbook()
    sheet = book.active
    for row in ([None, "a", "b"], [None, "x", "#N/A"], [None, "y", "=1/0"]):
        sheet.append(row)
    sheet["C2"].data_type = "e"
    written = io.BytesIO()
    book.save(written)
    assert reads(written.getvalue(), "x.xlsx").rows == [("x", "#N/A"), ("y", None)]


def test_empty_rows_keep_their_number_and_trailing_ones_are_none(reads: Reads):
    got = reads(workbook(["a", "b"], [None, None], ["1", None], [None, None], ["", "2"]), "x.xlsx")
    assert (got.rows, got.numbers) == ([("1", None), (None, "2")], [3, 5])


def test_header_behind_title_rows_and_away_from_the_corner(reads: Reads):
    got = reads(workbook(["a title"], ["a", "b"], ["1", "2"], start="B3"), "x.xlsx", skip=3)
    assert (got.names, got.rows, got.numbers) == (["a", "b"], [("1", "2")], [5])


def test_values_beyond_the_header_keep_a_column(reads: Reads):
    assert reads(workbook(["a", "b"], ["1", "2", "note"]), "x.xlsx").names == ["a", "b", "column_3"]


def test_without_header_a_longer_row_is_unparsable(reads: Reads):
    got = reads(workbook(["1", "2"], ["3", "4", "5"], ["6"]), "x.xlsx", header=False)
    assert (got.rows, got.numbers) == ([("1", "2"), ("6", None)], [1, 3])
    assert [(u.source_row, u.reason, u.raw) for u in got.unparsable] == [(2, "3 cells instead of 2", "3\t4\t5")]


def test_a_sheet_by_name(reads: Reads):
    data = workbook(["a", "b"], 数据=[["a", "b"], ["1", "2"]])
    assert reads(data, "x.xlsx", sheet="数据").rows == [("1", "2")]
    with pytest.raises(DeliveryUnreadable, match="no sheet 'other' among Sheet, 数据"):
        reads(data, "x.xlsx", sheet="other")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "empty file"),
        (b"a,b\n1,2\n", "not an Excel workbook"),
        (workbook(), "empty sheet"),
        (workbook(["a", "a"]), "columns 1 and 2 have the same name"),
        (workbook(["a", "b"])[:2000], "damaged"),
        (b"\xd0\xcf\x11\xe0" + bytes(600), "damaged or protected"),
    ],
)
def test_what_is_wrong_with_the_whole_file(reads: Reads, data: bytes, message: str):
    with pytest.raises(DeliveryUnreadable, match=message):
        reads(data, "x.xlsx")


def test_a_row_above_the_limit(reads: Reads):
    with pytest.raises(DeliveryUnreadable, match="row_bytes"):
        reads(workbook(["a", "b"], ["123", "456"]), "x.xlsx", limits={"row_bytes": 5})


def test_a_far_cell_is_refused_before_it_takes_memory(reads: Reads):
    book = Workbook()
    book.active["A1"], book.active["XFD1048576"] = "a", "x"
    written = io.BytesIO()
    book.save(written)
    with pytest.raises(DeliveryUnreadable, match="row 1048576, column 16384"):
        reads(written.getvalue(), "x.xlsx")


def test_a_zip_bomb_is_refused(reads: Reads):
    with zipfile.ZipFile(written := io.BytesIO(workbook(["a", "b"])), "a", zipfile.ZIP_DEFLATED) as package:
        package.writestr("xl/media/image.bin", bytes(70 << 20))
    with pytest.raises(DeliveryUnreadable, match="unpacks to"):
        reads(written.getvalue(), "x.xlsx")


def test_a_zip_that_lies_about_its_size_is_refused(reads: Reads):
    data = bytearray(workbook(["a", "b"], ["1", "2"]))
    at = data.index(b"PK\x01\x02")
    data[at + 24 : at + 28] = (9).to_bytes(4, "little")
    with pytest.raises(DeliveryUnreadable, match="damaged"):
        reads(bytes(data), "x.xlsx")


def test_a_workbook_that_takes_too_much_memory_ends_as_an_error(reads: Reads, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(xlsx, "_MOST_MEMORY", 1 << 20)
    with pytest.raises(DeliveryUnreadable, match="damaged or takes too much memory"):
        reads(workbook(["a", "b"], ["1", "2"]), "x.xlsx")
