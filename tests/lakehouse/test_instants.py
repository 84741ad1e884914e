"""Instants read and written outside of the engines, in the formats of contracts."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from lakehouse.instants import read, resolution, written

NANTONG = ZoneInfo("Asia/Shanghai")
AT = datetime(2026, 3, 1, 5, 4, 3, 250_000, UTC)


@pytest.mark.parametrize(
    ("form", "text", "least"),
    [
        ("iso", "2026-03-01T13:04:03.250+08:00", timedelta(milliseconds=250)),
        ("epoch_s", "1772341443", timedelta(seconds=1)),
        ("epoch_ms", "1772341443250", timedelta(milliseconds=1)),
        ("yyyy-MM-dd HH:mm:ss.SSS", "2026-03-01 13:04:03.250", timedelta(milliseconds=1)),
        ("yyyyMMddHHmmss", "20260301130403", timedelta(seconds=1)),
        ("yyyy-MM-dd'T'HH:mm", "2026-03-01T13:04", timedelta(minutes=1)),
        ("yyyy年M月d日 H", "2026年3月1日 13", timedelta(hours=1)),
        ("yy/MM/dd hh:mm a", "26/03/01 01:04 PM", timedelta(minutes=1)),
        ("yyyyMM", "202603", timedelta(days=1)),
    ],
)
def test_what_is_written_is_read_again(form: str, text: str, least: timedelta):
    assert written(AT, form, NANTONG) == text
    again = read(text, form, NANTONG)
    assert again is not None
    assert timedelta(0) <= AT - again < max(least, timedelta(days=31) if form == "yyyyMM" else least)
    assert form == "iso" or resolution(form) == least


@pytest.mark.parametrize("form", ["excel", "excel_1904"])
def test_serial_numbers(form: str):
    again = read(written(AT, form, NANTONG), form, NANTONG)
    assert again is not None
    assert abs(again - AT) < timedelta(milliseconds=1)


@pytest.mark.parametrize(
    ("text", "form", "expected"),
    [
        ("2026-03-01", "iso", datetime(2026, 2, 28, 16, tzinfo=UTC)),
        ("2026-03-01T00:00:00Z", "iso", datetime(2026, 3, 1, tzinfo=UTC)),
        (" 3/1/26 ", "yyyy-MM-dd | M/d/yy", datetime(2026, 2, 28, 16, tzinfo=UTC)),
        ("2026-3-1", "yyyy-MM-dd", None),
        ("soon", "iso | epoch_ms", None),
        ("1e400", "epoch_s", None),
        ("nan", "epoch_s", None),
        ("2026-02-30", "yyyy-MM-dd", None),
        ("0001-01-01", "iso", None),
    ],
)
def test_texts_as_people_and_programs_write_them(text: str, form: str, expected: datetime | None):
    assert read(text, form, NANTONG) == expected
