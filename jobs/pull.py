"""Source to landing to bronze, for all datasets of one department: the step `bring`."""

import csv
import shutil
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from functools import cache, partial
from pathlib import Path, PurePath
from typing import Literal

from expectations.catalog import Catalog
from jobs.department import DatasetsFailed, Outcome, each_dataset
from jobs.known import Known, replaced, taken_away
from jobs.load import load
from lakehouse.contract import Contract
from lakehouse.deliveries import Delivery, Opener, in_order, land, landed, landing, said, say, sent_in
from lakehouse.errors import (
    CitylakeError,
    DeliveryUnreadable,
    LakeError,
    NotDelivered,
    SourceRefused,
    SourceUnavailable,
)
from lakehouse.formats.archive import is_archive
from lakehouse.layout import require_room
from lakehouse.runs import Run
from lakehouse.source import FileSource
from lakehouse.sources import Asked, Received, fetch
from lakehouse.sources.drop.place import Changed
from lakehouse.sources.members import members
from lakehouse.sources.received import State

Word = tuple[object, ...]
"""What a row of ops.deliveries says, whenever it was said."""

_GROWTH = 1.5
"""What a delivery takes on the lake's disk, in sizes of it: the sample city's came to 1.2 in landing, bronze and silver,
and half as much again is for what packs badly."""


def bring(run: Run, catalog: Catalog, department: str) -> None:
    """Pull what each dataset of the department delivers for the day, and load what isn't loaded yet.

    What did not come or can't be read is written into the books: a result, not a failure. Sources that can't be reached
    raise after the other datasets are done. Refuses to begin, with a LakeError, where the disk hasn't room for it all.
    """
    known = Known.of(run.ops, run.day)
    try:
        require_room(run.settings, _GROWTH * sum(_waiting_mb(run, contract) for contract in catalog.of(department)))
    except LakeError as fault:
        with suppress(DatasetsFailed):
            each_dataset(run, catalog, department, partial(_refuse, fault))
        raise
    each_dataset(run, catalog, department, lambda contract: _bring(run, contract, known))


def reload(run: Run, catalog: Catalog, department: str) -> None:
    """Load what has landed for the day and isn't loaded, and put into the books what was said of it: the step `reload`, for
    a lake whose tables are lost. No source is asked."""
    known = Known.of(run.ops, run.day)
    told = Counter(map(_word, run.ops.read("deliveries", day=run.day).to_pylist()))
    each_dataset(run, catalog, department, lambda contract: _reload(run, contract, known, told))


def _reload(run: Run, contract: Contract, known: Known, told: Mapping[Word, int]) -> Outcome:
    there = [each for each in landed(run.settings, contract, run.day) if each.path.exists()]
    loaded = _loaded(run, contract, there, known)
    with Opener(run.staging / f"{contract.table}.members", contract) as opener:
        new = [_load(run, contract, delivery, opener, known) for delivery in there if delivery.id not in loaded]
    again = Counter[Word]()
    for row in said(run.settings, contract, run.day):
        again[_word(row)] += 1
        if again[_word(row)] > told.get(_word(row), 0):
            run.ops.note("deliveries", **row, at=run.now, run_id=run.id)
    return Outcome("succeeded" if any(new) or again else "unchanged")


def _word(row: Mapping[str, object]) -> Word:
    return tuple(row.get(name) for name in ("department", "dataset", "day", "event", "delivery_id", "name", "reason"))


def _refuse(fault: LakeError, contract: Contract) -> Outcome:
    raise fault


def _bring(run: Run, contract: Contract, known: Known) -> Outcome:
    before = {delivery.id: delivery for delivery in landed(run.settings, contract, run.day)}
    came, stayed, fault = _pull(run, contract, before, known)
    came += _opened(run, contract, before, {sent_in(name) for name, _ in came}, known)
    apart = {sent_in(name) for name, _ in came} - {name for name, _ in came}
    sent = came + [(name, delivery) for name, delivery in stayed if name not in apart]
    there = before | {delivery.id: delivery for _, delivery in sent}
    now = {delivery.id for _, delivery in sent}
    loaded = _loaded(run, contract, there.values(), known)
    new = [
        delivery
        for delivery in in_order(there.values())
        if delivery.id not in loaded
        and delivery.name not in apart
        and not _is_overtaken(contract, delivery, known)
        and (delivery.id in now or not known.is_replaced(contract, delivery.id))
    ]
    with Opener(run.staging / f"{contract.table}.members", contract) as opener:
        words = {delivery.id: _load(run, contract, delivery, opener, known) for delivery in new}
    readable = known.loaded | {delivery for delivery, word in words.items() if word == "loaded"}
    lying = known.carried_of(contract) | {(d.id, d.name) for d in new if words[d.id]}
    names = {delivery.id: delivery.name for delivery in there.values()}
    told = list(replaced(lying, _by_name(sent, [d for d in new if d.id in readable]), readable, names))
    if _shows_all(contract, fault):
        told += taken_away(known, contract, {sent_in(name) for name, _ in sent}, told)
    for word in told:
        _note(run, contract, word.event, delivery_id=word.delivery, name=word.name, reason=word.reason)
    if isinstance(fault, SourceUnavailable | SourceRefused):
        raise fault
    return Outcome("succeeded" if told or any(words.values()) else "unchanged")


