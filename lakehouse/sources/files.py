"""Files dropped in a folder, here or on a system elsewhere: what counts as delivered is the same everywhere."""

import glob
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from fnmatch import fnmatchcase
from itertools import takewhile
from pathlib import Path, PurePosixPath

import structlog

from lakehouse.errors import CitylakeError, DeliveryUnreadable, NotDelivered, SourceRefused, SourceUnavailable
from lakehouse.source import FileSource
from lakehouse.sources.drop import Changed, Drop, Entry, Unreachable
from lakehouse.sources.local import Local
from lakehouse.sources.received import Asked, Ledger, Received, place, shown

_UNFINISHED = (".tmp", ".part", ".partial", ".crdownload", ".filepart")
"""Endings under which uploading programs write until the file is whole."""

_OF_ONE_FILE = (SourceUnavailable, SourceRefused, DeliveryUnreadable, NotDelivered)
"""Faults that say nothing about the next file. Of several kinds the first is told: one that passes is worth another try."""

_log = structlog.get_logger()


def fetch(asked: Asked, source: FileSource) -> Iterator[Received]:
    """The day's files in the order of their names; those of which the system says what it said before are `unchanged`.
    A file that is still being written is left for the next run.

    Raises NotDelivered when no whole file is there, Changed (one) when the only fault is that some are being written;
    after the last file what was wrong with single ones: SourceUnavailable, SourceRefused for a link out of the inbox or an
    unreadable file, DeliveryUnreadable above the limit. With the second file in a row that can't be had, or when the
    system doesn't let us in any more, it is the last.
    """
    uri = source.uri.replace("{day}", asked.day.isoformat())
    where = f"{asked.contract.name} {uri}"
    faults: list[CitylakeError] = []
    growing: list[str] = []
    found, answers = False, True
    with _opened(asked, source, uri, where) as (drop, entries):
        for entry in entries:
            name = shown(entry.name)
            ledger = Ledger(asked.contract.limits.bytes, source.quote.encode(), f"{asked.contract.name} {name}")
            try:
                yield _taken(asked, drop, entry, ledger)
            except Changed:
                growing.append(name)
                _log.warning("still being written, left for the next run", where=where, file=name)
            except _OF_ONE_FILE as fault:
                faults.append(_named(fault, ledger.where) if fault.where == where else fault)
                if isinstance(fault, Unreachable) or (isinstance(fault, SourceUnavailable) and not answers):
                    break
                answers = not isinstance(fault, SourceUnavailable)
            else:
                found = answers = True
    hint = "it is looked for again with every run; ask the department if it stays away"
    if faults:
        raise _joined(faults)
    if growing:
        raise Changed(f"still being written: {', '.join(growing)}", where=where, hint=hint)
    if not found:
        raise NotDelivered(f"nothing delivered for {asked.day}", where=where, hint=hint)


def _named(fault: CitylakeError, where: str) -> CitylakeError:
    """A fault of the system, told as one of the file it was met at."""
    return type(fault)(fault.what, where=where, hint=fault.hint)


def _joined(faults: Sequence[CitylakeError]) -> CitylakeError:
    """One error that says all of them."""
    kinds = [next(kind for kind in _OF_ONE_FILE if isinstance(fault, kind)) for fault in faults]
    return faults[0] if len(faults) == 1 else min(kinds, key=_OF_ONE_FILE.index)("; ".join(map(str, faults)))


@contextmanager
def _opened(asked: Asked, source: FileSource, uri: str, where: str) -> Iterator[tuple[Drop, Iterator[Entry]]]:
    """The place where the files lie, and those that are meant, in the order of their paths."""
    if source.connection or ("://" in uri and not uri.startswith("file://")):
        from lakehouse.sources.remote import Remote, address, opener  # what it drags in is for systems elsewhere

        target = address(uri, source.connection, where)
        with Remote(opener(target, asked.contract.limits, where), asked.contract.limits, where) as remote:
            one = target.file
            yield remote, iter([Entry(target.path, title=one)]) if one else _listed(remote, target.path)
        return
    pattern = uri.removeprefix("file://").replace("{inbox}", glob.escape(str(asked.settings.inbox)))
    fixed = takewhile(lambda part: not glob.has_magic(part), PurePosixPath(pattern).parts[:-1])
    local = Local(asked.settings.inbox if "{inbox}" in uri else Path(*fixed), where)
    yield local, _listed(local, pattern)


def _listed(drop: Drop, pattern: str) -> Iterator[Entry]:
    """The files under a path whose parts may hold wildcards (`*`, `?`, `[abc]`)."""
    *folders, name = PurePosixPath(pattern).parts
    found = [Entry("/", True)]
    for part in folders:
        found = [entry for entry in _below(drop, found, part) if entry.is_folder]
    files = (entry for entry in _below(drop, found, name) if not entry.is_folder or not glob.has_magic(name))
    yield from sorted(files, key=lambda entry: entry.path)


def _below(drop: Drop, folders: Iterable[Entry], part: str) -> Iterator[Entry]:
    for folder in folders:
        if not glob.has_magic(part):
            yield Entry(str(PurePosixPath(folder.path, part)), True)
            continue
        with suppress(NotDelivered):
            for entry in drop.entries(folder.path):
                if fnmatchcase(entry.name, part) and _is_meant(entry.name):
                    yield entry


def _is_meant(name: str) -> bool:
    return not name.startswith((".", "~$")) and not name.lower().endswith(_UNFINISHED)


def _taken(asked: Asked, drop: Drop, entry: Entry, ledger: Ledger) -> Received:
    """The file in `into`, or word that it is what came before. Raises Changed when it changed while it was copied."""
    name, key = shown(entry.name), shown(entry.path)
    known = asked.previous.get(key)
    look = entry.look if known and entry.look.mark == known else drop.look(entry.path)
    if known and look.mark == known:
        return Received(asked.into, name, 0, "", None, True, {key: known}, unchanged=True)
    target = place(entry.name, asked.into)
    try:
        with closing(drop.pieces(entry.path, look)) as pieces:
            ledger.store(pieces, target)
        if drop.look(entry.path) != look or look.size not in (None, ledger.size):
            raise Changed("it changed while it was copied", where=ledger.where, hint="it is looked for again")
    except CitylakeError:
        target.unlink(missing_ok=True)
        raise
    etags = {key: look.mark} if look.mark else {}
    return Received(target, name, ledger.size, ledger.sha256, look.modified, ledger.quoted, etags)
