"""Silver as one day sees it: which version and files, and a state that changes only when the rows do.

Files alone don't tell: maintenance joins them without touching a row. Versions don't either: other days' commits count
there too. So the state of a slice is what the books say of the run that last wrote it. A dataset of upserts or changes has no
slices; a day sees it as the runs up to that day left it, as long as that version can be read.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pyarrow.compute as pc

from lakehouse.contract import Contract
from lakehouse.errors import LakeError, TablesUnreachable
from lakehouse.ops import Ops
from lakehouse.runs import Run
from lakehouse.table import Table

WRITING = ("clean", "restore")
"""The steps that write silver and quarantine; `writes` in their run records names the versions."""


@dataclass(frozen=True)
class Written:
    """The newest run that wrote a slice: its fingerprint (its id where it has none) and the version it made."""

    state: str
    version: int


@dataclass(frozen=True)
class Seen:
    """Rows of one dataset as a day sees them: files of `version`, and their `state`."""

    version: int
    files: tuple[str, ...]
    state: str


class Silver:
    """Silver as `run.day` sees it."""

    def __init__(self, run: Run, contracts: Iterable[Contract]) -> None:
        self._run = run
        self._written = newest(run.ops, "silver", {contract.table for contract in contracts})

    def slice(self, contract: Contract) -> Seen | None:
        """The rows of the day; of upserts and changes all rows, among which `_day` tells them. None without files."""
        if contract.rank:
            return self._upserted(contract)
        return self._of_days(contract, [self._run.day])

    def served(self, contract: Contract) -> Seen | None:
        """The rows that are served on the day: a snapshot's newest day, of others every day up to this one. None without files."""
        if contract.rank:
            return self._upserted(contract)
        days = sorted(day for day in self._table(contract).days() if day <= self._run.day)
        return self._of_days(contract, days[-1:] if contract.load == "snapshot" else days)

    def _table(self, contract: Contract) -> Table:
        return self._run.table("silver", contract.table)

    def _of_days(self, contract: Contract, days: list[date]) -> Seen | None:
        table, version = self._table(contract), self._table(contract).version()
        if version is None:
            return None
        known, there = self._written.get(contract.table, {}), table.files_by_day(version)
        wanted = [day for day in days if day in there]
        states = (f"{day} {known[day].state if day in known else there[day]}" for day in wanted)
        files = tuple(path for day in wanted for path in table.here(there[day]))
        return Seen(version, files, "; ".join(states)) if files else None

    def _upserted(self, contract: Contract) -> Seen | None:
        table, version = self._table(contract), self._table(contract).version()
        if version is None:
            return None
        known = self._written.get(contract.table, {})
        until = max((w.version for day, w in known.items() if day <= self._run.day), default=None)
        last = max((w.version for w in known.values()), default=None)
        if until is not None and until != last and (earlier := _readable(table, until)):
            return Seen(until, earlier, str(until))
        files = tuple(table.files(version=version))
        return Seen(version, files, str(files if until is None else until)) if files else None


def before(run: Run, contract: Contract) -> tuple[str, ...]:
    """The files of silver of upserts or changes as the runs of the days before left it; of now where those can't be read."""
    table = run.table("silver", contract.table)
    known = newest(run.ops, "silver", {contract.table}).get(contract.table, {})
    until = max((written.version for day, written in known.items() if day < run.day), default=None)
    return () if until is None else _readable(table, until) or tuple(table.files())


def newest(ops: Ops, layer: str, tables: set[str]) -> Mapping[str, Mapping[date, Written]]:
    """Table -> day -> the newest run that wrote it, as the books say.

    A run that wrote the same again doesn't count: the day's rows have been there since the one before, and of a table that
    keeps the newest row of a key its version would hold what later days brought.
    """
    wrote = pc.field("step").isin(list(WRITING)) & (pc.field("status") == "succeeded") & pc.field("writes").is_valid()
    found: dict[str, dict[date, Written]] = {}
    undone: set[tuple[str, date]] = set()
    for row in ops.read("runs").filter(wrote).select(["day", "run_id", "fingerprint", "writes"]).to_pylist():
        for name, version in json.loads(row["writes"]).items():
            of, _, table = name.partition(".")
            if of != layer or table not in tables:
                continue
            place, known = (table, row["day"]), found.setdefault(table, {})
            state = row["fingerprint"] or row["run_id"]
            if version is None:
                undone.add(place)
            elif place in undone or row["day"] not in known or known[row["day"]].state != state:
                known[row["day"]] = Written(state, version)
                undone.discard(place)
    return found


def _readable(table: Table, version: int) -> tuple[str, ...]:
    """The files of a version, nothing when it or one of them is gone."""
    try:
        files = table.files(version=version)
    except TablesUnreachable:
        raise
    except LakeError:
        return ()
    return tuple(files) if all(Path(file).exists() for file in files) else ()
