"""Tables night after night: what is new since an earlier day, what has changed since the last, whatever run was cut off."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from jobs import pull
from tests.jobs.small_city import DAY, TOWN, City

SECOND, THIRD = DAY + timedelta(days=1), DAY + timedelta(days=2)
COLUMNS: dict[str, Any] = {"id": {"type": "string"}, "name": {"type": "string"}}
SOURCE = {"type": "sqlite", "connection": "register", "table": "firms"}


class CutOff(BaseException):
    """Stands for a process that ends in the middle."""


@pytest.fixture
def register(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Run statements in the department's database."""
    path = tmp_path / "register.db"
    monkeypatch.setenv("CITYLAKE_CONN_REGISTER", f"sqlite://{path}")

    def call(*statements: str) -> None:
        with closing(sqlite3.connect(path)) as connection:
            for statement in statements:
                connection.execute(statement)
            connection.commit()

    call(
        "CREATE TABLE firms (id, name, version)", "INSERT INTO firms VALUES ('a', 'A', 1), ('b', 'B', 2), ('c', 'C', 3)"
    )
    return call


@pytest.fixture
def changing(city: City) -> City:
    declare(city)
    return city


def declare(city: City, **more: Any) -> None:
    columns = COLUMNS | {"seen_at": {"type": "timestamp", "from": "_seen_at"}}
    declared = {"source": SOURCE | {"changes": True}, "load": "cdc", "key": ["id"], "order": "seen_at"}
    city.declare("firms", columns, **declared, ignore=["version"], **more)


def cut_off(*_: object) -> None:
    raise CutOff


def night(city: City, day: date) -> None:
    city.step("bring", day, TOWN)
    city.step("clean", day, TOWN)


def firms(city: City) -> dict[str, str]:
    return {row["id"]: row["name"] for row in city.silver("firms", day=None) if row["_op"] != "D"}


def changes(city: City, day: date) -> list[tuple[str, str]]:
    rows = city.rows("bronze", "firms", ["_op", "id", "_source_row"], day=day)
    return [(op, id) for op, id, _ in sorted(rows, key=lambda row: row[2])]


def test_silver_is_the_table_after_every_night(changing: City, register: Callable[..., None]):
    night(changing, DAY)
    assert firms(changing) == {"a": "A", "b": "B", "c": "C"}
    register(
        "UPDATE firms SET name = 'AA' WHERE id = 'a'",
        "DELETE FROM firms WHERE id = 'b'",
        "INSERT INTO firms VALUES ('d', 'D', 4)",
    )
    night(changing, SECOND)
    assert changes(changing, SECOND) == [("U", "a"), ("D", "b"), ("I", "d")]
    assert firms(changing) == {"a": "AA", "c": "C", "d": "D"}
    night(changing, THIRD)
    assert changes(changing, THIRD) == []
    register("INSERT INTO firms VALUES ('b', 'again', 5)")
    night(changing, THIRD)
    assert firms(changing) == {"a": "AA", "b": "again", "c": "C", "d": "D"}


def test_a_run_of_the_same_day_gives_the_same_delivery(changing: City, register: Callable[..., None]):
    night(changing, DAY)
    register("DELETE FROM firms WHERE id = 'b'")
    for _ in range(2):
        night(changing, SECOND)
    loaded = [row for row in changing.book("deliveries", "firms", day=SECOND) if row["event"] == "loaded"]
    assert (len(loaded), changes(changing, SECOND)) == (1, [("D", "b")])
    assert changing.last_run("bring", "firms", day=SECOND)["status"] == "unchanged"


def test_a_day_that_was_cut_off_before_it_was_loaded_loses_nothing(
    changing: City, register, monkeypatch: pytest.MonkeyPatch
):
    night(changing, DAY)
    register("DELETE FROM firms WHERE id = 'b'")
    with monkeypatch.context() as patch, pytest.raises(CutOff):
        patch.setattr(pull, "load", cut_off)
        changing.step("bring", SECOND, TOWN)
    night(changing, THIRD)
    assert (changes(changing, THIRD), firms(changing)) == ([("D", "b")], {"a": "A", "c": "C"})
    night(changing, SECOND)
    assert firms(changing) == {"a": "A", "c": "C"}


def test_what_was_never_loaded_doesn_t_come_back(changing: City, register, monkeypatch: pytest.MonkeyPatch):
    night(changing, DAY)
    register("UPDATE firms SET name = 'for a day' WHERE id = 'a'")
    with monkeypatch.context() as patch, pytest.raises(CutOff):
        patch.setattr(pull, "load", cut_off)
        changing.step("bring", SECOND, TOWN)
    register("UPDATE firms SET name = 'A' WHERE id = 'a'")
    night(changing, THIRD)
    night(changing, SECOND)
    assert firms(changing) == {"a": "A", "b": "B", "c": "C"}


def test_a_day_asked_again_delivers_what_has_changed_meanwhile(changing: City, register: Callable[..., None]):
    night(changing, DAY)
    for name, again in (("first", SECOND), ("second", DAY)):
        register(f"UPDATE firms SET name = '{name}' WHERE id = 'a'")
        night(changing, SECOND)
        register("DELETE FROM firms WHERE id = 'b'")
        night(changing, again)
        register(f"INSERT INTO firms VALUES ('b', 'B{name}', 2)")
        night(changing, again)
        assert firms(changing) == {"a": name, "b": f"B{name}", "c": "C"}
    night(changing, THIRD)
    assert changes(changing, THIRD) == []
    register("UPDATE firms SET name = 'first' WHERE id = 'a'")
    night(changing, THIRD)
    assert firms(changing)["a"] == "first"


def test_what_is_new_by_its_version(city: City, register: Callable[..., None]):
    columns = COLUMNS | {"version": {"type": "integer"}}
    source = SOURCE | {"since": {"column": "version", "overlap": 1}}
    city.declare("firms", columns, source=source, load="upsert", key=["id"], order="version")

    def bronze(day: date) -> list[str]:
        return sorted(row["id"] for row in city.rows("bronze", "firms", day=day))

    night(city, DAY)
    register("UPDATE firms SET name = 'AA', version = 4 WHERE id = 'a'")
    night(city, SECOND)
    assert (bronze(DAY), bronze(SECOND)) == (["a", "b", "c"], ["a", "c"])
    register("INSERT INTO firms VALUES ('late', 'L', 2)")
    night(city, THIRD)
    assert bronze(THIRD) == ["a"], "a row below the mark and its overlap isn't seen: that is the limit of marks"
    assert {row["id"]: row["name"] for row in city.silver("firms", day=None)} == {"a": "AA", "b": "B", "c": "C"}


def test_old_contents_go_with_the_landed_bytes_but_the_last(changing: City, register: Callable[..., None]):
    def held() -> list[str]:
        return sorted(path.parts[-3] for path in (changing.home / "landing").glob("*/firms/*/*/*.whole.parquet"))

    declare(changing, keep="1d")
    for day in (DAY, SECOND):
        night(changing, day)
    assert held() == [DAY.isoformat(), SECOND.isoformat()]
    changing.step("maintain", SECOND + timedelta(days=9))
    assert held() == [SECOND.isoformat()]
    register("DELETE FROM firms WHERE id = 'b'")
    night(changing, THIRD + timedelta(days=9))
    assert firms(changing) == {"a": "A", "c": "C"}
