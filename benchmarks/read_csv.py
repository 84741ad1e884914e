"""Reading speed of a four-column GPS file: ours beside pyarrow's own readers, in one run.

python benchmarks/read_csv.py [million rows]
"""

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as csv

from lakehouse.contract import Contract
from lakehouse.formats import read

NAMES = ["id", "time", "lon", "lat"]
AT_ONCE = 500_000


def write_fixes(path: Path, rows: int) -> None:
    """A seeded file of `rows` fixes, about 45 bytes each, with a header."""
    random = np.random.default_rng(7)
    midnight = np.datetime64("2026-11-21T00:00:00")
    with path.open("wb") as file:
        file.write(",".join(NAMES).encode() + b"\n")
        for start in range(0, rows, AT_ONCE):
            count = min(AT_ONCE, rows - start)
            columns = [
                random.integers(10_000, 30_000, count),
                midnight + random.integers(0, 86_400, count).astype("timedelta64[s]"),
                np.round(119 + random.random(count) * 3, 5),
                np.round(31 + random.random(count) * 2, 5),
            ]
            table = pa.table(
                {name: pc.cast(pa.array(values), pa.string()) for name, values in zip(NAMES, columns, strict=True)}
            )
            csv.write_csv(table, file, csv.WriteOptions(include_header=False, quoting_style="none"))


def contract() -> Contract:
    return Contract(
        department="transport",
        dataset="fixes",
        title="fixes",
        kind="sensing",
        sharing="unconditional",
        load="append",
        source={"type": "file", "uri": "{inbox}/*.csv"},
        columns={name: {"type": "string"} for name in NAMES},
    )


def ours(path: Path) -> int:
    return sum(len(batch) for batch in read(path, contract(), quoted=False).batches)


def ours_quoted(path: Path) -> int:
    return sum(len(batch) for batch in read(path, contract(), quoted=True).batches)


def _options() -> tuple[csv.ParseOptions, csv.ConvertOptions]:
    types = csv.ConvertOptions(column_types=dict.fromkeys(NAMES, pa.string()))
    return csv.ParseOptions(quote_char=False), types


def pyarrow_stream(path: Path) -> int:
    with csv.open_csv(path, csv.ReadOptions(block_size=4 << 20), *_options()) as batches:
        return sum(len(batch) for batch in batches)


def pyarrow_table(path: Path) -> int:
    return len(csv.read_csv(path, csv.ReadOptions(block_size=4 << 20), *_options()))


def timed(reader: Callable[[Path], int], path: Path) -> None:
    start = time.perf_counter()
    rows = reader(path)
    seconds = time.perf_counter() - start
    print(f"{reader.__name__:16} {rows:>12,} rows {seconds:7.2f} s {rows / seconds / 1e6:6.2f} M rows/s")


if __name__ == "__main__":
    million = float(sys.argv[1]) if len(sys.argv) > 1 else 16
    with tempfile.TemporaryDirectory() as folder:
        fixes = Path(folder, "fixes.csv")
        write_fixes(fixes, int(million * 1e6))
        for reader in (ours, pyarrow_stream, ours_quoted, ours, pyarrow_stream, pyarrow_table):
            timed(reader, fixes)
