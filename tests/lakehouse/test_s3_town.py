"""A town whose tables lie on an S3 server: its nights give what they give on a disk, also where one is killed."""

import os
import shutil
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from jobs.run import run
from lakehouse.errors import CitylakeError, EnvironmentFault, LakeError, TablesUnreachable
from lakehouse.lake import Lake
from lakehouse.layout import ON_SERVER, prepare
from lakehouse.settings import Settings
from tests.chaos.child import forks
from tests.jobs.small_city import DAY, City, own_settings
from tests.lakehouse import s3_server
from tests.lakehouse.s3_server import BUCKET, SECRET, Server, When

COLUMNS: dict[str, Any] = {"id": {"type": "string", "required": True}, "n": {"type": "integer"}}
NEXT = DAY + timedelta(days=1)
DATASETS = ("events", "shops", "permits")


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with s3_server.running() as server:
        yield server


@pytest.fixture
def lakes(server: Server, tmp_path: Path) -> Iterator[tuple[City, City]]:
    """The same town on the server and on the disk."""
    with own_settings() as patch:
        patch.setenv("CITYLAKE_CONN_TABLES", server.login())
        both = City(tmp_path / "server"), City(tmp_path / "disk")
        patch.setenv("CITYLAKE_TABLES", f"s3://{BUCKET}/{tmp_path.name}")
        for city in both:
            city.declare("events", COLUMNS)
            city.declare("shops", COLUMNS, load="snapshot", key=["id"])
            city.declare("permits", {**COLUMNS, "at": {"type": "integer"}}, load="upsert", key=["id"], order="at")
            for day, n in ((DAY, 1), (NEXT, 2)):
                text = f"id,n\na,{n}\nb,x\n,{n}\n"
                city.deliver("events", text, day=day)
                city.deliver("shops", text, day=day)
                city.deliver("permits", f"id,n,at\na,{n},{n}\nb,x,1\nc{n},1,1\n,1,1\n", day=day)
        both[0].point()
        prepare(Settings.from_environment())
        patch.setenv("CITYLAKE_TABLES", "")  # the lake has noted it
        yield both


def night(city: City, day: date) -> None:
    city.night(day)
    city.step("release", day)


def content(city: City) -> dict[str, list[tuple[Any, ...]]]:
    """The rows of every dataset by layer, without what tells of runs and times."""
    own = {"_loaded_at", "_delivery_id"}
    return {
        f"{layer}.{dataset}": sorted(
            tuple((name, str(value)) for name, value in sorted(row.items()) if name not in own)
            for row in city.rows(layer, dataset, day=None)
        )
        for layer in ("bronze", "silver", "quarantine")
        for dataset in DATASETS
    }


def test_nights_give_what_they_give_on_a_disk_and_a_second_time_nothing(
    server: Server, lakes: tuple[City, City]
) -> None:
    there, here = lakes
    for city in lakes:
        for day in (DAY, NEXT):
            night(city, day)
    assert content(there) == content(here)
    assert content(there)["silver.events"] and content(there)["quarantine.permits"]
    for layer in ON_SERVER:  # another machine, or a disk that is lost
        shutil.rmtree(there.home / layer)
    assert content(there) == content(here)

    served = "SELECT id, n FROM silver.town__permits ORDER BY ALL"
    assert Lake.open(there.home).sql(served).to_arrow().equals(Lake.open(here.home).sql(served).to_arrow())

    versions = there.versions()
    night(there, NEXT)
    assert there.versions() == versions
    assert there.book("releases", day=NEXT)[-1]["revision"] == 1
    there.step("maintain", NEXT)
    assert content(there) == content(here)
    told = [path for path in there.home.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()]
    assert not told


@pytest.mark.parametrize(
    ("key", "when"),
    [
        ("bronze/town__shops/_delta_log/", "before"),
        ("silver/town__permits/_delta_log/", "after"),
        ("quarantine/town__events/_delta_log/", "before"),
        ("ops/deliveries/_delta_log/", "after"),
    ],
)
def test_a_night_that_is_killed_is_made_whole_by_the_next(
    server: Server, lakes: tuple[City, City], key: str, when: When
) -> None:
    there, here = lakes
    night(there, DAY)
    released = Lake.open(there.home).sql("SELECT * FROM silver.town__shops").to_arrow()
    there.point()
    child = forks.Process(target=_die, args=(dict(os.environ), server, NEXT, key, when))
    child.start()
    child.join()
    assert child.exitcode == -9
    assert Lake.open(there.home).sql("SELECT * FROM silver.town__shops").to_arrow().equals(released)  # no half night
    night(there, NEXT)
    for day in (DAY, NEXT):
        night(here, day)
    assert content(there) == content(here)


def _die(environment: dict[str, str], server: Server, day: date, key: str, when: When) -> None:
    os.environ.update(environment)
    server.plan(key, when, os.getpid())
    run("bring", day, "town")
    run("clean", day, "town")


def test_a_night_without_the_server_is_one_line_and_the_next_heals(
    server: Server, lakes: tuple[City, City], monkeypatch: pytest.MonkeyPatch
) -> None:
    there, here = lakes
    night(there, DAY)
    with monkeypatch.context() as patch:
        for login, kind in (
            (server.login().replace(server.url, "http://127.0.0.1:9"), TablesUnreachable),
            (server.login("stranger"), LakeError),
            ("s3://127.0.0.1", EnvironmentFault),
        ):
            patch.setenv("CITYLAKE_CONN_TABLES", login)
            with pytest.raises(CitylakeError) as fault:
                there.step("bring", NEXT, "town")
            assert isinstance(fault.value, kind)
            assert "\n" not in str(fault.value) and SECRET not in str(fault.value)
    for city, days in ((there, [NEXT]), (here, [DAY, NEXT])):
        for day in days:
            night(city, day)
    assert content(there) == content(here)


def test_tables_stay_where_they_are(lakes: tuple[City, City], monkeypatch: pytest.MonkeyPatch) -> None:
    there, here = lakes
    night(here, DAY)
    for city in (there, here):
        city.point()
        monkeypatch.setenv("CITYLAKE_TABLES", "s3://another/place")
        with pytest.raises(LakeError, match="its tables lie"):
            prepare(Settings.from_environment())
