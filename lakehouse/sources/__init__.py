"""Getting what a department delivers: one module per kind of system."""

from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path

from lakehouse.contract import Contract, FileSource
from lakehouse.settings import Settings
from lakehouse.sources import files
from lakehouse.sources.received import Received

__all__ = ["Received", "fetch"]


def fetch(
    contract: Contract, day: date, settings: Settings, into: Path, previous: Mapping[str, str] | None = None
) -> Iterator[Received]:
    """Copies what is delivered for `day` into the empty folder `into`, the bytes as sent.

    `previous` are the ETags of the last delivery. Raises NotDelivered, SourceUnavailable, SourceRefused,
    DeliveryUnreadable (above the limits) and LakeError (landing can't be written).
    """
    assert isinstance(contract.source, FileSource)
    return files.fetch(contract, contract.source, day, settings, into)
