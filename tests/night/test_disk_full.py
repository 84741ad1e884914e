"""A disk that is full: the step that needs it says so in one line, the others finish, and with room again all heals."""

import random
import shutil
import string
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs.department import DatasetsFailed
from lakehouse import layout
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
def test_a_disk_that_fills_up(
    town: Town, disk: Path, undisturbed: Contents, size_kb: int, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layout, "free_mb", lambda folder: 1e6)  # when the night began
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


def test_a_disk_without_room_is_told_before_anything_is_written(
    town: Town, disk: Path, undisturbed: Contents, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CITYLAKE_MIN_FREE_MB", "1")
    town.home = disk / "lake"
    town.deliver_all(SHOPS)
    town.deliver(DATASETS[SHOPS], padded(3000 * KB))
    said = {step: str(error) for step, error in town.whole_night().items()}
    assert set(said) == {f"bring {SHOPS}"}
    assert one_line(said[f"bring {SHOPS}"])
    assert "MB are free, 5 MB are needed; `citylake maintain`" in said[f"bring {SHOPS}"]
    assert not (town.home / "landing" / SHOPS).exists()
    assert others_are_as_ever(town, undisturbed)
    assert town.failed_departments() == [SHOPS]
    subprocess.run(["mount", "-o", "remount,size=32m", str(disk)], check=True)
    assert healed(town, undisturbed)


def test_room_for_a_night_is_needed_whatever_waits(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout, "free_mb", lambda folder: 999)
    assert set(town.whole_night()) == {f"bring {department}" for department in DATASETS}
    monkeypatch.setattr(layout, "free_mb", lambda folder: 1001)
    assert town.whole_night() == {}


def padded(size: int) -> str:
    """The sound rows with a column nobody declared, of text that can't be packed."""
    noise = random.Random(3)
    padding = (["".join(noise.choices(string.ascii_letters + string.digits, k=size // len(ROWS)))] for _ in ROWS)
    return text_of([*COLUMNS, "padding"], [[*row, *pad] for row, pad in zip(ROWS, padding, strict=True)])


@pytest.mark.usefixtures("spark")
def test_a_disk_that_fills_up_while_spark_cleans(town: Town, disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout, "free_mb", lambda folder: 1e6)
    subprocess.run(["mount", "-o", "remount,size=32m", str(disk)], check=True)
    town.home = disk / "lake"
    town.contract(engine="spark")
    noise = random.Random(5)
    names = ["".join(noise.choices(string.ascii_letters + string.digits, k=10_000)) for _ in range(300)]
    rows = [[f"{n:04}", name, "2026-02-01", "1"] for n, name in enumerate(names)]
    town.deliver(DATASETS[SHOPS], text_of(list(COLUMNS), rows))
    town.step("bring", department=SHOPS)
    used = shutil.disk_usage(disk).used // KB
    subprocess.run(["mount", "-o", f"remount,size={used + 500}k", str(disk)], check=True)
    with pytest.raises(DatasetsFailed) as failed:
        town.step("clean", department=SHOPS)
    assert one_line(str(failed.value))
    assert "the disk is full; free some" in str(failed.value)
    assert not town.table("silver", DATASETS[SHOPS], SHOPS).exists()
    subprocess.run(["mount", "-o", "remount,size=32m", str(disk)], check=True)
    town.step("clean", department=SHOPS)
    kept = town.table("silver", DATASETS[SHOPS], SHOPS).read().column("name").to_pylist()
    assert sorted(kept) == sorted(names)
