"""Bytes nobody meant: a sound file of every format, bent at random, ends as counted rows or as one of our errors.

The same bends every time; `FUZZ=20000 pytest tests/lakehouse/formats/test_fuzz.py` looks for others, and longer.
"""

import gzip
import io
import json
import os
import random
import tarfile
import zipfile
from collections.abc import Callable
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from openpyxl import Workbook

from lakehouse.contract import Contract, Limits
from lakehouse.errors import CitylakeError, DeliveryUnreadable, in_one_line
from lakehouse.formats import archive, read
from tests.lakehouse.formats.conftest import contract_of
from tests.lakehouse.formats.test_html import PAGE
from tests.lakehouse.formats.test_vector import KML, feature, geojson, written

EXAMPLES = int(os.environ.get("FUZZ", "60"))
quick = settings(
    derandomize="FUZZ" not in os.environ,
    max_examples=EXAMPLES,
    deadline=timedelta(seconds=20),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
slow = settings(quick, max_examples=EXAMPLES // 10)

ROWS = [{"a": 1, "b": "南通"}, {"a": None, "b": 'x"y,\n'}, {"a": 1.5, "b": ["z", {"c": True}]}]
CSV = 'a,b\r\n1,"南通"\n2,"x""y,\nz"\n\n3,\r\n'
TOKENS = [
    b'"', b'""', b",", b"\n", b"\r", b"\r\n", b"\0", b"\xff", b"\xef\xbb\xbf", b"\\", b"{", b"}", b"[", b"]", b":", b"null", b"1e999",
    b"\\u0000", b"\xed\xa0\x80", b"\x1f", b"=cmd|'/c'!A1", b"<", b">", b"&", b"]]>", b"<!--", b"<!DOCTYPE x [", b"&lol;", b"PK\x01\x02",
    b"PK\x05\x06", b"\x7f\xff\xff\xff", b"A" * 70, b"9" * 40, b"../", b"/", b"C:\\",
]  # fmt: skip


def bent(data: bytes, seed: int, times: int) -> bytes:
    """The data with some bytes changed, put in, taken out, doubled, or cut off."""
    chance = random.Random(seed)
    for _ in range(times):
        at, end = sorted(chance.randrange(len(data) + 1) for _ in range(2))
        some = data[at : min(end, at + chance.choice([1, 4, 64]))]
        match chance.randrange(6):
            case 0:
                data = data[:at] + chance.randbytes(1) + data[at + 1 :]
            case 1 | 2:
                data = data[:at] + chance.choice(TOKENS) + data[at:]
            case 3:
                data = data[:at] + data[at + len(some) :]
            case 4:
                data = data[:end] + some + data[end:]
            case _:
                data = data[:end] if chance.random() < 0.3 else data
    return data


bends = st.tuples(st.integers(0, 2**32), st.integers(0, 8))


def read_all(path: Path, contract: Contract, quoted: bool = True) -> None:
    """Reads the file: rows that are counted right, or an error of ours in one line."""
    try:
        reading = read(path, contract, quoted=quoted)
        rows = sum(len(batch) for batch in reading.batches)
    except CitylakeError as error:
        assert error.what and error.where and error.hint
        assert in_one_line(str(error)) == str(error)
    else:
        assert reading.rows_in == rows + len(reading.unparsable)
        assert all(in_one_line(lost.reason) == lost.reason for lost in reading.unparsable)


@pytest.fixture
def tried(tmp_path: Path) -> Callable[..., None]:
    numbers = count()

    def call(data: bytes, suffix: str, **source: Any) -> None:
        path = tmp_path / f"{next(numbers)}{suffix}"
        path.write_bytes(data)
        read_all(path, contract_of(limits={"row_bytes": 10_000}, **source), quoted=b'"' in data)
        path.unlink()

    return call


Tried = Callable[..., None]


@quick
@given(
    bends,
    st.sampled_from(["utf-8", "gb18030", "utf-16", "utf-16-le", "latin-1"]),
    st.sampled_from([",", ";", "||", "\t"]),
    st.sampled_from(
        [{}, {"footer": 1}, {"footer": "[0-9]"}, {"ragged": True}, {"header": False}, {"skip": 1, "ragged": True}]
    ),
)
@example((1, 4), "utf-16", ",", {})
def test_csv(tried: Tried, bend: tuple[int, int], encoding: str, delimiter: str, more: dict[str, Any]) -> None:
    data = CSV.replace(",", delimiter).encode(encoding, "replace")
    tried(bent(data, *bend), ".csv", encoding=encoding, delimiter=delimiter, **more)


@quick
@given(bends, st.sampled_from(["utf-8", "gb18030", "utf-16"]))
def test_json_lines(tried: Tried, bend: tuple[int, int], encoding: str) -> None:
    data = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS).encode(encoding)
    tried(bent(data, *bend), ".jsonl", encoding=encoding)


@quick
@given(bends, st.sampled_from(["utf-8", "gb18030", "utf-16"]))
def test_json(tried: Tried, bend: tuple[int, int], encoding: str) -> None:
    data = json.dumps({"data": {"rows": ROWS}, "n": 3}, ensure_ascii=False, indent=1).encode(encoding)
    tried(bent(data, *bend), ".json", encoding=encoding, records="data.rows")


@quick
@given(bends)
def test_xml(tried: Tried, bend: tuple[int, int]) -> None:
    data = '<?xml version="1.0"?><r><i a="1"><b>南通</b></i><i><a>2</a><b><![CDATA[x<y]]></b></i></r>'.encode()
    tried(bent(data, *bend), ".xml", records="/r/i")


@quick
@given(bends)
@example((502296, 1))
def test_geojson(tried: Tried, bend: tuple[int, int]) -> None:
    features = feature({"type": "Point", "coordinates": [1, 2]}, a=1, b="南通"), feature(None, a={"x": 1})
    tried(bent(geojson(*features, crs=None), *bend), ".geojson", columns=("a", "b", "geometry.x"))


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("sound")
    written(folder / "a.shp", "ESRI Shapefile", encoding="UTF-8")
    written(folder / "a.gpkg", "GPKG")
    return {part.suffix: part.read_bytes() for part in folder.iterdir()} | {
        ".kml": KML.encode(),
        ".html": PAGE.encode(),
    }


@slow
@given(bends, st.sampled_from([".shp", ".shx", ".dbf", ".gpkg", ".kml", ".html"]))
def test_what_programs_of_their_own_read(
    tried: Tried, sound: dict[str, bytes], bend: tuple[int, int], kind: str
) -> None:
    data = bent(sound[kind], *bend)
    if kind in (".shp", ".shx"):
        with zipfile.ZipFile(packed := io.BytesIO(), "w") as package:
            for suffix in (".shp", ".shx", ".dbf"):
                package.writestr(f"a{suffix}", data if suffix == kind else sound[suffix])
        data, kind = packed.getvalue(), ".zip"
    tried(data, kind, columns=("n", "名称", "Name"))


@quick
@given(bends)
@example((1, 1))
@example((6941427, 2))
@example((999999999, 3))
def test_parquet(tried: Tried, bend: tuple[int, int]) -> None:
    written = io.BytesIO()
    pq.write_table(pa.table({"a": [1, 2], "b": ["南通", None]}), written)
    tried(bent(written.getvalue(), *bend), ".parquet")


@slow
@given(bends, st.sampled_from(["xl/worksheets/sheet1.xml", "xl/workbook.xml", "xl/sharedStrings.xml", None]))
def test_workbooks(tried: Tried, bend: tuple[int, int], part: str | None) -> None:
    """Bent as a whole, where the package notices, and one of its parts, where it can't."""
    book = Workbook()
    for row in (["a", "b"], [1, "南通"], [2.5, "x\ny"], [None, True]):
        book.active.append(row)
    written = io.BytesIO()
    book.save(written)
    tried(bent(written.getvalue(), *bend) if part is None else _with_bent(written, part, bend), ".xlsx")


def _with_bent(book: io.BytesIO, part: str, bend: tuple[int, int]) -> bytes:
    written = io.BytesIO()
    with zipfile.ZipFile(book) as old, zipfile.ZipFile(written, "w") as new:
        for entry in old.infolist():
            data = old.read(entry)
            new.writestr(entry, bent(data, *bend) if entry.filename == part else data)
    return written.getvalue()


def _zip(method: int) -> bytes:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", method) as package:
        package.writestr("a.csv", CSV)
        package.writestr("数据/b.csv", CSV * 9)
    return written.getvalue()


def _tar(form: int) -> bytes:
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w", format=form) as package:
        for name in ("a.csv", "数据/" + "b" * 80 + ".csv"):
            entry = tarfile.TarInfo(name)
            entry.size = len(CSV.encode())
            package.addfile(entry, io.BytesIO(CSV.encode()))
    return written.getvalue().rstrip(b"\0") + bytes(1024)


ARCHIVES = {
    "stored.zip": _zip(zipfile.ZIP_STORED), "deflated.zip": _zip(zipfile.ZIP_DEFLATED), "bz.zip": _zip(zipfile.ZIP_BZIP2),
    "pax.tar": _tar(tarfile.PAX_FORMAT), "gnu.tar": _tar(tarfile.GNU_FORMAT), "x.tar.gz": gzip.compress(_tar(tarfile.USTAR_FORMAT)),
    "x.csv.gz": gzip.compress(CSV.encode()),
}  # fmt: skip


@settings(quick, max_examples=EXAMPLES * 3)
@given(bends, st.sampled_from(sorted(ARCHIVES)))
def test_archives(tmp_path: Path, bend: tuple[int, int], name: str) -> None:
    """What can be opened gives whole members; and what a member holds is read like any file."""
    path, limits = tmp_path / name, Limits(bytes=1_000_000)
    path.write_bytes(bent(ARCHIVES[name], *bend))
    packed = path.stat().st_size
    try:
        with archive.opened(path, tmp_path, limits, "d.t") as members:
            for member in members.values():
                content = b"".join(archive.chunks(member, packed, limits, "d.t"))
                assert member.bytes in (len(content), None)
                (tmp_path / "member.csv").write_bytes(content)
                read_all(tmp_path / "member.csv", contract_of())
    except DeliveryUnreadable as error:
        assert error.what and error.where and error.hint
        assert in_one_line(str(error)) == str(error)
