"""A disk that is full: the step that needs it says so in one line, the others finish, and with room again all heals."""

import random
import string
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.jobs.small_city import text_of
from tests.night.town import (
    COLUMNS,
    DATASETS,
    ROWS,
    SHOPS,
    Contents,
    Town,
    healed,
    one_line,
    others_are_as_ever,
)  # fmt: skip

KB = 1 << 10


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 2 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)], capture_output=True)
    if mounted.returncode:
        pytest.skip("a small tmpfs can't be mounted here: run the tests as root where mounting is permitted")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.parametrize(
    ("size_kb", "says"),
    [(3000, "landing can't be written: No space left on device; free space"), (1300, "the disk is full; free some")],
    ids=["in landing", "in bronze"],
)
def test_a_full_disk(town: Town, disk: Path, undisturbed: Contents, size_kb: int, says: str) -> None:
    town.home = disk / "lake"
    town.deliver_all(SHOPS)
    town.deliver(DATASETS[SHOPS], padded(size_kb * KB))
    said = {step: str(error) for step, error in town.whole_night().items()}
    assert set(said) == {f"bring {SHOPS}"}
    assert one_line(said[f"bring {SHOPS}"])
    assert says in said[f"bring {SHOPS}"]
    assert others_are_as_ever(town, undisturbed)
    assert town.failed_departments() == [SHOPS]
    subprocess.run(["mount", "-o", "remount,size=32m", str(disk)], check=True)
    assert healed(town, undisturbed)


def padded(size: int) -> str:
    """The sound rows with a column nobody declared, of text that can't be packed."""
    noise = random.Random(3)
    padding = (["".join(noise.choices(string.ascii_letters + string.digits, k=size // len(ROWS)))] for _ in ROWS)
    return text_of([*COLUMNS, "padding"], [[*row, *pad] for row, pad in zip(ROWS, padding, strict=True)])
