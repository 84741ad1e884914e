"""A process killed in the middle of a step: the others finish, nothing is lost or doubled, and the next run heals it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.jobs.small_city import DAY
from tests.night.town import SHOPS, Contents, Town, healed, others_are_as_ever, quiet

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("step", "moment"),
    [
        ("bring", "while it is copied"),
        ("bring", "after landing"),
        ("bring", "during the bronze write"),
        ("bring", "before the books"),
        ("bring", "between the books"),
        ("clean", "during the silver write"),
        ("clean", "between silver and quarantine"),
        ("clean", "before the books"),
        ("clean", "between the books"),
    ],
)
def test_a_killed_process(town: Town, undisturbed: Contents, step: str, moment: str) -> None:
    town.deliver_all()
    if step == "clean":
        town.step("bring", DAY, SHOPS)
    killed(town, step, moment)
    assert healed(town, undisturbed)
    assert list((town.home / "staging" / "runs").iterdir()) == []


def test_a_killed_process_of_one_department_stops_no_other(town: Town, undisturbed: Contents) -> None:
    town.deliver_all()
    for step in ("bring", "clean"):
        killed(town, step, "before the books")
    for department in ("roads", "trees"):
        town.step("bring", DAY, department)
        town.step("clean", DAY, department)
    town.step("release", DAY)
    assert others_are_as_ever(town, undisturbed)
    assert healed(town, undisturbed)
    assert quiet(town)


def killed(town: Town, step: str, moment: str) -> None:
    """Run a step for the shops in a process that doesn't survive it."""
    town.point()
    command = [sys.executable, "-m", "tests.night.dying", step, moment]
    done = subprocess.run(command, cwd=ROOT, env=dict(os.environ), capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
