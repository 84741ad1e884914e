"""How a source is told who asks, by the URI of its connection; nothing here shows a secret in `repr` or in errors.

| connection | what is sent |
|---|---|
| `https://:TOKEN@host` | `Authorization: Bearer TOKEN` |
| `https://USER:PASSWORD@host` | `Authorization: Basic ...` |
| `https://:KEY@host/?login=key&header=X-Api-Key` (or `&param=apikey`) | the key in that header or query parameter |
| `https://ID:SECRET@host/?login=oauth2&token=/oauth/token&scope=read` | a token of OAuth 2.0 client credentials (RFC 6749, 4.4) |
| `https://ID:SECRET@host/?login=hmac` | a signature of each request, see `Signed` |
"""

import base64
import hashlib
import hmac
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import format_datetime
from functools import cache
from threading import Lock
from typing import Annotated
from urllib.parse import parse_qsl, unquote, urlsplit

import httpx
import msgspec

from lakehouse.errors import EnvironmentFault
from lakehouse.settings import connection_uri

Form = Callable[[str, Mapping[str, str], Mapping[str, str]], bytes]
"""Posts fields, with headers, to an address and gives the answer's body."""

_EARLIER_S = 30
"""A token counts as run out this much before it is (or a tenth of its life, if that is less): requests take a while."""

_DATES: Mapping[str, Callable[[datetime], str]] = {
    "iso": lambda at: at.strftime("%Y-%m-%dT%H:%M:%SZ"),
    "http": lambda at: format_datetime(at, usegmt=True),
    "epoch_s": lambda at: str(int(at.timestamp())),
    "epoch_ms": lambda at: str(int(at.timestamp() * 1000)),
}
_DIGESTS: Mapping[str, Callable[[bytes], str]] = {
    "hex": bytes.hex,
    "base64": lambda raw: base64.b64encode(raw).decode(),
}


class _Token(msgspec.Struct):
    """What RFC 6749, 5.1 says is given. One that doesn't say how long it lives is used until it is refused."""

    access_token: Annotated[str, msgspec.Meta(min_length=1)]
    expires_in: float = float("inf")


_TOKEN = msgspec.json.Decoder(_Token, strict=False)  # not strict: many send the seconds as text


class NoToken(ValueError):
    """What a log-in's own address answers isn't what it should be."""


class Login:
    """Nobody in particular asks."""

    def sign(self, request: httpx.Request, post: Form) -> None:
        """Puts into the request who asks; `post` reaches a log-in's own address."""

    def renew(self, refused: httpx.Request) -> bool:
        """Whether a request that was refused with 401 may pass with a new log-in, which the next `sign` gets."""
        return False


class Header(Login):
    """A header with the secret: basic, bearer, or an API key."""

    def __init__(self, name: str, value: str) -> None:
        self._name, self._value = name, value

    def sign(self, request: httpx.Request, post: Form) -> None:
        request.headers[self._name] = self._value


class Parameter(Login):
    """A query parameter with an API key. It is in no address that is kept or told: it is added to the request alone."""

    def __init__(self, name: str, value: str) -> None:
        self._name, self._value = name, value

    def sign(self, request: httpx.Request, post: Form) -> None:
        request.url = request.url.copy_set_param(self._name, self._value)


class OAuth2(Login):
    """A bearer token of client credentials, fetched when it is needed, and again shortly before it runs out.

    `token` is the address that gives it; `send` says where id and secret go: in the `header` (basic) or in the `body`.
    All who ask by one connection share the token: many servers take only the last they gave.
    """

    def __init__(self, user: str, secret: str, *, token: str, scope: str = "", send: str = "header") -> None:
        self._address, self._scope = token, scope
        self._headers = {"Authorization": _basic(user, secret)} if send == "header" else {}
        self._fields = {} if send == "header" else {"client_id": user, "client_secret": secret}
        self._bearer, self._until = "", 0.0
        self._one_at_a_time = Lock()

    def sign(self, request: httpx.Request, post: Form) -> None:
        with self._one_at_a_time:
            if not self._bearer or time.monotonic() >= self._until:
                self._fetch(post)
            request.headers["Authorization"] = self._bearer

    def renew(self, refused: httpx.Request) -> bool:
        with self._one_at_a_time:
            if refused.headers["Authorization"] == self._bearer:
                self._bearer = ""
        return True

    def _fetch(self, post: Form) -> None:
        asked = {"grant_type": "client_credentials"} | ({"scope": self._scope} if self._scope else {})
        began = time.monotonic()
        try:
            given = _TOKEN.decode(post(self._address, asked | self._fields, self._headers))
        except msgspec.DecodeError:
            raise NoToken("the log-in's answer is no token") from None
        life_s = given.expires_in
        self._bearer, self._until = f"Bearer {given.access_token}", began + life_s - min(_EARLIER_S, life_s / 10)


