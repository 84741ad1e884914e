"""Deliveries of changes: silver is the state after all of them, in whatever order and however often they come."""

import json
import random
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expectations.catalog import load
from jobs.check import check
from jobs.rebuild import rebuild
from lakehouse.compare import compare
from lakehouse.lake import Lake
from lakehouse.settings import Settings
from tests.jobs.small_city import DAY, TOWN, City, own_settings, text_of

CHANGES: dict[str, Any] = {"load": "cdc", "key": ["id"], "order": "no"}
COLUMNS: dict[str, Any] = {
    "id": {"type": "string"},
    "no": {"type": "integer"},
    "name": {"type": "string", "required": True},
    "size": {"type": "integer", "between": [0, 9]},
}
HEADER = ["id", "no", "name", "size", "_op"]
NEXT = DAY + timedelta(days=1)
DAYS = (DAY, NEXT, NEXT + timedelta(days=1))


def state(city: City, dataset: str = "things") -> dict[str, tuple[Any, ...]]:
    """Name and size of the rows that readers see, by id."""
    rows = city.silver(dataset, day=None)
    return {row["id"]: (row["name"], row["size"]) for row in rows if row["_op"] != "D"}


def deliver(city: City, *rows: list[Any], day: date = DAY, **more: Any) -> None:
    city.deliver("things", text_of(HEADER, rows), day=day, **more)


# --- any history, any order ---

Row = tuple[str, str, str, str, str]
"""id, no, name, size, operation: as sent."""


@dataclass(frozen=True)
class Sent:
    """One delivery: `wave` 1 comes after the day was brought once."""

    day: date
    wave: int
    rows: tuple[Row, ...]


ROWS = st.tuples(
    st.sampled_from(["a", "b", "c", ""]),
    st.sampled_from(["1", "2", "3", "4", ""]),
    st.sampled_from(["x", "y", "z", ""]),
    st.sampled_from(["1", "22", "?", ""]),
    st.sampled_from(["I", "u", "Update", "D", "delete", "r", "T"]),
)
HISTORIES = st.lists(
    st.builds(Sent, st.sampled_from(DAYS), st.integers(0, 1), st.lists(ROWS, min_size=1, max_size=5).map(tuple)),
    min_size=1,
    max_size=6,
)
_WRITTEN = {"1": 1, "22": 22}


def after_all(history: list[Sent]) -> dict[str, tuple[Any, ...]]:
    """The state after all changes, those with faults left out: by order, then later rows of later deliveries."""
    found: dict[str, tuple[Any, ...]] = {}
    changes = [
        (int(no), sent.day, sent.wave, number, place, name, title, _WRITTEN.get(size), word[0].upper())
        for number, sent in enumerate(history)
        for place, (name, no, title, size, word) in enumerate(sent.rows)
        if name and no and word != "T" and (title or word[0].upper() == "D")
    ]
    for *_, name, title, size, done in sorted(changes, key=lambda change: change[:5]):
        if done == "D":
            found.pop(name, None)
        else:
            found[name] = (title, size)
    return found


@settings(max_examples=2, deadline=None)
@given(st.lists(HISTORIES, min_size=5, max_size=5), st.randoms(use_true_random=False))
def test_any_order_of_days_gives_the_state_after_all_changes(histories: list[list[Sent]], dice: random.Random) -> None:
    with TemporaryDirectory() as folder, own_settings():
        city = City(Path(folder))
        names = {f"things{number}": history for number, history in enumerate(histories)}
        for name in names:
            city.declare(name, COLUMNS, **CHANGES, ignore=["serial"])
        for day in dice.sample(DAYS, 3):
            for wave in (0, 1):
                for name, history in names.items():
                    _deliver(city, name, history, day, wave)
                city.step("bring", day, TOWN)
        for day in [*dice.sample(DAYS, 3), dice.choice(DAYS)]:
            city.step("clean", day, TOWN, forced=True)
        assert {name: state(city, name) for name in names} == {name: after_all(h) for name, h in names.items()}
        silver, bad = _content(city, "silver"), _content(city, "quarantine")
        version = city.table("silver", "things0").version()
        city.step("clean", dice.choice(DAYS), TOWN, forced=True)
        assert city.table("silver", "things0").version() == version
        contracts = {contract.dataset: contract for contract in load(city.catalog).contracts}
        assert set(rebuild(Settings.from_environment(), contracts["things0"], "embedded")) <= set(DAYS)
        assert (_content(city, "silver"), _content(city, "quarantine")) == (silver, bad)


