"""Patience with a source: what may pass is asked again, for so long; and an HTTP client that has it, keeps a pace and stays on
one host."""

import logging
import os
import socket
import ssl
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache
from threading import Event, Timer
from types import TracebackType
from typing import Any, Self, TypeVar
from weakref import WeakSet

import httpx
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception,
    sleep_using_event,
    stop_after_attempt,
    wait_exponential,
    wait_random,
)

from lakehouse.contract import Limits
from lakehouse.errors import EnvironmentFault, SourceRefused, SourceUnavailable
from lakehouse.sources.login import Login, NoToken

ATTEMPTS = 5
BACK_OFF = wait_exponential(multiplier=0.5, max=20) + wait_random(0, 0.5)
LONGEST_WAIT_S = 120
"""A source that asks for a longer pause is left to the next run: the other departments have a night to finish too."""

_TIMEOUT_S, _CONNECT_S = 60, 10
_REDIRECTS = 5
_PIECE = 1 << 20
_BUSY = {408, 425, 429}
_RENEW = "renew the credentials of the connection, or ask the department for access"
_AGAIN = f"it was asked {ATTEMPTS} times and is asked again with the next run; is the department's system up?"
_HINTS = {401: _RENEW, 403: _RENEW, 404: "check 'uri' in 'source', or ask the department where it moved"}

for _name in ("httpx", "httpcore"):
    logging.getLogger(_name).setLevel(logging.WARNING)  # below it they tell addresses, and keys that stand in them

T = TypeVar("T")


class Busy(SourceUnavailable):
    """The source asked us to come back in `wait_s` seconds."""

    wait_s = 0.0


class Refusal(SourceRefused):
    """The source said no, with an HTTP status `code`."""

    code = 0


class Patience:
    """What one source is asked in one fetch takes `limits.seconds` in all, pauses included; `where` is how errors call it."""

    def __init__(self, limits: Limits, where: str) -> None:
        self.limits, self.where = limits, where
        self._deadline = time.monotonic() + limits.seconds
        self._stopped = Event()
        self._retrying = Retrying(
            stop=self._stops,
            wait=_wait,
            retry=retry_if_exception(self._may_pass),
            sleep=sleep_using_event(self._stopped),
            reraise=True,
        )
        _ASKING.add(self)

    @property
    def left_s(self) -> float:
        """Seconds that are left, none below 0."""
        return 0.0 if self._stopped.is_set() else max(0.0, self._deadline - time.monotonic())

    def stop(self) -> None:
        """Ends what goes on as if time were up."""
        self._stopped.set()

    def patiently(self, ask: Callable[[], T]) -> T:
        """What `ask` gives, asked again while it raises SourceUnavailable: some times, as long as there is time."""
        return self._retrying(ask)

    def check_time(self) -> None:
        """Raises SourceUnavailable when the fetch takes longer than the limit, or is stopped."""
        if self._stopped.is_set():
            raise SourceUnavailable("stopped while it was asked", where=self.where, hint="run the same command again")
        if not self.left_s:
            raise SourceUnavailable(
                f"it takes longer than {self.limits.seconds} s",
                where=self.where,
                hint="ask the department, or raise 'limits: {seconds: ...}' in the contract",
            )

    def unavailable(self, what: str) -> SourceUnavailable:
        """The error for what may pass, unless time is up."""
        self.check_time()
        return SourceUnavailable(what, where=self.where, hint=_AGAIN)

    def _may_pass(self, error: BaseException) -> bool:
        if isinstance(error, Busy) and error.wait_s > LONGEST_WAIT_S:
            return False
        return isinstance(error, SourceUnavailable) and self.left_s > 0

    def _stops(self, state: RetryCallState) -> bool:
        return stop_after_attempt(ATTEMPTS)(state) or state.upcoming_sleep >= self.left_s


_ASKING: WeakSet[Patience] = WeakSet()


def stop_all() -> None:
    """Ends whatever is being asked in this process: Ctrl-C doesn't wait for a source that hangs."""
    for patience in list(_ASKING):
        patience.stop()


