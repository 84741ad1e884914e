"""APIs night after night: asked for what is new, cut off between landing and bronze, stopped by Ctrl-C."""

import json
import signal
from collections.abc import Iterator
from datetime import date, timedelta
from threading import main_thread

import pytest

from jobs import pull
from jobs.department import DatasetsFailed
from tests.jobs.small_city import DAY, TOWN, City
from tests.lakehouse.sources.loopback import Reply, Request, Server, serving

DAYS = [DAY + timedelta(days=number) for number in range(3)]


@pytest.fixture
def served() -> Iterator[Server]:
    with serving() as server:
        yield server


class Register:
    """An API over versioned rows: `?after=n` gives those above n."""

    def __init__(self, server: Server) -> None:
        self.rows: list[dict[str, object]] = []
        self.server = server
        server.answer = self

    def __call__(self, request: Request) -> Reply:
        after = int(request.query.get("after", 0))
        return Reply(json.dumps([row for row in self.rows if row["v"] > after]).encode())  # type: ignore[operator]

    def changes(self, *versions: int) -> None:
        self.rows += [{"id": f"r{version % 3}", "v": version} for version in versions]

    @property
    def asked(self) -> list[str]:
        return [request.query.get("after", "") for request in self.server.asked]


@pytest.fixture
def register(served: Server) -> Register:
    return Register(served)


@pytest.fixture
def town(city: City, served: Server) -> City:
    since = {"param": "after", "column": "v", "overlap": 1}
    source = {"type": "http", "uri": f"{served.url}/rows", "rate_per_s": 1000, "since": since}
    columns = {"id": {"type": "string", "required": True}, "v": {"type": "integer", "required": True}}
    city.declare("things", columns, source=source, load="upsert", key=["id"], order="v")
    return city


def bring(town: City, day: date) -> None:
    town.step("bring", day, TOWN)


def content(town: City) -> set[tuple[str, int]]:
    """What silver holds after all nights."""
    for day in DAYS:
        town.step("clean", day, TOWN)
    return {(row["id"], row["v"]) for row in town.rows("silver", "things", day=None)}


def test_each_night_asks_from_the_night_before(town: City, register: Register) -> None:
    register.changes(1, 2, 3)
    bring(town, DAYS[0])
    register.changes(4, 5)
    bring(town, DAYS[1])
    bring(town, DAYS[1])  # the same question again, though the day has landed
    bring(town, DAYS[2])
    assert register.asked == ["", "2", "2", "4"]
    register.changes(6)
    bring(town, DAYS[1])  # a day again while the source goes on: more than before, nothing less
    assert register.asked[-1] == "2"
    assert content(town) == {("r0", 6), ("r1", 4), ("r2", 5)}


def test_what_was_landed_and_not_loaded_is_asked_for_again(
    town: City, register: Register, monkeypatch: pytest.MonkeyPatch
) -> None:
    register.changes(1)
    bring(town, DAYS[0])
    register.changes(2, 3)
    with monkeypatch.context() as patch:
        patch.setattr(pull, "load", lambda *args: (_ for _ in ()).throw(RuntimeError("killed")))
        with pytest.raises(DatasetsFailed):
            town.step("bring", DAYS[1], TOWN)
    bring(town, DAYS[2])
    assert register.asked == ["", "0", "0"]
    bring(town, DAYS[1])
    assert content(town) == {("r1", 1), ("r2", 2), ("r0", 3)}


def test_ctrl_c_does_not_wait_for_a_source_that_hangs(town: City, served: Server) -> None:
    def answer(request: Request) -> Reply:
        signal.pthread_kill(main_thread().ident, signal.SIGINT)  # type: ignore[arg-type]
        served.over.wait()
        return Reply()

    served.answer = answer
    with pytest.raises(KeyboardInterrupt):
        town.step("bring", DAY, TOWN)
    (run,) = town.book("runs", "things")
    assert (run["status"], "stopped while it was asked" in run["error"]) == ("failed", True)
