"""What a contract is drafted from: a file here, the answer of an address, or a table of a database."""

import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from jobs.dialect import bare_contract, records_path
from lakehouse.errors import UsageError
from lakehouse.settings import Settings, connection_uri
from lakehouse.source import Source
from lakehouse.sources import Asked, fetch

_KINDS = {name: name for name in ("postgres", "mysql", "sqlite", "odbc", "jdbc")}
_KINDS |= {"postgresql": "postgres", "mariadb": "mysql"}
"""Schemes of connections to databases, and the kind of source they are."""

_TABLE = re.compile(r"([a-z][a-z0-9_]*):([^/].*)")


@dataclass(frozen=True)
class Origin:
    """Something received: its file, the contract's `source`, and how to read it (None: as it seems to be written)."""

    path: Path
    declared: dict[str, Any]
    source: Source | None


@contextmanager
def origin(what: str, name: str, connection: str | None, day: date, settings: Settings) -> Iterator[Origin]:
    """What `what` names, for a contract `name`; what had to be fetched is gone after the block.

    Raises UsageError for what is none of the three, and what `lakehouse.sources.fetch` raises.
    """
    table = _TABLE.fullmatch(what)
    if what.startswith(("http://", "https://")):
        asked = {"type": "http", "uri": what} | ({"connection": connection} if connection else {})
    elif table and not Path(what).exists():
        asked = {"type": _kind(table[1]), "connection": table[1], "table": table[2]}
    else:
        folder = name.replace(".", "/")
        uri = f"{{inbox}}/{folder}/{{day}}/*{Path(what).suffix.lower()}"
        yield Origin(Path(what), {"type": "file", "uri": uri}, None)
        return
    with tempfile.TemporaryDirectory(prefix="citylake-") as into:
        contract = bare_contract(asked, name=name)
        (received,) = fetch(Asked(contract, day, settings, Path(into)))
        yield (
            _answer(received.path, what, name, asked)
            if asked["type"] == "http"
            else Origin(received.path, asked, contract.source)
        )


def _kind(connection: str) -> str:
    scheme = urlsplit(connection_uri(connection)).scheme.partition("+")[0]
    if scheme not in _KINDS:
        raise UsageError(
            f"connection '{connection}' is to no database we know", hint=f"its address begins with {', '.join(_KINDS)}"
        )
    return _KINDS[scheme]


def _answer(pages: Path, address: str, name: str, asked: dict[str, Any]) -> Origin:
    """An API's first page: JSON or XML with a list of records; anything else is a file."""
    (page,) = pages.iterdir()
    head = page.read_bytes()[:64].lstrip(b"\xef\xbb\xbf \t\r\n")
    if not head.startswith((b"{", b"[", b"<")):
        file = pages.with_name("file") / pages.name
        file.parent.mkdir()
        shutil.move(page, file)
        return Origin(file, {"type": "file", "uri": address}, None)
    kind = "xml" if head.startswith(b"<") else "json"
    asked = asked | ({"format": "xml"} if kind == "xml" else {})
    if records := records_path(page, kind):
        asked["records"] = records
    return Origin(pages, asked, bare_contract(asked, name=name).source)
