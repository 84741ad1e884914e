"""WebDAV (RFC 4918): files of a web server that also lists its folders. `webdav` is HTTP, `webdavs` HTTPS."""

import io
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, unquote, urlsplit
from xml.etree.ElementTree import Element, ParseError

import httpx
from defusedxml import DefusedXmlException
from defusedxml.ElementTree import iterparse
from fsspec import AbstractFileSystem

from lakehouse.contract import Limits
from lakehouse.errors import SourceRefused
from lakehouse.sources.drop.place import capped
from lakehouse.sources.drop.remote import Address
from lakehouse.sources.drop.web import Web, missing, said
from lakehouse.sources.login import Login, login

_WANTED = (
    b'<?xml version="1.0"?><propfind xmlns="DAV:"><prop>'
    b"<resourcetype/><getcontentlength/><getlastmodified/><getetag/></prop></propfind>"
)
_LIST_BYTES = 100_000_000
_HEADERS = {"getcontentlength": "Content-Length", "getlastmodified": "Last-Modified", "getetag": "ETag"}


def opened(address: Address, limits: Limits, where: str) -> AbstractFileSystem:
    """The server's files."""
    host = httpx.URL(scheme=address.scheme.replace("webdav", "http"), host=address.host, port=address.port)
    return WebDav(host, limits, where, login(address.connection) if address.connection else Login())


class WebDav(Web):
    """The files of a WebDAV server that can be read. A path is plain text."""

    protocol = "webdav"

    def ls(self, path: str, detail: bool = True, **options: Any) -> list[dict[str, Any]]:
        folder = path.rstrip("/")
        found = capped(self._properties(f"{folder}/", "1"), self._client.where)
        return [info | {"name": f"{folder}/{name}"} for at, info in found if (name := at[-1]) and at != _parts(folder)]

    def info(self, path: str, **options: Any) -> dict[str, Any]:
        _, info = next(iter(self._properties(path, "0")), (None, None))
        if info is None:
            raise FileNotFoundError
        return info | {"name": path}

    def url(self, path: str) -> httpx.URL:
        return self._home.join(quote(path.encode(errors="surrogateescape")))

    def _properties(self, path: str, depth: str) -> Iterator[tuple[list[str], dict[str, Any]]]:
        """What the server says of the path and, with depth 1, of what lies in it; each with the parts of its path."""
        headers = {"Depth": depth, "Content-Type": "application/xml"}
        try:
            with missing(), self._client.answer(self.url(path), headers, _WANTED, "PROPFIND") as answer:
                for _, element in iterparse(_Stream(self._client.body(answer), self._client.where)):
                    if element.tag == "{DAV:}response":
                        yield _parts(_href(element)), _info(element)
                        element.clear()
        except (ParseError, DefusedXmlException) as error:
            hint = "check 'uri' in 'source': is it a WebDAV server?"
            raise SourceRefused("its list can't be read", where=self._client.where, hint=hint) from error


class _Stream(io.RawIOBase):
    """Pieces as a file that is read once, and has an end."""

    def __init__(self, pieces: Iterator[bytes], where: str) -> None:
        self._pieces, self._where, self._left = pieces, where, _LIST_BYTES

    def read(self, size: int = -1) -> bytes:
        piece = next(filter(None, self._pieces), b"")
        self._left -= len(piece)
        if self._left < 0:
            hint = "ask the department to sort its files into folders, a day each"
            raise SourceRefused(f"a list of more than {_LIST_BYTES:,} bytes", where=self._where, hint=hint)
        return piece


def _href(response: Element) -> str:
    return unquote(urlsplit(response.findtext("{DAV:}href", "")).path, errors="surrogateescape")


def _parts(path: str) -> list[str]:
    return path.strip("/").split("/")


def _info(response: Element) -> dict[str, Any]:
    """Properties say what the headers of the file would."""
    found = {header: (response.findtext(f".//{{DAV:}}{name}") or "").strip() for name, header in _HEADERS.items()}
    kind = "file" if response.find(".//{DAV:}collection") is None else "directory"
    return {"type": kind, **said(found)}
