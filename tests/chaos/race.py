"""Two processes that write to one table at the same instant, round after round, with our lock and without."""

from contextlib import nullcontext
from datetime import date
from pathlib import Path

import pyarrow as pa

from lakehouse.table import Commit, Table
from tests.chaos.child import forks

SCHEMA = pa.schema([("who", pa.string()), ("round", pa.int64()), ("_day", pa.date32())])
DAY = date(2026, 3, 2)
_ROUNDS_A_TABLE = 25  # a short log: what takes time shall be the race


def lost(root: Path, rounds: int, *, locked: bool = True) -> list[tuple[str, int]]:
    """The commits of two appending processes that no reader finds."""
    start = forks.Barrier(2)
    writers = [forks.Process(target=_write, args=(root, who, rounds, locked, start)) for who in ("one", "two")]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    written = {(who, number) for who in ("one", "two") for number in range(rounds)}
    there = [(row["who"], row["round"]) for path in root.iterdir() for row in Table(path).read().to_pylist()]
    assert len(there) == len(set(there))
    return sorted(written - set(there))


def _write(root: Path, who: str, rounds: int, locked: bool, start: object) -> None:
    if not locked:
        Table.lock = lambda self: nullcontext()  # type: ignore[method-assign, assignment, return-value]
    for number in range(rounds):
        rows = pa.RecordBatch.from_pylist([{"who": who, "round": number, "_day": DAY}], schema=SCHEMA)
        start.wait(60)  # type: ignore[attr-defined]
        Table(root / f"{number // _ROUNDS_A_TABLE:04}").append_once(SCHEMA, [rows], Commit(f"{who}-{number}"))
