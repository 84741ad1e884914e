"""Cutting delimited text into whole records, without taking them apart."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import numpy.typing as npt

from lakehouse.formats.reading import over_limit

_LF, _CR = 10, 13


@dataclass(frozen=True)
class Shape:
    """Delimiter and quote as single bytes; no quote means that none occurs in the file."""

    delimiter: bytes
    quote: bytes | None


@dataclass(frozen=True)
class Block:
    """Whole records of UTF-8: record `i` has number `first + i` and ends before `ends[i]`; `broken` misuse quotes."""

    data: bytes
    ends: npt.NDArray[np.int64]
    broken: npt.NDArray[np.int64]
    first: int = 1

    def __len__(self) -> int:
        return len(self.ends)

    @cached_property
    def starts(self) -> npt.NDArray[np.int64]:
        return np.concatenate(([0], self.ends))[:-1].astype(np.int64)

    @property
    def blank(self) -> npt.NDArray[np.bool_]:
        """Which records are empty lines."""
        heads = np.frombuffer(self.data, np.uint8)[self.starts]
        return np.logical_or(heads == _LF, heads == _CR)

    def __getitem__(self, record: int | np.int64) -> bytes:
        return self.data[self.starts[record] : self.ends[record]].rstrip(b"\r\n")

    def lines(self) -> Iterator[tuple[int, bytes]]:
        """The records that aren't blank, with their numbers and line ends."""
        places = zip(self.starts.tolist(), self.ends.tolist(), self.blank.tolist(), strict=True)
        for number, (start, end, blank) in enumerate(places, self.first):
            if not blank:
                yield number, self.data[start:end]

    def without(self, records: int) -> "Block":
        """The block without its first `records` records."""
        if not records:
            return self
        cut = int(self.ends[records - 1])
        later = self.broken[self.broken >= records] - records
        return Block(self.data[cut:], self.ends[records:] - cut, later, self.first + records)

    def until(self, records: int) -> "Block":
        """The block's first `records` records."""
        cut = int(self.ends[records - 1]) if records else 0
        return Block(self.data[:cut], self.ends[:records], self.broken[self.broken < records], self.first)

    def only(self, kept: npt.NDArray[np.bool_]) -> bytes:
        """The bytes of the kept records."""
        if kept.all():
            return self.data
        return np.frombuffer(self.data, np.uint8)[np.repeat(kept, self.ends - self.starts)].tobytes()


def blocks(chunks: Iterator[bytes], shape: Shape, row_bytes: int, where: str) -> Iterator[Block]:
    """The chunks regrouped into blocks of whole records, numbered from 1; blank lines are records here.

    Quotes follow RFC 4180. A record whose quotes don't (text behind a closing quote, never closed within `row_bytes`)
    is broken: it ends with its first line, so that one stray quote can't swallow the lines behind it.
    Raises DeliveryUnreadable for a record above `row_bytes`.
    """
    tail, first = b"", 1
    for chunk, is_last in _marked(chunks):
        data = tail + chunk
        ends, broken = _ends(data, shape, is_last, row_bytes)
        cut = int(ends[-1]) if len(ends) else 0
        tail = data[cut:]
        longest = max(len(tail), int(np.diff(ends, prepend=0).max(initial=0)))
        if longest > row_bytes:
            raise over_limit("row_bytes", longest, row_bytes, where)
        if cut:
            yield Block(data[:cut], ends, broken, first)
            first += len(ends)


def without_footer(found: Iterator[Block], is_footer: Callable[[bytes, int], bool]) -> Iterator[Block]:
    """The blocks without the last records, counted from the end, as long as `is_footer(record, records behind it)`."""
    held: list[Block] = []
    for block in found:
        held.append(block)
        sure = (
            len(_without_footer(held, is_footer)) - 1
        )  # what comes later may be footer, but more of these can't become it
        yield from held[: max(sure, 0)]
        held = held[max(sure, 0) :]
    yield from _without_footer(held, is_footer)


def _without_footer(held: list[Block], is_footer: Callable[[bytes, int], bool]) -> list[Block]:
    behind = 0
    for place in range(len(held) - 1, -1, -1):
        block = held[place]
        for record in np.flatnonzero(~block.blank)[::-1]:
            if not is_footer(block[record], behind):
                return [*held[:place], block.until(int(record) + 1)]
            behind += 1
    return []


