"""Whatever is delivered: every record is accepted, quarantined or unparsable, as sent; and no interruption changes that."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from deltalake import write_deltalake
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jobs.department import DatasetsFailed
from lakehouse import table as tables
from lakehouse.errors import CitylakeError
from tests.jobs.small_city import DAY, TOWN, City, own_settings

COLUMNS: dict[str, Any] = {
    "id": {"type": "string"},
    "n": {"type": "integer", "required": True, "between": [0, 9]},
    "at": {"type": "date"},
    "note": {"type": "string", "length": [0, 5]},
}
CELLS = [b"", b" ", b"1", b"01", b"x", b"10", b"2026-03-02", b"2026-02-30", b"-", b"\xe5\x8d\x97", b"\xff\xfe", b"\x00",
         b'"a,b"', b'"a""b"',
         b'"two\nlines"', b'"open', b'a"b', b"=1+1", b"\xef\xbb\xbf", b"\x1b", b"long text here"]  # fmt: skip
LINES = st.one_of(
    st.lists(st.sampled_from(CELLS), min_size=4, max_size=4).map(b",".join),
    st.lists(st.sampled_from(CELLS), min_size=0, max_size=7).map(b",".join),
    st.just(b"a,1,2026-03-02,same"),
    st.binary(max_size=20),
)
FILES = st.lists(
    st.lists(LINES, max_size=12).map(lambda lines: b"\n".join([b"id,n,at,note", *lines])), min_size=1, max_size=2
)


@contextmanager
def town() -> Iterator[City]:
    folder = Path(tempfile.mkdtemp())
    with own_settings():
        yield City(folder)
    shutil.rmtree(folder)


def content(city: City) -> dict[str, list[tuple[Any, ...]]]:
    """Everything in the lake's tables but who wrote it and when."""
    told = ("_loaded_at", "_delivery_id")
    found = {
        layer: [
            tuple(str(value) for name, value in row.items() if name not in told) for row in city.rows(layer, "things")
        ]
        for layer in ("bronze", "silver", "quarantine")
    }
    lost = [(r["_source_file"], str(r["_source_row"]), r["raw"]) for r in city.rows("bronze", "unparsable")]
    return {**{layer: sorted(rows) for layer, rows in found.items()}, "unparsable": sorted(lost)}


def assert_whole(city: City) -> None:
    """The books close for every delivery, the tables say the same, and quarantine holds the text as it was sent."""
    events: dict[str, dict[str, dict[str, Any]]] = {}
    for row in city.book("deliveries", "things"):
        if row["delivery_id"]:
            events.setdefault(row["delivery_id"], {})[row["event"]] = row
    layers = {layer: city.rows(layer, "things") for layer in ("bronze", "silver", "quarantine")}
    layers["unparsable"] = city.rows("bronze", "unparsable")
    for name, told in events.items():
        if "refused" in told and "loaded" not in told:
            continue
        cleaned, held = (
            told["cleaned"],
            {layer: [r for r in rows if r["_delivery_id"] == name] for layer, rows in layers.items()},
        )
        assert cleaned["rows_in"] == cleaned["accepted"] + cleaned["quarantined"] + cleaned["unparsable"]
        assert told["loaded"]["rows_in"] == cleaned["rows_in"] == len(held["bronze"]) + len(held["unparsable"])
        assert cleaned["unparsable"] == len(held["unparsable"])
        assert cleaned["quarantined"] == len(held["quarantine"])
        assert cleaned["accepted"] == len(held["silver"])
        sent = {row["_source_row"]: row for row in held["bronze"]}
        for row in held["quarantine"]:
            assert {c: row[c] for c in COLUMNS} == {c: sent[row["_source_row"]][c] for c in COLUMNS}
            assert row["_errors"]
        rows = [row["_source_row"] for layer in ("silver", "quarantine") for row in held[layer]]
        assert sorted(rows) == sorted(sent)


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(FILES)
def test_every_record_is_somewhere(files: list[bytes]) -> None:
    with town() as city:
        city.declare("things", COLUMNS, key=["id"], drift={"columns": "quarantine"})
        for number, file in enumerate(files):
            city.deliver("things", file, name=f"{number}.csv")
        city.night()
        assert_whole(city)
        before, versions = content(city), city.versions()
        city.night()
        assert (content(city), city.versions()) == (before, versions)


class Killed(CitylakeError):
    """Stands for a process that ended here."""


def _dying(at: int, *, after: bool) -> Callable[..., None]:
    """A writer of Delta tables that dies with its `at`-th write, before or after the commit."""
    writes = iter(range(1_000))

    def write(*args: Any, **options: Any) -> None:
        number = next(writes)
        if number == at and not after:
            raise Killed("before the commit")
        write_deltalake(*args, **options)
        if number == at:
            raise Killed("after the commit")

    return write


DIRTY = b'id,n,at,note\na,1,2026-03-02,x\na,2,,\nb,x,,\n,3,,\nc,4,soon,y\n"d,5\n'


@pytest.fixture(scope="module")
def undisturbed() -> dict[str, list[tuple[Any, ...]]]:
    with town() as city:
        city.declare("things", COLUMNS, key=["id"])
        city.deliver("things", DIRTY)
        city.night()
        assert_whole(city)
        return content(city)


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize(("step", "at"), [*(("bring", at) for at in range(4)), *(("clean", at) for at in range(6))])
def test_a_night_cut_off_at_any_write_ends_the_same(
    step: str, at: int, after: bool, undisturbed: dict[str, list[tuple[Any, ...]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    with town() as city:
        city.declare("things", COLUMNS, key=["id"])
        city.deliver("things", DIRTY)
        if step == "clean":
            city.step("bring", DAY, TOWN)
        monkeypatch.setattr(tables, "write_deltalake", _dying(at, after=after))
        with pytest.raises((Killed, DatasetsFailed)):
            city.step(step, DAY, TOWN)
        monkeypatch.undo()
        city.night()
        assert content(city) == undisturbed
        assert_whole(city)
        versions = city.versions()
        city.night()
        assert city.versions() == versions


def test_rows_that_come_in_two_runs_are_told_apart() -> None:
    with town() as city:
        city.declare("things", COLUMNS, key=["id"])
        city.deliver("things", "id,n,at,note\na,1,,\n", name="1.csv")
        city.night()
        city.deliver("things", "id,n,at,note\na,2,,\nb,3,,\n", name="2.csv")
        city.night()
        assert city.silver("things", "id", "n") == [("a", 1), ("b", 3)]
        assert_whole(city)


def test_a_file_sent_again_under_its_name_takes_its_place() -> None:
    with town() as city:
        city.declare("things", COLUMNS, key=["id"])
        city.deliver("things", "id,n,at,note\na,1,,\nb,1,,\n")
        city.night()
        city.deliver("things", "id,n,at,note\na,2,,\n")
        city.night()
        assert city.silver("things", "id", "n") == [("a", 2)]
        assert len(city.rows("bronze", "things")) == 3
        city.night()
        assert city.silver("things", "id", "n") == [("a", 2)]
