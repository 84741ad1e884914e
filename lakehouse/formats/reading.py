"""What every reader gives: names, batches of text, the records nobody could parse, and the count that must add up."""

import json
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from tempfile import SpooledTemporaryFile
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lakehouse.contract import Contract, Limits
from lakehouse.errors import DeliveryUnreadable, in_one_line
from lakehouse.formats import encoding

SOURCE_ROW = "_source_row"
"""The last column of every batch: the record's number as a spreadsheet shows it, int64."""

Row = TypeVar("Row")

_LINE_BREAK = re.compile(r"\s*[\r\n\v\f\x1c-\x1e\x85\u2028\u2029]\s*")
_IN_MEMORY = 8 << 20
_SMALL, _RATIO = 64 << 20, 200
_JUDGED_FROM = 1_000
_AT_ONCE = 20_000


@dataclass(frozen=True)
class Unparsable:
    """A record no reader could take apart: its number, why, and its text with undecodable bytes written as \\xNN."""

    source_row: int
    reason: str
    raw: str


class Unparsables:
    """Any number of unparsable records in order, beyond 8 MB on disk. Iterate as often as needed."""

    def __init__(self) -> None:
        self._spool = SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115 (lives as long as the reading)
        self._count = 0
        self.first: Unparsable | None = None

    def append(self, record: Unparsable) -> None:
        self.first = self.first or record
        self._spool.write(json.dumps((record.source_row, record.reason, record.raw)).encode() + b"\n")
        self._count += 1

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Unparsable]:
        self._spool.seek(0)
        for line in self._spool:
            yield Unparsable(*json.loads(line))


@dataclass
class Reading:
    """One file on its way into the lake.

    `batches` has one text column for each of `names` and `_source_row`; once it is exhausted, `rows_in` (the reader's
    own count of records in the file) equals the rows given plus `len(unparsable)`.
    """

    names: list[str]
    where: str
    limits: Limits
    batches: Iterator[pa.RecordBatch] = field(default_factory=lambda: iter(()))
    unparsable: Unparsables = field(default_factory=Unparsables)
    rows_in: int = 0

    def count(self, records: int) -> None:
        """Adds records seen. Raises DeliveryUnreadable beyond the limit, or when most of them can't be read."""
        self.rows_in += records
        if self.rows_in > self.limits.rows:
            raise over_limit("rows", self.rows_in, self.limits.rows, self.where)
        if self.rows_in >= _JUDGED_FROM and len(self.unparsable) * 2 > self.rows_in and self.unparsable.first:
            first = self.unparsable.first
            share = f"{len(self.unparsable)} of {self.rows_in} records"
            raise DeliveryUnreadable(
                f"{share} can't be read (first: row {first.source_row}, {first.reason})",
                where=self.where,
                hint="compare the file with format, delimiter, quote, header and encoding in the contract's 'source'",
            )

    def measure(self, columns: Sequence[pa.Array]) -> None:
        """Raises DeliveryUnreadable when a row of these text columns is longer than the limit."""
        lengths = np.zeros(len(columns[0]) if columns else 0, np.int64)
        for column in columns:
            lengths += pc.fill_null(pc.binary_length(column), 0).to_numpy(zero_copy_only=False)
        if (longest := int(lengths.max(initial=0))) > self.limits.row_bytes:
            raise over_limit("row_bytes", longest, self.limits.row_bytes, self.where)

    def reject(self, source_row: int, reason: str, raw: str) -> None:
        """Keeps a record that can't be parsed. It must be counted as well."""
        self.unparsable.append(Unparsable(source_row, in_one_line(reason), raw))

    def given(
        self, columns: Sequence[pa.Array], row: int, faults: Mapping[int, str], stored: pa.RecordBatch
    ) -> pa.RecordBatch:
        """One batch of rows numbered from `row` on, without those at fault: they are rejected as they are `stored`.

        Raises DeliveryUnreadable beyond the limit of a row's length.
        """
        self.measure(columns)
        good = np.delete(np.arange(len(stored)), sorted(faults))
        for fault in sorted(faults):
            self.reject(
                row + fault, faults[fault], "\t".join(_shown(column[fault].as_py()) for column in stored.columns)
            )
        columns = [column.take(pa.array(good)) for column in columns] if faults else columns
        return with_rows(columns, self.names, pa.array(good + row, pa.int64()))