def _marked(chunks: Iterator[bytes]) -> Iterator[tuple[bytes, bool]]:
    held = next(chunks, b"")
    for chunk in chunks:
        yield held, False
        held = chunk
    yield held, True


Ends = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]


def _ends(data: bytes, shape: Shape, is_last: bool, row_bytes: int) -> Ends:
    ends = _regular_ends(data, shape, is_last)
    if ends is None or (shape.quote and len(data) - (ends[-1] if len(ends) else 0) > row_bytes):
        return _exact_ends(data, shape, is_last, row_bytes)
    return ends, np.empty(0, np.int64)


def _regular_ends(data: bytes, shape: Shape, is_last: bool) -> npt.NDArray[np.int64] | None:
    """Record ends by counting quotes before each line feed; None where the text is too irregular for that."""
    array = np.frombuffer(data, np.uint8)
    if b"\r" in data and not _only_pairs(array):
        return None
    feeds = np.flatnonzero(array == _LF)
    if shape.quote and shape.quote in data:
        quotes = np.flatnonzero(array == shape.quote[0])
        if not _well_quoted(array, quotes, shape) or (is_last and len(quotes) % 2):
            return None
        feeds = feeds[np.searchsorted(quotes, feeds) % 2 == 0]
    ends = feeds + 1
    unfinished = is_last and data and (not len(ends) or ends[-1] < len(data))
    return np.append(ends, len(data)) if unfinished else ends


def _only_pairs(array: npt.NDArray[np.uint8]) -> bool:
    """Whether a line feed follows every carriage return."""
    returns = np.flatnonzero(array == _CR)
    return bool(returns[-1] + 1 < len(array) and (array[returns + 1] == _LF).all())


def _well_quoted(array: npt.NDArray[np.uint8], quotes: npt.NDArray[np.int64], shape: Shape) -> bool:
    """Whether every odd quote opens a field (or is the second of a pair) and every even one closes it."""
    edge = np.zeros(256, np.bool_)
    edge[[*shape.delimiter, *(shape.quote or b""), _LF, _CR]] = True
    opening, closing = quotes[0::2], quotes[1::2]
    before = array[opening[opening > 0] - 1]
    behind = array[closing[closing < len(array) - 1] + 1]
    return bool(edge[before].all() and edge[behind].all())


@lru_cache
def _record(shape: Shape) -> re.Pattern[bytes]:
    """One record at a position: `whole`, `open` (a quote still open where the data ends) or else a `broken` line."""
    line = rb"(?P<broken>[^\r\n]*+(?:\r\n|\n|\r|\Z))"
    if shape.quote is None:
        return re.compile(line.replace(b"broken", b"whole"))
    d, q = re.escape(shape.delimiter), re.escape(shape.quote)
    edge = rb"(?=[" + d + rb"\r\n]|\Z)"
    inside = q + rb"[^" + q + rb"]*+(?:" + q + q + rb"[^" + q + rb"]*+)*+"
    field = rb"(?:" + inside + q + edge + rb"|[^" + q + d + rb"\r\n][^" + d + rb"\r\n]*+|" + edge + rb")"
    whole = rb"(?P<whole>" + field + rb"(?:" + d + field + rb")*+(?:\r\n|\n|\r|\Z))"
    unclosed = rb"(?P<open>(?:" + field + d + rb")*+" + inside + q + rb"?+\Z)"
    return re.compile(whole + rb"|" + unclosed + rb"|" + line)


def _exact_ends(data: bytes, shape: Shape, is_last: bool, row_bytes: int) -> Ends:
    """Record ends one by one: right for any text, at about a million records a second."""
    pattern, line = _record(shape), _record(Shape(shape.delimiter, None))
    ends: list[int] = []
    broken: list[int] = []
    at = 0
    while at < len(data):
        match = pattern.match(data, at)
        given_up = match is not None and match.lastgroup == "open" and (is_last or len(data) - at > row_bytes)
        if given_up:
            match = line.match(data, at)
        if match is None or not (is_last or _is_complete(match, data)):
            break
        if given_up or match.lastgroup == "broken":
            broken.append(len(ends))
        ends.append(at := match.end())
    return np.array(ends, np.int64), np.array(broken, np.int64)


def _is_complete(match: re.Match[bytes], data: bytes) -> bool:
    """Whether more data couldn't change the record: a carriage return at the very end may be half of a pair."""
    return match.lastgroup != "open" and (match.end() < len(data) or data.endswith(b"\n"))
