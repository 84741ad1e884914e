"""Records of processes, over small processes of this test's own."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dags import _processes

WAITS = [sys.executable, "-c", "import signal; print('ready', flush=True); signal.pause()"]
# A parent with one child in a process group of its own, as Airflow's workers start tasks.
FAMILY = [
    sys.executable,
    "-c",
    "import subprocess, sys; print('ready', flush=True); subprocess.run(sys.argv[1:], process_group=0)",
    *WAITS,
]


@pytest.fixture
def started(tmp_path: Path) -> Iterator[list["subprocess.Popen[bytes]"]]:
    """What a test has started; ended after it whatever happens."""
    processes: list[subprocess.Popen[bytes]] = []
    yield processes
    for process in processes:
        for pid in _processes.kin(_processes.recorded(tmp_path / f"{process.pid}.pid") or _nobody()):
            os.kill(pid, signal.SIGKILL)
        process.wait()


def start(started: list["subprocess.Popen[bytes]"], folder: Path, command: list[str], lines: int) -> Path:
    """Starts `command`, waits until it and its children have said so many lines, returns its record's path."""
    log, record = folder / "log", folder / "it.pid"
    process = _processes.start(command, env=os.environ, record=record, folder=folder, log=log)
    started.append(process)
    (folder / f"{process.pid}.pid").write_bytes(record.read_bytes())
    while log.read_bytes().count(b"\n") < lines:
        assert process.poll() is None
    return record


def _nobody() -> _processes.Record:
    return _processes.Record(0, 0, 0, "", "")


def read(path: Path) -> _processes.Record:
    record = _processes.recorded(path)
    assert record is not None
    return record


def test_a_started_process_is_on_record_and_found_again(started: list, tmp_path: Path) -> None:
    record = read(start(started, tmp_path, WAITS, 1))
    assert _processes.runs(record)
    assert _processes.kin(record) == [started[0].pid] == [record.pid]
    assert not _processes.ended(record, within_s=0)
    _processes.signal_all([record.pid], signal.SIGTERM)
    assert _processes.ended(record, within_s=10)
    assert not _processes.runs(record)


def test_children_are_found_after_their_parent_was_killed(started: list, tmp_path: Path) -> None:
    record = read(start(started, tmp_path, FAMILY, 2))
    (task,) = _processes.groups(record)
    assert sorted(_processes.kin(record)) == sorted([record.pid, task])
    os.kill(record.pid, signal.SIGKILL)
    started[0].wait()
    assert not _processes.runs(record)
    assert _processes.kin(record) == [task]
    _processes.signal_all([task], signal.SIGKILL)
    assert _processes.ended(record, within_s=10)


@pytest.mark.parametrize("other", [{"started": 1}, {"boot": "the one before"}])
def test_a_number_given_out_anew_is_not_taken_for_the_process(started: list, tmp_path: Path, other: dict) -> None:
    path = start(started, tmp_path, WAITS, 1)
    path.write_text(json.dumps(json.loads(path.read_text()) | other))
    record = _processes.recorded(path)
    assert not _processes.runs(record)


def test_a_process_of_another_folder_is_no_kin(started: list, tmp_path: Path) -> None:
    path = start(started, tmp_path, WAITS, 1)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"folder": "/elsewhere"}))
    assert _processes.kin(read(path)) == []


@pytest.mark.parametrize("content", ["", "{}", "[]", "12", '{"pid": 1}'])
def test_a_record_of_no_use_is_none(tmp_path: Path, content: str) -> None:
    (tmp_path / "it.pid").write_text(content)
    assert _processes.recorded(tmp_path / "it.pid") is None
    assert _processes.recorded(tmp_path / "absent.pid") is None
