"""Casting of text, value by value, against oracles that say the stated rule in Python's own words.

Text is cast only when it is written as its type is written; everything else is null.
"""

import math
import random
import re
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import ibis
import pyarrow as pa
import pytest

from lakehouse.contract import Column
from lakehouse.engine import embedded
from lakehouse.settings import Settings

OUTER = " \t\r\n\f\v\u00a0\u3000\ufeff"
CHINA = ZoneInfo("Asia/Shanghai")


def _cells(name: str) -> list[str]:
    """The cells of a table of cases, one a word: written well or, mostly, not."""
    return (Path(__file__).parents[2] / "cases" / "casts" / f"{name}.txt").read_text("utf-8").split()


NUMBERS = _cells("numbers")
SPACED = ["", *OUTER, "  ", " 1", "1 ", " 1 ", "\t1", "1\n", "\r\n1\r\n", "\v1", "\f1", "\u00a01", "1\u00a0", "\u30001\u3000", "\ufeff1",
          "1 000", "1\u00a0000", "1\u2009000", "1\u202f000", "- 1", "+ 1", "1 e5", "1e 5", "1 .5", "1. 5", "\u20091", "\u200b1",
          "1\u200d",
          "\u20281", "\u00851", "1\u180e", "1 2", "1\n2", "1\t", " -7\t", "\ufeff -7", "\u3000 \u00a012.5 \u3000"]  # fmt: skip