class Signed(Login):
    """HMAC-SHA256 of each request with the connection's password as key. What is signed are five lines, joined by `\\n`:

    1. the method: `GET` or `POST`
    2. the path as sent, percent-encoded, without the query
    3. the query as sent, without `?`: its parts between `&` in the order of their bytes (`query=sorted`) or as sent
       (`query=sent`); an empty line without one
    4. the date, as in its header: `date=iso` (2026-11-21T08:30:00Z), `http` (RFC 9110), `epoch_s` or `epoch_ms`
    5. the SHA-256 of the body in lower-case hexadecimal digits, that of nothing for a GET

    The headers named `key_header`, `date_header` and `signature_header` hold the connection's user, the date and the
    signature, in hexadecimal digits or, with `digest=base64`, in Base64.
    """

    def __init__(
        self,
        user: str,
        secret: str,
        *,
        key_header: str = "X-Key",
        date_header: str = "X-Date",
        signature_header: str = "X-Signature",
        query: str = "sorted",
        date: str = "iso",
        digest: str = "hex",
    ) -> None:
        self._user, self._secret = user, secret.encode()
        self._headers = key_header, date_header, signature_header
        self._sorted, self._date, self._digest = query == "sorted", _DATES[date], _DIGESTS[digest]

    def sign(self, request: httpx.Request, post: Form) -> None:
        path, _, query = request.url.raw_path.decode().partition("?")
        query = "&".join(sorted(query.split("&"), key=str.encode)) if self._sorted else query
        at = self._date(datetime.now(UTC))
        body = hashlib.sha256(request.content).hexdigest()
        text = "\n".join((request.method, path, query, at, body))
        signature = self._digest(hmac.digest(self._secret, text.encode(), "sha256"))
        request.headers.update(dict(zip(self._headers, (self._user, at, signature), strict=True)))


_WORDS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "": {},
    "key": {"header": (), "param": ()},
    "oauth2": {"token": (), "scope": (), "send": ("header", "body")},
    "hmac": {
        "key_header": (), "date_header": (), "signature_header": (),
        "query": ("sorted", "sent"), "date": tuple(_DATES), "digest": tuple(_DIGESTS),
    },
}  # fmt: skip
"""What may stand in the query of a connection's URI, by its `login`, and the values of what is a choice."""


def login(connection: str) -> Login:
    """The log-in of a named connection. Raises EnvironmentFault when it isn't set or says what can't be."""
    uri = urlsplit(connection_uri(connection))
    user, secret = unquote(uri.username or ""), unquote(uri.password or "")
    said = dict(parse_qsl(uri.query, keep_blank_values=True))
    kind = said.pop("login", "")
    _check(connection, kind, said)
    match kind:
        case "key":
            return Header(said["header"], secret) if "header" in said else Parameter(said["param"], secret)
        case "oauth2":
            return _shared(user, secret, uri.netloc.rpartition("@")[2], **said)
        case "hmac":
            return Signed(user, secret, **said)
    if user:
        return Header("Authorization", _basic(user, secret))
    return Header("Authorization", f"Bearer {secret}") if secret else Login()


@cache
def _shared(user: str, secret: str, host: str, token: str, scope: str = "", send: str = "header") -> OAuth2:
    return OAuth2(user, secret, token=token, scope=scope, send=send)


def _check(connection: str, kind: str, said: Mapping[str, str]) -> None:
    """Refuses what a connection can't say, by the names of its words: what they hold may be secret."""
    fault = ""
    if kind not in _WORDS:
        fault = f"its 'login' is none of {', '.join(filter(None, _WORDS))}"
    elif unknown := [name for name in said if name not in _WORDS[kind]]:
        known = ", ".join(_WORDS[kind]) or "login"
        fault = f"'{unknown[0]}' means nothing in it (known: {known})"
    elif wrong := [name for name, value in said.items() if (among := _WORDS[kind][name]) and value not in among]:
        fault = f"its '{wrong[0]}' is none of {', '.join(_WORDS[kind][wrong[0]])}"
    elif kind == "key" and len(said) != 1:
        fault = "login=key needs the name of one 'header' or 'param'"
    elif kind == "oauth2" and not said.get("token"):
        fault = "login=oauth2 needs 'token', the address that gives tokens"
    if fault:
        raise EnvironmentFault(
            f"connection '{connection}': {fault}", hint="see docs/onboarding.md, connections of APIs"
        )


def _basic(user: str, secret: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{secret}".encode()).decode()
