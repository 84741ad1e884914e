"""What was expected of a department and what came: one `Arrival` per expected delivery, one `Item` per dataset.

Pure: from the books' delivery rows to typed records. Every question is answered as of an instant, so that an old answer
can be had again.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any, Literal

from expectations.score import UNKNOWN, Lateness, Score, Weights
from lakehouse.contract import Contract

Came = Literal["content", "unchanged", "refused", "nothing", "unasked"]
State = Lateness | Literal["not_yet_due", "unknown"]
Usable = Literal["usable", "unusable", "unknown", "not_yet_due"]


@dataclass(frozen=True)
class Delivery:
    """One received object in the newest word of the books. Counts are null until known; nothing received is null.

    `unchanged`: its content was delivered before, so it is an arrival but no update.
    """

    received: datetime | None
    event: str
    rows_in: int | None
    accepted: int | None
    quarantined: int | None
    unparsable: int | None
    reason: str | None
    unchanged: bool

    @property
    def loaded(self) -> bool:
        """Whether it could be opened: its rows are in the lake."""
        return self.event in ("loaded", "cleaned")

    @property
    def opened(self) -> bool:
        """Whether it could be opened, even if another has taken its place since."""
        return self.loaded or (self.event == "superseded" and self.rows_in is not None)

    @property
    def reconciled(self) -> bool:
        """Whether every row that came in is accounted for."""
        parts = (self.accepted, self.quarantined, self.unparsable)
        return self.event == "cleaned" and self.rows_in == sum(part or 0 for part in parts)


Told = Mapping[tuple[str, str], Mapping[date, Sequence[Delivery]]]
"""What the books tell: (department, dataset) -> day -> deliveries."""


@dataclass(frozen=True)
class Arrival:
    """What became of one expected delivery. `received` is the first arrival of new content, None when there was none.

    `came`: new `content`; content seen before (`unchanged`); bytes nobody could read (`refused`); `nothing`;
    or nobody asked (`unasked`).
    `state`: lateness of the first new content, or of its absence so far; an unasked delivery is unknown.
    `usable`: None where that isn't known yet. `reason`: the books' own word where nothing usable came.
    """

    day: date
    due: datetime
    received: datetime | None
    came: Came
    state: State
    usable: bool | None
    reason: str | None

    def points(self, weights: Weights) -> float | None:
        """What it earns of its one point; None where that can't be said."""
        return None if self.state == "not_yet_due" or self.state == "unknown" else weights.states.points[self.state]


@dataclass(frozen=True)
class Item:
    """One dataset of the department's list and its expected deliveries in the period, oldest first."""

    contract: Contract
    arrivals: tuple[Arrival, ...]

    @property
    def usable(self) -> Usable:
        """Usable with one delivered, openable and row-reconciled version in the period."""
        verdicts = [a.usable for a in self.arrivals if a.state != "not_yet_due" or a.usable]
        if not verdicts:
            return "not_yet_due"
        if True in verdicts:
            return "usable"
        return "unknown" if None in verdicts else "unusable"

    @property
    def access(self) -> Score:
        """One point per item; none while nothing is due."""
        match self.usable:
            case "usable":
                return Score(1, 1, 1)
            case "unusable":
                return Score(0, 1, 1)
            case "unknown":
                return UNKNOWN
            case "not_yet_due":
                return Score(0, 0, 0)

    def timeliness(self, weights: Weights) -> Score:
        """One point per delivery that was due; unassessed without a usable version, which access counts already."""
        due = [arrival for arrival in self.arrivals if arrival.state != "not_yet_due"]
        if self.usable != "usable":
            return Score(0, 0, len(due))
        earned = [points for arrival in due if (points := arrival.points(weights)) is not None]
        return Score(sum(earned), len(earned), len(due))


def expected_days(contract: Contract, released: Sequence[date], day: date) -> tuple[date, ...]:
    """The days of the month of `day`, up to it, that were released and on which a delivery is expected.

    A dataset with none in the month (weekly at its start, quarterly, yearly) answers for its last expected day before.
    """
    expected = sorted(d for d in released if d <= day and contract.arrives.expected_on(d))
    in_month = tuple(d for d in expected if (d.year, d.month) == (day.year, day.month))
    return in_month or tuple(expected[-1:])


def items(
    contracts: Iterable[Contract],
    told: Told,
    blocked: frozenset[tuple[str, str, date]],
    released: Sequence[date],
    day: date,
    as_of: datetime,
    weights: Weights,
) -> tuple[Item, ...]:
    """Every contract with its expected deliveries as known at `as_of`.

    `blocked`: slices (department, dataset, day) that broke a `fail` rule and aren't served.
    """

    def arrival(contract: Contract, expected: date, until: date) -> Arrival:
        own = told.get((contract.department, contract.dataset), {})
        days = {d: own[d] for d in sorted(own) if expected <= d < until}
        broken = {d for d in days if (contract.department, contract.dataset, d) in blocked}
        return _arrival(contract, expected, days, broken, as_of, weights)

    return tuple(
        Item(
            contract,
            tuple(
                arrival(contract, d, min(_next_expected(contract, d), day + timedelta(days=1)))
                for d in expected_days(contract, released, day)
            ),
        )
        for contract in contracts
    )