def _deliver(city: City, dataset: str, history: list[Sent], day: date, wave: int) -> None:
    for number, sent in enumerate(history):
        if (sent.day, sent.wave) == (day, wave):  # no two are the same bytes: those would be one delivery
            rows = [(*row, number) for row in sent.rows]
            city.deliver(dataset, text_of([*HEADER, "serial"], rows), day=day, name=f"{number}.csv")


def _content(city: City, layer: str) -> dict[str, list[dict[str, Any]]]:
    """Every row of every dataset."""
    names = sorted(path.name.rpartition("__")[2] for path in (city.home / layer).glob(f"{TOWN}__*"))
    return {name: sorted(city.rows(layer, name, day=None), key=str) for name in names}


# --- what is found ---


def test_operations_that_do_not_fit_are_findings(city: City) -> None:
    city.declare("things", COLUMNS, **CHANGES)
    deliver(city, ["a", 1, "one", 1, "I"], ["b", 2, "two", 2, "u"], ["c", 3, "", "", "D"], ["d", 4, "four", 4, "T"])
    city.night()
    assert state(city) == {"a": ("one", 1), "b": ("two", 2)}
    assert city.quarantine("things", "id", "name", "_op", "_errors") == [("d", "four", "T", ["operation"])]
    assert city.results("things")["operation"] == ("failed", 4, 3)
    assert city.results("things")["key.new"] == ("passed", 1, 1)
    assert city.results("things")["key.known"] == ("failed", 2, 0)
    deliver(city, ["a", 5, "again", 1, "insert"], ["b", 6, "", "", "delete"], ["c", 7, "back", 1, "I"], day=NEXT)
    city.night(NEXT)
    assert state(city) == {"a": ("again", 1), "c": ("back", 1)}
    assert city.results("things", day=NEXT)["key.new"] == ("failed", 2, 1)
    assert city.results("things", day=NEXT)["key.known"] == ("passed", 1, 1)
    assert [row["key"] for row in city.book("failing_keys", "things", day=NEXT)] == ["id=a"]


def test_findings_are_the_same_when_the_day_runs_again(city: City) -> None:
    city.declare("things", COLUMNS, **CHANGES)
    deliver(city, ["a", 1, "one", 1, "I"])
    city.night()
    deliver(
        city, ["a", 2, "two", 1, "I"], ["b", 2, "two", 1, "I"], ["b", 3, "", "", "D"], ["c", 4, "", "", "D"], day=NEXT
    )
    city.night(NEXT)
    found = city.results("things", day=NEXT)
    assert (found["key.new"], found["key.known"]) == (("failed", 2, 1), ("failed", 2, 1))
    for _ in range(2):
        city.step("clean", NEXT, TOWN, forced=True)
        assert city.results("things", day=NEXT) == found
    assert city.table("silver", "things").version() == 1


def test_a_run_cut_off_before_its_books_is_healed_by_the_next(city: City, monkeypatch: pytest.MonkeyPatch) -> None:
    city.declare("things", COLUMNS, **CHANGES)
    deliver(city, ["a", 1, "one", 1, "I"])
    city.night()
    deliver(city, ["a", 2, "two", 1, "I"], ["b", 2, "", "", "D"], day=NEXT)
    with monkeypatch.context() as cut, pytest.raises(KeyboardInterrupt):
        cut.setattr("jobs.clean.results.note", _cut_off)
        city.night(NEXT)
    assert state(city) == {"a": ("two", 1)} and "key.new" not in city.results("things", day=NEXT)
    city.night(NEXT)
    assert state(city) == {"a": ("two", 1)}
    found = city.results("things", day=NEXT)
    assert (found["key.new"], found["key.known"]) == (("failed", 1, 0), ("failed", 1, 0))


def _cut_off(*_: Any) -> None:
    raise KeyboardInterrupt


