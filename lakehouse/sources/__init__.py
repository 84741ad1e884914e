"""Getting what a department delivers: one module per kind of system with a function `fetch(asked, source)`, in the folder
of its like: files that are dropped somewhere, APIs, databases. What all of them share lies beside the folders."""

from collections.abc import Iterator
from importlib import import_module

from lakehouse.sources.members import members
from lakehouse.sources.received import Asked, Received

__all__ = ["Asked", "Received", "fetch"]

_MODULES = {
    "file": "drop.files", "http": "api.http", "exchange": "exchange",
    "postgres": "database.postgres", "mysql": "database.mysql", "sqlite": "database.sqlite",
    "odbc": "database.odbc", "jdbc": "database.jdbc",
}  # fmt: skip


def fetch(asked: Asked) -> Iterator[Received]:
    """Copies what is delivered into the empty folder, the bytes as sent; of an archive every member.

    Raises NotDelivered, SourceUnavailable, SourceRefused,
    DeliveryUnreadable (above the limits), LakeError (landing can't be written), EnvironmentFault (connection not set).
    """
    # what a driver drags in is loaded only where it is needed
    module = import_module(f"lakehouse.sources.{_MODULES[asked.contract.source.type]}")
    for received in module.fetch(asked, asked.contract.source):
        yield from members(received, asked)
