"""One seed: an act of the town is disturbed, the next ordinary run follows, and every promise is looked at."""

import os
import random
import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path

import pyarrow as pa

from jobs import health
from jobs.cli import call
from lakehouse.engine import server
from lakehouse.errors import CitylakeError
from lakehouse.settings import Settings
from lakehouse.table import Table, tables
from tests.chaos import faults
from tests.chaos.child import Child, Ended
from tests.chaos.plan import Plan
from tests.chaos.promises import GONE, Picture, broken, differences, is_quiet, picture, released
from tests.chaos.story import ACTS, ON_SPARK, SMALL, Command, Town, night, perform, said
from tests.jobs import test_restore
from tests.jobs.small_city import DAY

HARMS = (
    test_restore.cut_last_commit, test_restore.empty_last_commit, test_restore.spoil_checkpoint, test_restore.spoil_pointer,
    test_restore.lose_a_checkpoint, test_restore.lose_a_file, test_restore.cut_a_file, test_restore.lose_the_log,
    test_restore.lose_a_commit,
)  # fmt: skip


@dataclass(frozen=True)
class Scene:
    """An act undisturbed: where the town stood before, what was there before and after, and the points it came upon."""

    folder: Path
    now: datetime
    ends: datetime
    before: Picture
    seen_before: Picture
    after: Picture
    seen_after: Picture
    points: tuple[str, ...]


@dataclass
class Stage:
    """The scenes, each made when it is first asked for, and a folder for every seed."""

    root: Path
    engine: str = "embedded"
    _scenes: dict[str, Scene] = field(default_factory=dict)

    def scene(self, act: str) -> Scene:
        if act not in self._scenes:
            self._scenes[act] = self._made(act)
        return self._scenes[act]

    def points(self, acts: Sequence[str] = tuple(ACTS)) -> Mapping[str, Sequence[str]]:
        """The points of the acts that this engine plays; of Spark's, those where Spark is asked."""
        if self.engine == "spark":
            seen = self.scene(ON_SPARK).points
            return {ON_SPARK: [point for point in seen if point.startswith("spark ")]}
        return {act: self.scene(act).points for act in acts if act != ON_SPARK}

    def _made(self, name: str) -> Scene:
        act, before, after = ACTS[name], self._folder(name, "before"), self._folder(name, "after")
        if act.since:
            start = self.scene(act.since).ends
            shutil.copytree(self._folder(act.since, "after"), before, symlinks=True)
            town = Town.at(before, start)
            perform(town, [("maintain", str(DAY))])  # books of many small files would make every seed slow
        else:
            before.mkdir(parents=True)
            town = Town(before, engine="spark" if name == ON_SPARK else None)
        act.prepared(town)
        shutil.copytree(before, after, symlinks=True)
        ended = Child(after, town.now, act.commands).ended()
        assert (ended.code, ended.failed, ended.broke) == (0, [], None), ended
        played = Town.at(after, town.now + timedelta(minutes=len(act.commands)))
        wrong = [*is_quiet(played, act.ordinary), *broken(played)]
        assert not wrong, (name, wrong)
        server.stop(played.home)
        pictures = picture(town), released(town), picture(played), released(played)
        return Scene(before, town.now, played.now, *pictures, tuple(ended.points))

    def _folder(self, act: str, when: str) -> Path:
        return self.root / act.replace(" ", "_") / when


@dataclass(frozen=True)
class Verdict:
    """What became of a plan: the promises that were broken, whether its moment came, what was said of failed commands."""

    plan: Plan
    broken: list[str]
    hit: bool
    failed: list[str]
    seconds: float


def tried(stage: Stage, plan: Plan) -> Verdict:
    """Carry the plan out in a copy of the act's town, and judge what is left."""
    begun = time.monotonic()
    scene, root = stage.scene(plan.act), stage.root / "seed"
    shutil.rmtree(root, ignore_errors=True)
    source = scene.folder.with_name("after") if plan.fault == "damage" else scene.folder
    shutil.copytree(source, root, symlinks=True)
    town = Town.at(root, scene.ends if plan.fault == "damage" else scene.now)
    hit, failed, found = True, list[str](), list[str]()
    try:
        match plan.fault:
            case "damage":
                found = list(_damaged(town, plan, scene))
            case "clock":
                found = list(_out_of_time(town, plan, scene))
            case _:
                ended, hit = _disturbed(root, scene, plan)
                failed = [line for each in ended for line in each.failed]
                found = [each.broke for each in ended if each.broke]
                found += [f"more than a line was said: {line}" for line in failed if "\n" in line]
                town.now = scene.ends + (scene.ends - scene.now)
                found += _healed(town, plan, scene)
    except Exception as error:
        found.append(f"{type(error).__name__}: {error}")
    server.stop(town.home)
    shutil.rmtree(root, ignore_errors=True)
    return Verdict(plan, found, hit, failed, time.monotonic() - begun)


def _disturbed(root: Path, scene: Scene, plan: Plan) -> tuple[list[Ended], bool]:
    """How the processes ended, and whether the moment came."""
    commands = ACTS[plan.act].commands
    child = Child(root, scene.now, commands, plan)
    if plan.fault == "zombie":
        retry = _retried(child, root, scene, commands)
        return [child.ended(), retry.ended()], True
    ended = child.ended()
    faults.allowed_again(root)
    return [ended], ended.code < 0 if plan.fault == "kill" else ended.points.count(plan.point) >= plan.nth