def _shown(value: object) -> str:
    return encoding.readable(value) if isinstance(value, bytes) else "" if value is None else str(value)


def over_limit(limit: str, found: int, allowed: int, where: str) -> DeliveryUnreadable:
    """The error for a delivery that costs more than the contract allows."""
    return DeliveryUnreadable(
        f"{found} {limit} are more than the allowed {allowed}",
        where=where,
        hint=f"ask the department, or raise 'limits: {{{limit}: ...}}' in the contract",
    )


def like_a_bomb(size: int, packed: int) -> bool:
    """Whether nobody means what unpacks to this size: above 64 MB, real data shrinks to a tenth or so, never to a
    two-hundredth."""
    return size > _SMALL and size > _RATIO * packed


def header(cells: Sequence[str], contract: Contract, where: str) -> list[str]:
    """Column names as sent, trimmed, line breaks within as a space; one without a name is called `column_<position>`.

    Raises DeliveryUnreadable for an empty header and for names that can't name columns.
    """
    trimmed = [_LINE_BREAK.sub(" ", cell.strip().strip("\ufeff").strip()) for cell in cells]
    if not any(trimmed):
        raise DeliveryUnreadable("the header is empty", where=where, hint="set 'skip' or 'header: false' in 'source'")
    return checked([name or f"column_{position}" for position, name in enumerate(trimmed, 1)], contract, where)


def checked(names: list[str], contract: Contract, where: str) -> list[str]:
    """The names, if they can name columns: not too many, none twice, none our own. Raises DeliveryUnreadable."""
    if len(names) > contract.limits.columns:
        raise over_limit("columns", len(names), contract.limits.columns, where)
    hint = "ask the department for one name a column"
    if SOURCE_ROW in names:
        raise DeliveryUnreadable(f"the column name '{SOURCE_ROW}' is reserved", where=where, hint=hint)
    if len(set(names)) < len(names):
        again = next(place for place, name in enumerate(names) if name in names[:place])
        twice = f"columns {names.index(names[again]) + 1} and {again + 1} have the same name"
        raise DeliveryUnreadable(twice, where=where, hint=hint)  # not the name: without a header it would be a value
    return names


def declared(contract: Contract) -> list[str]:
    """The declared names as sent, in the contract's order, that of the operation of changes last."""
    return contract.sent_names


def with_rows(columns: Sequence[pa.Array], names: Sequence[str], rows: pa.Array) -> pa.RecordBatch:
    """One batch: the columns under their names, then `_source_row`."""
    return pa.RecordBatch.from_arrays([*columns, rows], names=[*names, SOURCE_ROW])


def without_footer(rows: Iterable[Row], footer: int | str, text: Callable[[Row], str]) -> Iterator[Row]:
    """The rows without the last `footer`, or without the last ones whose texts begin with a match of it."""
    held: deque[Row] = deque()
    for row in rows:
        held.append(row)
        sure = len(held) - footer if isinstance(footer, int) else 0 if re.match(footer, text(row)) else len(held)
        for _ in range(sure):
            yield held.popleft()


def batched(reading: Reading, records: Iterable[tuple[int, Sequence[str | None] | None]]) -> Iterator[pa.RecordBatch]:
    """Batches of numbered rows, each record counted; None stands for a record already rejected.

    Raises DeliveryUnreadable beyond the limits.
    """
    records = iter(records)
    while some := list(islice(records, _AT_ONCE)):
        reading.count(len(some))
        if rows := [record for record in some if record[1] is not None]:
            numbers, values = zip(*rows, strict=True)
            columns = [pa.array(column, pa.string()) for column in zip(*values, strict=True)]
            reading.measure(columns)
            yield with_rows(columns, reading.names, pa.array(numbers, pa.int64()))
