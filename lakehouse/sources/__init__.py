"""Getting what a department delivers: one module per kind of system, each with a function `fetch(asked, source)`."""

from collections.abc import Iterator, Mapping
from datetime import date
from importlib import import_module
from pathlib import Path

from lakehouse.contract import Contract
from lakehouse.settings import Settings
from lakehouse.source import FileSource, HttpSource, PostgresSource, Source
from lakehouse.sources.received import Asked, Received

__all__ = ["Received", "fetch"]

_MODULES: dict[type[Source], str] = {FileSource: "files", HttpSource: "http", PostgresSource: "postgres"}


def fetch(
    contract: Contract, day: date, settings: Settings, into: Path, previous: Mapping[str, str] | None = None
) -> Iterator[Received]:
    """Copies what is delivered for `day` into the empty folder `into`, the bytes as sent.

    `previous` are the ETags of the last delivery. Raises NotDelivered, SourceUnavailable, SourceRefused,
    DeliveryUnreadable (above the limits), LakeError (landing can't be written), EnvironmentFault (connection not set).
    """
    # what a driver drags in is loaded only where it is needed
    module = import_module(f"lakehouse.sources.{_MODULES[type(contract.source)]}")
    yield from module.fetch(Asked(contract, day, settings, into, previous or {}), contract.source)
