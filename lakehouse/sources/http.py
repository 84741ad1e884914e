"""Paged JSON APIs: every page as sent, the pages of a delivery in one folder."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from email.utils import parsedate_to_datetime
from itertools import count, takewhile
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

import httpx
from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt, wait_exponential, wait_random

from lakehouse.contract import Contract
from lakehouse.errors import ContractError, DeliveryUnreadable, SourceRefused, SourceUnavailable
from lakehouse.formats.pages import records
from lakehouse.formats.reading import over_limit
from lakehouse.settings import connection_uri
from lakehouse.source import HttpSource
from lakehouse.sources.received import Asked, Ledger, Received, place, write, writing

ATTEMPTS = 5
BACK_OFF = wait_exponential(multiplier=0.5, max=20) + wait_random(0, 0.5)
LONGEST_WAIT_S = 60
"""However long a source asks us to wait, the other departments have a night to finish too."""

_TIMEOUT = httpx.Timeout(60, connect=10)
_BUSY = {408, 425, 429}
_RENEW = "renew the credentials of the connection, or ask the department for access"
_HINTS = {401: _RENEW, 403: _RENEW, 404: "check 'uri' in 'source', or ask the department where it moved"}


class _Busy(SourceUnavailable):
    """The source asked us to come back in `wait_s` seconds."""

    wait_s = 0.0


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
    with _client(source, uri, where) as client:
        api = _Api(client, contract, source, where)
        known = dict(takewhile(lambda page: page[1], ((url, previous.get(url, "")) for url in _urls(uri, source))))
        if known and all(api.unchanged(url, tag) for url, tag in known.items()):
            yield Received(into, name, 0, "", None, True, known, unchanged=True)
        else:
            yield _whole(api, uri, source, place(name, into), name)


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


def _whole(api: "_Api", uri: httpx.URL, source: HttpSource, folder: Path, name: str) -> Received:
    ledger = Ledger(api.limits.bytes, b'"', api.where)
    etags: dict[str, str] = {}
    with writing(folder):
        folder.mkdir()
    last = b""
    for number, url in enumerate(_urls(uri, source), 1):
        path = folder / f"{number:08}.json"
        etags[url] = api.save(url, path, api.limits.bytes - ledger.size)
        ledger.add(path)
        body = path.read_bytes()
        if body == last:
            raise SourceRefused(
                f"page {number} is page {number - 1} again",
                where=api.where,
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


@contextmanager
def _client(source: HttpSource, uri: httpx.URL, where: str) -> Iterator[httpx.Client]:
    """A client with the connection's credentials: log-in and password, or a password alone as bearer token."""
    secret = urlsplit(connection_uri(source.connection)) if source.connection else urlsplit("")
    if secret.hostname and secret.hostname != uri.host:
        raise SourceRefused(
            f"connection '{source.connection}' belongs to another host",
            where=where,
            hint="change 'uri' or 'connection'",
        )
    user, password = unquote(secret.username or ""), unquote(secret.password or "")
    headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
    if password and not user:
        headers["Authorization"] = f"Bearer {password}"
    with httpx.Client(auth=(user, password) if user else None, headers=headers, timeout=_TIMEOUT) as client:
        yield client


class _Api:
    """One source for the length of one fetch: paced, patient for a while, and within the contract's limits."""

    def __init__(self, client: httpx.Client, contract: Contract, source: HttpSource, where: str) -> None:
        self.limits, self.where = contract.limits, where
        self._client, self._pause = client, 1 / source.rate_per_s
        self._next_at = time.monotonic()
        self._deadline = self._next_at + contract.limits.seconds
        self._attempts = Retrying(
            stop=stop_after_attempt(ATTEMPTS), wait=_wait, retry=retry_if_exception(self._may_pass), reraise=True
        )

    def unchanged(self, url: str, etag: str) -> bool:
        """Whether the source says that the page is still the one with this ETag."""

        def ask() -> bool:
            with self._answer(url, {"If-None-Match": etag}) as answer:
                return answer.status_code == httpx.codes.NOT_MODIFIED

        return self._attempts(ask)

    def save(self, url: str, path: Path, most_bytes: int) -> str:
        """Writes the page's body and gives its ETag, empty if it has none."""

        def load() -> str:
            with self._answer(url, {}) as answer:
                self._write(answer, path, most_bytes)
                return str(answer.headers.get("ETag", ""))

        return self._attempts(load)

    def _write(self, answer: httpx.Response, path: Path, most_bytes: int) -> None:
        size = 0
        with writing(path):
            file = path.open("wb", buffering=0)
        with file:
            for chunk in answer.iter_bytes():
                size += len(chunk)
                if size > most_bytes:
                    raise over_limit("bytes", self.limits.bytes - most_bytes + size, self.limits.bytes, self.where)
                self._check_time()
                with writing(path):
                    write(file, chunk)

    @contextmanager
    def _answer(self, url: str, headers: dict[str, str]) -> Iterator[httpx.Response]:
        self._check_time()
        time.sleep(max(0.0, self._next_at - time.monotonic()))
        self._next_at = time.monotonic() + self._pause
        try:
            with self._client.stream("GET", url, headers=headers) as answer:
                if not (answer.is_success or (headers and answer.status_code == httpx.codes.NOT_MODIFIED)):
                    raise self._refusal(answer)
                yield answer
        except httpx.ConnectError as error:
            raise self._unavailable("no connection") from error
        except httpx.TimeoutException as error:
            raise self._unavailable("no answer in time") from error
        except (httpx.TransportError, httpx.DecodingError) as error:
            raise self._unavailable("the answer broke off") from error

    def _refusal(self, answer: httpx.Response) -> SourceUnavailable | SourceRefused:
        code = answer.status_code
        what = f"HTTP {code} {answer.reason_phrase}".strip()
        if code in _BUSY or code >= 500:
            busy = _Busy(
                what, where=self.where, hint=f"it was asked {ATTEMPTS} times and is asked again with the next run"
            )
            busy.wait_s = _asked_wait(answer)
            return busy
        return SourceRefused(
            what, where=self.where, hint=_HINTS.get(code, "ask the department what the source expects")
        )

    def _unavailable(self, what: str) -> SourceUnavailable:
        hint = f"it was asked {ATTEMPTS} times and is asked again with the next run; is the department's system up?"
        return SourceUnavailable(what, where=self.where, hint=hint)

    def _check_time(self) -> None:
        if time.monotonic() > self._deadline:
            raise SourceUnavailable(
                f"it takes longer than {self.limits.seconds} s",
                where=self.where,
                hint="ask the department, or raise 'limits: {seconds: ...}' in the contract",
            )

    def _may_pass(self, error: BaseException) -> bool:
        return isinstance(error, SourceUnavailable) and time.monotonic() < self._deadline


def _wait(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    asked = error.wait_s if isinstance(error, _Busy) else 0.0
    return max(BACK_OFF(state), min(asked, LONGEST_WAIT_S))


def _asked_wait(answer: httpx.Response) -> float:
    """Seconds from a `Retry-After` header, which holds seconds or a date."""
    asked = answer.headers.get("Retry-After", "0")
    if asked.isdecimal():
        return float(asked)
    try:
        return (parsedate_to_datetime(asked) - datetime.now(UTC)).total_seconds()
    except (TypeError, ValueError):
        return 0.0