def _waiting_mb(run: Run, contract: Contract) -> float:
    """What lies in the inbox for the day and hasn't landed yet, in MB."""
    uri = getattr(contract.source, "uri", "")
    if not uri.startswith("{inbox}") or landing(run.settings, contract, run.day).exists():
        return 0.0
    folder = Path(uri.replace("{inbox}", str(run.settings.inbox)).replace("{day}", run.day.isoformat())).parent
    return sum(path.stat().st_size for path in folder.glob("*") if path.is_file()) / 1_000_000


def _loaded(run: Run, contract: Contract, deliveries: Collection[Delivery], known: Known) -> set[str]:
    """Deliveries (ids) that needn't be loaded: bronze holds them, or what was landed of them is over (`keep`)."""
    booked = [delivery for delivery in deliveries if delivery.id in known.loaded]
    held = run.table("bronze", contract.table).holding(delivery.id for delivery in booked)
    return held | {delivery.id for delivery in booked if not delivery.path.exists()}


def _pull(
    run: Run, contract: Contract, before: Mapping[str, Delivery], known: Known
) -> tuple[list[tuple[str, Delivery]], list[tuple[str, Delivery]], CitylakeError | None]:
    """Fetch into a folder of this run's own and land what came: names as sent, with their deliveries.

    After them what is there as it was before. A fault is noted in the books and given back.
    """
    into = run.staging / contract.table
    shutil.rmtree(into, ignore_errors=True)
    into.mkdir(parents=True, mode=0o700)
    asked = _asked(run, contract, into, before, known)
    came: list[tuple[str, Delivery]] = []
    stayed: list[tuple[str, Delivery]] = []
    try:
        for received in fetch(asked):
            if received.unchanged:
                stayed += _as_before(received, before, known.carried_of(contract))
            else:
                at = _received_at(run, contract, sent_in(received.name))
                came.append((received.name, land(run.settings, contract, run.day, received, at)))
    except (NotDelivered, SourceUnavailable, SourceRefused, DeliveryUnreadable) as error:
        event = "refused" if isinstance(error, DeliveryUnreadable) else "missing"
        word, place = (event, str(error)), (contract.department, contract.dataset)
        if known.said.get(place) != word and not (isinstance(error, NotDelivered) and (before or came)):
            _note(run, contract, event, reason=str(error))
        return came, stayed, error
    finally:
        shutil.rmtree(into, ignore_errors=True)
    return came, stayed, None


def _as_before(
    received: Received, before: Mapping[str, Delivery], lying: Iterable[tuple[str, str]]
) -> Iterator[tuple[str, Delivery]]:
    """What lies under the object's name, or in the archive, and is what its source still calls it."""
    for name, delivery in ((name, before[identity]) for identity, name in lying if identity in before):
        if sent_in(name) == received.name and received.etags.items() <= delivery.etags.items():
            yield name, delivery


def _shows_all(contract: Contract, fault: CitylakeError | None) -> bool:
    """Whether the source has shown all that is there: a folder looked through, and nothing wrong with any file of it."""
    nothing = isinstance(fault, NotDelivered) and not isinstance(fault, Changed)
    return isinstance(contract.source, FileSource) and (fault is None or nothing)


def _opened(
    run: Run, contract: Contract, before: Mapping[str, Delivery], came: set[str], known: Known
) -> list[tuple[str, Delivery]]:
    """What lies in archives that were refused, didn't come again, and can be taken apart now: the contract was mended."""
    closed = [
        delivery
        for delivery in before.values()
        if is_archive(delivery.file)
        and delivery.member is None
        and delivery.id in known.refused.keys() - known.loaded
        and delivery.name not in came
        and not known.is_replaced(contract, delivery.id)
    ]
    asked = Asked(contract, run.day, run.settings, run.staging)
    found = []
    for whole in closed:
        received = Received(whole.path, whole.name, whole.bytes, whole.sha256, None, whole.quoted, whole.etags)
        for member in members(received, asked):
            if member.member:
                found.append((member.name, land(run.settings, contract, run.day, member, whole.received_at)))
    return found


