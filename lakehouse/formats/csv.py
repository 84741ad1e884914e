"""Delimited text: blocks of whole records, parsed side by side by pyarrow, every value as sent."""

import csv
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pa_compute
import pyarrow.csv as pc

from lakehouse.contract import Contract
from lakehouse.errors import ContractError, DeliveryUnreadable
from lakehouse.formats import encoding
from lakehouse.formats.reading import Reading, Unparsable, declared, header, with_rows
from lakehouse.formats.records import Block, Shape, blocks, without_footer
from lakehouse.source import Dialect

_BLOCK = 4 << 20
"""Bytes a block: two cores reach their full speed, and the handful of blocks in flight stays below 300 MB."""

_DELIMITERS = ",\t;|"
_UNIT = b"\x1f"
"""Stands for a delimiter of several bytes: ASCII made it to tell fields apart."""
_SAMPLE = 1 << 18


@dataclass(frozen=True)
class _Parsed:
    batch: pa.RecordBatch
    rejected: list[Unparsable]
    undecodable: int
    records: int


@dataclass(frozen=True)
class _Parser:
    names: list[str]
    shape: Shape
    encoding: str
    delimiter: str
    ragged: bool
    where: str

    def __call__(self, block: Block) -> _Parsed:
        """The block's values and what couldn't be parsed, with their record numbers. Blank lines are no records."""
        kept = ~block.blank
        records = int(kept.sum())
        kept[block.broken] = False
        reasons = dict.fromkeys(block.broken.tolist(), "a quote is not closed, or text follows it")
        undecodable: list[int] = []
        if not encoding.is_utf8(block.only(kept)):
            undecodable = [int(at) for at in np.flatnonzero(kept) if not encoding.is_utf8(block[at])]
            kept[undecodable] = False
        columns, widths = self._columns(block.only(kept))
        at = np.flatnonzero(kept)
        if self.ragged and widths:
            columns, widths = self._columns(b"".join(self._evened(block[i], widths.get(n)) for n, i in enumerate(at)))
        misfits = {n: f"{width} fields instead of {len(self.names)}" for n, width in widths.items()}
        reasons |= dict.fromkeys(undecodable, f"bytes not valid {self.encoding}")
        reasons |= {int(at[misfit]): reason for misfit, reason in misfits.items()}
        rejected = [Unparsable(block.first + i, reasons[i], self.shown(block[i])) for i in sorted(reasons)]
        batch = self._numbered(columns, block.first + np.delete(at, list(misfits)))
        return _Parsed(batch, rejected, len(undecodable), records)

    def shown(self, record: bytes) -> str:
        """The record as text for people."""
        return encoding.readable(record).replace(_UNIT.decode(), self.delimiter)

    def _evened(self, record: bytes, width: int | None) -> bytes:
        """The record as a line with as many fields as there are names, if what it has too few or too many is empty."""
        missing = len(self.names) - width if width else 0
        if missing < 0:
            record = record.removesuffix(self.shape.delimiter * -missing)
        return record + self.shape.delimiter * missing + b"\n"

    def _columns(self, text: bytes) -> tuple[list[pa.Array], dict[int, int]]:
        """The text's columns, and by position the width of records that have too few or too many fields."""
        widths: dict[int, int] = {}

        def skip(row: pc.InvalidRow) -> str:
            widths[row.number - 1] = row.actual_columns
            return "skip"

        if not text:
            return [pa.array([], pa.string()) for _ in self.names], widths
        table = pc.read_csv(
            pa.BufferReader(text),
            pc.ReadOptions(use_threads=False, block_size=len(text) + 1, column_names=self.names),
            pc.ParseOptions(
                delimiter=self.shape.delimiter.decode(),
                quote_char=self.shape.quote.decode() if self.shape.quote else False,
                newlines_in_values=self.shape.quote is not None,
                ignore_empty_lines=False,
                invalid_row_handler=skip,
            ),
            pc.ConvertOptions(
                column_types=dict.fromkeys(self.names, pa.string()), strings_can_be_null=False, check_utf8=False
            ),
        )
        columns = [column.combine_chunks() for column in table.columns]
        if self.shape.delimiter == _UNIT and self.shape.quote and self.shape.quote in text:
            columns = [pa_compute.replace_substring(column, _UNIT.decode(), self.delimiter) for column in columns]
        return columns, widths

    def _numbered(self, columns: list[pa.Array], rows: np.ndarray) -> pa.RecordBatch:
        if len(columns[0]) != len(rows):
            raise DeliveryUnreadable(
                f"{len(rows)} records were cut but {len(columns[0])} parsed before row {rows[-1] if len(rows) else 0}",
                where=self.where,
                hint="check delimiter and quote in 'source'",
            )
        return with_rows(columns, self.names, pa.array(rows, pa.int64()))


def read(path: Path, contract: Contract, source: Dialect, *, quoted: bool) -> Reading:
    """A delimited text file. Empty fields are empty strings; blank lines are skipped but keep their row number.

    Raises DeliveryUnreadable when the file is empty or its header, delimiter or encoding isn't the declared one.
    """
    where = f"{contract.name} {path.name}"
    delimiter = source.delimiter_of(path.name)
    shape = _shape(delimiter, source, quoted, where)
    codec = encoding.codec(source.encoding, where)
    found = _blocks(path, codec, shape, delimiter, contract.limits.row_bytes, where)
    _refuse_foreign_encoding(path, codec, source, where)
    block, at = _first_line(found, source.skip, where)
    if source.header and not encoding.is_utf8(block[at]):
        raise _foreign_encoding(_likely(path), source.encoding, where)
    cells = [cell.replace(_UNIT.decode(), delimiter) for cell in _cells(block, at, shape, where)]
    _refuse_foreign_delimiter(cells, contract, delimiter, where)
    names = header(cells, contract, where) if source.header else declared(contract)
    reading = Reading(names, where, contract.limits)
    body: Iterator[Block] = chain([block.without(at + 1 if source.header else at)], found)
    parser = _Parser(names, shape, source.encoding, delimiter, source.ragged, where)
    if source.footer:
        body = without_footer(body, lambda record, behind: source.is_footer(parser.shown(record), behind))
    reading.batches = _batches(reading, body, parser, path)
    return reading


