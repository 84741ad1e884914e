"""Silver as a day sees it: a state that changes with the rows and with nothing else."""

from datetime import date

import pytest

from expectations.catalog import load_usable
from jobs.written import Seen, Silver
from lakehouse.runs import Run
from lakehouse.settings import Settings
from tests.jobs.small_city import TOWN, City
from tests.jobs.test_maintain import DAYS, deliver, night, town


def seen(city: City, name: str, day: date) -> tuple[Seen, Seen]:
    """The slice of a day, and what is served on it."""
    city.point()
    settings = Settings.from_environment()
    catalog = load_usable(settings.catalog)
    silver = Silver(Run.start("test", day, city.now, settings), catalog.contracts)
    slice_, served = (see(catalog.contract(f"{TOWN}.{name}")) for see in (silver.slice, silver.served))
    assert slice_ and served
    return slice_, served


def states(city: City, name: str, day: date) -> list[str]:
    return [each.state for each in seen(city, name, day)]


@pytest.mark.parametrize("name", ["shops", "trees"])
def test_joining_files_is_no_other_state(city: City, name: str) -> None:
    town(city)
    before = [(states(city, name, day), seen(city, name, day)[0].files) for day in DAYS[:3]]
    city.table("silver", name).open().optimize.z_order(["_source_row"])
    after = [(states(city, name, day), seen(city, name, day)[0].files) for day in DAYS[:3]]
    assert [state for state, _ in after] == [state for state, _ in before]
    assert after[2][1] != before[2][1]


@pytest.mark.parametrize("name", ["shops", "trees"])
def test_later_days_are_no_other_state(city: City, name: str) -> None:
    town(city)
    before, rows = states(city, name, DAYS[1]), seen(city, name, DAYS[1])
    deliver(city, DAYS[3])
    night(city, DAYS[3])
    assert states(city, name, DAYS[1]) == before
    assert seen(city, name, DAYS[1])[1].files == rows[1].files


@pytest.mark.parametrize("name", ["shops", "trees"])
def test_other_rows_are_another_state(city: City, name: str) -> None:
    town(city)
    before = states(city, name, DAYS[1])
    city.deliver(
        name, "id,name\nz,z\n" if name == "shops" else "id,height,measured\nz,1,2026-03-09\n", day=DAYS[1], name="z.csv"
    )
    city.night(DAYS[1])
    after = states(city, name, DAYS[1])
    assert after[0] != before[0] and after[1] != before[1]


def test_a_version_that_is_gone_is_no_obstacle(city: City) -> None:
    town(city)
    trees = city.table("silver", "trees")
    assert seen(city, "trees", DAYS[0])[0].version == 0
    before = states(city, "trees", DAYS[0])
    trees.open().vacuum(retention_hours=0, dry_run=False, enforce_retention_duration=False)
    now = seen(city, "trees", DAYS[0])[0]
    assert now.version == trees.version() and now.state == before[0]
