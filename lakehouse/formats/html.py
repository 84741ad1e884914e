"""Web pages: one table, every cell as the text people see. Many systems call such a page .xls."""

import re
from pathlib import Path

from lakehouse.contract import Contract
from lakehouse.errors import ContractError, DeliveryUnreadable
from lakehouse.formats import apart, encoding, xlsx
from lakehouse.formats.reading import Reading
from lakehouse.source import Dialect

_HEAD = 4096
_CHARSET = re.compile(rb"""charset\s*=\s*["']?([\w-]+)""", re.IGNORECASE)


def read(path: Path, contract: Contract, source: Dialect) -> Reading:
    """A table of a page, the first unless the contract chooses one by id or number; rows, header and merged cells as in a sheet.

    Raises DeliveryUnreadable when the page has no such table, or isn't in the encoding it or the contract says.
    """
    where = f"{contract.name} {path.name}"
    codec = _codec(path, source, where)
    return xlsx.rows(apart.run("tables.py", path, source.sheet, codec, where=where), path, contract, source, where)


def _codec(path: Path, source: Dialect, where: str) -> str:
    """The contract's encoding where it declares one, else the byte order mark's or what the page says of itself."""
    with path.open("rb") as stream:
        head = stream.read(_HEAD)
    if "encoding" not in source.model_fields_set:
        if head.startswith((b"\xff\xfe", b"\xfe\xff")):
            return "utf-16"
        if said := _CHARSET.search(head):
            try:
                return encoding.codec(said[1].decode(), where)
            except ContractError as error:
                what = f"the page says its encoding is {said[1].decode()}"
                raise DeliveryUnreadable(what, where=where, hint="set 'encoding' in 'source'") from error
    codec = encoding.codec(source.encoding, where)
    return "utf-8-sig" if codec == "utf-8" else codec