def _shape(delimiter: str, source: Dialect, quoted: bool, where: str) -> Shape:
    if not source.quote.isascii() or source.quote in "\r\n":
        raise ContractError(
            f"quote {source.quote!r} is not an ASCII character", where=where, hint="change source.quote"
        )
    if {*delimiter} & {*"\r\n", source.quote}:
        hint = "change source.delimiter"
        raise ContractError(f"delimiter {delimiter!r} holds a line break or the quote", where=where, hint=hint)
    single = len(delimiter.encode()) == 1
    return Shape(delimiter.encode() if single else _UNIT, source.quote.encode() if quoted else None)


def _blocks(path: Path, codec: str, shape: Shape, delimiter: str, row_bytes: int, where: str) -> Iterator[Block]:
    with path.open("rb") as stream:
        chunks = encoding.utf8(stream, codec, _BLOCK)
        if shape.delimiter != delimiter.encode():
            chunks = _with_unit(chunks, delimiter.encode(), where)
        yield from blocks(chunks, shape, row_bytes, where)


def _with_unit(chunks: Iterator[bytes], delimiter: bytes, where: str) -> Iterator[bytes]:
    """The chunks with one byte in the place of a delimiter of several."""
    tail = b""
    for chunk in chunks:
        if _UNIT in chunk:
            hint = "ask the department for another delimiter than one of several characters"
            raise DeliveryUnreadable(
                "the byte \\x1f occurs, which stands for the delimiter here", where=where, hint=hint
            )
        *fields, last = (tail + chunk).split(delimiter)
        begun = next(n for n in range(len(delimiter) - 1, -1, -1) if last.endswith(delimiter[:n]))
        tail = last[len(last) - begun :]
        yield _UNIT.join([*fields, last[: len(last) - begun]])
    yield tail


def _first_line(found: Iterator[Block], skip: int, where: str) -> tuple[Block, int]:
    """The first record behind `skip` that isn't blank: its block and position."""
    for block in found:
        filled = np.flatnonzero(~block.blank)
        if len(behind := filled[filled + block.first > skip]):
            return block, int(behind[0])
    what = f"nothing behind the {skip} lines to skip" if skip else "empty file"
    raise DeliveryUnreadable(what, where=where, hint="ask the department to deliver again")


def _cells(block: Block, at: int, shape: Shape, where: str) -> list[str]:
    line = block[at].decode(errors="replace")
    delimiter = shape.delimiter.decode()
    if shape.quote is None:
        return line.split(delimiter)
    try:
        return next(csv.reader([line], delimiter=delimiter, quotechar=shape.quote.decode()))
    except csv.Error as error:
        raise DeliveryUnreadable(
            f"line {block.first + at} can't be taken apart: {error}", where=where, hint="check delimiter and quote"
        ) from error


def _refuse_foreign_encoding(path: Path, codec: str, source: Dialect, where: str) -> None:
    """Before anything is read: another encoding would give wrong text without a single wrong byte."""
    likely = _likely(path)
    if encoding.contradicts(likely, codec):
        raise _foreign_encoding(likely, source.encoding, where)


def _likely(path: Path) -> str:
    with path.open("rb") as stream:
        return encoding.likely(stream.read(_SAMPLE))


def _foreign_encoding(likely: str, declared_as: str, where: str) -> DeliveryUnreadable:
    return DeliveryUnreadable(
        f"the bytes are not {declared_as}, they look like {likely}",
        where=where,
        hint=f"ask the department, or set 'encoding: {likely}' in 'source'",
    )


def _refuse_foreign_delimiter(cells: list[str], contract: Contract, delimiter: str, where: str) -> None:
    if len(cells) > 1 or len(contract.columns) == 1:
        return
    counts = {char: "".join(cells).count(char) for char in _DELIMITERS if char != delimiter}
    likely = max(counts, key=lambda char: counts[char])
    if counts[likely]:
        raise DeliveryUnreadable(
            f"one column found with delimiter {delimiter!r}, {len(contract.columns)} declared",
            where=where,
            hint=f"it looks delimited by {likely!r}: set 'delimiter' in 'source'",
        )


def _batches(reading: Reading, body: Iterator[Block], parse: _Parser, path: Path) -> Iterator[pa.RecordBatch]:
    undecodable = 0
    for parsed in _side_by_side(body, parse):
        for record in parsed.rejected:
            reading.unparsable.append(record)
        undecodable += parsed.undecodable
        if undecodable * 2 > reading.rows_in + parsed.records:
            raise _foreign_encoding(_likely(path), parse.encoding, reading.where)
        reading.count(parsed.records)
        if len(parsed.batch):
            yield parsed.batch


def _side_by_side(body: Iterator[Block], parse: _Parser) -> Iterator[_Parsed]:
    """Parsed blocks in order, with one more under way than there are threads."""
    with ThreadPoolExecutor(pa.cpu_count()) as pool:
        waiting: deque[Future[_Parsed]] = deque()
        for block in body:
            if len(block):
                waiting.append(pool.submit(parse, block))
            if len(waiting) > pa.cpu_count():
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
