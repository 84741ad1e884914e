"""Paged JSON APIs: every page as sent, the pages of a delivery in one folder."""

from collections.abc import Iterator
from datetime import date
from itertools import count, takewhile
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

import httpx

from lakehouse.errors import ContractError, DeliveryUnreadable, SourceRefused
from lakehouse.formats.pages import records
from lakehouse.formats.reading import over_limit
from lakehouse.settings import connection_uri
from lakehouse.source import HttpSource
from lakehouse.sources.login import login
from lakehouse.sources.patience import Client
from lakehouse.sources.received import Asked, Ledger, Received, place, write, writing


def fetch(asked: Asked, source: HttpSource) -> Iterator[Received]:
    """All pages of the API as one delivery, or word that nothing differs from `previous`.

    Raises SourceUnavailable when it can't be reached after several attempts or takes longer than the limit,
    SourceRefused when it says no, DeliveryUnreadable above the limits.
    """
    contract, into, previous = asked.contract, asked.into, asked.previous
    uri = _address(source, asked.day)
    where = f"{contract.name} {uri.copy_with(userinfo=b'', query=None)}"
    if uri.scheme not in ("http", "https"):
        raise ContractError(f"'{uri.scheme}' is not http or https", where=where, hint="change 'uri' in 'source'")
    name = PurePosixPath(uri.path).name or contract.dataset
    with _client(asked, source, uri, where) as client:
        known = dict(takewhile(lambda page: page[1], ((url, previous.get(url, "")) for url in _urls(uri, source))))
        if known and all(_unchanged(client, url, tag) for url, tag in known.items()):
            yield Received(into, name, 0, "", None, True, known, unchanged=True)
        else:
            yield _whole(client, uri, source, place(name, into), name)


def _address(source: HttpSource, day: date) -> httpx.URL:
    """The URI of the day; one that begins with `/` lies on the connection's host."""
    uri = httpx.URL(source.uri.replace("{day}", day.isoformat()))
    if uri.is_absolute_url or not source.connection:
        return uri
    return httpx.URL(connection_uri(source.connection)).copy_with(userinfo=b"").join(uri)


def _urls(uri: httpx.URL, source: HttpSource) -> Iterator[str]:
    """The addresses of the pages, without end; of an API without pages its own."""
    page = source.page
    if page is None:
        yield str(uri)
        return
    for number in count(page.start):
        yield str(uri.copy_merge_params({page.param: str(number), page.size_param: str(page.size)}))


def _whole(client: Client, uri: httpx.URL, source: HttpSource, folder: Path, name: str) -> Received:
    ledger = Ledger(client.limits.bytes, b'"', client.where)
    etags: dict[str, str] = {}
    with writing(folder):
        folder.mkdir()
    last = b""
    for number, url in enumerate(_urls(uri, source), 1):
        path = folder / f"{number:08}.json"
        etags[url] = _save(client, url, path, client.limits.bytes - ledger.size)
        ledger.add(path)
        body = path.read_bytes()
        if body == last:
            raise SourceRefused(
                f"page {number} is page {number - 1} again",
                where=client.where,
                hint="check the names under 'page' in 'source'",
            )
        if _is_last(body, source):
            break
        last = body
    return Received(folder, name, ledger.size, ledger.sha256, None, True, etags if all(etags.values()) else {})


def _is_last(body: bytes, source: HttpSource) -> bool:
    """Whether the page isn't full. A page that can't be read is the last, too: landed, and refused when loaded."""
    try:
        return source.page is None or len(records(body, source.records, "")) < source.page.size
    except DeliveryUnreadable:
        return True


def _client(asked: Asked, source: HttpSource, uri: httpx.URL, where: str) -> Client:
    """A client with the connection's log-in, which goes to the connection's host only."""
    if source.connection and urlsplit(connection_uri(source.connection)).hostname not in (None, uri.host):
        raise SourceRefused(
            f"connection '{source.connection}' belongs to another host",
            where=where,
            hint="change 'uri' or 'connection'",
        )
    return Client(
        uri,
        asked.contract.limits,
        where,
        login=login(source.connection) if source.connection else None,
        headers={"Accept": "application/json", "Accept-Encoding": "gzip"},
        rate_per_s=source.rate_per_s,
    )


def _unchanged(client: Client, url: str, etag: str) -> bool:
    """Whether the source says that the page is still the one with this ETag."""

    def ask() -> bool:
        with client.answer(url, {"If-None-Match": etag}) as answer:
            return answer.status_code == httpx.codes.NOT_MODIFIED

    return client.patiently(ask)


def _save(client: Client, url: str, path: Path, most_bytes: int) -> str:
    """Writes the page's body and gives its ETag, empty if it has none."""

    def load() -> str:
        with client.answer(url) as answer:
            with writing(path):
                file = path.open("wb", buffering=0)
            size = 0
            with file:
                for piece in client.body(answer):
                    size += len(piece)
                    if size > most_bytes:
                        limit = client.limits.bytes
                        raise over_limit("bytes", limit - most_bytes + size, limit, client.where)
                    with writing(path):
                        write(file, piece)
            return str(answer.headers.get("ETag", ""))

    return client.patiently(load)
