"""One question to an API: the contract's address, parameters and body, with the values of the moment in their places."""

from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any

import httpx
import msgspec

from lakehouse.api import HttpSource, Window, Written
from lakehouse.errors import ContractError
from lakehouse.instants import resolution, written
from lakehouse.settings import ZONE, connection_uri

Value = str | int
Values = Mapping[str, Value]
"""What paging, `window` and `since` say, by the parameter that takes it."""


@dataclass(frozen=True)
class Question:
    """A GET, or a POST where it has a body."""

    url: str
    body: bytes | None = None


class Asking:
    """Makes questions of one contract and day. Values are put into their places, never pasted into text."""

    def __init__(self, source: HttpSource, day: date, where: str) -> None:
        self.source, self._where = source, where
        self.address = _address(source, day)
        always = {name: _text(value) for name, value in _of_day(source.params, day).items()}
        self._url = self.address.copy_merge_params(always) if always else self.address
        self._body = _of_day(source.body, day)

    def question(self, values: Values) -> Question:
        """Raises ContractError for a parameter that is no place in the body."""
        if self._body is None:
            asked = {name: str(value) for name, value in values.items()}
            return Question(str(self._url.copy_merge_params(asked) if asked else self._url))
        return Question(str(self._url), msgspec.json.encode(self._filled(values)))

    def at(self, url: str) -> Question:
        """The question at an address that an answer gave: everything is said in it but the body."""
        return Question(url, None if self._body is None else msgspec.json.encode(self._body))

    def _filled(self, values: Values) -> dict[str, Any]:
        body = deepcopy(self._body)
        assert body is not None
        for name, value in values.items():
            inner: Any = body
            *way, last = [int(step) if step.isdecimal() else step for step in name.split(".")]
            try:
                for step in way:
                    inner = inner.setdefault(step, {}) if isinstance(inner, dict) else inner[step]
                inner[last] = value
            except (TypeError, IndexError, AttributeError) as error:
                raise ContractError(
                    f"'{name}' is no place in 'body'", where=self._where, hint="mend 'source'"
                ) from error
        return body


def _address(source: HttpSource, day: date) -> httpx.URL:
    """The URI of the day; one that begins with `/` lies on the connection's host."""
    uri = httpx.URL(source.uri.replace("{day}", day.isoformat()))
    if uri.is_absolute_url or not source.connection:
        return uri
    return httpx.URL(connection_uri(source.connection)).copy_with(userinfo=b"").join(uri)


def _of_day(value: Any, day: date) -> Any:
    """The value with `{day}` replaced in every text inside."""
    if isinstance(value, dict):
        return {name: _of_day(each, day) for name, each in value.items()}
    if isinstance(value, list):
        return [_of_day(each, day) for each in value]
    return value.replace("{day}", day.isoformat()) if isinstance(value, str) else value


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def windows(window: Window | None, day: date) -> Iterator[Values]:
    """What to say for each window of the day, in their order; once nothing where none is declared."""
    if window is None:
        yield {}
        return
    begin, end = (datetime.combine(on, time(), ZONE) for on in (day, day + timedelta(days=1)))
    within = resolution(window.format) if window.closed else timedelta(0)
    while begin < end:
        until = min(begin + (window.every or end - begin), end)
        said = {window.from_: instant(begin, window)}
        yield said | ({window.to: instant(until - within, window)} if window.to else {})
        begin = until


def instant(at: datetime, how: Written) -> Value:
    """An instant as the API wants it, a number where it is one."""
    text = written(at, how.format, how.zone_info)
    return int(text) if how.format.startswith("epoch") else text