class Client(Patience):
    """One source for the length of one fetch: `home` is its address; nothing is asked of another host."""

    def __init__(
        self,
        home: httpx.URL,
        limits: Limits,
        where: str,
        *,
        login: Login | None = None,
        headers: Mapping[str, str] | None = None,
        rate_per_s: float = 10,
    ) -> None:
        super().__init__(limits, where)
        self._home, self._pause = home, 1 / rate_per_s
        self._next_at = time.monotonic()
        self._stream: Any = None
        self._timer = Timer(limits.seconds, self._cut)
        self._timer.daemon = True
        self._login = login or Login()
        trusted = _trusted(os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))
        self._client = httpx.Client(headers={"User-Agent": "citylake", **(headers or {})}, verify=trusted)

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._timer.cancel()
        self._client.close()

    def stop(self) -> None:
        super().stop()
        self._cut()

    @contextmanager
    def answer(
        self,
        url: str | httpx.URL,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        method: str | None = None,
    ) -> Iterator[httpx.Response]:
        """The answer to a GET, with a `body` to a POST, or to another `method`: a success, or 304 where `headers` ask for
        that.

        Redirects are followed on the same host, a log-in that has run out is renewed once. Raises SourceUnavailable for
        what may pass, SourceRefused for a no.
        """
        headers, renewed = dict(headers or {}), False
        for _ in range(_REDIRECTS):
            with self._one(url, headers, body, method) as answer:
                if answer.status_code == httpx.codes.UNAUTHORIZED and not renewed and self._login.renew(answer.request):
                    renewed = True
                    continue
                if not answer.has_redirect_location:
                    if not (answer.is_success or ("If-None-Match" in headers and answer.status_code == 304)):
                        raise self._refusal(answer)
                    yield answer
                    return
                if body is not None and answer.status_code not in (307, 308):
                    raise self._refusal(answer)
                url = self.on_same_host(answer.headers["Location"], answer.url, "a redirect")
        raise SourceRefused(
            f"more than {_REDIRECTS} redirects", where=self.where, hint="check 'uri' in 'source', or ask the department"
        )

    def on_same_host(self, link: str, seen_at: httpx.URL, what: str) -> httpx.URL:
        """The address of a link found at `seen_at`. Raises SourceRefused when it leads to another host, or out of TLS."""
        try:
            url = seen_at.join(link).copy_with(userinfo=b"", fragment=None)
        except (httpx.InvalidURL, TypeError) as error:
            raise SourceRefused(f"{what} is not an address", where=self.where, hint="ask the department") from error
        home = self._home
        same = (url.scheme, url.port) == (home.scheme, home.port) or (home.scheme, url.scheme) == ("http", "https")
        if url.host != home.host or not same:
            raise SourceRefused(
                f"{what} leads to another host ({url.scheme}://{url.netloc.decode()})",
                where=self.where,
                hint="ask the department; if it is right, change 'uri' and the connection",
            )
        return url

    def body(self, answer: httpx.Response) -> Iterator[bytes]:
        """The body as it comes, unpacked where it was packed for the way (gzip), in pieces of 1 MB at most."""
        coding = answer.headers.get("Content-Encoding", "identity").lower()
        if coding not in ("identity", "gzip", "x-gzip"):
            raise SourceRefused(
                f"packed as '{coding[:40]}', which wasn't asked for", where=self.where, hint="ask for gzip"
            )
        pieces = self._in_time(answer)
        return pieces if coding == "identity" else self._unpacked(pieces)

    def _in_time(self, answer: httpx.Response) -> Iterator[bytes]:
        for piece in answer.iter_raw(_PIECE):
            self.check_time()
            yield piece

    def _unpacked(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        unpack = zlib.decompressobj(31)
        try:
            for piece in pieces:
                while piece:
                    if unpack.eof:
                        unpack = zlib.decompressobj(31)  # another member
                    yield unpack.decompress(piece, _PIECE)
                    self.check_time()
                    piece = unpack.unused_data or unpack.unconsumed_tail
        except zlib.error as error:
            raise self.unavailable("the answer is said to be gzip and isn't") from error
        if not unpack.eof:
            raise self.unavailable("the answer broke off")

    @contextmanager
    def _one(
        self, url: str | httpx.URL, headers: dict[str, str], body: bytes | None, method: str | None
    ) -> Iterator[httpx.Response]:
        self.check_time()
        time.sleep(max(0.0, self._next_at - time.monotonic()))
        self._next_at = time.monotonic() + self._pause
        method = method or ("GET" if body is None else "POST")
        asked = self._client.build_request(method, url, headers=headers, content=body)
        asked.extensions = self._extensions()
        try:
            self._login.sign(asked, self._form)
            with closing(self._client.send(asked, stream=True)) as answer:
                yield answer
        except NoToken as error:
            hint = "check 'token=' in the connection, or ask the department what changed"
            raise SourceRefused(str(error), where=self.where, hint=hint) from None  # the cause may show the answer
        except httpx.ConnectError as error:
            if "CERTIFICATE_VERIFY_FAILED" in str(error):
                hint = "ask the department; an authority of its own is named by SSL_CERT_FILE"
                raise SourceRefused("nobody vouches for its certificate", where=self.where, hint=hint) from error
            raise self.unavailable("no connection") from error
        except httpx.TimeoutException as error:
            raise self.unavailable("no answer in time") from error
        except (httpx.TransportError, httpx.DecodingError) as error:
            raise self.unavailable("the answer broke off") from error

    def _extensions(self) -> dict[str, Any]:
        left = max(0.01, self.left_s)
        timeout = httpx.Timeout(min(_TIMEOUT_S, left), connect=min(_CONNECT_S, left))
        return {"timeout": timeout.as_dict(), "trace": self._note_stream}

    def _form(self, url: str, fields: Mapping[str, str], headers: Mapping[str, str]) -> bytes:
        """What a log-in's own address answers to a form."""
        asked = self._client.build_request("POST", self._home.join(url), data=dict(fields), headers=headers)
        asked.extensions = self._extensions()
        with closing(self._client.send(asked, stream=True)) as answer:
            if not answer.is_success:
                raise self._refusal(answer, "log-in: ")
            given = b""
            for piece in self.body(answer):
                given += piece
                if len(given) > _PIECE:
                    raise SourceRefused("the log-in's answer has no end", where=self.where, hint="ask the department")
            return given

    def _note_stream(self, event: str, facts: Mapping[str, Any]) -> None:
        if event.endswith(("connect_tcp.complete", "start_tls.complete")):
            self._stream = facts["return_value"]

    def _cut(self) -> None:
        """Ends the connection when time is up: time-outs bound a single read only, and a source may drip for ever."""
        with suppress(OSError):
            if self._stream:
                socket.socket.shutdown(self._stream.get_extra_info("socket"), socket.SHUT_RDWR)

    def _refusal(self, answer: httpx.Response, prefix: str = "") -> SourceUnavailable | SourceRefused:
        code = answer.status_code
        what = f"{prefix}HTTP {code} {httpx.codes.get_reason_phrase(code)}".strip()
        if code in _BUSY or code >= 500:
            busy = Busy(what, where=self.where, hint=_AGAIN)
            busy.wait_s = _asked_wait(answer)
            if busy.wait_s > LONGEST_WAIT_S:
                busy.hint = f"it wants to be asked again in {busy.wait_s:.0f} s: left to a later run"
            return busy
        refusal = Refusal(what, where=self.where, hint=_HINTS.get(code, "ask the department what the source expects"))
        refusal.code = code
        return refusal


@cache
def _trusted(file: str | None, folder: str | None) -> ssl.SSLContext:
    """The authorities that the environment names, else those of certifi. Reading them takes as long as asking for a page."""
    try:
        return httpx.create_ssl_context()
    except OSError as error:
        raise EnvironmentFault(
            f"the authorities of TLS can't be read: {error.strerror or error}",
            where=str(file or folder),
            hint="mend SSL_CERT_FILE or SSL_CERT_DIR",
        ) from error


def _wait(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    return max(BACK_OFF(state), error.wait_s if isinstance(error, Busy) else 0.0)


def _asked_wait(answer: httpx.Response) -> float:
    """Seconds from a `Retry-After` header, which holds seconds or a date."""
    asked = answer.headers.get("Retry-After", "0")
    with suppress(ValueError):
        return float(asked)
    with suppress(TypeError, ValueError):
        return (parsedate_to_datetime(asked) - datetime.now(UTC)).total_seconds()
    return 0.0
