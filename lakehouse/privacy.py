"""What may leave the raw zone of a sensitive value."""

from collections.abc import Mapping
from typing import Any

from lakehouse.contract import Contract


def masked(value: object) -> str:
    """A value with its middle hidden: the first and last characters of longer values, only the first of short ones."""
    text = str(value)
    shown = 0 if len(text) < 2 else 1 if len(text) < 6 else 2
    tail = shown if len(text) >= 6 else 0
    return text[:shown] + "*" * min(len(text) - shown - tail, 8) + text[len(text) - tail :]


def masked_key(contract: Contract, row: Mapping[str, Any], sensitive: frozenset[str]) -> str:
    """The key of a row as text a clerk can find it by: `plate=苏F***45, at=2026-03-01 08:00:00`."""
    shown = {
        name: masked(row[name]) if name in sensitive else str(row[name])
        for name in contract.key
        if row[name] is not None
    }
    return ", ".join(f"{name}={value}" for name, value in shown.items())
