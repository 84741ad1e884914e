"""What the colours of a map mean: a class for every value, and the legend."""

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa

_CATEGORIES, _STEPS = 8, 6
_OTHER, _NONE = "other", "none"


@dataclass(frozen=True)
class Key:
    """`classes` has the style class of each value's colour; `entries` the legend: class, label, how many values."""

    title: str
    classes: list[str]
    entries: list[tuple[str, str, int]]


def key_of(values: pa.Array, title: str) -> Key:
    """Colours for values. Numbers and instants are put into classes of about equally many, everything else is a category
    of its own, the commonest first; those beyond the eighth share a colour, and nulls have one."""
    if is_number(values.type):
        return _steps(values.cast(pa.float64()).to_numpy(zero_copy_only=False), title, "number")
    if pa.types.is_timestamp(values.type):
        instants = values.cast(pa.timestamp("us")).cast(pa.int64()).cast(pa.float64())
        return _steps(instants.to_numpy(zero_copy_only=False), title, "instant")
    return _categories([None if value is None else str(value) for value in values.to_pylist()], title)


def is_number(kind: pa.DataType) -> bool:
    return pa.types.is_decimal(kind) or pa.types.is_floating(kind) or pa.types.is_integer(kind)


def _categories(texts: list[str | None], title: str) -> Key:
    counts = Counter(text for text in texts if text is not None)
    listed = sorted(counts, key=lambda text: (-counts[text], text))
    named = listed if len(listed) <= _CATEGORIES else listed[: _CATEGORIES - 1]
    of: dict[str | None, str] = {text: f"c{place}" for place, text in enumerate(named)} | {None: _NONE}
    return _key(title, [of.get(text, _OTHER) for text in texts], {of[text]: text for text in named})


def _steps(values: np.ndarray, title: str, kind: str) -> Key:
    known = np.sort(values[np.isfinite(values)])
    distinct = np.unique(known)
    if len(distinct) <= _STEPS:
        tops, labels = distinct, [_label(value, kind) for value in distinct]
    else:
        edges = known[np.linspace(0, len(known) - 1, _STEPS + 1).round().astype(int)]
        tops = np.unique(edges[1:])
        bottoms = [known[0], *(known[np.searchsorted(known, top, side="right")] for top in tops[:-1])]
        labels = [
            _label(low, kind) if low == high else f"{_label(low, kind)} – {_label(high, kind)}"
            for low, high in zip(bottoms, tops, strict=True)
        ]
    places = np.searchsorted(tops, values)
    shades = np.linspace(0, _STEPS - 1, max(len(tops), 2)).round().astype(int)
    classes = [
        f"s{shades[place]}" if np.isfinite(value) else _NONE for place, value in zip(places, values, strict=True)
    ]
    return _key(title, classes, {f"s{shade}": label for shade, label in zip(shades, labels, strict=False)})


def _key(title: str, classes: list[str], labels: dict[str, str]) -> Key:
    counts = Counter(classes)
    labels = {**labels, _OTHER: "其他 · others", _NONE: "无值 · none"}
    return Key(title, classes, [(name, label, counts[name]) for name, label in labels.items() if counts[name]])


def _label(value: float, kind: str) -> str:
    if kind == "instant":
        return f"{datetime.fromtimestamp(value / 1e6, UTC):%Y-%m-%d %H:%M}"
    return f"{value:,.0f}" if value == round(value) and abs(value) < 1e15 else f"{value:.4g}"
