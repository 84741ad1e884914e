"""Files dropped in a folder, here or on a system elsewhere: what counts as delivered is the same everywhere."""

import glob
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from fnmatch import fnmatchcase
from itertools import takewhile
from pathlib import Path, PurePosixPath

import structlog

from lakehouse.errors import CitylakeError, DeliveryUnreadable, NotDelivered, SourceRefused, SourceUnavailable
from lakehouse.source import FileSource
from lakehouse.sources.drop.local import Local
from lakehouse.sources.drop.place import Changed, Drop, Entry, Look, Unreachable
from lakehouse.sources.received import Asked, Ledger, Received, place, shown

_UNFINISHED = (".tmp", ".part", ".partial", ".crdownload", ".filepart")
"""Endings under which uploading programs write until the file is whole."""

_OF_ONE_FILE = (SourceUnavailable, SourceRefused, DeliveryUnreadable, Changed, NotDelivered)
"""Faults that say nothing about the next file. Of several kinds the first is told: one that passes is worth another try."""

_log = structlog.get_logger()


def fetch(asked: Asked, source: FileSource) -> Iterator[Received]:
    """The day's files in the order of their names; those of which the system says what it said before are `unchanged`.
    A file that is still being written is left for the next run.

    Raises NotDelivered when no file is there; after the last file what was wrong with single ones: SourceUnavailable,
    SourceRefused for a link out of the inbox or an unreadable file, DeliveryUnreadable above the limit, Changed. With the
    second file in a row that can't be had, or when the system doesn't let us in any more, it is the last.
    """
    uri = source.uri.replace("{day}", asked.day.isoformat())
    where = f"{asked.contract.name} {uri}"
    faults: list[CitylakeError] = []
    growing: list[str] = []
    found, answers = False, True
    with _opened(asked, source, uri, where) as (drop, wanted):
        for entry in _listed(drop, wanted, faults):
            name = shown(entry.name)
            ledger = Ledger(asked.contract.limits.bytes, source.quote.encode(), f"{asked.contract.name} {name}")
            try:
                yield _taken(asked, source, drop, entry, ledger)
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
    if growing:
        faults.append(Changed(f"still being written: {', '.join(growing)}", where=where, hint=hint))
    if faults:
        raise _joined(faults)
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
def _opened(asked: Asked, source: FileSource, uri: str, where: str) -> Iterator[tuple[Drop, str | Entry]]:
    """The place where the files lie, and the pattern of their paths there; or the one file."""
    if source.connection or ("://" in uri and not uri.startswith("file://")):
        from lakehouse.sources.drop.remote import Remote, address, opener  # what it drags in is for systems elsewhere

        target, limits = address(uri, source.connection, where), asked.contract.limits
        with Remote(opener(target, limits, where), limits, where) as remote:
            yield remote, Entry(target.path, title=target.file) if target.file else target.path
        return
    pattern = uri.removeprefix("file://").replace("{inbox}", glob.escape(str(asked.settings.inbox)))
    fixed = takewhile(lambda part: not glob.has_magic(part), PurePosixPath(pattern).parts[:-1])
    yield Local(asked.settings.inbox if "{inbox}" in uri else Path(*fixed), where), pattern


def _listed(drop: Drop, wanted: str | Entry, faults: list[CitylakeError]) -> list[Entry]:
    """The files under a path whose parts may hold wildcards (`*`, `?`, `[abc]`), in the order of their paths. Folders that
    can't be looked into are added to `faults`."""
    if isinstance(wanted, Entry):
        return [wanted]
    *folders, name = PurePosixPath(wanted).parts
    found = [Entry("/", True)]
    for part in folders:
        found = [entry for entry in _below(drop, found, part, faults) if entry.is_folder]
    files = (entry for entry in _below(drop, found, name, faults) if not entry.is_folder or not glob.has_magic(name))
    return sorted(files, key=lambda entry: entry.path)


def _below(drop: Drop, folders: Iterable[Entry], part: str, faults: list[CitylakeError]) -> Iterator[Entry]:
    for folder in folders:
        if not glob.has_magic(part):
            yield Entry(str(PurePosixPath(folder.path, part)), True)
            continue
        try:
            inside = drop.entries(folder.path)
        except NotDelivered:
            continue  # not there: nothing is delivered
        except SourceRefused as fault:
            faults.append(fault)
            continue
        yield from (entry for entry in inside if fnmatchcase(entry.name, part) and _is_meant(entry.name))


def _is_meant(name: str) -> bool:
    return not name.startswith((".", "~$")) and not name.lower().endswith(_UNFINISHED)


def _taken(asked: Asked, source: FileSource, drop: Drop, entry: Entry, ledger: Ledger) -> Received:
    """The file in `into`, or word that it is what came before. Raises Changed when it changed while it was copied."""
    name, key = shown(entry.name), shown(entry.path)
    known = asked.previous.get(key)
    look = entry.look if known and _tag(entry.look, source) == known else drop.look(entry.path)
    if known and _tag(look, source) == known:
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
    etags = {key: _tag(look, source)} if look.mark else {}
    return Received(target, name, ledger.size, ledger.sha256, look.modified, ledger.quoted, etags)


def _tag(look: Look, source: FileSource) -> str:
    """What the system says of the content, and how it was taken: of an archive, another `source` may take other members."""
    return f"{look.mark} {hashlib.sha256(source.model_dump_json().encode()).hexdigest()[:8]}"
