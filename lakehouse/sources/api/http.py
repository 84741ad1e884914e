"""HTTP APIs: every page as sent, the pages of a delivery in one folder."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import takewhile
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

import httpx

from lakehouse.api import HttpSource
from lakehouse.errors import ContractError, DeliveryUnreadable, NotDelivered, SourceRefused
from lakehouse.formats import pages
from lakehouse.formats.reading import over_limit
from lakehouse.settings import connection_uri
from lakehouse.sources.api.asking import Asking, Question, Values, windows
from lakehouse.sources.api.marks import Reach
from lakehouse.sources.api.paging import Walk, questions
from lakehouse.sources.login import login
from lakehouse.sources.patience import Client
from lakehouse.sources.received import Asked, Ledger, Received, place, write, writing

_ACCEPTED = {"json": "application/json", "xml": "application/xml, text/xml"}


def fetch(asked: Asked, source: HttpSource) -> Iterator[Received]:
    """All pages of the API as one delivery, or word that nothing differs from `previous`.

    Raises NotDelivered when it has no content, SourceUnavailable when it can't be reached after several attempts or takes
    longer than the limit, SourceRefused when it says no or its pages don't hang together, DeliveryUnreadable above the
    limits and when it gives fewer records than it says it has.
    """
    asking = Asking(source, asked.day, asked.contract.name)
    where = f"{asked.contract.name} {asking.address.copy_with(userinfo=b'', query=None)}"
    if asking.address.scheme not in ("http", "https"):
        raise ContractError(
            f"'{asking.address.scheme}' is not http or https", where=where, hint="change 'uri' in 'source'"
        )
    name = PurePosixPath(asking.address.path).name or asked.contract.dataset
    reach = Reach(asked, source.since) if source.since else None
    said = [{**window, **(reach.asked() if reach else {})} for window in windows(source.window, asked.day)]
    with _client(asked, asking, where) as client:
        known = _known(asking, said, asked.previous)
        if known and all(_unchanged(client, url, tag) for url, tag in known.items()):
            yield Received(asked.into, name, 0, "", None, True, known, unchanged=True)
        else:
            delivery = _Delivery(client, asking, place(name, asked.into), reach)
            for window in said:
                delivery.bring(window)
            yield delivery.received(name)


def _known(asking: Asking, said: Sequence[Values], previous: Mapping[str, str]) -> dict[str, str]:
    """The ETags of all pages of the last delivery, empty unless there are some for every window."""
    known: dict[str, str] = {}
    for window in said:
        urls = (question.url for question in questions(asking, window))
        of_window = dict(takewhile(lambda page: page[1], ((url, previous.get(url, "")) for url in urls)))
        if not of_window:
            return {}
        known |= of_window
    return known


def _is_foreseen(source: HttpSource) -> bool:
    """Whether `questions` are what will be asked, each at an address of its own: then ETags of all pages speak for all."""
    counted = source.page is not None and source.page.by == "offset" and source.page.ends == "empty"
    return source.next is None and source.body is None and not counted


class _Delivery:
    """The folder of pages that grows, and what is known of it."""

    def __init__(self, client: Client, asking: Asking, folder: Path, reach: Reach | None) -> None:
        self._client, self._asking, self._folder, self._reach = client, asking, folder, reach
        self._ledger = Ledger(client.limits.bytes, b'"', client.where)
        self._etags: dict[str, str] | None = {} if _is_foreseen(asking.source) else None
        self._count, self._broken = 0, False
        with writing(folder):
            folder.mkdir()

    def bring(self, window: Values) -> None:
        """The pages of one window, behind those that are there."""
        walk = Walk(self._client, self._asking, window, self._reach)
        question: Question | None = walk.first()
        while question:
            self._count += 1
            if self._count > (most := self._client.limits.pages):
                raise over_limit("pages", self._count, most, self._client.where)
            path = self._folder / f"{self._count:08}.{self._asking.source.format}"
            answer = _save(self._client, question, path, self._ledger.size)
            if answer.status_code == httpx.codes.NO_CONTENT:
                path.unlink()
                self._count, self._etags = self._count - 1, None  # the pages before don't tell when there is one more
                return
            if self._etags is not None:
                self._etags[question.url] = answer.headers.get("ETag", "")
            self._ledger.add(path)
            question = walk.after(pages.body(path, self._client.where), answer)
        self._broken = self._broken or walk.broken

    def received(self, name: str) -> Received:
        """Raises NotDelivered when there isn't even an empty page."""
        if not self._count:
            raise NotDelivered(
                "no content (HTTP 204)", where=self._client.where, hint="it is asked again with every run"
            )
        etags = self._etags if self._etags and all(self._etags.values()) else {}
        marks = self._reach.marks() if self._reach and not self._broken else {}
        return Received(
            self._folder, name, self._ledger.size, self._ledger.sha256, None, True, etags, marks=marks,
        )  # fmt: skip


def _client(asked: Asked, asking: Asking, where: str) -> Client:
    """A client with the connection's log-in, which goes to the connection's host only."""
    source, limits = asking.source, asked.contract.limits
    if source.connection and urlsplit(connection_uri(source.connection)).hostname not in (None, asking.address.host):
        raise SourceRefused(
            f"connection '{source.connection}' belongs to another host",
            where=where,
            hint="change 'uri' or 'connection'",
        )
    headers = {"Accept": _ACCEPTED[source.format], "Accept-Encoding": "gzip"} | source.headers
    if source.body is not None:
        headers["Content-Type"] = "application/json"
    said = login(source.connection) if source.connection else None
    return Client(asking.address, limits, where, login=said, headers=headers, rate_per_s=source.rate_per_s)


def _unchanged(client: Client, url: str, etag: str) -> bool:
    """Whether the source says that the page is still the one with this ETag."""

    def ask() -> bool:
        with client.answer(url, {"If-None-Match": etag}) as answer:
            return answer.status_code == httpx.codes.NOT_MODIFIED

    return client.patiently(ask)


def _save(client: Client, question: Question, path: Path, before: int) -> httpx.Response:
    """Writes the page's body, when so many bytes came before it, and gives the answer's head."""

    def load() -> httpx.Response:
        size = 0
        with client.answer(question.url, body=question.body) as answer:
            with writing(path):
                file = path.open("wb", buffering=0)
            with file:
                for piece in client.body(answer):
                    size += len(piece)
                    if before + size > client.limits.bytes:
                        raise over_limit("bytes", before + size, client.limits.bytes, client.where)
                    if size > pages.MOST_BYTES:
                        raise DeliveryUnreadable(
                            f"an answer of more than {pages.MOST_BYTES} bytes",
                            where=client.where,
                            hint="ask for it in pages, or as a file ('type: file')",
                        )
                    with writing(path):
                        write(file, piece)
            return answer

    return client.patiently(load)
