"""Getting what a department delivers: one module per kind of system, called like its `type`, with a function
`fetch(asked, source)`."""

from collections.abc import Iterator
from importlib import import_module

from lakehouse.sources.members import members
from lakehouse.sources.received import Asked, Received

__all__ = ["Asked", "Received", "fetch"]


def fetch(asked: Asked) -> Iterator[Received]:
    """Copies what is delivered into the empty folder, the bytes as sent; of an archive every member.

    Raises NotDelivered, SourceUnavailable, SourceRefused,
    DeliveryUnreadable (above the limits), LakeError (landing can't be written), EnvironmentFault (connection not set).
    """
    # what a driver drags in is loaded only where it is needed
    kind = asked.contract.source.type
    module = import_module(f"lakehouse.sources.{'files' if kind == 'file' else kind}")
    for received in module.fetch(asked, asked.contract.source):
        yield from members(received, asked)