BROKEN = ["\x00", "1\x00", "\x001", "1\x002", "1\x01", "\x1b[1m", "1\x7f", "1\x80", "\ufffd", "1\ufffd", "\ufffd1", "1\x08",
    "\x1f1", "锟斤拷",
          "1\u0301", "\u202e1", "1\u0660", "😀", "1😀", "a" * 500, "1" * 400, "9" * 19, "9" * 28, "9" * 29, "0" * 30 + "1",
          "-" + "9" * 18,
          "0." + "3" * 10, "0." + "3" * 11, "9" * 28 + "." + "9" * 10, "1" + "0" * 308, "1" + "0" * 309]  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for all casts here: a new one would mean a new database each."""
    return tmp_path_factory.mktemp("lake")


def written_numbers(count: int) -> list[str]:
    """Seeded strings over the letters of numbers: most are almost numbers."""
    letters = random.Random(20260301)
    return ["".join(letters.choices("0123456789" * 3 + "+-..eE_, xn", k=letters.randint(1, 8))) for _ in range(count)]


def cast(texts: Iterable[str | None], function: Callable[[Any], Any], place: Path) -> list[Any]:
    settings = Settings(home=place, catalog=place, inbox=place)
    texts = list(texts)
    with embedded.session(settings) as connection:
        connection.register("cells", pa.table({"place": range(len(texts)), "raw": pa.array(texts, pa.string())}))
        cells = ibis.table({"place": "int64", "raw": "string"}, name="cells")
        query = cells.select("place", value=function(cells.raw)).order_by("place")
        return embedded.run(connection, query).read_all()["value"].to_pylist()


def disagreeing(texts: list[str], got: list[Any], expected: list[Any]) -> list[tuple[str, Any, Any]]:
    """(text, got, expected) where they differ; 0.0 and -0.0 are the same number."""
    return [
        row for row in zip(texts, got, expected, strict=True) if row[1] != row[2] or type(row[1]) is not type(row[2])
    ]


def as_integer(text: str) -> int | None:
    cell = text.strip(OUTER)
    return int(cell) if re.fullmatch("[+-]?[0-9]{1,18}", cell) else None


def as_double(text: str) -> float | None:
    cell = text.strip(OUTER)
    if not re.fullmatch(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", cell):
        return None
    return float(cell) if math.isfinite(float(cell)) else None


def as_decimal(text: str) -> Decimal | None:
    cell = text.strip(OUTER)
    if not re.fullmatch(r"[+-]?[0-9]{1,28}(\.[0-9]{1,10})?", cell):
        return None
    whole, _, rest = cell.partition(".")
    return Decimal(f"{whole}.{rest.ljust(10, '0')}")


def as_boolean(text: str) -> bool | None:
    return {"true": True, "1": True, "是": True, "false": False, "0": False, "否": False}.get(text.strip(OUTER).lower())


@pytest.mark.parametrize(
    ("function", "oracle"),
    [
        (embedded.integer, as_integer),
        (embedded.double, as_double),
        (embedded.decimal, as_decimal),
        (embedded.boolean, as_boolean),
    ],
)
def test_numbers_and_truth_values(function: Callable[[Any], Any], oracle: Callable[[str], Any], place: Path) -> None:
    texts = [
        *NUMBERS,
        *SPACED,
        *BROKEN,
        *written_numbers(3_000),
        "tRuE",
        "\u3000是",
        "否 ",
        "ＴＲＵＥ",
        "是否",
        "İ",
        "ﬀ",
    ]
    assert len(set(texts)) > 200
    assert disagreeing(texts, cast(texts, function, place), [oracle(text) for text in texts]) == []


def test_text_keeps_what_stands_between_its_outer_white_space(place: Path) -> None:
    texts = [*NUMBERS, *SPACED, *BROKEN, "-", " - ", "a b", "\u3000南通 市\u3000"]
    expected = [text.strip(OUTER) or None for text in texts]
    assert disagreeing(texts, cast(texts, embedded.text, place), expected) == []
    without = [None if text in ("-", "N/A") else text for text in expected]
    assert disagreeing(texts, cast(texts, lambda raw: embedded.text(raw, ("-", "N/A")), place), without) == []


@pytest.mark.parametrize(
    "function", [embedded.integer, embedded.double, embedded.decimal, embedded.boolean, embedded.text]
)
def test_null_stays_null(function: Callable[[Any], Any], place: Path) -> None:
    assert cast([None], function, place) == [None]


ISO = re.compile(
    r"([1-9]\d{3})-(\d\d)-(\d\d)(?:[ T](\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,6}))?)?)?(Z|[+-]\d\d(?::?\d\d)?)?", re.ASCII
)


def as_wall_clock(text: str) -> tuple[datetime, timezone | None] | None:
    """What ISO 8601 text says, and its offset; years from 1000, hours to 23, offsets to 14 hours and only after a time."""
    match = ISO.fullmatch(text.strip(OUTER))
    if not match:
        return None
    year, month, day, hour, minute, second = (int(part or 0) for part in match.groups()[:6])
    fraction, offset = int((match[7] or "0").ljust(6, "0")), match[8]
    zone = None
    if offset:
        ahead = 0 if offset == "Z" else int(offset[1:3]) * 60 + int(offset[3:].replace(":", "") or 0)
        if match[4] is None or int(offset[1:3] if offset != "Z" else 0) > 14 or ahead % 100 > 1439:
            return None
        if offset != "Z" and int(offset[3:].replace(":", "") or 0) > 59:
            return None
        zone = timezone(timedelta(minutes=-ahead if offset[0] == "-" else ahead))
    try:
        return datetime(year, month, day, hour, minute, second, fraction), zone
    except ValueError:
        return None


def in_utc(wall: datetime, zone: Any) -> datetime | None:
    """The instant without zone. Of a time that occurred twice the later; a skipped one by the offset before; no year 10000."""
    twice = wall.replace(tzinfo=zone, fold=1)
    skipped = twice.astimezone(UTC).astimezone(zone).replace(tzinfo=None) != wall if wall.year < 9999 else False
    try:
        return twice.replace(fold=0 if skipped else 1).astimezone(UTC).replace(tzinfo=None)
    except OverflowError:
        return None


def as_instant(text: str) -> datetime | None:
    said = as_wall_clock(text)
    return said and in_utc(said[0], said[1] or CHINA)


def as_day(text: str) -> date | None:
    said = as_wall_clock(text)
    return said[0].date() if said and said[1] is None else None


DAYS = _cells("days")
CLOCKS = _cells("clocks")
CONTROL = ["08:00:00\x00"]
"""Clocks with what can't stand in a table."""
CHANGES = [
    f"{day} {clock}"
    for day in ("1986-05-03", "1986-05-04", "1986-05-05", "1986-09-13", "1986-09-14", "1987-04-12", "1987-09-13", "1988-04-17",
    "1988-09-11",
                "1989-04-16", "1989-09-17", "1990-04-15", "1990-09-16", "1991-04-14", "1991-09-14", "1991-09-15", "1991-09-16",
                "1992-07-01",
                "1940-07-01", "1900-06-01", "1986-07-01")
    for clock in ("00:00:00", "00:59:59", "01:00:00", "01:59:59.999999", "02:00:00", "02:30:00", "03:00:00", "12:00:00")
]  # fmt: skip
MOMENTS = [
    *DAYS, *BROKEN, *SPACED, *CHANGES,
    *[f"2026-03-01{between}{clock}" for clock in [*CLOCKS, *CONTROL] for between in (" ", "T")],
    "2026-03-01  08:00:00", "2026-03-01t08:00:00", "2026-03-01_08:00:00", "2026-03-0108:00:00", "2026-03-01 08:00:00 +08:00",
    "2026-03-01 T08:00:00",
    " 2026-03-01 08:00:00 ", "\u30002026-03-01T08:00:00Z", "2026-03-01 08:00:00\u00a0", "\ufeff2026-03-01", "2026-03-01\n08:00:00",
    "2026-03-01 08:00:00\n",
    "2026-02-29 08:00:00", "2024-02-29T23:59:59+08:00", "2026-13-01 00:00:00", "0000-01-01 00:00:00", "0001-01-01 00:00:00Z",
    "0001-01-01 00:00:00",
    "0001-01-01 12:00:00", "9999-12-31 23:59:59", "9999-12-31 23:59:59.999999Z", "9999-12-31 23:59:59-08:00", "10000-01-01 00:00:00",
]  # fmt: skip


