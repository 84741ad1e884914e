"""Tables brought back: to an earlier version and from damage, and made whole again by the days' next runs."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jobs.restore import Restored, mend, restore, version_of
from lakehouse import damage
from lakehouse.errors import LakeError, UsageError
from lakehouse.runs import Run
from lakehouse.settings import Settings
from lakehouse.table import Commit, Table
from tests.jobs.small_city import City
from tests.jobs.test_maintain import DAYS, content, deliver, night, releases, town


def table(city: City, name: str) -> Table:
    return Table(city.home / name.replace(".", "/", 1))


def done(city: City, work: Callable[[Run], Restored]) -> Restored:
    city.point()
    run = Run.start("restore", DAYS[2], city.now, Settings.from_environment())
    try:
        return work(run)
    finally:
        run.close()


def contents(city: City) -> dict[str, str]:
    """The rows of every table of the datasets, but when they were loaded."""
    return {name: rows_of(table(city, name)) for name in sorted(city.versions())}


def rows_of(of: Table) -> str:
    return str(sorted(map(str, of.read().drop(["_loaded_at"]).to_pylist()))) if of.exists() else ""


@pytest.mark.parametrize("name", ["silver.town__shops", "quarantine.town__shops"])
def test_a_table_gets_the_content_of_a_release_and_its_days_are_made_again(city: City, name: str) -> None:
    town(city)
    whole, then = contents(city), content(table(city, name), 0)
    restored = done(city, lambda run: restore(run, name, version_of(run, name, DAYS[0])))
    assert restored.version == 3 and restored.days == tuple(DAYS[1:3])
    assert content(table(city, name)) == then
    night(city, DAYS[0])  # nothing of this day was taken back
    assert content(table(city, name)) == then
    for day in DAYS[1:3]:
        night(city, day)
    assert contents(city) == whole
    assert [row["revision"] for row in city.book("releases", day=DAYS[2])] == [1, 2]
    deliver(city, DAYS[3])
    night(city, DAYS[3])
    assert len(city.book("releases", day=DAYS[3])) == 1


def test_an_upserted_table_goes_back_and_forth(city: City) -> None:
    town(city)
    name = "silver.town__trees"
    first, last = content(table(city, name), 0), content(table(city, name))
    assert done(city, lambda run: restore(run, name, 0)).days == tuple(DAYS[1:3])
    assert content(table(city, name)) == first
    assert done(city, lambda run: restore(run, name, 2)).version == 4
    assert content(table(city, name)) == last


def test_deliveries_taken_out_of_bronze_are_loaded_again(city: City) -> None:
    town(city)
    whole = contents(city)
    restored = done(city, lambda run: restore(run, "bronze.town__shops", 1))  # the first day's two deliveries
    assert restored.days == tuple(DAYS[1:3]) and restored.gone == 0
    assert len(city.rows("bronze", "shops", day=None)) == 44
    for day in DAYS[:3]:
        night(city, day)
    assert contents(city) == whole


def test_bronze_taken_back_holds_what_it_held_then(city: City) -> None:
    town(city)
    of, whole = table(city, "bronze.town__shops"), contents(city)
    before = of.version()
    assert before is not None
    first = of.read(columns=["_delivery_id"])["_delivery_id"][0].as_py()
    of.forget([first], Commit("forgets"))
    assert of.version() == before + 1  # rows and transaction in one commit
    assert of.holding([first]) == set()
    done(city, lambda run: restore(run, "bronze.town__shops", before))
    assert of.holding([first]) == {first}
    for day in DAYS[:3]:
        night(city, day)
    assert contents(city) == whole


def test_what_can_not_be_restored_is_said(city: City) -> None:
    town(city)
    served = releases(city)
    with pytest.raises(UsageError, match="the books are only added to"):
        done(city, lambda run: restore(run, "ops.runs", 0))
    with pytest.raises(UsageError, match="no version 99"):
        done(city, lambda run: restore(run, "silver.town__shops", 99))
    with pytest.raises(UsageError, match="no release of 2026-03-05"):
        done(city, lambda run: restore(run, "silver.town__shops", version_of(run, "silver.town__shops", DAYS[3])))
    assert done(city, lambda run: restore(run, "silver.town__shops", 2)) == Restored(2)
    assert releases(city) == served


def cut_last_commit(of: Table) -> None:
    log = sorted((of.path / "_delta_log").glob("*.json"))[-1]
    log.write_text(log.read_text()[:-40])


def empty_last_commit(of: Table) -> None:
    sorted((of.path / "_delta_log").glob("*.json"))[-1].write_text("")


def spoil_checkpoint(of: Table) -> None:
    of.open().create_checkpoint()
    next((of.path / "_delta_log").glob("*.checkpoint.parquet")).write_bytes(b"garbage")


def spoil_pointer(of: Table) -> None:
    of.open().create_checkpoint()
    (of.path / "_delta_log" / "_last_checkpoint").write_text("garbage")


def lose_a_checkpoint(of: Table) -> None:
    of.open().create_checkpoint()
    next((of.path / "_delta_log").glob("*.checkpoint.parquet")).unlink()


def lose_a_commit(of: Table) -> None:
    sorted((of.path / "_delta_log").glob("*.json"))[1].unlink()


def lose_a_file(of: Table) -> None:
    Path(of.files()[0]).unlink()


def cut_a_file(of: Table) -> None:
    path = Path(of.files()[-1])
    path.write_bytes(path.read_bytes()[:-50])


def lose_the_log(of: Table) -> None:
    shutil.rmtree(of.path / "_delta_log")
    (of.path / "_delta_log").mkdir()
    (of.path / "_delta_log" / f"{0:020}.json").write_text("{")


@pytest.mark.parametrize(
    "name", ["bronze.town__shops", "silver.town__shops", "silver.town__trees", "quarantine.town__shops"]
)
@pytest.mark.parametrize(
    "harm",
    [
        *(cut_last_commit, empty_last_commit, spoil_checkpoint, spoil_pointer, lose_a_checkpoint, lose_a_commit),
        *(lose_a_file, cut_a_file, lose_the_log),
    ],
    ids=lambda harm: harm.__name__,
)
def test_a_damaged_table_is_found_mended_and_made_whole(city: City, name: str, harm: Callable[[Table], None]) -> None:
    town(city)
    whole, of = contents(city), table(city, name)
    assert damage.find(of) is None
    harm(of)
    found = damage.find(of)
    assert found and found.said()
    restored = done(city, lambda run: mend(run, found))
    assert not of.exists() or damage.find(of) is None
    assert restored.gone == 0 and (restored.version is None) == (harm is lose_the_log)
    for day in restored.days:  # what the command says to do next
        night(city, day)
    assert damage.find(of) is None
    assert contents(city) == whole


def test_deliveries_no_longer_landed_stay_as_they_are(city: City) -> None:
    town(city)
    of = table(city, "bronze.town__shops")
    lose_a_file(of)
    for path in (city.home / "landing/town/shops").glob("*/*/*.csv"):
        path.unlink()
    found = damage.find(of)
    assert found
    restored = done(city, lambda run: mend(run, found))
    assert restored.gone == 1 and restored.days == (DAYS[2],)  # the newest release named the file
    before: Any = city.versions()
    for day in DAYS[:3]:
        night(city, day)
    assert city.versions() == before


def test_a_lost_table_directory_comes_back_from_the_raw_zone(city: City) -> None:
    town(city)
    whole = contents(city)
    for name in ("bronze.town__shops", "silver.town__shops", "quarantine.town__shops"):
        shutil.rmtree(table(city, name).path)
    for day in DAYS[:3]:
        city.step("bring", day, "town")
        city.step("clean", day, "town", forced=True)
    assert contents(city) == whole


def test_damage_of_one_version_does_not_touch_what_is_read_now(city: City) -> None:
    town(city)
    of = table(city, "silver.town__shops")
    before = of.files()
    city.step("clean", DAYS[0], "town", forced=True)
    Path(next(file for file in before if file not in of.files())).unlink()
    assert damage.find(of) is None
    with pytest.raises(LakeError):
        done(city, lambda run: restore(run, "silver.town__shops", 2))
