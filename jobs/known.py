"""What the books know of earlier deliveries, and which contents count after what has come now."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, NamedTuple

from expectations.arrivals import carried, withdrawn
from lakehouse.contract import Contract
from lakehouse.deliveries import sent_in
from lakehouse.ops import Ops

Place = tuple[str, str]
"""Department and dataset."""


class Newest(NamedTuple):
    """When and for which day a delivery (id) was received."""

    received_at: datetime
    day: date
    delivery: str


@dataclass(frozen=True)
class Known:
    """Earlier words of the books.

    `loaded`: ids of all deliveries in bronze. `refused`: ids and why. `contents`: what was delivered on which day.
    `carried`: of the day, which delivery (id) lies under which name; `gone`: what of it was taken away. `said`: the day's
    last event and reason of a dataset from which nothing came. `last`: the last earlier day of which something was loaded,
    and what of it counts (ids). `newest`: the delivery that was received last of all that were loaded.
    """

    loaded: set[str] = field(default_factory=set)
    refused: dict[str, str] = field(default_factory=dict)
    contents: dict[Place, set[tuple[date, str]]] = field(default_factory=lambda: defaultdict(set))
    carried: dict[Place, set[tuple[str, str]]] = field(default_factory=dict)
    gone: dict[Place, set[tuple[str, str]]] = field(default_factory=dict)
    said: dict[Place, tuple[str, str]] = field(default_factory=dict)
    last: dict[Place, tuple[date, frozenset[str]]] = field(default_factory=dict)
    newest: dict[Place, Newest] = field(default_factory=dict)

    @classmethod
    def of(cls, ops: Ops, day: date) -> "Known":
        told = ["department", "dataset", "day", "delivery_id", "name", "event", "content_hash", "reason", "received_at"]
        rows = ops.read("deliveries").select(told).to_pylist()
        known = cls()
        of_day: dict[tuple[Place, date], list[dict[str, Any]]] = defaultdict(list)
        loaded_on = defaultdict(set)
        for row in rows:
            place, name = (row["department"], row["dataset"]), row["delivery_id"]
            if row["event"] == "loaded":
                known.loaded.add(name)
                known.contents[place].add((row["day"], row["content_hash"]))
                loaded_on[place].add(row["day"])
                loaded = Newest(row["received_at"], row["day"], name)
                known.newest[place] = max(loaded, known.newest.get(place, loaded))
            elif row["event"] == "refused" and name:
                known.refused[name] = row["reason"]
            of_day[place, row["day"]].append(row)
            if row["day"] == day and not name:
                known.said[place] = row["event"], row["reason"]
        today = {place: rows for (place, on), rows in of_day.items() if on == day}
        known.carried.update({place: carried(rows) for place, rows in today.items()})
        known.gone.update({place: withdrawn(rows) for place, rows in today.items()})
        for place, days in loaded_on.items():
            if earlier := max((on for on in days if on < day), default=None):
                counting = {delivery for delivery, _ in carried(of_day[place, earlier])}
                known.last[place] = earlier, frozenset(counting & known.loaded)
        return known

    def seen_before(self, contract: Contract, day: date, content_hash: str) -> bool:
        """Whether the same content was delivered on an earlier day."""
        earlier = self.contents.get((contract.department, contract.dataset), set())
        return any(then < day and content == content_hash for then, content in earlier)

    def carried_of(self, contract: Contract) -> frozenset[tuple[str, str]]:
        """The dataset's deliveries of the day (id) and the names they lie under."""
        return frozenset(self.carried.get((contract.department, contract.dataset), ()))

    def is_replaced(self, contract: Contract, delivery: str) -> bool:
        """Whether the delivery (id) came to be known and something else lies under its name by now."""
        here = {known for known, _ in self.carried_of(contract)}
        return delivery in self.loaded | self.refused.keys() and delivery not in here


@dataclass(frozen=True)
class Word:
    """One more word of the books on a delivery: `duplicate_of`, `restored`, `superseded` or `withdrawn`, under a name."""

    event: str
    delivery: str
    name: str
    reason: str


def replaced(
    before: Iterable[tuple[str, str]], sent: Mapping[str, set[str]], readable: set[str], names: Mapping[str, str]
) -> Iterator[Word]:
    """What to say when `sent` (name -> ids of the deliveries) comes where (id, name) lay `before`.

    The last content sent under a name counts, if it can be read; the one before is superseded, unless it lies under
    another name too; so is what an archive that was sent again no longer holds. Content seen before counts again when it
    is sent again. `names`: by id, the name a delivery has in landing.
    """
    lying = set(before)
    counting = {delivery for delivery, _ in lying}
    for name, deliveries in sent.items():
        new = deliveries & readable
        there = {delivery for delivery, other in lying if other == name}
        for delivery in sorted(new - there):
            if delivery in counting:
                yield Word("duplicate_of", delivery, name, f"the same bytes as '{names[delivery]}'")
            else:
                yield Word("restored", delivery, name, "sent before, replaced, and sent again")
        for delivery in sorted(there - deliveries) if new else ():
            yield Word("superseded", delivery, name, f"'{name}' was sent again with other content")
    whole = {sent_in(name) for name, deliveries in sent.items() if deliveries & readable}
    for delivery, name in sorted(lying):
        if name not in sent and sent_in(name) in whole:
            yield Word("superseded", delivery, name, f"'{sent_in(name)}' was sent again without it")


def taken_away(known: Known, contract: Contract, present: Set[str], told: Sequence[Word]) -> list[Word]:
    """What to say, besides what is `told` already, when of all that was there for the day only the objects `present` are
    there now."""
    gone = known.gone.get((contract.department, contract.dataset), set())
    found = []
    for delivery, name in sorted(known.carried_of(contract) - {(word.delivery, word.name) for word in told}):
        if sent_in(name) not in present and (delivery, name) not in gone:
            found.append(
                Word("withdrawn", delivery, name, f"'{name}' is no longer there; its rows stay until it is sent again")
            )
        elif sent_in(name) in present and (delivery, name) in gone:
            found.append(Word("restored", delivery, name, "taken away, and sent again"))
    return found