def test_dates(place: Path) -> None:
    assert len(set(MOMENTS)) > 200
    got = cast(MOMENTS, lambda raw: embedded.day(raw, "iso"), place)
    assert disagreeing(MOMENTS, got, [as_day(text) for text in MOMENTS]) == []


def test_instants(place: Path) -> None:
    got = cast(MOMENTS, lambda raw: embedded.instant(raw, "iso", "Asia/Shanghai"), place)
    assert disagreeing(MOMENTS, got, [as_instant(text) for text in MOMENTS]) == []


@pytest.mark.parametrize(
    ("declared", "oracle"),
    [
        ({"type": "integer"}, as_integer),
        ({"type": "double"}, as_double),
        ({"type": "decimal"}, as_decimal),
        ({"type": "boolean"}, as_boolean),
        ({"type": "date"}, as_day),
        ({"type": "date", "format": "iso | yyyy/MM/dd"}, as_day),
        ({"type": "timestamp"}, as_instant),
        ({"type": "timestamp", "format": "iso | yyyy/MM/dd"}, as_instant),
        ({"type": "timestamp", "zone": "Asia/Shanghai"}, as_instant),
    ],
)
def test_a_first_quick_look_changes_nothing(
    declared: dict[str, str], oracle: Callable[[str], Any], place: Path
) -> None:
    column = Column.model_validate(declared)
    texts = [text for text in [*NUMBERS, *MOMENTS, *SPACED, *BROKEN] if "/" not in text]
    got = cast(texts, lambda raw: embedded.cast(raw, embedded.quick(raw, column), column), place)
    assert disagreeing(texts, got, [oracle(text) for text in texts]) == []


def test_an_offset_in_the_text_beats_the_zone(place: Path) -> None:
    texts = ["2026-03-01 08:00:00", "2026-03-01 08:00:00Z", "2026-07-01 12:00:00"]
    for zone in ("UTC", "Europe/Berlin", "America/New_York"):
        got = cast(texts, lambda raw, zone=zone: embedded.instant(raw, "iso", zone), place)
        expected = [
            in_utc(datetime.fromisoformat(text.rstrip("Z")), UTC if text.endswith("Z") else ZoneInfo(zone))
            for text in texts
        ]
        assert got == expected


WRITTEN = {
    "yyyy-MM-dd HH:mm:ss": "%Y-%m-%d %H:%M:%S",
    "yyyy/MM/dd HH:mm": "%Y/%m/%d %H:%M",
    "yyyyMMddHHmmss": "%Y%m%d%H%M%S",
    "yyyyMMdd": "%Y%m%d",
    "yyyy年MM月dd日": "%Y年%m月%d日",
    "dd.MM.yyyy": "%d.%m.%Y",
    "yyyy-MM-dd'T'HH:mm:ss": "%Y-%m-%dT%H:%M:%S",
    "MM/dd/yyyy hh:mm:ss a": "%m/%d/%Y %I:%M:%S %p",
    "yyyy-MM-dd%HH": "%Y-%m-%d%%%H",
}
"""Formats of fixed width and how Python writes them."""


