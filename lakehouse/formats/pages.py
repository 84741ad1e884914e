"""The pages of a JSON API: a folder of bodies as sent, in the order of their names."""

from collections.abc import Iterator
from pathlib import Path

import msgspec

from lakehouse.contract import Contract
from lakehouse.errors import DeliveryUnreadable
from lakehouse.formats import objects
from lakehouse.formats.reading import Reading, over_limit
from lakehouse.source import HttpSource

_LIST = msgspec.json.Decoder(list[msgspec.Raw])
_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])


def read(folder: Path, contract: Contract, source: HttpSource) -> Reading:
    """The records of all pages, numbered from 1. A record that isn't an object is unparsable.

    Raises DeliveryUnreadable for a page that isn't JSON or has no list at the path `records`.
    """
    where = f"{contract.name} {folder.name}"

    def found() -> Iterator[tuple[int, msgspec.Raw]]:
        row = 0
        for number, page in enumerate(sorted(folder.iterdir()), 1):
            for record in records(page.read_bytes(), source.records, f"{where} page {number}"):
                row += 1
                if len(memoryview(record)) > contract.limits.row_bytes:
                    raise over_limit("row_bytes", len(memoryview(record)), contract.limits.row_bytes, where)
                yield row, record

    return objects.reading(found, contract, where)


def records(page: bytes, path: str, where: str) -> list[msgspec.Raw]:
    """The list at the dotted path of a page (empty: the page itself), records as sent. Raises DeliveryUnreadable."""
    inner: bytes | msgspec.Raw = page
    try:
        for step in filter(None, path.split(".")):
            inner = _OBJECT.decode(inner)[step]
        return _LIST.decode(inner)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        what = f"not JSON with a list of records{f' at {path!r}' if path else ''}: {error}"
    except KeyError as error:
        what = f"no {error} on the way to {path!r}"
    raise DeliveryUnreadable(what, where=where, hint="check 'records' in 'source', or ask the department what changed")
