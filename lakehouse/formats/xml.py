"""XML documents: the elements at a path, streamed, so that memory doesn't grow with the file."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, BinaryIO
from xml.parsers import expat

import msgspec

from lakehouse.contract import Contract
from lakehouse.errors import ContractError, DeliveryUnreadable
from lakehouse.formats import encoding, objects
from lakehouse.formats.reading import Reading, over_limit
from lakehouse.source import Dialect

_AT_ONCE = 1 << 16
_DEEPEST = 100
_HEAD = 1024
_DECLARED = re.compile(rb"""^(?:\xef\xbb\xbf)?<\?xml\s[^>]*\bencoding\s*=\s*["']([\w.-]+)""")
_TEXT = "#text"


class _Refused(ValueError):
    """What a document may not have; the message says what."""


@dataclass(slots=True)
class _Element:
    name: str
    attributes: dict[str, str | None]
    texts: list[str] = field(default_factory=list)
    children: list["_Element"] = field(default_factory=list)

    @property
    def text(self) -> str | None:
        """The text as sent; none where there is none, or only the blanks between inner elements."""
        text = "".join(self.texts)
        return None if not text or (self.children and not text.strip()) else text


def read(path: Path, contract: Contract, source: Dialect) -> Reading:
    """The elements at the path `records`, numbered from 1, by default all inside the root.

    An attribute is called `@name`, an element inside by its name, deeper ones `outer.inner`; the row's own text is
    `#text`. Elements that repeat are one JSON list. Prefixes of namespaces are left out; an empty element is null.
    Raises DeliveryUnreadable when the document as a whole isn't well-formed, has a DTD, or nothing at the path.
    """
    where = f"{contract.name} {path.name}"
    if not path.stat().st_size:
        raise DeliveryUnreadable("empty file", where=where, hint="ask the department to deliver again")
    spool = TemporaryFile()  # noqa: SIM115 (lives as long as the reading)
    with path.open("rb") as stream:
        for record in records(_recoded(stream, source, where), source.records, contract.limits.row_bytes, where):
            spool.write(record + b"\n")

    def found() -> Iterator[tuple[int, bytes]]:
        spool.seek(0)
        return enumerate(spool, 1)

    return objects.reading(found, contract, where)


def elements(document: bytes, path: str, row_bytes: int, where: str) -> Iterator[bytes]:
    """As `records`, of a document in memory in the encoding that it says it has."""
    return records(_recoded(BytesIO(document), Dialect(), where), path, row_bytes, where)


def _recoded(stream: BinaryIO, source: Dialect, where: str) -> Iterator[bytes]:
    codec = _codec(stream.read(_HEAD), source, where)
    stream.seek(0)
    return encoding.utf8(stream, codec, _AT_ONCE)


def records(chunks: Iterable[bytes], path: str, row_bytes: int, where: str) -> Iterator[bytes]:
    """The elements at a path of a UTF-8 document, each as a JSON object of texts and nulls. Raises DeliveryUnreadable."""
    rows = _Rows([step for step in path.split("/") if step] or ["*", "*"])
    parser = expat.ParserCreate("utf-8")
    parser.buffer_text = True
    parser.StartElementHandler, parser.EndElementHandler = rows.start, rows.end
    parser.CharacterDataHandler = rows.text
    for fed in _parsed(parser, chunks, where):
        yield from _within(rows, fed, row_bytes, where)
    if not rows.reached:
        raise _unreadable(f"no element at '/{'/'.join(rows.steps[:-1])}'", where)


def require_plain(chunks: Iterable[bytes], where: str) -> None:
    """Raises DeliveryUnreadable unless the document is well-formed and has no DTD."""
    for _ in _parsed(expat.ParserCreate(), chunks, where):
        pass


def _parsed(parser: expat.XMLParserType, chunks: Iterable[bytes], where: str) -> Iterator[int]:
    """Feeds the parser, giving the size of each chunk. Without a DTD there are no entities to expand and nothing outside."""
    parser.StartDoctypeDeclHandler = _refuse_dtd
    try:
        for chunk in chunks:
            parser.Parse(chunk, False)
            yield len(chunk)
        parser.Parse(b"", True)
        yield 0
    except expat.ExpatError as error:
        raise _unreadable(f"not well-formed XML: {error}", where) from error
    except _Refused as error:
        raise _unreadable(str(error), where) from error


