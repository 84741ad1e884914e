from collections.abc import Callable
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lakehouse.errors import DeliveryUnreadable

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
    ],
)
def test_every_type_as_text(reads: Reads, tmp_path: Path, column: pa.Array, expected: list[str | None]):
    got = reads(parquet(tmp_path, {"a": column}), "x.parquet")
    assert [row[0] for row in got.rows] == expected
    assert got.numbers == [1, 2, 3]


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
