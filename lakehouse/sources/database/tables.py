"""What all databases share: a table or view becomes one Parquet file of text, the same content in the same bytes.

A database's own module opens a read-only session, names the columns and gives their rows as text, in any order. Here
they are limited, put aside, ordered, compared with what landed before, and written.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from contextvars import copy_context
from itertools import chain
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Event, Semaphore, Thread
from typing import TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from lakehouse.formats.reading import over_limit
from lakehouse.source import TableSource
from lakehouse.sources.database.ordered import delivered, numbered
from lakehouse.sources.database.query import Query, asking
from lakehouse.sources.received import Asked, Received, writing

Item = TypeVar("Item")

_GRACE_S = 5
"""How much later than the server we end a query that takes too long, so that it is the server that says so."""


def fetch(
    asked: Asked, source: TableSource, read: Callable[[Query], Iterator[pa.RecordBatch]], schemes: Sequence[str]
) -> Iterator[Received]:
    """One Parquet file of text, ordered by the key, then by the other columns; with `changes` what differs from the last day.

    `read` gives batches of text, at least one, whose names are the table's columns. Raises NotDelivered when
    the day has no rows, DeliveryUnreadable above the limits, and what `read` raises.
    """
    query = asking(asked, source, schemes)
    spool = asked.into / "unordered.parquet"
    columns = _put_aside(within(query, read(query)), spool, query)
    yield from delivered(query.asked, source, spool, columns)
    spool.unlink()


def within(query: Query, items: Iterator[Item]) -> Iterator[Item]:
    """The same items, made on a thread that is left behind where a driver waits for a server that says nothing more."""
    made: SimpleQueue[Item | BaseException | None] = SimpleQueue()
    wanted, left = Semaphore(2), Event()

    def make() -> None:
        try:
            with closing(items):  # type: ignore[type-var]
                while wanted.acquire() and not left.is_set():
                    made.put(item := next(items, None))
                    if item is None:
                        return
        except BaseException as error:
            made.put(error)

    Thread(target=copy_context().run, args=(make,), name=query.where, daemon=True).start()  # of the same run, for logs
    try:
        while True:
            try:
                item = made.get(timeout=max(query.until + _GRACE_S - time.monotonic(), 0.001))
            except Empty:
                raise query.failed("slow") from None
            if item is None:
                return
            if isinstance(item, BaseException):
                raise item
            if query.is_late:
                raise query.failed("slow")
            yield item
            wanted.release()
    finally:
        left.set()
        wanted.release()


def _put_aside(batches: Iterator[pa.RecordBatch], path: Path, query: Query) -> list[str]:
    """Writes the batches as they come and gives the columns' names. Raises DeliveryUnreadable above the limits."""
    limits = query.asked.contract.limits
    with closing(batches):  # type: ignore[type-var]
        first = next(batches)
        schema = pa.schema([(name, pa.string()) for name in numbered(first.num_columns)])
        with writing(path):
            writer = pq.ParquetWriter(path, schema, compression="zstd")
        rows = 0
        with writer:
            for batch in chain([first], batches):
                try:
                    batch.validate(full=True)
                except pa.ArrowInvalid:
                    raise query.failed("text") from None
                rows += len(batch)
                with writing(path):
                    writer.write_batch(pa.RecordBatch.from_arrays(batch.columns, schema=schema))
                for limit, spent in (("rows", rows), ("bytes", path.stat().st_size)):
                    if spent > (allowed := getattr(limits, limit)):
                        raise over_limit(limit, spent, allowed, query.where)
    return list(first.schema.names)