def _retried(zombie: Child, root: Path, scene: Scene, commands: Sequence[Command]) -> Child:
    """While a process stands still, its retry runs as far as it can; then the first one goes on."""
    while zombie.lives() and not zombie.stops():
        time.sleep(0.002)
    retry = Child(root, scene.ends, commands)
    while retry.lives() and not retry.waits():
        time.sleep(0.002)
    if zombie.lives():
        zombie.goes_on()
    return retry


def _healed(town: Town, plan: Plan, scene: Scene) -> Iterator[str]:
    """What is wrong for readers at once, after the next ordinary run, and after the same commands again."""
    act = ACTS[plan.act]
    seen = differences(released(town), scene.seen_before, scene.seen_after)
    said_so = re.compile(r"release [\d-]+ failed: ")  # a night that went on names whom it did without
    yield from (f"readers at once: {line}" for line in seen if not said_so.match(line))
    yield from (f"the next run failed: {line}" for line in perform(town, act.ordinary))
    if act.commands != act.ordinary:
        new = {
            key: said for key, said in scene.seen_after.items() if _release(key) not in map(_release, scene.seen_before)
        }
        seen = differences(released(town), scene.seen_before | new, scene.seen_after)
        yield from (f"readers after the next run: {line}" for line in seen)
        yield from (f"the same again failed: {line}" for line in perform(town, act.commands))
    yield from differences(picture(town), scene.after)
    yield from broken(town)
    yield from is_quiet(town, act.ordinary)


def _release(key: str) -> str:
    """The day of the release that a key of a picture speaks of."""
    return key.split()[1]


def _out_of_time(town: Town, plan: Plan, scene: Scene) -> Iterator[str]:
    """The clock is wrong for the first commands, by up to three days, in another zone; then it is set right."""
    chance, act = random.Random(plan.chance), ACTS[plan.act]
    first = act.commands[: chance.randint(1, len(act.commands))]
    wrong = timedelta(minutes=chance.choice([-3 * 24 * 60, -60, -1, 1, 60, 3 * 24 * 60]))
    child = Child(town.home.parent, scene.now + wrong, first, plan)
    ended = child.ended()
    yield from ended.failed
    if ended.broke:
        yield ended.broke
    town.now = scene.ends
    yield from (f"the next run failed: {line}" for line in perform(town, act.commands))
    yield from differences(picture(town), scene.after)
    yield from broken(town)


def _damaged(town: Town, plan: Plan, scene: Scene) -> Iterator[str]:
    """A table is damaged: `doctor` names it, no reader gets a wrong number, the printed command mends it."""
    table, harm = _harm(town, plan)
    town.point()
    harm(table)
    what = f"{table.name} {harm.__name__}"
    found = [each for each in health.lake(Settings.from_environment()) if each.verdict == "broken"]
    if not any(each.subject == f"table {table.name}" for each in found):
        harmless = differences(picture(town), scene.after)  # a commit that a checkpoint has summed up may go
        yield from (f"{what}: doctor doesn't name it: {line}" for line in harmless)
    with suppress(CitylakeError, OSError, pa.ArrowException):
        right = scene.seen_after
        wrong = [key for key, value in released(town).items() if value not in (right.get(key), GONE)]
        yield from (f"{what}: a wrong number: {key}" for key in wrong)
    again = list[Command]()
    for each in found:
        yield from _mended(town, each.mend, plan, again)
    yield from (f"{what}: {line}" for line in perform(town, ACTS[plan.act].ordinary))
    expected = _whole(town, scene, [*again, *ACTS[plan.act].ordinary]) if again else scene.after
    yield from (f"{what}: {line}" for line in differences(picture(town), expected))
    yield from (f"{what}: {line}" for line in broken(town))


def _whole(town: Town, scene: Scene, commands: Sequence[Command]) -> Picture:
    """The picture of a town that nobody damaged after the same commands: a day that runs again takes in what came late."""
    root = scene.folder.with_name("whole")
    shutil.rmtree(root, ignore_errors=True)
    shutil.copytree(scene.folder.with_name("after"), root, symlinks=True)
    whole = Town.at(root, scene.ends)
    assert not perform(whole, commands)
    seen = picture(whole)
    shutil.rmtree(root)
    town.point()
    return seen


def _harm(town: Town, plan: Plan) -> tuple[Table, Callable[[Table], None]]:
    """The table and what is done to it: named by the plan, or left to chance."""
    there = {table.name: table for table in tables(town.home) if table.exists()}
    if plan.point:
        name, _, harm = plan.point.partition(" ")
        return there[name], next(each for each in HARMS if each.__name__ == harm)
    chance = random.Random(plan.chance)
    table = chance.choice([*there.values()])
    return table, chance.choice([harm for harm in HARMS if _can_be_done(harm, table)])


def _can_be_done(harm: Callable[[Table], None], table: Table) -> bool:
    if harm is test_restore.lose_a_commit:  # a last one that is gone without a trace can't be told from one never made
        return len(list((table.path / "_delta_log").glob("*.json"))) > 2
    if harm in (test_restore.lose_a_file, test_restore.cut_a_file):
        return bool(table.files())
    return True


def _mended(town: Town, command: str, plan: Plan, again: list[Command]) -> Iterator[str]:
    """Do what was printed, and what that prints as the next thing to do: the nights of days that run `again`."""
    town.point()
    os.environ.pop("CITYLAKE_DEBUG", None)
    with said() as lines:
        code = call([*command.split()[1:], "--yes"])
    if code:
        yield f"{command}: {lines.getvalue()}"
    for line in lines.getvalue().splitlines():
        if line.startswith("next       citylake backfill") and plan.act != SMALL:  # whose other department has no night
            first, last = (date.fromisoformat(word) for word in line.split()[-3::2])
            for n in range((last - first).days + 1):
                again += night(first + timedelta(n))
    yield from perform(town, again)