def _arrival(
    contract: Contract,
    expected: date,
    days: Mapping[date, Sequence[Delivery]],
    broken: set[date],
    as_of: datetime,
    weights: Weights,
) -> Arrival:
    arrives = contract.arrives
    due = arrives.due(expected)
    everything = [delivery for deliveries in days.values() for delivery in deliveries]
    new = [delivery for delivery in everything if delivery.opened and not delivery.unchanged]
    came = _what_came(everything)
    received = min((delivery.received or as_of for delivery in new), default=None)
    late = (received or as_of) - due
    state: State = weights.lateness(late, arrives.days)
    if received is None and came == "unasked":
        state = "unknown"
    if received is None and late <= timedelta(0):
        state = "not_yet_due"
    reason = next((delivery.reason for delivery in reversed(everything) if delivery.reason), None)
    return Arrival(expected, due, received, came, state, _is_usable(days, broken), reason)


def _what_came(deliveries: Sequence[Delivery]) -> Came:
    if any(delivery.loaded and not delivery.unchanged for delivery in deliveries):
        return "content"
    if any(delivery.unchanged for delivery in deliveries):
        return "unchanged"
    events = {delivery.event for delivery in deliveries}
    return "refused" if "refused" in events else "nothing" if "missing" in events else "unasked"


def _is_usable(days: Mapping[date, Sequence[Delivery]], broken: set[date]) -> bool | None:
    """Whether one day's slice can be used: it reconciles and broke no `fail` rule. None: not known yet."""
    verdicts: list[bool | None] = []
    for day, deliveries in days.items():
        opened = [delivery for delivery in deliveries if delivery.loaded]
        if opened and day in broken:
            verdicts.append(False)
        elif opened:
            cleaned = all(delivery.event == "cleaned" for delivery in opened)
            verdicts.append(all(delivery.reconciled for delivery in opened) if cleaned else None)
        else:
            verdicts += [delivery.unchanged for delivery in deliveries]
    if True in verdicts:
        return True
    return None if None in verdicts or not verdicts else False


def carried(rows: Iterable[Mapping[str, Any]]) -> set[tuple[str, str]]:
    """Which delivery (id) lies under which name after these rows of ops.deliveries, oldest first.

    Only what lies under a name counts: several names may hold one delivery, and what has been replaced has none. A file
    that was taken away leaves its delivery without that name only where it lies under another: it was renamed.
    """
    found = set()
    for row in rows:
        pair = row["delivery_id"], row["name"]
        if row["delivery_id"] is None:
            continue  # a source's word on the day, about nothing that lies there
        if row["event"] in ("loaded", "refused", "duplicate_of", "restored"):
            found.add(pair)
        elif row["event"] == "superseded" or (row["event"] == "withdrawn" and _is_renamed(found, pair)):
            found.discard(pair)
    return found


def _is_renamed(lying: Iterable[tuple[str, str]], pair: tuple[str, str]) -> bool:
    return any(delivery == pair[0] and name != pair[1] for delivery, name in lying)


def withdrawn(rows: Iterable[Mapping[str, Any]]) -> set[tuple[str, str]]:
    """Which delivery (id) was taken away under which name, and not sent again, after these rows of ops.deliveries."""
    found = set()
    for row in rows:
        pair = row["delivery_id"], row["name"]
        if row["event"] == "withdrawn":
            found.add(pair)
        elif row["event"] in ("loaded", "duplicate_of", "restored", "superseded"):
            found.discard(pair)
    return found


def newest(rows: Iterable[Mapping[str, Any]]) -> Told:
    """The newest word on every delivery from rows of ops.deliveries, oldest first.

    A later stage outranks an earlier one, and the first arrival stays through every later word. What was replaced under
    its name is `superseded`, whatever it was before.
    """
    rows = list(rows)
    counting = {delivery for delivery, _ in carried(rows)}
    found: dict[tuple[str, str, date, str], Delivery] = {}
    for row in rows:
        key = (row["department"], row["dataset"], row["day"], row["delivery_id"] or "")
        if row["event"] in _OF_NAMES:
            if row["event"] == "superseded" and row["delivery_id"] not in counting and key in found:
                found[key] = replace(found[key], event="superseded", reason=row["reason"])
            continue
        counts = (row["rows_in"], row["accepted"], row["quarantined"], row["unparsable"])
        told = Delivery(row["received_at"], row["event"], *counts, row["reason"], row["event"] == "unchanged")
        if before := found.get(key):
            later = told if _STAGES.index(told.event) >= _STAGES.index(before.event) else before
            received = min((at for at in (before.received, told.received) if at), default=None)
            told = replace(later, received=received, unchanged=before.unchanged or told.unchanged)
        found[key] = told
    books: dict[tuple[str, str], dict[date, list[Delivery]]] = defaultdict(lambda: defaultdict(list))
    for (department, dataset, day, _), delivery in found.items():
        books[department, dataset][day].append(delivery)
    return books


_STAGES = ("missing", "refused", "unchanged", "loaded", "cleaned", "superseded")
_OF_NAMES = ("duplicate_of", "restored", "superseded", "withdrawn")
"""Events that say under which names a delivery lies, not what became of its rows."""


def _next_expected(contract: Contract, day: date) -> date:
    later = day + timedelta(days=1)
    while not contract.arrives.expected_on(later):
        later += timedelta(days=1)
    return later
