"""What a file without a contract holds, and what looks wrong in it."""

from datetime import date
from pathlib import Path

import openpyxl
import pytest

from expectations.catalog import standards_of
from jobs.profile import Profile, profile
from jobs.suspicion import ColumnProfile, Suspicion, coordinates
from lakehouse.settings import Settings

CATALOG = Path(__file__).parents[2] / "expectations"
SETTINGS = Settings(home=Path("unused"), catalog=CATALOG, inbox=Path("unused"))


KNOWN = {name: standards_of(CATALOG)[name] for name in ("phone", "resident_id")}


def look(path: Path) -> Profile:
    return profile(path, KNOWN, date(2026, 3, 1), SETTINGS)


def described(tmp_path: Path, *columns: tuple[str, list[str]]) -> Profile:
    """A file made of columns of values."""
    path = tmp_path / "file.csv"
    lines = [
        ",".join(f'"{cell}"' for cell in row)
        for row in zip(*[[name, *values] for name, values in columns], strict=True)
    ]
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return look(path)


def column(tmp_path: Path, *values: str) -> ColumnProfile:
    rows = [str(n) for n in range(len(values))]
    return described(tmp_path, ("row", rows), ("value", list(values))).columns[1]


def suspicion(tmp_path: Path, kind: str, *values: str) -> Suspicion | None:
    found = described(tmp_path, ("row", [f"r{n}" for n in range(len(values))]), ("value", list(values)))
    return next((s for s in found.suspicions if s.kind == kind), None)


@pytest.mark.parametrize(
    ("values", "type_", "form"),
    [
        (["1", "-20", "300"], "integer", None),
        (["1.5", "2", "1e3"], "double", None),
        (["2026-03-01", "2026-03-02", "2025-12-31"], "date", "yyyy-MM-dd"),
        (["2026/3/1", "2026/03/02", "2025/12/31"], "date", "yyyy/M/d"),
        (["20260301", "20260302", "20251231"], "date", "yyyyMMdd"),
        (["20260301", "20269999", "20251299"], "integer", None),
        (["2026-03-01 08:00:00", "2026-03-01 09:30:00"], "timestamp", "yyyy-MM-dd HH:mm:ss"),
        (["2026-03-01T08:00:00+08:00", "2026-03-01T09:30:00Z"], "timestamp", "iso"),
        (["是", "否", "是"], "boolean", None),
        (["007", "008", "012"], "string", None),
        (["a", "b", "1"], "string", None),
    ],
)
def test_the_type_is_the_one_that_nearly_all_values_have(
    tmp_path: Path, values: list[str], type_: str, form: str | None
) -> None:
    found = column(tmp_path, *values)
    assert (found.type, found.format, found.fits) == (type_, form, len(values))


def test_values_are_counted_and_ordered_by_their_type(tmp_path: Path) -> None:
    found = column(tmp_path, "9", "10", "10", " ", "")
    assert (found.filled, found.distinct, found.least, found.most) == (3, 2, "9", "10")


def test_standards_are_recognised_and_sensitive_values_masked(tmp_path: Path) -> None:
    ids = ["11010519491231002X", "440524188001010014", "320602199001011230"]
    found = column(tmp_path, *ids[:2])
    assert (found.standard, found.type) == ("resident_id", "string")
    assert ids[0] not in str(found)


def test_values_that_break_the_standard_are_counted(tmp_path: Path) -> None:
    right = ["11010519491231002X", "440524188001010014"] * 10
    found = suspicion(tmp_path, "standard", *right, "110105194912310021")
    assert found is None  # one of three different values is too many to be sure
    many = [f"1380000{n:04d}" for n in range(30)]
    broken = suspicion(tmp_path, "standard", *many, "138")
    assert broken is not None and broken.count == 1


@pytest.mark.parametrize(
    ("kind", "values", "count", "rows"),
    [
        ("mojibake", ["南通", "锟斤拷", "海安"], 1, (3,)),
        ("rounded", ["3.20602E+17", "320602199001011234"], 1, (2,)),
        ("placeholder", ["12", "无", "-", "13"], 2, (3, 4)),
        ("numbers_as_text", ["1,200元", "2,300元", "150元"], 3, (2, 3, 4)),
        ("mixed_dates", [f"2026-03-{n:02d}" for n in range(1, 20)] + ["2026/3/2"], 1, (21,)),
        ("mixed_dates", ["2026-03-01", "2026/3/2", "2026年3月5日"], 3, (2, 3, 4)),
        ("misfit", [str(n) for n in range(30)] + ["many"], 1, (32,)),
        ("empty", ["", " "], 2, ()),
        ("constant", ["a", "a", "a"], 3, ()),
    ],
)
def test_what_looks_wrong_is_named_with_its_rows(
    tmp_path: Path, kind: str, values: list[str], count: int, rows: tuple[int, ...]
) -> None:
    found = suspicion(tmp_path, kind, *values)
    assert found is not None and (found.count, found.rows) == (count, rows)


def test_swapped_and_missing_positions_are_seen(tmp_path: Path) -> None:
    found = described(tmp_path, ("经度", ["120.9", "32.0", "0"]), ("纬度", ["32.0", "120.9", "0"]))
    assert {(s.kind, s.count, s.rows) for s in found.suspicions} >= {("swapped", 1, (3,)), ("null_island", 1, (4,))}


def test_ordinary_columns_raise_no_suspicion(tmp_path: Path) -> None:
    found = described(
        tmp_path, ("id", ["A1", "A2", "A3"]), ("n", ["1", "2", "3"]), ("d", ["2026-03-01"] * 2 + ["2026-03-02"])
    )
    assert found.suspicions == () and found.duplicates == 0


def test_repeated_rows_and_records_that_can_not_be_read_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "file.csv"
    path.write_text("id,name\n1,a\n1,a\n1,a\n2\n", "utf-8")
    found = look(path)
    assert (found.rows, found.unparsable, found.duplicates) == (4, 1, 2)


def test_in_a_workbook_the_first_sheet_with_a_table_is_described(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    book.active["A1"] = "说明"
    sheet = book.create_sheet("车辆")
    for row in (["车辆名册"], ["车牌", "吨位"], ["苏F12345", 5], ["苏F23456", 8]):
        sheet.append(row)
    book.save(tmp_path / "book.xlsx")
    found = look(tmp_path / "book.xlsx")
    assert (found.source.sheet, found.source.skip, found.rows) == ("车辆", 1, 2)
    assert [c.name for c in found.columns] == ["车牌", "吨位"]


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["plate", "lon", "lat"], ("lon", "lat")),
        (["relations", "startLng", "startLat"], ("startLng", "startLat")),
        (["LATITUDE", "LONGITUDE"], ("LONGITUDE", "LATITUDE")),
        (["gcj02_lon", "gcj02_lat"], ("gcj02_lon", "gcj02_lat")),
        (["起点经度", "起点纬度"], ("起点经度", "起点纬度")),
        (["plate", "salon"], (None, None)),
    ],
)
def test_columns_are_named_like_coordinates(names: list[str], found: tuple[str | None, str | None]) -> None:
    assert coordinates([(name, name) for name in names]) == found
