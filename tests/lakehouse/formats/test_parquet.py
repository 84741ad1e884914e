from collections.abc import Callable
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lakehouse.errors import DeliveryUnreadable
from lakehouse.formats import parquet as parquet_reader
from lakehouse.formats import read
from tests.lakehouse.formats.conftest import contract_of

Reads = Callable[..., object]
INSTANT = datetime(2026, 1, 2, 3, 4, 0)


def parquet(folder: Path, columns: dict[str, pa.Array]) -> bytes:
    pq.write_table(pa.table(columns), folder / "written", row_group_size=2)
    return (folder / "written").read_bytes()


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (pa.array(["007", "", None]), ["007", "", None]),
        (pa.array(["x", "y", "x"]).dictionary_encode(), ["x", "y", "x"]),
        (pa.array([1, -2, None]), ["1", "-2", None]),
        (pa.array([1.0, 0.1, 1e22]), ["1", "0.1", "1e+22"]),
        (pa.array([Decimal("1E-8"), Decimal(100), None], pa.decimal128(20, 8)), ["0.00000001", "100.00000000", None]),
        (pa.array([True, False, None]), ["true", "false", None]),
        (pa.array([INSTANT, None, None], pa.timestamp("us")), ["2026-01-02 03:04:00", None, None]),
        (pa.array([INSTANT] * 3, pa.timestamp("ns", "Asia/Shanghai")), ["2026-01-02 11:04:00+0800"] * 3),
        (
            pa.array([INSTANT.replace(microsecond=120_000)] * 3, pa.timestamp("us", "UTC")),
            ["2026-01-02 03:04:00.12Z"] * 3,
        ),
        (pa.array([date(2026, 1, 2), None, None]), ["2026-01-02", None, None]),
        (pa.array([time(3, 4), None, None]), ["03:04:00", None, None]),
        (pa.array([b"\xff\x00", b"", None]), ["ff00", "", None]),
        (pa.array([[1, 2], [], None]), ["[1,2]", "[]", None]),
        (pa.array([{"x": "中"}, None, None]), ['{"x":"中"}', None, None]),
        (pa.nulls(3), [None] * 3),
        (pa.array([[b"\xff"], None, []]), ['["ff"]', None, "[]"]),
        (pa.array([[Decimal("1.10")], None, [None]]), ['["1.10"]', None, "[null]"]),
        (pa.array([b"\xff", b"", None], pa.binary_view()), ["ff", "", None]),
        (pa.array([b"0" * 16, None, None], pa.uuid()), ["30303030-3030-3030-3030-303030303030", None, None]),
        (pa.array([2**64 - 1, 0, None], pa.uint64()), ["18446744073709551615", "0", None]),
        (pa.array([90, None, 0], pa.duration("s")), ["90", None, "0"]),
    ],
)
def test_every_type_as_text(reads: Reads, tmp_path: Path, column: pa.Array, expected: list[str | None]):
    got = reads(parquet(tmp_path, {"a": column}), "x.parquet")
    assert [row[0] for row in got.rows] == expected
    assert got.numbers == [1, 2, 3]


def test_instants_as_other_programs_store_them(reads: Reads, tmp_path: Path):
    instants = [datetime(9999, 12, 31), datetime(1, 1, 1), datetime(2026, 1, 2, 3, 4, 5, 678901)]
    pq.write_table(pa.table({"a": instants}), tmp_path / "written", use_deprecated_int96_timestamps=True)
    got = reads((tmp_path / "written").read_bytes(), "x.parquet")
    assert [row[0] for row in got.rows] == ["9999-12-31 00:00:00", "0001-01-01 00:00:00", "2026-01-02 03:04:05.678901"]


@pytest.mark.parametrize(
    "kind", [pa.string(), pa.list_(pa.string()), pa.map_(pa.string(), pa.string()), pa.struct({"x.y": pa.string()})]
)
def test_a_value_that_stands_once_and_is_meant_often_comes_in_small_batches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: pa.DataType
):
    monkeypatch.setattr(parquet_reader, "_BYTES_AT_ONCE", 1 << 20)
    long = pa.array(["x" * 100_000] * 200)
    each = pa.array(range(201), pa.int32())
    column = {
        "string": lambda: long,
        "list": lambda: pa.ListArray.from_arrays(each, long),
        "map": lambda: pa.MapArray.from_arrays(each, pa.array(["k"] * 200), long),
        "struct": lambda: pa.StructArray.from_arrays([long], ["x.y"]),
    }[str(kind).partition("<")[0]]()
    pq.write_table(pa.table({"a": column}), tmp_path / "x.parquet")
    reading = read(tmp_path / "x.parquet", contract_of())
    assert next(reading.batches).nbytes < 2 << 20
    assert (tmp_path / "x.parquet").stat().st_size < 60_000


def test_a_bomb_is_refused(reads: Reads, tmp_path: Path):
    zeros = pa.array(["\0" * 1_000_000 + str(row) for row in range(80)])
    pq.write_table(pa.table({"a": zeros}), tmp_path / "written", compression="zstd", use_dictionary=False)
    with pytest.raises(DeliveryUnreadable, match="unpacks to"):
        reads((tmp_path / "written").read_bytes(), "x.parquet")


def test_no_rows(reads: Reads, tmp_path: Path):
    got = reads(parquet(tmp_path, {"a": pa.array([], pa.string())}), "x.parquet")
    assert (got.names, got.rows, got.rows_in) == (["a"], [], 0)


def test_damaged_or_foreign_files(reads: Reads, tmp_path: Path):
    data = parquet(tmp_path, {"a": pa.array(["x" * 50, "y" * 50])})
    for wrong in (b"", b"a,b\n1,2\n", data[:-20], data[:8] + bytes(30) + data[38:]):
        with pytest.raises(DeliveryUnreadable, match="not readable as Parquet"):
            reads(wrong, "x.parquet")


def test_limits(reads: Reads, tmp_path: Path):
    with pytest.raises(DeliveryUnreadable, match="3 rows are more than the allowed 2"):
        reads(parquet(tmp_path, {"a": pa.array([1, 2, 3])}), "x.parquet", limits={"rows": 2})
    with pytest.raises(DeliveryUnreadable, match="6 row_bytes are more than the allowed 5"):
        reads(
            parquet(tmp_path, {"a": pa.array(["中", None]), "b": pa.array(["xyz"] * 2)}),
            "x.parquet",
            limits={"row_bytes": 5},
        )
