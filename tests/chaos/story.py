"""A small town and what happens in its lake: acts, each a few commands that start from a known state and end in one.

The datasets cover every load mode, references between departments, columns nobody declared, missing ones, records that
can't be parsed, rows that are held back, a point, landed files whose time runs out, a delivery come late, one sent again.
"""

import contextlib
import io
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from jobs.cli import call
from jobs.run import run
from lakehouse.errors import CitylakeError
from lakehouse.layout import LAYERS
from lakehouse.table import tables
from tests.jobs.small_city import DAY, City, text_of
from tests.lakehouse.test_upkeep import aged

Command = tuple[str, ...]
"""A step with its day and, for a department, its id; or what follows `citylake` on the command line."""

NEXT, THIRD, FOURTH = (DAY + timedelta(days=n) for n in (1, 2, 3))
DEPARTMENTS = ("shops", "parks")
_STEPS = ("relate", "gx", "geo_index", "stays", "sites", "release", "score")

LICENCES: dict[str, Any] = {
    "id": {"type": "string"},
    "name": {"type": "string", "required": True},
    "opened": {"type": "date"},
    "area": {"type": "double", "between": [0, 500], "level": "error"},
    "street": {"type": "string", "references": "parks.works.id"},
    "lon": {"type": "double"},
    "lat": {"type": "double"},
}
WORKS: dict[str, Any] = {
    "id": {"type": "string"},
    "state": {"type": "string", "in": ["open", "done"]},
    "at": {"type": "timestamp", "format": "yyyy-MM-dd HH:mm:ss"},
}
PLANTINGS: dict[str, Any] = {
    "tree": {"type": "string", "required": True},
    "height": {"type": "double", "level": "error"},
    "planted": {"type": "date"},
}
FINES: dict[str, Any] = {"id": {"type": "string"}, "paid": {"type": "double"}, "at": {"type": "integer"}}
VISITS: dict[str, Any] = {"shop": {"type": "string", "references": "shops.licences.id"}, "fined": {"type": "integer"}}


class Town(City):
    """Two departments with five datasets."""

    def __init__(self, root: Path, *, engine: str | None = None) -> None:
        super().__init__(root)
        self.now = datetime(2026, 3, 20, 2, tzinfo=UTC)  # everything is late: no minute more or less changes a score
        self.departments(*DEPARTMENTS)
        chosen = {"engine": engine} if engine else {}
        self.licences(**chosen)
        self.declare("works", WORKS, department="parks", load="upsert", key=["id"], order="at", **chosen)
        drift = {"columns": "quarantine"}
        self.declare("plantings", PLANTINGS, department="parks", drift=drift, keep="20d", **chosen)
        changes = {"key": ["id"], "order": "at", "cdc": {"op": "op"}}
        self.declare("fines", FINES, department="parks", load="cdc", **changes, **chosen)
        self.declare("visits", VISITS, department="shops", drift={"columns": "evolve"}, **chosen)

    def licences(self, **declared: Any) -> None:
        columns = LICENCES | declared.pop("columns", {})
        point = {"x": "lon", "y": "lat"}
        described = {"place": {"point": "point"}} if declared.get("engine") else {}
        self.declare(
            "licences",
            columns,
            department="shops",
            load="snapshot",
            key=["id"],
            point=point,
            describes=described,
            **declared,
        )

    @classmethod
    def at(cls, root: Path, now: datetime) -> "Town":
        """The town that lies in a folder already."""
        town = cls.__new__(cls)
        town.home, town.catalog, town.inbox, town.now = root / "lake", root / "catalog", root / "inbox", now
        return town


def _licences(day: date, first: int) -> str:
    rows = [
        [f"{n:03}", f"shop {n}", f"2026-02-{n % 28 + 1:02}", n * 9.5, f"r{n % 40}", 121.4 + n / 1e4, 31.2, "x"]
        for n in range(first, first + 60)
    ]
    rows += [[f"{first:03}", "again", "2026-02-01", 1, "r1", 121.4, 31.2, ""], ["", "nobody's", "", "", "", "", "", ""]]
    return text_of([*LICENCES, "shutters"], rows)


def _works(day: date, first: int) -> str:
    rows = [[f"r{n}", "open" if n % 3 else "shut", f"{day} 0{n % 10}:00:00"] for n in range(first, first + 30)]
    return text_of(WORKS, [*rows, [f"r{first}", "done", f"{day} 09:30:00"], ["r1", "open", "never"]])


def _plantings(day: date) -> str:
    rows = [[f"t{n}", n / 2 if n % 9 else "tall", day] for n in range(40)]
    return text_of([*PLANTINGS, "by"], [[*row, "" if n % 7 else "me"] for n, row in enumerate(rows)]) + '"t99,1,\n'


def _fines(first: int, ops: str) -> str:
    rows = [[f"f{n % 30}", n, n, ops[n % len(ops)]] for n in range(first, first + 40)]
    return text_of([*FINES, "op"], [*rows, ["f1", 1, 1, "T"]])


def _visits(day: date) -> str:
    return text_of([*VISITS, "note"], [[f"{n:03}", n if n % 4 else "no", "Ünï"] for n in range(20)])


def first_day(town: Town) -> None:
    town.deliver("licences", _licences(DAY, 0))
    town.deliver("works", _works(DAY, 0))
    town.deliver("plantings", _plantings(DAY))
    town.deliver("visits", _visits(DAY))
    town.deliver("fines", _fines(0, "IIU"))


