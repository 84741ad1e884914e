"""JSON documents: a list of objects, cut record by record, so that memory doesn't grow with the file."""

import json
import re
from collections.abc import Generator, Iterator
from mmap import ACCESS_READ, mmap
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import numpy as np

from lakehouse.contract import Contract
from lakehouse.errors import DeliveryUnreadable
from lakehouse.formats import encoding, objects
from lakehouse.formats.reading import Reading, over_limit
from lakehouse.source import Dialect

_AT_ONCE = 1 << 20
_SMALL = 1 << 16
_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+"|[\[\]{}:,]', re.DOTALL)
_FILLED = re.compile(rb"\S")
_QUOTE, _ESCAPE, _COMMA = b'"\\,'
_DEEPER = np.zeros(256, np.int32)
_DEEPER[[*b"[{"]], _DEEPER[[*b"]}"]] = 1, -1

Document = bytes | mmap


def read(path: Path, contract: Contract, source: Dialect) -> Reading:
    """The objects of the list at `records`, numbered from 1; an element that isn't an object is unparsable.

    A field an object doesn't have is null. Raises DeliveryUnreadable for an empty file, no list at that place, and a
    document that ends too early or goes on behind its end, from the batches too.
    """
    where = f"{contract.name} {path.name}"
    document = opened(path, source, where)
    return objects.reading(
        lambda: enumerate(records(document, source.records, contract.limits.row_bytes, where), 1), contract, where
    )


def opened(path: Path, source: Dialect, where: str) -> Document:
    """The file as UTF-8, in memory only where it is looked at. Raises DeliveryUnreadable when it is empty."""
    with path.open("rb") as stream, TemporaryFile() as recoded:
        if not path.stat().st_size:
            raise DeliveryUnreadable("empty file", where=where, hint="ask the department to deliver again")
        codec = encoding.codec(source.encoding, where)
        if codec != "utf-8":
            recoded.writelines(encoding.utf8(stream, codec, _AT_ONCE))
            recoded.flush()
        return mmap((stream if codec == "utf-8" else recoded).fileno(), 0, access=ACCESS_READ)


def member(document: Document, name: str) -> Any:
    """The value of a field of the document's object, one of few bytes; None where there is no such field."""
    try:
        at = _value(document, 0, name, name, "")
        return json.JSONDecoder().raw_decode(document[at : at + _SMALL].decode(errors="replace").lstrip())[0]
    except (DeliveryUnreadable, ValueError):
        return None


def records(document: Document, path: str, row_bytes: int, where: str) -> Iterator[bytes]:
    """The elements of the list at the dotted path of a UTF-8 document (empty: the document itself), each as sent.

    Raises DeliveryUnreadable when there is no such list, the document isn't whole, or an element is over the limit.
    """
    steps = [step for step in path.split(".") if step]
    at = 3 if document[:3] == b"\xef\xbb\xbf" else 0
    for step in steps:
        at = _value(document, at, step, path, where)
    first = _FILLED.search(document, at)
    if not first or first[0] != b"[":
        raise _unreadable(f"no list of records {f'at {path!r}' if path else 'at its top'}", where)
    end = yield from _elements(document, first.end(), row_bytes, where)
    _refuse_more_or_less(document, end, len(steps), where)


def _value(document: Document, at: int, step: str, path: str, where: str) -> int:
    """Where the value of the object's field `step` begins."""
    first = _FILLED.search(document, at)
    if not first or first[0] != b"{":
        raise _unreadable(f"no object on the way to {path!r}", where)
    depth, name = 0, b""
    for token in _TOKEN.finditer(document, at):
        match chr(document[token.start()]):
            case "{" | "[":
                depth += 1
            case "}" | "]":
                depth -= 1
            case '"' if depth == 1:
                name = document[token.start() : token.end()]
            case ":" if depth == 1 and _text(name) == step:
                return token.end()
        if not depth:
            break
    raise _unreadable(f"no '{step}' on the way to {path!r}", where)


def _text(quoted: bytes) -> str | None:
    try:
        return str(json.loads(quoted))
    except ValueError:
        return None


def _elements(document: Document, at: int, row_bytes: int, where: str) -> Generator[bytes, None, int]:
    """Every element from inside the list on; returns where the list has ended."""
    size, whole, first = _AT_ONCE, len(document), True
    while at < whole:
        chunk = np.frombuffer(document, np.uint8, min(size, whole - at), at)
        inside = np.cumsum(_quotes(chunk)) % 2 == 1
        depth = np.cumsum(np.where(inside, 0, _DEEPER[chunk]))
        ends = np.flatnonzero(depth < 0)
        last = int(ends[0]) if len(ends) else None
        cuts = np.flatnonzero((chunk[:last] == _COMMA) & (depth[:last] == 0) & ~inside[:last]).tolist()
        start, begun = 0, at
        for cut in [*cuts, *([] if last is None else [last])]:
            element = document[begun + start : begun + cut].strip()
            if len(element) > row_bytes:
                raise over_limit("row_bytes", len(element), row_bytes, where)
            if element or cut != last or not first:
                yield element
            start, first = cut + 1, False
        if last is not None:
            return begun + start
        at, size = begun + start, _AT_ONCE if start else size * 2
        if size > 2 * max(row_bytes, _AT_ONCE):
            raise over_limit("row_bytes", size // 2, row_bytes, where)
        if begun + len(chunk) == whole and not start:
            break
    raise _unreadable("the document ends inside its list of records", where)


def _quotes(chunk: np.ndarray) -> np.ndarray:
    """Where a string begins or ends: quotes but those behind an odd number of backslashes."""
    quotes = chunk == _QUOTE
    if len(escapes := np.flatnonzero(chunk == _ESCAPE)):
        first = np.flatnonzero(np.diff(escapes, prepend=-2) != 1)
        lengths = np.diff(first, append=len(escapes))
        behind = (escapes[first] + lengths)[lengths % 2 == 1]
        quotes[behind[behind < len(chunk)]] = False
    return quotes


def _refuse_more_or_less(document: Document, at: int, depth: int, where: str) -> None:
    for token in _TOKEN.finditer(document, at):
        if depth <= 0:
            break
        depth += int(_DEEPER[document[token.start()]])
        at = token.end()
    if depth > 0:
        raise _unreadable("the document ends too early", where)
    if _FILLED.search(document, at):
        raise _unreadable("the document goes on behind its end", where)


def _unreadable(what: str, where: str) -> DeliveryUnreadable:
    hint = "check 'format' and 'records' in 'source', or ask the department what changed"
    return DeliveryUnreadable(f"not the JSON that was asked for: {what}", where=where, hint=hint)
