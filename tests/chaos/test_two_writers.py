"""Two writers on one table lose nothing under our rule; what breaks it, and that these tests would see it."""

import json
import os
from pathlib import Path

import pyarrow as pa

from lakehouse.table import Commit, Table
from tests.chaos.race import DAY, SCHEMA, lost


def test_two_processes_of_our_engine_lose_no_commit(tmp_path: Path) -> None:
    assert lost(tmp_path, 50) == []


def test_nor_without_our_lock_for_a_commit_of_delta_rs_never_takes_a_number_that_is_taken(tmp_path: Path) -> None:
    assert lost(tmp_path, 50, locked=False) == []


def test_a_writer_that_looks_first_and_renames_then_loses_the_commit_in_between(tmp_path: Path) -> None:
    """How Spark commits on a local disk (Delta's LocalLogStore, guarded inside one JVM only). It's why a table has one
    writing engine; and were a commit of the race above lost, this is how it would be seen."""
    table = Table(tmp_path / "things")
    _append(table, "ours")
    taken = _looked(table)
    _append(table, "lost")
    assert _who(table) == {"ours", "lost"}
    _renamed(table, taken)
    assert _who(table) == {"ours"}


def _append(table: Table, who: str) -> None:
    rows = pa.RecordBatch.from_pylist([{"who": who, "round": 0, "_day": DAY}], schema=SCHEMA)
    table.append_once(SCHEMA, [rows], Commit(who))


def _who(table: Table) -> set[str]:
    return set(table.read().column("who").to_pylist())


def _looked(table: Table) -> Path:
    """The next free number of the log."""
    log = sorted((table.path / "_delta_log").glob("*.json"))
    return log[-1].with_name(f"{len(log):020}.json")


def _renamed(table: Table, taken: Path) -> None:
    draft = taken.with_suffix(".tmp")
    draft.write_text(json.dumps({"commitInfo": {"timestamp": 0, "operation": "WRITE"}}) + "\n")
    os.rename(draft, taken)
