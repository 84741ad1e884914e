"""JSON objects as rows of text: every value as sent, nested ones as compact JSON."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec

from lakehouse.contract import Contract
from lakehouse.formats import encoding
from lakehouse.formats.reading import Reading, batched, checked, declared

Text = bytes | msgspec.Raw

# A float stays the text it is; everything else msgspec reads without loss.
_VALUES = msgspec.json.Decoder(dict[str, Any], float_hook=str)
_RAW = msgspec.json.Decoder(dict[str, msgspec.Raw])
_SIMPLE: dict[type, Callable[[Any], str]] = {int: str, bool: {True: "true", False: "false"}.__getitem__}
_REASONS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class NotAnObject(ValueError):
    """Text that isn't one whole JSON object; the message says why."""


def fields(text: Text) -> dict[str, str | None]:
    """The object's values as text, JSON null as None. Raises NotAnObject."""
    try:
        values = _VALUES.decode(text)
        for name, value in values.items():
            kind = type(value)
            if value is None or kind is str:
                continue
            values[name] = _SIMPLE[kind](value) if kind in _SIMPLE else _nested(text, name)
    except _REASONS as error:
        raise NotAnObject(f"not a JSON object: {error}") from error
    return values


def _nested(text: Text, name: str) -> str:
    return msgspec.json.format(_RAW.decode(text)[name], indent=-1).decode()


def reading(found: Callable[[], Iterable[tuple[int, Text]]], contract: Contract, where: str) -> Reading:
    """The numbered objects as a reading; `found` is called twice, for the names and for the values.

    A field an object doesn't have is null, text that isn't an object is unparsable.
    """
    result = Reading(_names((text for _, text in found()), contract, where), where, contract.limits)
    result.batches = batched(result, _rows(result, found()))
    return result


def _names(texts: Iterable[Text], contract: Contract, where: str) -> list[str]:
    """All fields: declared ones in the contract's order, then the others as first seen."""
    seen: dict[str, None] = {}
    last: tuple[str, ...] = ()
    for text in texts:
        try:
            names = tuple(_VALUES.decode(text))
        except _REASONS:
            continue  # rejected when its values are read
        if names != last:
            seen.update(dict.fromkeys(names))
            checked(list(seen), contract, where)
            last = names
    expected = [name for name in declared(contract) if name in seen]
    return [*expected, *(name for name in seen if name not in expected)]


def _rows(result: Reading, found: Iterable[tuple[int, Text]]) -> Iterator[tuple[int, tuple[str | None, ...] | None]]:
    for row, text in found:
        try:
            values = fields(text)
        except NotAnObject as error:
            result.reject(row, str(error), encoding.readable(bytes(text).rstrip()))
            yield row, None
        else:
            yield row, tuple(map(values.get, result.names))
