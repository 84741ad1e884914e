"""Who asks: every log-in against a server that checks it, and nowhere a secret."""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import partial
from pathlib import Path
from urllib.parse import parse_qs

import pytest
from tenacity import wait_none

from lakehouse.errors import CitylakeError, EnvironmentFault, SourceRefused, SourceUnavailable
from lakehouse.sources import Received, patience
from tests.lakehouse.sources.loopback import Reply, Request, Server

Fetched = Callable[..., list[Received]]
SECRET = "s3cr3t/+ t:ken"
IN_URI = "s3cr3t%2F%2B%20t%3Aken"
PAGES = 3


def page(request: Request) -> Reply:
    number = int(request.query["page"])
    return Reply(json.dumps([{"id": number}] if number < PAGES else []).encode(), headers={"ETag": f'"{number}"'})


@pytest.fixture
def fetched(fetched: Fetched, server: Server, monkeypatch: pytest.MonkeyPatch) -> Fetched:
    monkeypatch.setattr(patience, "BACK_OFF", wait_none())
    source = {"type": "http", "uri": "/v1/rows", "connection": "unit", "page": {"size": 1}, "rate_per_s": 10_000}
    server.answer = page
    return partial(fetched, **source)


@pytest.fixture
def connect(server: Server, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Sets the connection: user and the words of its query."""

    def call(query: str = "", user: str = "", secret: str = IN_URI) -> None:
        host = server.url.removeprefix("http://")
        monkeypatch.setenv("CITYLAKE_CONN_UNIT", f"http://{user}:{secret}@{host}/{query and '?' + query}")

    return call


Connect = Callable[..., None]


def test_an_api_key_in_a_header(fetched: Fetched, server: Server, connect: Connect):
    connect("login=key&header=X-Api-Key")
    assert fetched()[0].bytes
    assert {request.headers["x-api-key"] for request in server.asked} == {SECRET}
    assert not any("authorization" in request.headers for request in server.asked)


def test_an_api_key_as_parameter_is_in_no_address_that_is_kept(fetched: Fetched, server: Server, connect: Connect):
    connect("login=key&param=apikey")
    (got,) = fetched()
    assert {request.query["apikey"] for request in server.asked} == {SECRET}
    assert len(got.etags) == PAGES
    assert not any("apikey" in url for url in got.etags)


# --- OAuth 2.0 client credentials ---


class Tokens:
    """A server that gives tokens and knows which of them are good. The first lives `first_s` seconds."""

    def __init__(self, server: Server) -> None:
        self.given: list[str] = []
        self.good: set[str] = set()
        self.life_s: object = 3600
        self.forms: list[Request] = []
        self.uses = 10**6
        server.answer = self

    def __call__(self, request: Request) -> Reply:
        if request.path == "/oauth/token":
            self.forms.append(request)
            self.given.append(f"t0k-{len(self.given)}")
            self.good = {self.given[-1]}
            self.left = self.uses
            return Reply(json.dumps({"access_token": self.given[-1], "expires_in": self.life_s}).encode())
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        if token not in self.good or not self.left:
            return Reply(status=401)
        self.left -= 1
        return page(request)


@pytest.fixture
def tokens(server: Server, fetched: Fetched) -> Tokens:
    return Tokens(server)


def test_a_token_is_fetched_once_and_used_for_every_page(tokens: Tokens, fetched: Fetched, connect: Connect):
    connect("login=oauth2&token=/oauth/token&scope=read%20list", user="unit%201")
    fetched()
    (form,) = tokens.forms
    assert form.method == "POST"
    assert parse_qs(form.body.decode()) == {"grant_type": ["client_credentials"], "scope": ["read list"]}
    user, _, secret = base64.b64decode(form.headers["authorization"].removeprefix("Basic ")).decode().partition(":")
    assert (user, secret) == ("unit 1", SECRET)


def test_all_who_ask_by_a_connection_share_its_token(tokens: Tokens, fetched: Fetched, connect: Connect):
    connect("login=oauth2&token=/oauth/token", user="unit")
    with ThreadPoolExecutor() as pool:  # a server that takes only the last token it gave
        for done in [pool.submit(fetched) for _ in range(4)]:
            done.result()
    assert len(tokens.given) == 1


def test_id_and_secret_may_go_in_the_form(tokens: Tokens, fetched: Fetched, server: Server, connect: Connect):
    connect(f"login=oauth2&token={server.url}/oauth/token&send=body", user="unit")
    fetched()
    (form,) = tokens.forms
    assert "authorization" not in form.headers
    assert parse_qs(form.body.decode()) == {
        "grant_type": ["client_credentials"],
        "client_id": ["unit"],
        "client_secret": [SECRET],
    }


def test_a_token_that_runs_out_between_pages_is_fetched_anew(
    tokens: Tokens, fetched: Fetched, connect: Connect, monkeypatch: pytest.MonkeyPatch
):
    connect("login=oauth2&token=/oauth/token", user="unit")
    tokens.life_s = "100"
    moments = iter(range(0, 100_000, 20))  # every look at the clock is 20 s later
    monkeypatch.setattr("lakehouse.sources.login.time.monotonic", lambda: float(next(moments)))
    fetched(limits={"seconds": 100_000})
    assert 2 <= len(tokens.given) <= PAGES


def test_a_token_that_is_refused_before_its_time_is_renewed_once(tokens: Tokens, fetched: Fetched, connect: Connect):
    connect("login=oauth2&token=/oauth/token", user="unit")
    tokens.uses = 1
    assert len(fetched()[0].etags) == PAGES
    assert len(tokens.given) == PAGES
    tokens.uses = 0
    with pytest.raises(SourceRefused, match="HTTP 401 Unauthorized; renew"):
        fetched()
    assert len(tokens.given) == PAGES + 1


@pytest.mark.parametrize(
    ("reply", "kind", "fault"),
    [
        (Reply(b'{"error": "invalid_client"}', 401), SourceRefused, "log-in: HTTP 401 .*renew"),
        (Reply(status=400), SourceRefused, "log-in: HTTP 400"),
        (Reply(status=503), SourceUnavailable, "log-in: HTTP 503"),
        (Reply(b"<html>"), SourceRefused, "the log-in's answer is no token"),
        (Reply(b"[1]"), SourceRefused, "the log-in's answer is no token"),
        (Reply(b'{"access_token": null}'), SourceRefused, "the log-in's answer is no token"),
        (Reply(b'{"access_token": "s3cr3t", "expires_in": {}}'), SourceRefused, "the log-in's answer is no token"),
        (Reply(b"x" * (2 << 20)), SourceRefused, "the log-in's answer has no end"),
        (Reply(status=302, headers={"Location": "http://elsewhere.example/"}), SourceRefused, "log-in: HTTP 302"),
    ],
)
def test_log_ins_that_fail(
    fetched: Fetched, server: Server, connect: Connect, reply: Reply, kind: type[CitylakeError], fault: str
):
    connect("login=oauth2&token=/oauth/token", user="unit")
    server.answer = lambda request: reply
    with pytest.raises(kind, match=fault) as caught:
        fetched()
    assert caught.value.where == f"d.t {server.url}/v1/rows"
    assert {request.path for request in server.asked} == {"/oauth/token"}


# --- HMAC-SHA256, checked as docs/onboarding.md says it ---


def text_to_sign(request: Request, *, stamp: str, query: str) -> str:
    path, _, sent = request.target.partition("?")
    parts = sent.split("&") if query == "sent" else sorted(sent.split("&"))
    hashed = hashlib.new("sha256", request.body).hexdigest()
    return f"{request.method}\n{path}\n{'&'.join(parts)}\n{request.headers[stamp]}\n{hashed}"


def signed(request: Request, *, key: str, stamp: str, signature: str, query: str, digest: str) -> bool:
    """Whether the signature in the named header is the one of the documented text."""
    raw = hmac.new(SECRET.encode(), text_to_sign(request, stamp=stamp, query=query).encode(), "sha256").digest()
    wanted = raw.hex() if digest == "hex" else base64.b64encode(raw).decode()
    return request.headers[key] == "unit" and hmac.compare_digest(request.headers[signature], wanted)


def test_the_documentation_shows_the_text_to_sign():
    said = (
        (Path(__file__).parents[4] / "docs" / "onboarding.md").read_text("utf-8").partition("the text is\n\n```\n")[2]
    )
    request = Request("GET", "/v1/rows?page=1&day=2026-03-01", {"x-date": "2026-03-01T00:30:00Z"}, b"")
    assert said.partition("\n```")[0] == text_to_sign(request, stamp="x-date", query="sorted")


def since_epoch(text: str, unit_s: float) -> datetime:
    return datetime.fromtimestamp(int(text) * unit_s, UTC)


DATES: dict[str, Callable[[str], datetime]] = {
    "iso": lambda text: datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC),
    "http": parsedate_to_datetime,
    "epoch_s": partial(since_epoch, unit_s=1),
    "epoch_ms": partial(since_epoch, unit_s=0.001),
}


@pytest.mark.parametrize(
    "words",
    [
        {},
        {"key_header": "X-Ca-Key", "date_header": "Date", "signature_header": "X-Ca-Signature", "date": "http"},
        {"query": "sent", "date": "epoch_ms", "digest": "base64"},
        {"date": "epoch_s"},
    ],
)
@pytest.mark.parametrize("body", [None, {"名": '南"'}])
def test_every_request_is_signed(
    fetched: Fetched, server: Server, connect: Connect, words: dict[str, str], body: dict[str, str] | None
):
    told = {"query": "sorted", "date": "iso", "digest": "hex", "key_header": "x-key", "date_header": "x-date"}
    told |= {"signature_header": "x-signature"} | words
    connect("&".join(["login=hmac", *(f"{name}={value}" for name, value in words.items())]), user="unit")
    failing = iter([503])

    def answer(request: Request) -> Reply:
        names = {name: told[f"{header}_header"].lower() for name, header in NAMES.items()}
        assert signed(request, **names, query=told["query"], digest=told["digest"])
        at = DATES[told["date"]](request.headers[names["stamp"]])
        assert abs(datetime.now(UTC) - at) < timedelta(seconds=60)
        if len(server.asked) == 1:
            return Reply(status=307, headers={"Location": "/v2/rows?page=1&size=1&%E5%8D%97=a%26b"})
        if status := next(failing, None):
            return Reply(status=status)
        return Reply(b"[]")

    answered: list[Reply] = []
    server.answer = lambda request: answered.append(answer(request)) or answered[-1]
    fetched(params={"z": "a b&c", "a": "南"}, body=body)
    assert len(answered) == 3  # redirected, too busy at the other address, asked again


NAMES = {"key": "key", "stamp": "date", "signature": "signature"}


# --- what can't be ---


@pytest.mark.parametrize(
    ("query", "fault"),
    [
        ("login=kerberos", "its 'login' is none of key, oauth2, hmac"),
        ("login=key", "needs the name of one 'header' or 'param'"),
        ("login=key&header=A&param=b", "needs the name of one 'header' or 'param'"),
        ("login=oauth2", "needs 'token'"),
        ("login=oauth2&token=/t&send=smoke", "its 'send' is none of header, body"),
        ("login=hmac&date=never", "its 'date' is none of iso, http, epoch_s, epoch_ms"),
        ("header=X-Api-Key", "'header' means nothing in it"),
    ],
)
def test_connections_that_say_what_cannot_be(fetched: Fetched, connect: Connect, query: str, fault: str):
    connect(query)
    with pytest.raises(EnvironmentFault, match=f"connection 'unit': .*{fault}") as caught:
        fetched()
    assert "s3cr3t" not in str(caught.value)


@pytest.mark.parametrize(
    "query",
    ["", "login=key&header=X-Api-Key", "login=key&param=apikey", "login=oauth2&token=/oauth/token", "login=hmac"],
)
@pytest.mark.parametrize("fault", ["none", "status", "cut", "redirect", "gzip", "limit"])
def test_no_secret_is_told_or_kept(
    fetched: Fetched,
    server: Server,
    connect: Connect,
    caplog: pytest.LogCaptureFixture,
    query: str,
    fault: str,
):
    connect(query, user="unit")
    kept = Tokens(server)
    faults = {
        "status": Reply(status=403),
        "cut": Reply(b"[", headers={"Content-Length": "9"}),
        "redirect": Reply(status=302, headers={"Location": "http://elsewhere.example/"}),
        "gzip": Reply(b"[]", headers={"Content-Encoding": "gzip"}),
        "limit": Reply(b"[" + b" " * 2000 + b"]"),
    }
    server.answer = lambda request: (
        kept(request) if request.path == "/oauth/token" else faults.get(fault) or page(request)
    )
    with caplog.at_level("DEBUG"):
        try:
            (got,) = fetched(limits={"bytes": 1000})
            told = repr(got) + "".join(path.read_text() for path in got.path.iterdir())
        except CitylakeError as error:
            told = "".join(f"{each!r} {each}" for each in (error, error.__cause__, error.__context__))
    assert fault == "none" or "Refus" in told or "Unavailable" in told or "Unreadable" in told
    for secret in ("s3cr3t", IN_URI, "t0k-", base64.b64encode(f"unit:{SECRET}".encode()).decode()):
        assert secret not in told + caplog.text
