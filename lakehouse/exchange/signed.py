"""What is signed: JSON records, kept and sent as the very bytes that were signed, each with its signature beside it."""

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path, PurePosixPath
from typing import Annotated, Generic, Literal, Self, TypeVar

from pydantic import AwareDatetime, Field, ValidationError, model_validator

from lakehouse.declared import Identifier, Record
from lakehouse.errors import DeliveryUnreadable, LakeError
from lakehouse.exchange import keys
from lakehouse.exchange.keys import PublicKey
from lakehouse.settings import Settings
from lakehouse.source import DatasetName

FORMAT: Literal["citylake-exchange/1"] = "citylake-exchange/1"
Hash = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Document(Record):
    """What every signed record begins with: the stream it belongs to and when it was written."""

    format: Literal["citylake-exchange/1"] = FORMAT
    sender: Identifier
    receiver: Identifier
    dataset: DatasetName
    created_at: AwareDatetime


class File(Record):
    """A data file of a package. `rows`: its records without a header."""

    path: str = Field(pattern=r"^data/[A-Za-z0-9_][A-Za-z0-9_.-]{0,119}$")
    bytes: int = Field(ge=0)
    rows: int = Field(ge=0)
    sha256: Hash


class Manifest(Document):
    """One business day of a dataset, as one package of a stream. `previous`: SHA-256 of the manifest before."""

    kind: Literal["package"] = "package"
    sequence: int = Field(ge=1, le=99_999_999)
    previous: Hash | None
    day: date
    origin: str = Field(max_length=500)
    contract: str = Field(max_length=500)
    masked: tuple[str, ...]
    files: tuple[File, ...] = Field(min_length=1, max_length=1000)

    @model_validator(mode="after")
    def _hangs_together(self) -> Self:
        if (self.sequence == 1) != (self.previous is None):
            raise ValueError("the first package, and no other, has no previous one")
        if len({file.path.lower() for file in self.files}) < len(self.files):
            raise ValueError("two files have one name")
        return self

    @property
    def name(self) -> str:
        """What its file is called, without the ending."""
        return f"{self.sender}.{self.dataset}.{self.sequence:08d}"

    @property
    def rows(self) -> int:
        return sum(file.rows for file in self.files)

    def delivered(self, file: File) -> str:
        """The name of a data file as a delivery: as of one object, so that a later package of the day replaces all of them."""
        return f"{self.sender}.{self.dataset}/{PurePosixPath(file.path).name}"


class Receipt(Document):
    """What the receiver says of one package: verified, refused (and why), or loaded (and where its rows went)."""

    kind: Literal["receipt"] = "receipt"
    number: int = Field(ge=1)
    previous: Hash | None
    name: str
    sequence: int | None = None
    package: Hash | None = None
    outcome: Literal["accepted", "refused", "loaded"]
    reason: str | None = None
    rows_in: int | None = None
    accepted: int | None = None
    quarantined: int | None = None
    unparsable: int | None = None


class Request(Document):
    """What the receiver asks to be sent again."""

    kind: Literal["request"] = "request"
    sequences: tuple[int, ...] = Field(min_length=1)


Kind = TypeVar("Kind", Manifest, Receipt, Request)


@dataclass(frozen=True)
class Signed(Generic[Kind]):
    """A record and the bytes that were signed. `sha256`, over these bytes, is how the next record names it."""

    record: Kind
    data: bytes
    signature: bytes

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()

    def keep(self, folder: Path, name: str) -> None:
        """Writes `<name>.sig`, then `<name>.json`: where the record is, its signature is too. Raises LakeError."""
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            for ending, content in (("sig", self.signature), ("json", self.data)):
                new = folder / f".{name}.{ending}"
                with new.open("wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                os.replace(new, folder / f"{name}.{ending}")
        except OSError as error:
            raise LakeError(
                f"can't be written ({error.strerror})", where=str(folder), hint="free space or mend it"
            ) from error


def sign(record: Kind, settings: Settings) -> Signed[Kind]:
    """The record as bytes, signed with our key."""
    data = json.dumps(record.model_dump(mode="json"), ensure_ascii=False, indent=1).encode() + b"\n"
    return Signed(record, data, keys.own(settings).sign(data))


def opened(kind: type[Kind], data: bytes, signature: bytes, by: Sequence[PublicKey], where: str) -> Signed[Kind]:
    """A record whose signature holds. Nothing of it is read before that is known.

    Raises DeliveryUnreadable when none of the keys has signed it, the one that has wasn't valid then, or it isn't such a record.
    """
    place = keys.signer(data, signature, by)
    if place is None:
        raise DeliveryUnreadable(
            "the signature doesn't fit: altered, or signed with an unknown key", where=where, hint="ask the sender"
        )
    found = parsed(kind, data, signature, where)
    if not by[place].from_ <= found.record.created_at.date() <= by[place].until:
        raise DeliveryUnreadable(
            f"signed on {found.record.created_at.date()} with a key for {by[place].from_} to {by[place].until}",
            where=where,
            hint="ask the sender for its present key",
        )
    return found


def parsed(kind: type[Kind], data: bytes, signature: bytes, where: str) -> Signed[Kind]:
    """A record whose signature was seen to hold before. Raises DeliveryUnreadable when it isn't such a record."""
    try:
        record = kind.model_validate_json(data, strict=True)
        what = ", ".join(f"no '{key}'" for key in kind.model_fields.keys() - record.model_fields_set)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        what = f"{'.'.join(map(str, first['loc']))}: {first['msg']}".strip(": ")[:200]
    if what:
        raise DeliveryUnreadable(f"signed, but not as {FORMAT} has it ({what})", where=where, hint="ask the sender")
    return Signed(record, data, signature)


def kept(kind: type[Kind], folder: Path, by: Sequence[PublicKey] | None = None) -> dict[int, Signed[Kind]]:
    """The records that lie in a folder under their numbers, in order: our own, or those another party has signed with `by`.

    Raises LakeError for one of ours that is damaged, DeliveryUnreadable for one that isn't the other's.
    """
    found = {}
    for path in sorted(folder.glob(f"{'[0-9]' * 8}.json")):
        beside = path.with_suffix(".sig")
        data, signature = path.read_bytes(), beside.read_bytes() if beside.exists() else b""
        if by is not None:
            found[int(path.stem)] = opened(kind, data, signature, by, str(path))
            continue
        try:
            found[int(path.stem)] = parsed(kind, data, signature, str(path))
        except DeliveryUnreadable as error:
            raise LakeError("damaged", where=str(path), hint="bring it back from your backup") from error
    return found


def stamped(now: datetime) -> datetime:
    """An instant as records have it: to the second."""
    return now.replace(microsecond=0)
