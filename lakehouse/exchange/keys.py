"""Who exchanges packages with us, and the Ed25519 keys (RFC 8032) with which they and we sign."""

import base64
import binascii
import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import unquote, urlsplit

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from pydantic import BeforeValidator, Field, ValidationError

from lakehouse.declared import Identifier, Record
from lakehouse.document import Document, read_document
from lakehouse.errors import ContractError, EnvironmentFault, UsageError
from lakehouse.layout import private
from lakehouse.settings import Settings, clock, connection_uri

CONNECTION = "exchange"
"""The connection whose password is our private key, where it doesn't lie in the lake's folder."""


def _raw(text: Any) -> bytes:
    try:
        key = base64.b64decode(str(text), validate=True)
    except binascii.Error as error:
        raise ValueError("not base64") from error
    if len(key) != 32:
        raise ValueError(f"an Ed25519 key has 32 bytes, this has {len(key)}")
    return key


class PublicKey(Record):
    """A party's key and the days (UTC, both included) on which it signs."""

    key: Annotated[bytes, BeforeValidator(_raw)]
    from_: date = Field(alias="from")
    until: date = date.max

    def signed(self, data: bytes, signature: bytes) -> bool:
        """Whether the signature over the data was made with this key."""
        try:
            Ed25519PublicKey.from_public_bytes(self.key).verify(signature, data)
        except (InvalidSignature, ValueError):
            return False
        return True


class Register(Record):
    """The catalogue's `exchange.yml`: our own name, and the keys of every party we exchange packages with."""

    name: Identifier
    parties: dict[Identifier, tuple[PublicKey, ...]] = Field(default_factory=dict)

    def keys(self, party: str) -> tuple[PublicKey, ...]:
        """The party's keys, the oldest first. Raises UsageError for a party nobody entered."""
        if party not in self.parties:
            known = ", ".join(self.parties) or "none"
            raise UsageError(f"no party '{party}' in exchange.yml", hint=f"enter its public key there (known: {known})")
        return tuple(sorted(self.parties[party], key=lambda key: key.from_))


def register(settings: Settings) -> Register:
    """The register of the catalogue. Raises ContractError with every mistake."""
    path = settings.catalog / "exchange.yml"
    mistakes: list[str] = []
    document = read_document(path, mistakes)
    try:
        if document:
            return Register.model_validate(document.content)
    except ValidationError as error:
        mistakes = [_mistake(document, fault) for fault in error.errors(include_url=False, include_input=False)]
    raise ContractError("; ".join(mistakes), hint="docs/exchange.md says how it is written")


def _mistake(document: Document | None, fault: Any) -> str:
    line = document.line(fault["loc"]) if document else 1
    return f"exchange.yml:{line}: {'.'.join(map(str, fault['loc']))}: {fault['msg'].removeprefix('Value error, ')}"


def home(settings: Settings) -> Path:
    """The folder of what we exchange: keys, outbox, kept manifests, receipts. For the lake's own user only."""
    folder = settings.home / "exchange"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Waits until no other process packs or receives in a stream's folder, then holds it; a killed process holds nothing."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _file(settings: Settings) -> Path:
    return home(settings) / "private.pem"


def _secret() -> str | None:
    try:
        return unquote(urlsplit(connection_uri(CONNECTION)).password or "")
    except EnvironmentFault:
        return None


def exist(settings: Settings) -> bool:
    """Whether we have a private key."""
    return _file(settings).exists() or _secret() is not None


def make(settings: Settings) -> None:
    """A new private key in the lake's folder, in place of the one there was."""
    path = _file(settings)
    new = path.with_suffix(".new")
    with private(new) as file:
        file.write(
            Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        )
    os.replace(new, path)


def own(settings: Settings) -> Ed25519PrivateKey:
    """Our private key: `exchange/private.pem` of the lake, else the password of the connection `exchange` (base64).

    Raises EnvironmentFault when there is none, it is no Ed25519 key, or others may read the file.
    """
    path = _file(settings)
    if path.exists() and path.stat().st_mode & 0o077:
        raise EnvironmentFault("others may read our private key", where=str(path), hint="chmod 600, or make a new one")
    secret = None if path.exists() else _secret()
    try:
        if path.exists():
            key = load_pem_private_key(path.read_bytes(), None)
            if isinstance(key, Ed25519PrivateKey):
                return key
        elif secret is not None:
            return Ed25519PrivateKey.from_private_bytes(_raw(secret))
    except ValueError:
        pass  # its words may hold the key
    raise EnvironmentFault(
        "there is no Ed25519 private key", where=str(path), hint="`citylake exchange keys --new` makes one"
    )


def since(settings: Settings) -> date:
    """The day (UTC) on which the private key in the lake's folder was made; of one from a connection, today."""
    path = _file(settings)
    return datetime.fromtimestamp(path.stat().st_mtime, UTC).date() if path.exists() else clock().date()


def public(key: Ed25519PrivateKey) -> str:
    """The public half as `exchange.yml` has it."""
    return base64.b64encode(key.public_key().public_bytes_raw()).decode()


def signer(data: bytes, signature: bytes, keys: Sequence[PublicKey]) -> int | None:
    """Which of the keys signed the data, None if none did."""
    return next((place for place, key in enumerate(keys) if key.signed(data, signature)), None)
