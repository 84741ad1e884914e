"""The typed records of a contract's `source` for an HTTP API: how it is asked, page after page, and what it answers."""

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, Literal, Self
from urllib.parse import parse_qsl, urlsplit
from zoneinfo import ZoneInfo

from pydantic import Field, field_validator, model_validator

from lakehouse.declared import Duration, Identifier, Record, Since
from lakehouse.instants import alternatives, resolution
from lakehouse.settings import ZONE

Scalar = str | int | float | bool

_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_HEADER_VALUE = re.compile(r"[!-~]([ -~]*[!-~])?")
"""RFC 9110, 5.1 and 5.5, in ASCII."""

_SECRET_NAME = re.compile(
    r"(^|[._-])(authorization|cookie|credentials?|secret|sign|signature|passw(or)?d|pwd|passphrase|session(_?id)?|token"
    r"|(api|app|access|auth|private|subscription)[._-]?(key|token|secret))$"
)
_PLAIN_NAME = re.compile(r"(^|[._-])(id|uuid|guid|code|hash)$")
_SECRET_VALUE = re.compile(
    r"(?i:bearer|basic) \S{6,}|eyJ[\w-]{8,}\.[\w-]+\.[\w-]*|[0-9a-fA-F]{32,}"
    r"|(?=[^\d]*\d)(?=[^a-z]*[a-z])(?=[^A-Z]*[A-Z])[A-Za-z0-9+/_=-]{24,}"
)
"""An `Authorization` value, a JWT, a long hexadecimal number, a long word of digits and both kinds of letters."""
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


class Written(Record):
    """Instants as the API wants them."""

    format: str = "iso"
    zone: str = ZONE.key

    @field_validator("format")
    @classmethod
    def _one_known_format(cls, form: str) -> str:
        if len(alternatives(form)) > 1:
            raise ValueError("one format, for this is written")
        return form

    @field_validator("zone")
    @classmethod
    def _known_zone(cls, zone: str) -> str:
        try:
            ZoneInfo(zone)
        except (KeyError, ValueError, OSError):
            raise ValueError(f"'{zone}' is not a time zone like Asia/Shanghai or UTC") from None
        return zone

    @property
    def zone_info(self) -> ZoneInfo:
        return ZoneInfo(self.zone)


class Paging(Record):
    """Pages by their number (`?<param>=1&<size_param>=<size>`), or by the number of rows to leave out (`by: offset`)."""

    by: Literal["number", "offset"] = "number"
    param: str = "page"
    start: int = 1
    size_param: str = "size"
    size: int = Field(1000, ge=1)
    ends: Literal["short", "empty"] = "short"

    @model_validator(mode="before")
    @classmethod
    def _offsets_begin_at_0(cls, given: Any) -> Any:
        if isinstance(given, dict) and given.get("by") == "offset":
            return {"param": "offset", "start": 0, "size_param": "limit"} | given
        return given


class Next(Record):
    """Each answer says how to ask for the next page, at a path of its body or in a header.

    With `param` that is a token for this parameter; without it is the next page's address. There is none after the last.
    """

    path: str | None = None
    header: str | None = None
    param: str | None = None
    more: str | None = None

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.path is None) == (self.header is None):
            raise ValueError("say 'path' or 'header': where an answer tells of the next page")
        return self


class Window(Written):
    """The business day as parameters, from its first instant to that of the next day, cut in windows of `every`."""

    from_: str = Field(alias="from")
    to: str | None = None
    every: Duration | None = None
    closed: bool = False

    @model_validator(mode="after")
    def _windows_are_told_apart(self) -> Self:
        if self.every is None:
            return self
        if self.to is None:
            raise ValueError("'every' needs 'to': else each window goes on to the end")
        if not self.every or self.every % resolution(self.format):
            raise ValueError(f"'every' is no whole number of what '{self.format}' tells apart")
        return self


class ApiSince(Since, Written):
    """As `Since`, in the parameter `param`; `start` is said as long as nothing has landed, else the parameter is left out."""

    param: str
    start: str | None = None

    def misfit(self, kind: str | None) -> str:
        """What doesn't fit a column of this type (None: nothing is sent under that name); empty when all fits."""
        if kind is None:
            return f"column: nothing is declared that is sent as '{self.column}'"
        wanted = {"integer": "a number", "timestamp": "a duration", "date": "a duration", "string": "none"}
        if kind not in wanted:
            return f"column: '{self.column}' is '{kind}'; one of {', '.join(wanted)} is wanted"
        fits = {"a number": int, "a duration": timedelta}.get(wanted[kind], ())
        if self.overlap and not isinstance(self.overlap, fits):
            return f"overlap: {wanted[kind]} is wanted, '{self.column}' is '{kind}'"
        return ""


class Ok(Record):
    """What an answer holds at a path when it is no error, whatever its status says."""

    path: str
    value: str | int | bool


class HttpSource(Record):
    """A JSON or XML API. `records` is the path to the list of rows; the log-in comes from the connection.

    With a `body` it is asked by POST, and what paging, `window` and `since` say stands in the body, not in the query.
    """

    type: Literal["http"]
    uri: str
    format: Literal["json", "xml"] = "json"
    params: dict[str, Scalar] = Field(default_factory=dict)
    headers: dict[str, str] = Field(default_factory=dict)
    body: dict[str, Any] | None = None
    records: str = ""
    ok: Ok | None = None
    total: str | None = None
    page: Paging | None = None
    next: Next | None = None
    window: Window | None = None
    since: ApiSince | None = None
    connection: Identifier | None = None
    rate_per_s: float = Field(10, gt=0)
    null: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _one_way_of_paging(self) -> Self:
        if self.page and self.next:
            raise ValueError("'page' and 'next' are two ways of paging: say one")
        return self

    @field_validator("headers")
    @classmethod
    def _can_be_headers(cls, headers: dict[str, str]) -> dict[str, str]:
        for name, value in headers.items():
            if not (_HEADER_NAME.fullmatch(name) and _HEADER_VALUE.fullmatch(value)):
                raise ValueError(f"'{name}' can't be a header: ASCII is wanted, on one line")
        return headers

    @model_validator(mode="after")
    def _holds_no_secret(self) -> Self:
        for name, value in self._said():
            if _looks_secret(name, value):
                raise ValueError(f"'{name}' looks like a credential: it belongs in the connection")
        if "@" in urlsplit(self.uri).netloc:
            raise ValueError("'uri' holds a log-in: it belongs in the connection")
        return self

    def _said(self) -> Iterator[tuple[str, str]]:
        """Every fixed value that is sent, with its name."""
        yield from parse_qsl(urlsplit(self.uri).query)
        yield from self.headers.items()
        yield from _leaves(self.params)
        yield from _leaves(self.body)


def _looks_secret(name: str, value: str) -> bool:
    snake = _HUMP.sub("_", name).lower()
    return bool(_SECRET_NAME.search(snake)) or bool(_SECRET_VALUE.fullmatch(value) and not _PLAIN_NAME.search(snake))


def _leaves(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """The texts and numbers inside mappings and lists as text, each with the dotted way to it."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inner:
        yield from _leaves(each, f"{name}.{key}" if name else str(key))
    if value and not isinstance(value, dict | list | bool):
        yield name, str(value)
