"""Where checks are entered, each with its quality dimension and its indicator in GB/T 36344-2018."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["column", "row", "table", "point", "positions", "reference", "change", "gx"]
Dimension = Literal["norm", "complete", "accurate", "consistent", "timely", "accessible"]


@dataclass(frozen=True)
class Check:
    """One word of the vocabulary.

    `kind` says what `function` takes: a column's value; the typed rows; the slice (`Slice`); the placed points; what the
    slice's positions together seem to be in, and what is declared; the joined rows; a change's operation and the one before;
    nothing where Great Expectations runs it.
    """

    name: str
    kind: Kind
    dimension: Dimension
    indicator: str
    function: Callable[..., Any]


REGISTRY: dict[str, Check] = {}


def check(
    kind: Kind, dimension: Dimension, indicator: str, name: str = ""
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Enter the decorated function under `name` (default its own, without a trailing underscore)."""

    def enter(function: Callable[..., Any]) -> Callable[..., Any]:
        word = name or function.__name__.rstrip("_")
        REGISTRY[word] = Check(word, kind, dimension, indicator, function)
        return function

    return enter