def second_day(town: Town) -> None:
    """The next day, and for the first one: a file come late, one sent again with other content, one under a second name."""
    town.deliver("licences", _licences(NEXT, 10), day=NEXT)
    town.deliver("works", _works(NEXT, 20), day=NEXT)
    town.deliver("plantings", _plantings(NEXT), day=NEXT)
    town.deliver("plantings", _plantings(NEXT).replace("t3", "T3"), day=NEXT, name="more.csv")
    town.deliver("fines", _fines(50, "UUD"), day=NEXT)
    town.deliver("fines", _fines(20, "DU"), name="late.csv")
    town.deliver("licences", _licences(DAY, 100), name="late.csv")
    town.deliver("works", _works(DAY - timedelta(days=1), 15), name="late.csv")
    town.deliver("plantings", _plantings(DAY).replace("t2", "T2"))
    town.deliver("visits", _visits(DAY), name="twin.csv")


def later(town: Town, day: date = THIRD) -> None:
    """What comes on an ordinary day."""
    town.deliver("works", _works(day, 5), day=day)
    town.deliver("visits", _visits(day), day=day)


def mended(town: Town) -> None:
    """The rule that held large shops back was wrong, and the trees are sent again with readable heights."""
    town.licences(columns={"area": LICENCES["area"] | {"between": [0, 5000]}})
    town.deliver("plantings", _plantings(NEXT).replace("tall", "12.5"), day=NEXT)
    later(town)


def old(town: Town) -> None:
    """40 days pass and a night is released: what no release needs any more is over, and so are landed files with `keep`."""
    for table in tables(town.home):
        aged(table, 40)
    town.now += timedelta(days=40)
    later(town)
    perform(town, night(THIRD))
    later(town, FOURTH)


def emptied(town: Town) -> None:
    """All tables are lost: only what has landed is left."""
    for layer in (*LAYERS, "pages"):
        shutil.rmtree(town.home / layer)


def night(*days: date, over: Sequence[str] = ("relate", "release")) -> tuple[Command, ...]:
    """What the schedule runs for the days: the departments, the steps `over` the city, and the score of the last day."""
    commands: list[Command] = []
    for day in days:
        commands += [(step, str(day), of) for of in DEPARTMENTS for step in ("bring", "clean")]
        commands += [(step, str(day)) for step in over]
    return (*commands, ("score", str(days[-1])))


ON_SPARKS_NIGHT = night(DAY, over=("relate", "geo_index", "release"))


@dataclass(frozen=True)
class Act:
    """What happens after the act `since` (None: in an empty lake): `prepared` (deliveries come, contracts change), then the
    `commands`. `ordinary` is what runs next in any case, whatever became of them."""

    since: str | None
    commands: tuple[Command, ...]
    ordinary: tuple[Command, ...] = ()
    prepared: Callable[[Town], None] = later


ON_SPARK = "a night on Spark"
SMALL = "one department"
"""The act that is over in a second: what `make test` draws its seeds from."""

_SHOPS = tuple((step, str(DAY), "shops") for step in ("bring", "clean"))

ACTS = {
    SMALL: Act(None, (*_SHOPS, ("release", str(DAY))), (*_SHOPS, ("release", str(DAY))), first_day),
    ON_SPARK: Act(None, ON_SPARKS_NIGHT, ON_SPARKS_NIGHT, first_day),
    "first night": Act(None, night(DAY), night(DAY), first_day),
    "two nights": Act("first night", night(DAY, NEXT), night(DAY, NEXT), second_day),
    "replay": Act(
        "two nights",
        (
            ("quarantine", "replay", "shops.licences", "--day", str(DAY)),
            ("quarantine", "replay", "shops.licences", "--day", str(NEXT)),
            *night(DAY, NEXT),
        ),
        night(DAY, NEXT),
        mended,
    ),
    "maintain": Act("two nights", (("maintain", "2026-04-30"), *night(FOURTH)), night(FOURTH), old),
    "restore": Act(
        "two nights",
        (
            ("restore", "silver.shops__licences", "--to", "0", "--yes"),
            ("restore", "bronze.parks__plantings", "--to", "0", "--yes"),
            ("restore", "quarantine.shops__licences", "--to", str(DAY), "--yes"),
            *night(DAY, NEXT),
        ),
        night(DAY, NEXT),
    ),
    "rebuild": Act(
        "two nights",
        (("rebuild", "shops.licences"), ("rebuild", "parks.works"), ("rebuild", "parks.fines"), *night(THIRD)),
        night(THIRD),
    ),
    "from landing": Act("two nights", (("rebuild", "--from-landing"),), (("rebuild", "--from-landing"),), emptied),
}


def perform(town: Town, commands: Sequence[Command]) -> list[str]:
    """Run the commands one after the other, a minute each, whatever fails; gives the lines of those that failed.

    Raises what isn't an error of Citylake's own.
    """
    failed = []
    for command in commands:
        said = _performed(town, command)
        if said is not None:
            failed.append(f"{' '.join(command)}: {said}")
    return failed


def _performed(town: Town, command: Command) -> str | None:
    town.point()
    os.environ["CITYLAKE_MIN_FREE_MB"] = "0"
    os.environ["CITYLAKE_THREADS"] = "1"  # the same order of events every time
    os.environ["CITYLAKE_DEBUG"] = "1"  # a fault of the code itself shall be seen
    if command[0] in ("bring", "clean", "maintain", *_STEPS):
        try:
            run(command[0], date.fromisoformat(command[1]), *command[2:])
        except CitylakeError as error:
            return str(error)
        return None
    del os.environ["CITYLAKE_DEBUG"]
    with said() as lines:
        code = call(command)
    return None if code == 0 else lines.getvalue().strip().splitlines()[-1]


@contextlib.contextmanager
def said() -> Iterator[io.StringIO]:
    """What is printed in a block."""
    lines = io.StringIO()
    with contextlib.redirect_stdout(lines), contextlib.redirect_stderr(lines):
        yield lines
