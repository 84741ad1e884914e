"""What may leave the raw zone of a sensitive value."""

import hmac
import os
import secrets
from collections.abc import Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import unquote, urlsplit

from lakehouse.contract import Contract
from lakehouse.errors import EnvironmentFault
from lakehouse.layout import private
from lakehouse.settings import Settings, connection_uri


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


CONNECTION = "pseudonyms"
"""The connection whose password is the key of pseudonyms, where the lake shan't make one of its own."""


def pseudonym(key: bytes, value: str) -> str:
    """16 hexadecimal digits that stand for a value: the same for the same value, and nobody without the key finds either
    from the other (HMAC-SHA256, its first 64 bits: two of a million values alike are a chance of 1 in 30 million)."""
    return hmac.digest(key, value.encode(), "sha256")[:8].hex()


def pseudonym_key(settings: Settings) -> bytes:
    """The key of the lake's pseudonyms: the password of the connection `pseudonyms`, else `.pseudonyms.key` in the lake.

    Made when it is first asked for. Who loses it can't find a vehicle in gold any more. Raises EnvironmentFault when others
    may read the file.
    """
    with suppress(EnvironmentFault):
        if secret := unquote(urlsplit(connection_uri(CONNECTION)).password or ""):
            return secret.encode()
    path = settings.home / ".pseudonyms.key"
    if not path.exists():
        new = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
        with private(new) as file:
            file.write(secrets.token_hex(32))
        with suppress(FileExistsError):  # another process was first
            os.link(new, path)
        new.unlink()
    if path.stat().st_mode & 0o077:
        raise EnvironmentFault("others may read the key of pseudonyms", where=str(path), hint="chmod 600")
    return path.read_bytes()