def test_a_change_that_comes_late_is_not_judged_by_what_came_after_it(city: City) -> None:
    city.declare("things", COLUMNS, **CHANGES)
    deliver(city, ["a", 5, "", "", "D"])
    city.night()
    deliver(city, ["a", 1, "one", 1, "I"], ["a", 2, "two", 1, "U"], ["b", 1, "one", 1, "I"], day=NEXT)
    city.night(NEXT)
    assert state(city) == {"b": ("one", 1)}
    assert city.results("things", day=NEXT)["key.new"] == ("passed", 1, 1)  # of `a` nobody knows any more
    assert city.results("things", day=NEXT)["key.known"] == ("passed", 1, 1)


def test_of_a_delete_only_its_place_is_read_and_kept(city: City) -> None:
    city.declare("things", COLUMNS | {"note": {"type": "string"}}, **CHANGES, drift={"columns": "evolve"})
    header = [*HEADER, "note", "more"]
    city.deliver("things", text_of(header, [["a", 1, "", "?", "D", "private", "too"], ["b", 2, "", 1, "U", "n", "m"]]))
    city.night()
    (gone,) = city.silver("things", day=None)
    kept = {name for name, value in gone.items() if value is not None}
    assert kept - {"_delivery_id", "_source_file", "_source_row", "_loaded_at", "_received_at", "_day"} == {
        "id",
        "no",
        "_op",
    }
    assert city.results("things")["name.required"] == ("failed", 1, 0)
    assert city.results("things")["size.type"] == ("passed", 1, 1)
    assert city.quarantine("things", "id", "note", "_extra") == [("b", "n", '{"more": "m"}')]


def test_of_equal_order_the_later_row_of_the_later_delivery_wins(city: City) -> None:
    city.declare("things", COLUMNS, **CHANGES)
    deliver(city, ["a", 1, "first", 1, "I"], ["a", 1, "second", 1, "U"], name="z.csv")
    deliver(city, ["a", 1, "before z", 1, "U"], ["b", 1, "one", 1, "I"], name="a.csv")
    city.night()
    assert state(city) == {"a": ("second", 1), "b": ("one", 1)}
    deliver(city, ["a", 1, "later", 1, "U"], name="b.csv")  # received after z
    city.night()
    assert state(city)["a"] == ("later", 1)
    deliver(city, ["a", 1, "", "", "D"], day=NEXT)
    city.night(NEXT)
    assert state(city) == {"b": ("one", 1)}


def test_without_its_operation_a_delivery_is_refused(city: City) -> None:
    city.declare("things", COLUMNS, **CHANGES, cdc={"op": "op_type"})
    deliver(city, ["a", 1, "one", 1, "I"])
    city.step("bring", DAY, TOWN)
    (word,) = city.book("deliveries")
    assert word["event"] == "refused" and "no column 'op_type' says what was done" in word["reason"]


def logged(city: City) -> str:
    return "".join(path.read_text("utf-8") for path in (city.home / "logs").glob("citylake-*.jsonl"))


def test_what_a_delivery_did_that_was_replaced_is_said_and_rebuilt(city: City) -> None:
    city.declare("things", COLUMNS, **CHANGES)
    deliver(city, ["a", 1, "one", 1, "I"], ["b", 1, "two", 2, "I"])
    city.night()
    deliver(city, ["a", 1, "one", 1, "I"])  # the same name
    assert "no longer count" not in logged(city)
    city.night()
    assert set(state(city)) == {"a", "b"}
    assert "silver has rows that no longer count" in logged(city) and "citylake rebuild town.things" in logged(city)
    assert list(rebuild(Settings.from_environment(), load(city.catalog).contracts[0], "embedded")) == [DAY]
    assert set(state(city)) == {"a"}


def test_a_slice_that_is_not_served_changes_nothing(city: City) -> None:
    city.declare("things", COLUMNS, **CHANGES, expect={"fail": [{"row_count": {"min": 2}}]})
    deliver(city, ["a", 1, "one", 1, "I"], ["b", 1, "two", 2, "I"])
    city.night()
    deliver(city, ["a", 2, "", "", "D"], day=NEXT)
    city.night(NEXT)
    assert set(state(city)) == {"a", "b"}
    assert city.quarantine("things", "id", "_op", "_errors", day=NEXT) == [("a", "D", ["row_count"])]
    assert city.results("things", day=NEXT)["key.known"] == ("unknown", 0, 0)


