import io
import zipfile
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from pathlib import Path

import pytest
from openpyxl import Workbook
from openpyxl.styles import PatternFill
from openpyxl.utils.datetime import MAC_EPOCH, WINDOWS_EPOCH
from openpyxl.worksheet.cell_range import CellRange

from lakehouse.errors import DeliveryUnreadable, EnvironmentFault
from lakehouse.formats import apart

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
    return saved(book)


def saved(book: Workbook) -> bytes:
    written = io.BytesIO()
    book.save(written)
    return written.getvalue()


def row(*cells: str | None, spans: dict[int, tuple[int, int]] | None = None) -> str:
    """A row of an OpenDocument; `spans` are the rows and columns that a cell spans."""
    written = ""
    for position, cell in enumerate(cells):
        down, right = (spans or {}).get(position, (1, 1))
        span = f'table:number-rows-spanned="{down}" table:number-columns-spanned="{right}"'
        text = f'<table:table-cell office:value-type="string" {span}><text:p>{cell}</text:p></table:table-cell>'
        written += text if cell else "<table:covered-table-cell/>"
    return f"<table:table-row>{written}</table:table-row>"


def ods(rows: str) -> bytes:
    space = "urn:oasis:names:tc:opendocument:xmlns"
    spaces = " ".join(f'xmlns:{name}="{space}:{name}:1.0"' for name in ("office", "table", "text"))
    table = f'<office:spreadsheet><table:table table:name="S">{rows}</table:table></office:spreadsheet>'
    with zipfile.ZipFile(written := io.BytesIO(), "w", zipfile.ZIP_DEFLATED) as package:
        package.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet", zipfile.ZIP_STORED)
        content = f"<office:document-content {spaces}><office:body>{table}</office:body></office:document-content>"
        package.writestr("content.xml", content)
        package.writestr("META-INF/manifest.xml", f'<m:manifest xmlns:m="{space}:manifest:1.0"/>')
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


def test_a_sheet_by_number_among_those_shown_or_by_a_pattern(reads: Reads):
    book = Workbook()
    book.active.sheet_state = "hidden"
    for name in ("2026年1月", "2026年2月", "说明(1)"):
        book.create_sheet(name).append([name])
        book[name].append(["x"])
    book.create_chartsheet("图", 0)
    data = saved(book)
    read = {
        wanted: reads(data, "x.xlsx", columns=("a",), sheet=wanted).names for wanted in (None, 1, 2, "*2月", "说明(1)")
    }
    assert [names[0] for names in read.values()] == ["2026年1月", "2026年1月", "2026年2月", "2026年2月", "说明(1)"]
    for wanted, message in (("2026*", "2 sheets fit '2026\\*' among 2026年1月, 2026年2月"), (4, "no sheet 4 among 3")):
        with pytest.raises(DeliveryUnreadable, match=message):
            reads(data, "x.xlsx", sheet=wanted)


MERGED = [
    ["名单", None, None, None],
    ["单位", "水位", None, None],
    [None, "上游", "下游", "备注"],
    ["x", "1", "2", "3"],
]
SPANS = ("A1:D1", "A2:A3", "B2:C2", "A4:A5")
NAMES = ["单位", "水位 上游", "水位 下游", "备注"]


@pytest.mark.parametrize("corner", ["A1", "C2"])
def test_names_in_several_merged_rows(reads: Reads, corner: str):
    book = Workbook()
    sheet = book.active
    for down, row in enumerate(MERGED):
        for right, value in enumerate(row):
            sheet[corner].offset(down, right).value = value
    shift = sheet[corner].row - 1, sheet[corner].column - 1
    for span in SPANS:
        merged = CellRange(span)
        merged.shift(row_shift=shift[0], col_shift=shift[1])
        sheet.merge_cells(merged.coord)
    got = reads(saved(book), "x.xlsx", header=2, skip=1 + shift[0])
    assert (got.names, got.rows, got.numbers) == (NAMES, [("x", "1", "2", "3")], [4 + shift[0]])


