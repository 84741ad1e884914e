"""Streams of record batches whose stages work side by side."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa


def ahead(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The same batches; the next one is made on a thread of its own while the caller works on this one."""
    source = iter(batches)
    with ThreadPoolExecutor(1) as worker:
        coming = worker.submit(next, source, None)
        while (batch := coming.result()) is not None:
            coming = worker.submit(next, source, None)
            yield batch