def test_a_file_on_a_desk_is_judged_without_what_is_there(city: City, tmp_path: Path) -> None:
    city.declare("things", COLUMNS, **CHANGES)
    city.point()
    file = tmp_path / "changes.csv"
    file.write_text(
        text_of(HEADER, [["a", 1, "one", 1, "I"], ["b", 1, "", "", "D"], ["c", 1, "", 1, "U"], ["d", 1, "x", 1, "?"]])
    )
    catalog = load(city.catalog)
    found = check(file, catalog.contracts[0], dict(catalog.standards), DAY, Settings.from_environment())
    assert (found.rows.accepted, found.rows.quarantined) == (2, 2)
    assert {r.rule.id: (r.evaluated, r.passed) for r in found.results if r.status == "failed"} == {
        "name.required": (3, 2), "operation": (4, 3),
    }  # fmt: skip
    assert [rule.id for rule in found.unjudged] == ["key.new", "key.known"]


# --- who reads ---


def test_readers_see_no_deleted_row(city: City) -> None:
    city.declare("things", COLUMNS, **CHANGES)
    city.declare("uses", {"thing": {"type": "string", "references": f"{TOWN}.things.id"}})
    deliver(city, ["a", 1, "one", 1, "I"], ["b", 2, "two", 2, "I"])
    city.deliver("uses", "thing\na\nb\n")
    city.night()
    city.step("relate")
    city.step("release")
    assert city.results("uses")["thing.references"] == ("passed", 2, 2)
    deliver(city, ["b", 3, "", "", "D"], day=NEXT)
    city.deliver("uses", "thing\nb\na\n", day=NEXT)
    city.night(NEXT)
    city.step("relate", NEXT)
    city.step("release", NEXT)
    assert city.results("uses", day=NEXT)["thing.references"] == ("failed", 2, 1)
    lake = Lake.open(city.home)
    assert lake.table("silver.town__things").to_pandas()["id"].to_list() == ["a"]
    assert sorted(lake.at(DAY).table("silver.town__things").to_pandas()["id"]) == ["a", "b"]
    table = city.table("silver", "things")
    changed = compare(Settings.from_environment(), table, 0, 1, ("id",), 9)
    assert (changed.removed, changed.same, changed.examples[0].row["id"]) == (1, 1, "b")


def test_changes_as_debezium_writes_them(city: City) -> None:
    columns = {
        "id": {"type": "integer", "from": "after.id"},
        "name": {"type": "string", "from": "after.name", "required": True},
        "changed_at": {"type": "timestamp", "from": "ts_ms", "format": "epoch_ms"},
    }
    city.declare(
        "things", columns, load="cdc", key=["id"], order="changed_at", cdc={"op": "op"}, ignore=["before.name", "source"],
        source={"uri": "{inbox}/things/{day}/*.jsonl"},
    )  # fmt: skip
    one, two = {"id": 1, "name": "one"}, {"id": 2, "name": "two"}
    lines = [
        {"before": None, "after": one, "source": {"table": "things"}, "op": "r", "ts_ms": 1772400000000},
        {"before": None, "after": two, "source": {"table": "things"}, "op": "c", "ts_ms": 1772400001000},
        {
            "before": two,
            "after": two | {"name": "zwei"},
            "source": {"table": "things"},
            "op": "u",
            "ts_ms": 1772400002000,
        },
        {"before": one, "after": None, "source": {"table": "things"}, "op": "d", "ts_ms": 1772400003000},
    ]
    city.deliver("things", "\n".join(map(json.dumps, lines)), name="changes.jsonl")
    city.night()
    rows = city.silver("things", "id", "name", "_op", day=None)
    assert sorted(rows) == [(1, None, "D"), (2, "zwei", "U")]
    assert city.results("things")["declared"][0] == "passed"
    assert [city.results("things")[f"key.{name}"] for name in ("new", "known")] == [("passed", 2, 2), ("passed", 2, 2)]
