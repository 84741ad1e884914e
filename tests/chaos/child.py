"""Real processes under test: forked from a server that has imported everything and touched no lake, in a session of their own."""

import ctypes
import faulthandler
import json
import multiprocessing as mp
import os
import resource
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from multiprocessing.process import BaseProcess
from pathlib import Path
from tempfile import TemporaryDirectory

from lakehouse.runs import code_version
from tests.chaos.plan import Plan

_PRELOADED = (
    *(
        "__main__",
        "tests.chaos.child",
        "tests.chaos.points",
        "tests.chaos.story",
        "jobs.pull",
        "jobs.clean",
        "jobs.relate",
    ),
    *("jobs.release", "jobs.scorecard", "jobs.maintain", "jobs.restore", "jobs.rebuild", "jobs.validation"),
    *("jobs.cli.quarantine", "lakehouse.rowhash", "lakehouse.sources.drop.files", "lakehouse.damage"),
)

code_version()  # known before the first fork: every process of a trial runs the same code, whatever is committed meanwhile

forks = mp.get_context("forkserver")
forks.set_forkserver_preload(_PRELOADED)


@dataclass(frozen=True)
class Ended:
    """How a child ended: its exit code (negative: the signal), the points it came upon, what it said of commands that failed,
    and what broke in a way that isn't an error of Citylake's own."""

    code: int
    points: list[str]
    failed: list[str]
    broke: str | None


class Child:
    """A process that runs commands in a town, disturbed as planned; what it prints goes beside its report."""

    def __init__(
        self, root: Path, now: datetime, commands: Sequence[tuple[str, ...]], plan: Plan | None = None
    ) -> None:
        self._folder = TemporaryDirectory(prefix="chaos-")
        self._report = Path(self._folder.name, "report.json")
        self._process: BaseProcess = forks.Process(target=_main, args=(root, now, commands, plan, self._report))
        self._process.start()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    def lives(self) -> bool:
        return self._process.is_alive()

    def stops(self) -> bool:
        """Whether it stands still: stopped by a signal."""
        try:
            return Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
        except OSError:
            return False

    def waits(self) -> bool:
        """Whether it waits for a lock of another process."""
        lines = map(str.split, Path("/proc/locks").read_text().splitlines())
        return any("->" in words and str(self.pid) in words for words in lines)

    def goes_on(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def ended(self, seconds: float = 600) -> Ended:
        """Wait for its end. A child that hangs is killed, and that is a fault."""
        self._process.join(seconds)
        if hung := self.lives():
            os.kill(self.pid, signal.SIGUSR1)  # it says where it stands
            self._process.join(1)
            os.killpg(self.pid, signal.SIGKILL)
            self._process.join()
        code = self._process.exitcode
        assert code is not None
        told = {"points": [], "failed": [], "broke": None}
        if self._report.exists():
            told = json.loads(self._report.read_text())
        elif hung or code > 0:
            told["broke"] = (f"it hung for {seconds} s " if hung else "") + self._report.with_name("log").read_text()[
                -1000:
            ]
        self._folder.cleanup()
        return Ended(code, **told)


def _main(root: Path, now: datetime, commands: Sequence[tuple[str, ...]], plan: Plan | None, report: Path) -> None:
    from tests.chaos import faults
    from tests.chaos.points import Points, install, install_on_spark
    from tests.chaos.story import Town, perform

    os.setsid()
    faulthandler.register(signal.SIGUSR1, all_threads=True)
    log = os.open(report.with_name("log"), os.O_WRONLY | os.O_CREAT, 0o600)
    os.dup2(log, 1), os.dup2(log, 2)
    _without_privileges()
    os.environ["CITYLAKE_LOG_LEVEL"] = "CRITICAL"
    town = Town.at(root, now)
    points = Points(town.home, plan.point, plan.nth, faults.ACTS[plan.fault](plan, root)) if plan else Points(town.home)
    install(points)
    if any("geo_index" in command for command in commands):
        install_on_spark(points)
    failed, broke = [], None
    try:
        failed = perform(town, commands)
    except Exception as error:
        broke = f"{type(error).__name__}: {error}"
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    report.write_text(json.dumps({"points": points.seen, "failed": failed, "broke": broke}))
    os._exit(0)


def _without_privileges() -> None:
    """Root may write where permissions forbid it; a department's night doesn't run as root."""
    if os.geteuid() == 0:
        from tests.chaos.faults import drop_override

        drop_override(ctypes.CDLL(None, use_errno=True))
