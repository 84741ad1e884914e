"""What a step is told: who runs, for which day, in which lake. The only place that makes run ids."""

import secrets
import subprocess
import time
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from lakehouse import staging
from lakehouse.ops import Ops
from lakehouse.settings import Settings
from lakehouse.table import Table


@dataclass(frozen=True)
class Run:
    """One run of one step over one business day. `now` is the only clock a step may look at (UTC).

    `forced`: do the work again even where nothing has changed since the last success.
    """

    id: str
    step: str
    day: date
    now: datetime
    settings: Settings
    ops: Ops = field(repr=False)
    forced: bool = False

    @classmethod
    def start(cls, step: str, day: date, now: datetime, settings: Settings, *, forced: bool = False) -> "Run":
        return cls(_name(step, now), step, day, now, settings, Ops(settings.home), forced)

    def table(self, layer: str, name: str) -> Table:
        """The Delta table `layer.name`: the path is the table."""
        return Table(self.settings.home / layer / name)

    @property
    def staging(self) -> Path:
        """A folder for this run's temporary files, inside the raw zone."""
        return staging.claim(self.settings.home, "runs", self.id)

    def close(self) -> None:
        """Write what was noted into the books and remove the run's temporary files, whether or not the books take it."""
        try:
            self.ops.flush(self.id)
        finally:
            staging.release(self.settings.home, "runs", self.id)


def _name(step: str, now: datetime) -> str:
    """A name that sorts as the runs began, also where the clock they are told stands still: after `now` stand the
    microseconds of the machine's clock."""
    return f"{now:%Y%m%dT%H%M%SZ}-{time.time_ns() // 1000:014x}{secrets.token_hex(2)}-{step}"


@cache
def code_version() -> str:
    """The version of the code that runs: the distribution's, with the commit when run from a checkout.

    It is part of every fingerprint. In a checkout nobody raises the version with a change, so each commit is other code and
    a day that runs again is cleaned again; what is installed changes by its version only.
    """
    try:
        release = version("citylake")
    except PackageNotFoundError:
        release = "0"
    root = Path(__file__).parent.parent
    if not (root / ".git").exists():
        return release
    commit = subprocess.run(
        ["git", "rev-parse", "--short=12", "HEAD"], cwd=root, capture_output=True, text=True, check=False
    )
    return f"{release}+{commit.stdout.strip()}" if commit.returncode == 0 else release
