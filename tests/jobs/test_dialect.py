"""How a file is written, from its bytes."""

from pathlib import Path
from zipfile import ZipFile

import openpyxl
import pytest

from jobs.dialect import dialect, sheets
from lakehouse.errors import DeliveryUnreadable, UsageError

TABLE = "编号,名称,长度\n1,一号桥,120\n2,二号桥,80\n3,三号桥,95\n"


def written(tmp_path: Path, content: bytes, name: str = "bridges.csv") -> Path:
    path = tmp_path / name
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(("codec", "found"), [("utf-8", "utf-8"), ("gb18030", "gb18030"), ("utf-16", "utf-16")])
def test_the_encoding_is_found(tmp_path: Path, codec: str, found: str) -> None:
    source, width = dialect(written(tmp_path, TABLE.encode(codec)))
    assert (source.encoding, source.delimiter, source.header, width) == (found, ",", True, 3)


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_the_delimiter_is_the_one_that_cuts_evenly(tmp_path: Path, delimiter: str) -> None:
    text = TABLE.replace(",", delimiter).replace("一号桥", "一号桥, 新")
    assert dialect(written(tmp_path, text.encode()))[0].delimiter == delimiter


@pytest.mark.parametrize(("name", "delimiter"), [("t.tsv", "\t"), ("t.psv", "|"), ("t.csv", ",")])
def test_where_several_cut_alike_the_name_decides(tmp_path: Path, name: str, delimiter: str) -> None:
    path = tmp_path / name
    path.write_text("a,b\tc|d\n1,2\t3|4\n")
    assert dialect(path)[0].delimiter == delimiter


def test_lines_above_the_table_are_skipped(tmp_path: Path) -> None:
    source, _ = dialect(written(tmp_path, ("桥梁名册\n\n" + TABLE).encode()))
    assert (source.skip, source.header) == (2, True)


def test_a_first_line_of_values_is_no_header(tmp_path: Path) -> None:
    source, width = dialect(written(tmp_path, b"1,120,a\n2,80,b\n"))
    assert (source.header, width) == (False, 3)


def test_one_column_has_no_delimiter(tmp_path: Path) -> None:
    source, width = dialect(written(tmp_path, b"id\nT1\nT2\n"))
    assert (source.delimiter, width) == (",", 1)


def test_other_formats_say_themselves_how_they_are_written(tmp_path: Path) -> None:
    assert dialect(written(tmp_path, b'{"id": 1}\n', "bridges.jsonl"))[0].format == "jsonl"


def test_nothing_there_is_usage_and_nothing_inside_is_unreadable(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        dialect(tmp_path / "missing.csv")
    with pytest.raises(DeliveryUnreadable):
        dialect(written(tmp_path, b" \n"))


def test_sheets_are_named_in_order(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    book.active.title = "封面"
    book.create_sheet("车辆")
    book.save(tmp_path / "book.xlsx")
    assert sheets(tmp_path / "book.xlsx") == ("封面", "车辆")
    with ZipFile(tmp_path / "other.xlsx", "w") as package:
        package.writestr("readme", "no workbook")
    assert sheets(tmp_path / "other.xlsx") == (None,)