def test_rows_that_are_only_formatted_are_none(reads: Reads):
    book = Workbook()
    sheet = book.active
    for row in (["a", "b"], ["1", "2"]):
        sheet.append(row)
    for row in range(3, 3000):
        sheet.cell(row, 2).fill = PatternFill("solid", fgColor="FFFF00")
    sheet["A9000"] = "last"
    got = reads(saved(book), "x.xlsx")
    assert (got.rows, got.numbers) == ([("1", "2"), ("last", None)], [2, 9000])


@pytest.mark.parametrize("epoch", [WINDOWS_EPOCH, MAC_EPOCH])
def test_date_cells_are_dates_in_either_date_system(reads: Reads, epoch: datetime):
    book = Workbook()
    book.epoch = epoch
    for row in (["a"], [date(2026, 3, 1)], [datetime(2026, 3, 1, 12, 30)]):
        book.active.append(row)
    book.active["A4"].value, book.active["A4"].number_format = 46082, "General"
    got = reads(saved(book), "x.xlsx", columns=("a",))
    assert got.rows == [("2026-03-01",), ("2026-03-01 12:30:00",), ("46082",)]


def test_open_documents(reads: Reads):
    body = (
        row(*MERGED[0])
        + row("单位", "水位", None, None, spans={0: (2, 1), 1: (1, 2)})
        + row(*MERGED[2])
        + row(*MERGED[3])
    )
    empty = '<table:table-cell table:number-columns-repeated="16384"/>'
    far = f'<table:table-row table:number-rows-repeated="1048000">{empty}</table:table-row>'
    got = reads(ods(body + far), "x.ods", header=2, skip=1)
    assert (got.names, got.rows, got.numbers) == (NAMES, [("x", "1", "2", "3")], [4])


def test_an_open_document_that_repeats_a_value_for_ever(reads: Reads):
    cell = '<table:table-cell office:value-type="string" table:number-columns-repeated="16384"><text:p>x</text:p></table:table-cell>'
    with pytest.raises(DeliveryUnreadable, match="damaged"):
        reads(ods(f'<table:table-row table:number-rows-repeated="1048000">{cell}</table:table-row>'), "x.ods")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "empty file"),
        (b"a,b\n1,2\n", "the file isn't a zip file or workbook"),
        (b" <HTML><table>", "the file is a web page; .*'format: html'"),
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
    with pytest.raises(DeliveryUnreadable, match="like a bomb"):
        reads(written.getvalue(), "x.xlsx")


def test_a_zip_that_lies_about_its_size_is_refused(reads: Reads):
    data = bytearray(workbook(["a", "b"], ["1", "2"]))
    at = data.index(b"PK\x01\x02")
    data[at + 24 : at + 28] = (9).to_bytes(4, "little")
    with pytest.raises(DeliveryUnreadable, match="damaged"):
        reads(bytes(data), "x.xlsx")


def test_a_workbook_that_takes_too_much_memory_ends_as_an_error(reads: Reads, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(apart, "MOST_MEMORY", 1 << 20)
    with pytest.raises(DeliveryUnreadable, match="damaged or takes too much memory"):
        reads(workbook(["a", "b"], ["1", "2"]), "x.xlsx")


def test_a_program_that_somebody_ends_says_nothing_of_the_file(
    reads: Reads, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    killed = tmp_path / "killed"
    killed.write_text("#!/bin/sh\nkill -KILL $$\n")
    killed.chmod(0o700)
    monkeypatch.setattr(apart.sys, "executable", str(killed))
    with pytest.raises(EnvironmentFault, match="ended by signal 9; is the machine short of memory"):
        reads(workbook(["a", "b"], ["1", "2"]), "x.xlsx")


@pytest.mark.parametrize("footer", [2, "合计|共"])
def test_a_footer(reads: Reads, footer: int | str) -> None:
    rows = [["a", "b"], [1, 2], ["合计", 3], [4, None], ["合计", 5], ["共 3 条"]]
    got = reads(workbook(*rows), "x.xlsx", footer=footer)
    assert got.rows == [("1", "2"), ("合计", "3"), ("4", None)]
