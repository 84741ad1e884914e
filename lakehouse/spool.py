"""Batches put aside on disk while a stream passes, to be read again afterwards."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa


class Spool:
    """An Arrow stream file that exists only once something was put aside."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._path, self._schema = path, schema
        self._writer: pa.ipc.RecordBatchStreamWriter | None = None

    def append(self, batch: pa.RecordBatch) -> None:
        if self._writer is None:
            self._writer = pa.ipc.new_stream(str(self._path), self._schema)
        self._writer.write_batch(batch)

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Everything put aside, once; the file is gone afterwards."""
        if self._writer is None:
            return
        self._writer.close()
        with pa.OSFile(str(self._path)) as file, pa.ipc.open_stream(file) as stream:
            yield from stream
        self._path.unlink()
