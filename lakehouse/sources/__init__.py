"""Getting what a department delivers: one module per kind of system."""

from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path

from lakehouse.contract import Contract
from lakehouse.settings import Settings
from lakehouse.source import FileSource, HttpSource, PostgresSource
from lakehouse.sources import files
from lakehouse.sources.received import Received

__all__ = ["Received", "fetch"]


def fetch(
    contract: Contract, day: date, settings: Settings, into: Path, previous: Mapping[str, str] | None = None
) -> Iterator[Received]:
    """Copies what is delivered for `day` into the empty folder `into`, the bytes as sent.

    `previous` are the ETags of the last delivery. Raises NotDelivered, SourceUnavailable, SourceRefused,
    DeliveryUnreadable (above the limits), LakeError (landing can't be written), EnvironmentFault (connection not set).
    """
    # what a driver drags in is loaded only where it is needed
    match contract.source:
        case FileSource() as source:
            return files.fetch(contract, source, day, settings, into)
        case HttpSource() as source:
            from lakehouse.sources import http

            return http.fetch(contract, source, day, into, previous or {})
        case PostgresSource() as source:
            from lakehouse.sources import postgres

            return postgres.fetch(contract, source, day, into)
