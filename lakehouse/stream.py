"""Streams of record batches whose stages work side by side."""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

RUN_ROWS = 1 << 21
"""Rows sorted at once: as many as a part of a slice has."""

_PIECE_ROWS = 1 << 17


def ahead(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The same batches; the next one is made on a thread of its own while the caller works on this one."""
    source = iter(batches)
    with ThreadPoolExecutor(1) as worker:
        coming = worker.submit(next, source, None)
        while (batch := coming.result()) is not None:
            coming = worker.submit(next, source, None)
            yield batch


def in_runs(
    batches: Iterable[pa.RecordBatch], by: Sequence[str], *, run_rows: int = RUN_ROWS
) -> Iterator[pa.RecordBatch]:
    """The same rows, sorted by columns: each run of about so many rows for itself, nulls last, equal ones as they came."""
    run: list[pa.RecordBatch] = []
    for batch in batches:
        run.append(batch)
        if sum(map(len, run)) >= run_rows:
            yield from _sorted(run, by)
            run = []
    yield from _sorted(run, by)


def _sorted(run: list[pa.RecordBatch], by: Sequence[str]) -> Iterator[pa.RecordBatch]:
    if not run:
        return
    rows = pa.Table.from_batches(run)
    order = (
        pc.sort_indices(rows.column(by[0]).combine_chunks())
        if len(by) == 1
        else pc.sort_indices(rows.select(by), [(name, "ascending") for name in by])
    )
    if (np.diff(order.to_numpy().view(np.int64)) == 1).all():  # what a department sent in order needs no moving
        yield from run
        return
    columns = []
    for name in rows.schema.names:  # one by one: a whole table is taken at four times the cost
        columns.append(rows.column(name).combine_chunks().take(order))
    done = pa.RecordBatch.from_arrays(columns, schema=rows.schema)
    yield from (done.slice(start, _PIECE_ROWS) for start in range(0, len(done), _PIECE_ROWS))
