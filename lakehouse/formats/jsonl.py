"""JSON lines: one object a line, read twice: for the names, then for the values."""

from collections.abc import Iterator
from pathlib import Path

from lakehouse.contract import Contract
from lakehouse.errors import DeliveryUnreadable
from lakehouse.formats import encoding, objects
from lakehouse.formats.reading import Reading
from lakehouse.formats.records import Shape, blocks
from lakehouse.source import Dialect

_BLOCK = 1 << 20
_LINES = Shape(b",", None)


def read(path: Path, contract: Contract, source: Dialect) -> Reading:
    """A file of JSON objects, one a line; a line that isn't one is unparsable. Rows are numbered by line.

    A field an object doesn't have is null. Raises DeliveryUnreadable for an empty file.
    """
    where = f"{contract.name} {path.name}"
    if not path.stat().st_size:
        raise DeliveryUnreadable("empty file", where=where, hint="ask the department to deliver again")

    def lines() -> Iterator[tuple[int, bytes]]:
        codec = encoding.codec(source.encoding, where)
        with path.open("rb") as stream:
            for block in blocks(encoding.utf8(stream, codec, _BLOCK), _LINES, contract.limits.row_bytes, where):
                yield from block.lines()

    return objects.reading(lines, contract, where)