def _within(rows: "_Rows", fed: int, row_bytes: int, where: str) -> Iterator[bytes]:
    """The rows that are complete. What is still open may not grow for ever: the parser and we would hold it all."""
    rows.open_bytes += fed
    longest = max((len(row) for row in rows.done), default=0)
    if longest > row_bytes or rows.open_bytes > row_bytes + _AT_ONCE:
        raise over_limit("row_bytes", max(longest, rows.open_bytes), row_bytes, where)
    yield from rows.done
    rows.done.clear()


class _Rows:
    """Takes the parser's events and keeps the rows that are complete in `done`."""

    def __init__(self, steps: list[str]) -> None:
        self.steps = steps
        self.done: list[bytes] = []
        self.open_bytes = 0
        self.reached = False
        self._depth = self._matched = 0
        self._open: list[_Element] = []

    def start(self, name: str, attributes: dict[str, str]) -> None:
        name = _local(name)
        if self._open:
            if len(self._open) > _DEEPEST:
                raise _Refused(f"elements lie deeper than {_DEEPEST} in one another")
            child = _Element(name, _own(attributes))
            self._open[-1].children.append(child)
            self._open.append(child)
            return
        self.open_bytes = 0
        if self._matched == self._depth < len(self.steps) and self.steps[self._depth] in (name, "*"):
            self._matched += 1
            self.reached = self.reached or self._matched == len(self.steps) - 1
            if self._matched == len(self.steps):
                self._open.append(_Element(name, _own(attributes)))
        self._depth += 1

    def text(self, text: str) -> None:
        if self._open:
            self._open[-1].texts.append(text)

    def end(self, name: str) -> None:
        if self._open:
            element = self._open.pop()
            if self._open:
                return
            self.done.append(msgspec.json.encode(_row(element)))
        self.open_bytes = 0
        self._matched = min(self._matched, self._depth - 1)
        self._depth -= 1


def _row(element: _Element) -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    _spread(element, "", found)
    if (text := element.text) is not None:
        found[_TEXT] = text
    return found


def _spread(element: _Element, prefix: str, found: dict[str, str | None]) -> None:
    """Attributes and inner elements of the element as columns whose names begin with `prefix`."""
    for name, value in element.attributes.items():
        _put(found, f"{prefix}@{name}", value)
    together: dict[str, list[_Element]] = {}
    for child in element.children:
        together.setdefault(child.name, []).append(child)
    for name, (first, *others) in together.items():
        if others:
            _put(found, prefix + name, msgspec.json.encode([_plain(child) for child in (first, *others)]).decode())
        elif first.children or first.attributes:
            if first.text is not None:
                _put(found, prefix + name, first.text)
            _spread(first, f"{prefix}{name}.", found)
        else:
            _put(found, prefix + name, first.text)


def _put(found: dict[str, str | None], name: str, value: str | None) -> None:
    if name in found:
        raise _Refused(f"a row has two values called '{name}', once they are named by their path without prefixes")
    found[name] = value


def _plain(element: _Element) -> str | dict[str, Any] | None:
    """One of several elements of the same name: its text, or an object where it has attributes or elements inside."""
    return _row(element) if element.children or element.attributes else element.text


@lru_cache(1024)
def _local(name: str) -> str:
    return name.rpartition(":")[2]


def _own(attributes: dict[str, str]) -> dict[str, str | None]:
    """Attributes that are data: not those by which XML speaks of itself."""
    if not attributes:
        return {}
    kept = {name: value for name, value in attributes.items() if not name.startswith(("xmlns", "xsi:", "xml:"))}
    own: dict[str, str | None] = {}
    for name, value in kept.items():
        _put(own, _local(name), value)
    return own


def _refuse_dtd(*_: object) -> None:
    raise _Refused("the document has a DTD, which could name files or grow without end")


def _codec(head: bytes, source: Dialect, where: str) -> str:
    """The contract's encoding where it declares one, else what the document says of itself."""
    said = _DECLARED.match(head)
    if "encoding" in source.model_fields_set:
        return encoding.codec(source.encoding, where)
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return encoding.codec("utf-16", where)
    try:
        return encoding.codec(said[1].decode() if said else "utf-8", where)
    except ContractError as error:
        raise _unreadable(f"the document says its encoding is {said[1].decode() if said else ''}", where) from error


def _unreadable(what: str, where: str) -> DeliveryUnreadable:
    return DeliveryUnreadable(what, where=where, hint="check 'format' and 'records' in 'source', or ask the department")