def _asked(run: Run, contract: Contract, into: Path, before: Mapping[str, Delivery], known: Known) -> Asked:
    lying = {delivery for delivery, _ in known.carried_of(contract)}
    tags: dict[str, set[str]] = defaultdict(set)
    for url, tag in (each for delivery in before.values() if delivery.id in lying for each in delivery.etags.items()):
        tags[url].add(tag)
    etags = {url: min(tag) for url, tag in tags.items() if len(tag) == 1}  # of two, nobody knows which is the last
    day, counting = known.last.get((contract.department, contract.dataset), (run.day, frozenset()))
    last = [delivery for delivery in landed(run.settings, contract, day) if delivery.id in counting]
    marks = {column: value for delivery in last for column, value in delivery.marks.items()}
    state = _state(run, contract, before.values(), known)
    return Asked(contract, run.day, run.settings, into, etags, marks, state, run.now)


def _state(run: Run, contract: Contract, before: Iterable[Delivery], known: Known) -> State | None:
    """What the source held when it was last read: for a delivery that is loaded, or one of the day that will be."""
    there = [delivery for delivery in before if not _is_overtaken(contract, delivery, known)]
    if newest := known.newest.get((contract.department, contract.dataset)):
        there += [delivery for delivery in landed(run.settings, contract, newest.day) if delivery.id == newest.delivery]
    held = [delivery for delivery in in_order(there) if delivery.state]
    return State(held[-1].folder / str(held[-1].state), held[-1].day) if held else None


def _is_overtaken(contract: Contract, delivery: Delivery, known: Known) -> bool:
    """Whether changes that were never loaded are in those of a later delivery, which was compared with what came before them."""
    newest = known.newest.get((contract.department, contract.dataset))
    if newest is None or delivery.state is None or delivery.id in known.loaded:
        return False
    return delivery.received_at < newest.received_at


def _by_name(sent: Iterable[tuple[str, Delivery]], loaded: Sequence[Delivery]) -> dict[str, set[str]]:
    """Name -> ids of what came under it last: now, else (landed by a run that was cut off, or refused so far) what was
    received last."""
    found: dict[str, set[str]] = defaultdict(set)
    for name, delivery in sent:
        found[name].add(delivery.id)
    came = {sent_in(name) for name in found}
    left = [delivery for delivery in loaded if sent_in(delivery.name) not in came]
    last = {delivery.name: delivery.received_at for delivery in left}  # in the order they were received
    for delivery in left:
        if delivery.received_at == last[delivery.name]:
            found[delivery.name].add(delivery.id)
    return found


def _load(
    run: Run, contract: Contract, delivery: Delivery, opener: Opener, known: Known
) -> Literal["loaded", "refused"] | None:
    """Load one delivery and say what the books learn by it: what was refused is tried again with every run, for the
    contract may have been mended, but said once."""
    try:
        done = load(run, contract, delivery, opener)
    except DeliveryUnreadable as error:
        reason = str(error)
        if known.refused.get(delivery.id) == reason:
            return None
        _note(run, contract, "refused", delivery, reason=reason)
        return "refused"
    counts = {
        "rows_in": done.rows_in,
        "loaded": done.loaded,
        "unparsable": done.unparsable,
        "content_hash": done.content_hash,
    }
    _note(run, contract, "loaded", delivery, **counts, undeclared=done.undeclared, missing=done.missing)
    if known.seen_before(contract, delivery.day, done.content_hash):
        _note(run, contract, "unchanged", delivery, **counts, reason="the same content was delivered on an earlier day")
    return "loaded"


def _note(run: Run, contract: Contract, event: str, delivery: Delivery | None = None, **more: object) -> None:
    facts: dict[str, object] = {}
    if delivery:
        facts = {
            "delivery_id": delivery.id,
            "received_at": delivery.received_at,
            "name": delivery.name,
            "bytes": delivery.bytes,
            "sha256": delivery.sha256,
        }
    where = {"department": contract.department, "dataset": contract.dataset, "day": run.day}
    row = {"event": event, **where, **facts, **more}
    if delivery is None:
        say(run.settings, contract, row)
    run.ops.note("deliveries", at=run.now, run_id=run.id, **row)


def _received_at(run: Run, contract: Contract, name: str) -> datetime:
    """When the content was first seen: now, or as planned where the inbox has an arrival list (the sample replays its days)."""
    plan = _arrivals(run.settings.inbox / "arrivals.csv")
    dataset = (contract.department, contract.dataset, run.day.isoformat())
    return plan.get((*dataset, name)) or plan.get((*dataset, "")) or run.now


@cache
def _arrivals(path: Path) -> dict[tuple[str, str, str, str], datetime]:
    if not path.exists():
        return {}
    with path.open(encoding="utf-8", newline="") as lines:
        return {
            (row["department"], row["dataset"], row["day"], PurePath(row["path"]).name): datetime.fromisoformat(
                row["received_at"]
            )
            for row in csv.DictReader(lines)
            if row["received_at"]
        }
