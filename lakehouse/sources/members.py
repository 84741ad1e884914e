"""What lies in a received archive: each file of it a received object of its own."""

from collections.abc import Iterator
from dataclasses import replace

from lakehouse.errors import DeliveryUnreadable
from lakehouse.formats import archive
from lakehouse.source import Dialect
from lakehouse.sources.received import Asked, Ledger, Received, shown


def members(received: Received, asked: Asked) -> Iterator[Received]:
    """The members of an archive; any other object as it is.

    So is an archive that is read whole (`archive.is_whole`), and one that can't be taken apart: its reader says why, where
    the books know it by its id.
    """
    source = asked.contract.source
    if received.unchanged or not isinstance(source, Dialect) or not archive.is_archive(received.name):
        yield received
        return
    try:
        found = list(_members(received, asked, source))
    except DeliveryUnreadable:
        found = []
    yield from found or [received]


def _members(received: Received, asked: Asked, source: Dialect) -> Iterator[Received]:
    limits, where = asked.contract.limits, f"{asked.contract.name} {received.name}"
    with archive.opened(received.path, asked.into, limits, where) as files:
        if archive.is_whole(files, source):
            return
        for member in archive.meant(files, source):
            ledger = Ledger(limits.bytes, source.quote.encode(), where)
            ledger.count(archive.chunks(member, received.bytes, limits, where))
            yield replace(
                received,
                name=f"{received.name}/{shown(member.name)}",
                member=member.name,
                bytes=ledger.size,
                sha256=ledger.sha256,
                quoted=ledger.quoted,
            )
