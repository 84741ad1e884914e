"""JSON objects as rows of text: every value as sent, nested ones as compact JSON."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import msgspec

from lakehouse.contract import Contract
from lakehouse.formats import encoding
from lakehouse.formats.reading import Reading, batched, checked, declared

Text = bytes | msgspec.Raw

# A float stays the text it is; everything else msgspec reads without loss.
_VALUES = msgspec.json.Decoder(dict[str, Any], float_hook=str)
_RAW = msgspec.json.Decoder(dict[str, msgspec.Raw])
_SIMPLE: dict[type, Callable[[Any], str]] = {int: str, bool: {True: "true", False: "false"}.__getitem__}
REASONS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class Fault(NamedTuple):
    """A record that can't be read: why, and its text."""

    reason: str
    text: Text


class _Twice(ValueError):
    """Two values of one name; the message says which."""


def _fields(text: Text, prefix: str, opened: frozenset[str]) -> dict[str, str | None]:
    """The object's values as text, JSON null as None; an object inside called as one of `opened` is `name.field`, each of
    its fields."""
    values = _VALUES.decode(text)
    inner: dict[str, str | None] = {}
    for name, value in values.items():
        kind = type(value)
        if value is None or kind is str:
            continue
        if kind in _SIMPLE:
            values[name] = _SIMPLE[kind](value)
            continue
        nested = _RAW.decode(text)[name]
        if kind is dict and prefix + name in opened:
            inner |= _fields(nested, f"{prefix}{name}.", opened)
        else:
            values[name] = msgspec.json.format(nested, indent=-1).decode()
    if not opened:
        return values
    plain = {
        prefix + name: value for name, value in values.items() if prefix + name not in opened or type(value) is str
    }
    if twice := plain.keys() & inner.keys():
        raise _Twice(f"it has two values called '{min(twice)}'")
    return plain | inner


def reading(found: Callable[[], Iterable[tuple[int, Text | Fault]]], contract: Contract, where: str) -> Reading:
    """The numbered objects as a reading; `found` is called twice, for the names and for the values.

    A field an object doesn't have is null, text that isn't an object is unparsable. Where a column is declared `from:
    outer.field`, every field of the object `outer` is a column so called. No records at all have the declared columns.
    """
    opened = _opened(contract)
    result = Reading(_names((text for _, text in found()), opened, contract, where), where, contract.limits)
    result.batches = batched(result, _rows(result, found(), opened))
    return result


def _opened(contract: Contract) -> frozenset[str]:
    """The objects inside of which fields are declared: `a` and `a.b` of `a.b.c`."""
    paths = [name.split(".") for name in declared(contract)]
    return frozenset(".".join(path[:length]) for path in paths for length in range(1, len(path)))


def _names(texts: Iterable[Text | Fault], opened: frozenset[str], contract: Contract, where: str) -> list[str]:
    """All fields: declared ones in the contract's order, then the others as first seen."""
    seen: dict[str, None] = {}
    last: tuple[str, ...] = ()
    text = None
    for text in texts:
        if isinstance(text, Fault):
            continue
        try:
            names = tuple(_fields(text, "", opened) if opened else _VALUES.decode(text))
        except (_Twice, *REASONS):
            continue  # rejected when its values are read
        if names != last and not seen.keys() >= set(names):
            seen.update(dict.fromkeys(names))
            checked(list(seen), contract, where)
        last = names
    if text is None:
        return declared(contract)
    expected = [name for name in declared(contract) if name in seen]
    return [*expected, *(name for name in seen if name not in expected)]


def _rows(
    result: Reading, found: Iterable[tuple[int, Text | Fault]], opened: frozenset[str]
) -> Iterator[tuple[int, tuple[str | None, ...] | None]]:
    for row, text in found:
        taken = text if isinstance(text, Fault) else _taken(text, opened)
        if isinstance(taken, Fault):
            result.reject(row, taken.reason, encoding.readable(bytes(taken.text).rstrip()))
            yield row, None
        else:
            yield row, tuple(map(taken.get, result.names))


def _taken(text: Text, opened: frozenset[str]) -> dict[str, str | None] | Fault:
    try:
        return _fields(text, "", opened)
    except _Twice as error:
        return Fault(str(error), text)
    except REASONS as error:
        return Fault(f"not a JSON object: {error}", text)