@pytest.mark.parametrize("form", WRITTEN)
def test_formats_read_what_they_write_and_nothing_else(form: str, place: Path) -> None:
    some = random.Random(7)
    moments = [datetime(1992, 1, 1) + timedelta(seconds=some.randrange(10**9)) for _ in range(100)]
    right = [f"{moment:{WRITTEN[form]}}" for moment in moments]
    wrong = [
        change
        for text in right[:25]
        for change in (text + "0", text[1:], text.replace("1", "１"), text.replace("0", " "), text + "Z")
    ]
    texts = [*right, *wrong, *DAYS, *BROKEN, *SPACED]
    got = cast(texts, lambda raw: embedded.instant(raw, form, "Asia/Shanghai"), place)
    width = len(right[0])

    def oracle(text: str) -> datetime | None:
        cell = text.strip(OUTER)
        if len(cell) != width or not cell.isprintable() or re.search(r"[^\x00-\x7f年月日]", cell):
            return None
        try:
            wall = datetime.strptime(cell, WRITTEN[form])
        except ValueError:
            return None
        return in_utc(wall, CHINA) if f"{wall:{WRITTEN[form]}}".lower() == cell.lower() else None

    assert disagreeing(texts, got, [oracle(text) for text in texts]) == []


@pytest.mark.parametrize(
    ("form", "text", "expected"),
    [
        ("yyyy-M-d H:mm", "2026-3-1 8:05", "2026-03-01 00:05"),
        ("yyyy-M-d H:mm", "2026-03-01 08:05", "2026-03-01 00:05"),
        ("yyyy-M-d H:mm", "2026-3-1 24:05", None),
        ("yyyy-MM-dd HH:mm:ss", "2026-02-29 08:00:00", None),
        ("yyyy-MM-dd HH:mm:ss", "2026-03-01 24:00:00", None),
        ("yyyy-MM-dd HH:mm:ss", "0000-03-01 08:00:00", None),
        ("yyyy-MM-dd HH:mm:ss", "0001-01-01 00:00:00", None),
        ("yyyy-MM-dd", "9999-12-31", "9999-12-30 16:00"),
        ("yyyy-MM-dd HH:mm:ss.SSS", "2026-03-01 08:00:00.250", "2026-03-01 00:00:00.250"),
        ("yyyy-MM-dd HH:mm:ss.SSS", "2026-03-01 08:00:00.25", None),
        ("yyyy-MM-dd hh:mm a", "2026-03-01 12:30 am", "2026-02-28 16:30"),
        ("yyyy-MM-dd hh:mm a", "2026-03-01 12:30 PM", "2026-03-01 04:30"),
        ("yyyy-MM-dd hh:mm a", "2026-03-01 13:30 PM", None),
        ("yy-MM-dd", "68-01-02", "2068-01-01 16:00"),
        ("yy-MM-dd", "69-01-02", "1969-01-01 16:00"),
        ("yyyy-MM", "2026-03", "2026-02-28 16:00"),
        ("iso | yyyy/MM/dd HH:mm", "2026/03/01 08:00", "2026-03-01 00:00"),
        ("iso | yyyy/MM/dd HH:mm", "2026-03-01 08:00Z", "2026-03-01 08:00"),
        ("epoch_s", "1772294400", "2026-02-28 16:00"),
        ("epoch_s", "0", "1970-01-01 00:00"),
        ("epoch_s", "-1", "1969-12-31 23:59:59"),
        ("epoch_s", "1772294400.5", None),
        ("epoch_s", "-99999999999", None),
        ("epoch_s", "1e9", None),
        ("epoch_s", "９", None),
        ("epoch_ms", "1772294400250", "2026-02-28 16:00:00.250"),
        ("epoch_ms", "999999999999999", None),
        ("excel", "46082", "2026-02-28 16:00"),
        ("excel", "46082.5", "2026-03-01 04:00"),
        ("excel_1904", "44620.5", "2026-03-01 04:00"),
        ("excel", "-1", None),
        ("excel", "4608e1", None),
    ],
)
def test_formats_by_example(form: str, text: str, expected: str | None, place: Path) -> None:
    wanted = expected and datetime.fromisoformat(expected)
    assert cast([text], lambda raw: embedded.instant(raw, form, "Asia/Shanghai"), place) == [wanted]


@pytest.mark.parametrize(
    ("form", "text", "expected"),
    [
        ("epoch_s", "1772294400", date(2026, 3, 1)),  # midnight in Shanghai is 16:00 UTC of the day before
        ("epoch_ms", "520095600000", date(1986, 6, 26)),  # midnight of a summer with daylight saving time: 15:00 UTC
        ("excel", "46082", date(2026, 3, 1)),
        ("excel", "46082.99", date(2026, 3, 1)),
        ("excel_1904", "44620", date(2026, 3, 1)),
        ("yyyy-MM", "2026-03", date(2026, 3, 1)),
        ("yyyy-MM-dd", "2026-02-30", None),
    ],
)
def test_days_of_other_formats(form: str, text: str, expected: date | None, place: Path) -> None:
    assert cast([text], lambda raw: embedded.day(raw, form), place) == [expected]
