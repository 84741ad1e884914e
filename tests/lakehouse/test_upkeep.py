"""Joining, deleting and summing up: the rows stay, every version within the retention stays readable, twice is once."""

import json
import os
from datetime import date
from pathlib import Path

import pyarrow as pa
import pytest

from lakehouse.errors import WrongEngine
from lakehouse.table import Commit, Table
from lakehouse.upkeep import keep, keep_hours, needs

DAY, NEXT = date(2026, 3, 1), date(2026, 3, 2)
SCHEMA = pa.schema([("id", pa.string()), ("_day", pa.date32())])
RUN = Commit("run-1")
HOURS = keep_hours(0)


def rows(day: date, *ids: str) -> list[pa.RecordBatch]:
    return [pa.RecordBatch.from_pylist([{"id": each, "_day": day} for each in ids], schema=SCHEMA)]


def ids(table: Table, version: int | None = None) -> list[str]:
    return sorted(row["id"] for row in table.read(version=version).to_pylist())


def aged(table: Table, days: int) -> None:
    """Make everything about the table so many days older: its log's instants and its files."""
    for log in (table.path / "_delta_log").glob("*.json"):
        entries = [json.loads(line) for line in log.read_text().splitlines()]
        for entry in entries:
            for action in entry.values():
                for name in {"timestamp", "deletionTimestamp", "modificationTime"} & action.keys():
                    action[name] -= days * 86_400_000
        log.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    for path in table.path.rglob("*"):
        stat = path.stat()
        os.utime(path, (stat.st_atime, stat.st_mtime - days * 86_400))


def kept(table: Table, *, hours: int = HOURS, prune: bool = True) -> tuple[int, int]:
    done = keep(table, RUN, hours, threads=2, prune=prune)
    return done.joined, done.deleted


@pytest.fixture
def table(tmp_path: Path) -> Table:
    return Table(tmp_path / "bronze" / "town__things")


def test_small_files_of_a_day_become_one_and_the_rows_stay(table: Table) -> None:
    for number in range(12):
        day = DAY if number < 10 else NEXT
        table.append_once(SCHEMA, rows(day, f"{number}b", f"{number}a"), Commit("run", transaction=str(number)))
    before = ids(table)
    assert needs(table, HOURS).joins == 12
    assert kept(table) == (10, 0)
    assert ids(table) == before
    assert len(table.files()) == 2
    assert table.open().transaction_version("3") is not None  # what is loaded stays known as loaded
    assert not table.append_once(SCHEMA, rows(DAY, "x"), Commit("run", transaction="3"))


def test_a_second_time_does_nothing(table: Table) -> None:
    for name in "abc":
        table.replace_slice(DAY, SCHEMA, rows(DAY, name), RUN)
        table.append_once(SCHEMA, rows(DAY, "more"), RUN)
    aged(table, 40)
    table.append_once(SCHEMA, rows(DAY, "new"), RUN)
    assert kept(table) == (2, 4)
    log = sorted(path.name for path in (table.path / "_delta_log").iterdir())
    assert kept(table) == (0, 0)
    assert sorted(path.name for path in (table.path / "_delta_log").iterdir()) == log


def test_files_are_deleted_only_after_the_retention(table: Table) -> None:
    table.replace_slice(DAY, SCHEMA, rows(DAY, "old"), RUN)
    table.replace_slice(DAY, SCHEMA, rows(DAY, "a"), RUN)
    aged(table, 30)
    table.append_once(SCHEMA, rows(DAY, "b"), RUN)
    assert kept(table) == (1, 0)
    assert [ids(table, version) for version in range(3)] == [["old"], ["a"], ["a", "b"]]
    aged(table, 6)
    assert kept(table)[1] == 1
    assert ids(table, 1) == ["a"] and ids(table) == ["a", "b"]


def test_the_newest_release_outlives_the_retention(table: Table) -> None:
    table.replace_slice(DAY, SCHEMA, rows(DAY, "released"), RUN)
    table.replace_slice(DAY, SCHEMA, rows(DAY, "never released"), RUN)
    aged(table, 40)
    assert kept(table, hours=keep_hours(41 * 24), prune=False) == (0, 0)
    assert ids(table, 0) == ["released"]


def test_what_a_killed_writer_left_is_deleted_after_the_retention(table: Table) -> None:
    table.append_once(SCHEMA, rows(DAY, "a"), RUN)
    left = table.path / f"_day={DAY}" / "part-left.parquet"
    left.write_bytes(b"half a file")
    assert kept(table) == (0, 0)
    aged(table, 40)
    assert kept(table) == (0, 1)
    assert not left.exists() and ids(table) == ["a"]


def test_the_log_is_summed_up_and_old_entries_go_when_no_kept_version_needs_them(table: Table) -> None:
    for number in range(11):
        table.replace_slice(DAY, SCHEMA, rows(DAY, str(number)), RUN)
    kept(table)
    log = table.path / "_delta_log"
    assert (log / f"{10:020}.checkpoint.parquet").exists()
    aged(table, 40)
    for number in range(11):
        table.replace_slice(DAY, SCHEMA, rows(DAY, f"new {number}"), RUN)
    kept(table)
    assert not (log / f"{9:020}.json").exists()
    assert [ids(table, version) for version in (10, 11, 21)] == [["10"], ["new 0"], ["new 10"]]


def test_a_table_of_sparks_is_left_alone(table: Table) -> None:
    from deltalake import write_deltalake

    write_deltalake(str(table.path), pa.Table.from_batches(rows(DAY, "a")), description="engine=spark")
    with pytest.raises(WrongEngine):
        kept(table)


def test_rows_of_a_day_are_sorted_on_the_way_into_one_file(table: Table) -> None:
    for number in (7, 3, 9, 1):
        table.append_once(SCHEMA, rows(DAY, f"{number}b", f"{number}a"), RUN)
    table.append_once(SCHEMA, rows(NEXT, "z", "y"), RUN)
    assert keep(table, RUN, HOURS, threads=2, prune=False, order="id").joined == 3
    first, other = (table.read(day=day)["id"].to_pylist() for day in (DAY, NEXT))
    assert first == ["1a", "1b", "3a", "3b", "7a", "7b", "9a", "9b"]
    assert other == ["z", "y"]  # one file already
    version = table.version()
    keep(table, RUN, HOURS, threads=2, prune=False, order="id")
    assert table.version() == version
