"""Files of a web server. One that answers ranges is asked only for what is missing after a break; one that lies about a
length is caught by the other word it gave, or by the end that doesn't come."""

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
from fsspec import AbstractFileSystem

from lakehouse.contract import Limits
from lakehouse.sources.drop.remote import Address
from lakehouse.sources.login import Login, login
from lakehouse.sources.patience import Client, Refusal

_GONE = (404, 410)
_RATE_PER_S = 1000


def opened(address: Address, limits: Limits, where: str) -> AbstractFileSystem:
    """The one file at the address."""
    host = httpx.URL(scheme=address.scheme, host=address.host, port=address.port)
    return Web(host, limits, where, login(address.connection) if address.connection else Login())


class Web(AbstractFileSystem):
    """What a web server gives by `GET`. A path is the address behind the host, percent-encoded, with its query."""

    cachable = False
    protocol = "https"

    def __init__(self, home: httpx.URL, limits: Limits, where: str, log_in: Login) -> None:
        super().__init__(skip_instance_cache=True)
        headers = {"Accept": "*/*", "Accept-Encoding": "identity"}
        self._client = Client(home, limits, where, login=log_in, headers=headers, rate_per_s=_RATE_PER_S).__enter__()
        self._home = home

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return path

    def close(self) -> None:
        self._client.__exit__(None, None, None)

    def info(self, path: str, **options: Any) -> dict[str, Any]:
        """From the head of the answer; a server that refuses `HEAD` is asked for the file and cut short."""
        try:
            return self._headed(path, "HEAD")
        except Refusal as refusal:
            if refusal.code == httpx.codes.UNAUTHORIZED:
                raise
            return self._headed(path, "GET")

    def url(self, path: str) -> httpx.URL:
        """The address of a file."""
        return self._home.join(path)

    def _headed(self, path: str, method: str) -> dict[str, Any]:
        with missing(), self._client.answer(self.url(path), method=method) as answer:
            return {"name": path, "type": "file", **said(answer.headers)}

    def _open(self, path: str, mode: str = "rb", **options: Any) -> "_File":
        return _File(self._client, self.url(path))


class _File(io.RawIOBase):
    """A file that is asked for when it is first read, from where it is to be read on."""

    def __init__(self, client: Client, url: httpx.URL) -> None:
        self._client, self._url, self._at = client, url, 0
        self._pieces: Iterator[bytes] | None = None

    def read(self, size: int = -1) -> bytes:
        """The next piece as it comes, whatever `size`."""
        self._pieces = self._pieces or self._asked()
        return next(filter(None, self._pieces), b"")

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset
        return offset

    def _asked(self) -> Iterator[bytes]:
        ranged = {"Range": f"bytes={self._at}-"} if self._at else {}
        with missing(), self._client.answer(self._url, ranged) as answer:
            goes_on = answer.headers.get("Content-Range", "").startswith(f"bytes {self._at}-")
            if goes_on and "Content-Encoding" in answer.headers:
                raise self._client.unavailable("a packed answer can't be gone on with")
            to_skip = 0 if goes_on else self._at
            for piece in self._client.body(answer):
                yield piece[to_skip:]
                to_skip = max(0, to_skip - len(piece))


@contextmanager
def missing() -> Iterator[None]:
    """A file that isn't there, as Python says it."""
    try:
        yield
    except Refusal as refusal:
        if refusal.code in _GONE:
            raise FileNotFoundError from refusal
        raise


def said(headers: Mapping[str, str]) -> dict[str, Any]:
    """What the head of an answer says of the file; a length of 0 may be that of the head itself."""
    length = headers.get("Content-Length", "")
    known = length.isdecimal() and "Content-Encoding" not in headers
    size = (int(length) or None) if known else None
    return {"size": size, "mtime": instant(headers.get("Last-Modified", "")), "etag": headers.get("ETag", "")}


def instant(text: str) -> datetime | None:
    """A date as RFC 9110 writes it; None for anything else."""
    with suppress(TypeError, ValueError):
        return parsedate_to_datetime(text).astimezone(UTC)
    return None
