"""`make up` and `make down`: once for real on a port of its own, the rest by its pieces."""

import configparser
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import httpx
import psutil
import pytest

from dags import _books, _processes, service
from lakehouse.errors import EnvironmentFault
from tests.dags.conftest import write_register

ROOT = Path(__file__).parents[2]


def run(what: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "dags.service", what]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.fixture
def lake(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A lake with a register of its own and a free port; whatever was started on it is ended after the test."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv("CITYLAKE_AIRFLOW_PORT", str(free.getsockname()[1]))
    monkeypatch.setenv("CITYLAKE_CATALOG", str(write_register(home / "catalog")))
    yield home
    service.down(home)


def test_it_starts_once_mends_itself_and_leaves_nothing_behind(lake: Path) -> None:
    up = run("up")
    assert up.returncode == 0, up.stderr
    url = f"http://127.0.0.1:{_books.port()}"
    assert url in up.stdout
    assert up.stderr == ""

    (password,) = (line.split()[-1] for line in up.stdout.splitlines() if "shown this once" in line)
    asked = {"username": _books.USER, "password": password}
    token = httpx.post(f"{url}/auth/token", json=asked).raise_for_status().json()["access_token"]
    dags = httpx.get(f"{url}/api/v2/dags", headers={"Authorization": f"Bearer {token}"}).json()["dags"]
    assert {dag["dag_id"]: dag["is_paused"] for dag in dags} == {"nightly": False, "late": False, "maintain": False}
    for path in (lake / "airflow").iterdir():
        assert path.stat().st_mode & 0o077 == 0, path

    first = everybody(lake)
    for pid in first:
        assert password not in " ".join(psutil.Process(pid).cmdline())

    scheduler = _processes.recorded(lake / "airflow" / "scheduler.pid")
    assert scheduler is not None
    os.kill(scheduler.pid, signal.SIGKILL)
    assert "is up" in run("up").stdout
    second = everybody(lake)
    assert [pid for pid in first - second if alive(pid)] == []
    assert len(first & second) == len(service.COMPONENTS) - 1
    assert "is running" in run("up").stdout

    assert run("down").stdout == "Airflow is down\n"
    assert [pid for pid in first | second if alive(pid)] == []
    assert list((lake / "airflow").glob("*.pid")) == []
    assert run("down").stdout == "Airflow isn't running\n"


def everybody(lake: Path) -> set[int]:
    """The processes of a service that is up: one a component, one a slot. The scheduler's appear just after it."""
    deadline = time.monotonic() + 30
    while len(found := processes(lake)) != len(service.COMPONENTS) + _books.SLOTS:
        assert time.monotonic() < deadline, found
    return found


def processes(lake: Path) -> set[int]:
    """Everybody who is on record, and their children."""
    records = [_processes.recorded(lake / "airflow" / f"{name}.pid") for name in service.COMPONENTS]
    return {pid for record in records if record for pid in _processes.kin(record)}


def alive(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def test_a_taken_port_is_refused_before_anything_is_made(lake: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", _books.port()))
        other.listen()
        up = run("up")
    assert up.returncode == 1
    assert f"port {_books.port()} is taken" in up.stderr
    assert f"CITYLAKE_AIRFLOW_PORT={_books.port() + 1} make up" in up.stderr
    assert processes(lake) == set()
    assert not (lake / "airflow" / "airflow.cfg").exists()


def test_a_component_that_ends_at_its_start_is_named_and_the_others_are_ended(lake: Path) -> None:
    (lake / "airflow").mkdir()
    (lake / "airflow" / ".migrated").write_text(version("apache-airflow"))  # but there are no tables
    up = run("up")
    assert up.returncode == 1
    assert "citylake: " in up.stderr and "see " in up.stderr
    assert processes(lake) == set()


@pytest.mark.parametrize("port", ["http", "0", "65536", "-1", "80 80"])
def test_a_port_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch, port: str) -> None:
    monkeypatch.setenv("CITYLAKE_AIRFLOW_PORT", port)
    with pytest.raises(EnvironmentFault, match="CITYLAKE_AIRFLOW_PORT"):
        _books.port()


def test_secrets_are_made_once_and_for_their_user_alone(home: Path) -> None:
    def secret() -> list[str]:
        _books.configure(home)
        written = configparser.RawConfigParser()
        written.read(home / "airflow" / "airflow.cfg")
        return [written["core"]["fernet_key"], written["api"]["secret_key"], written["api_auth"]["jwt_secret"]]

    first = secret()
    assert all(len(each) >= 43 for each in first) and len(set(first)) == 3
    assert secret() == first
    assert (home / "airflow" / "airflow.cfg").stat().st_mode & 0o777 == 0o600
    assert _books.new_password(home)
    assert _books.new_password(home) is None
    assert _books.passwords(home).stat().st_mode & 0o777 == 0o600


def test_a_percent_sign_in_a_path_is_no_reference(tmp_path: Path) -> None:
    _books.configure(tmp_path / "100%")
    read = configparser.ConfigParser()
    read.read(tmp_path / "100%" / "airflow" / "airflow.cfg")
    assert read["logging"]["base_log_folder"] == str(tmp_path / "100%" / "logs" / "airflow")


def test_another_airflow_is_left_out_and_what_the_operator_adds_is_kept(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_HOME", "/elsewhere")
    monkeypatch.setenv("AIRFLOW_CONFIG", "/elsewhere/airflow.cfg")
    monkeypatch.setenv("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "postgresql://elsewhere")
    monkeypatch.setenv("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_CMD", "cat elsewhere")
    monkeypatch.setenv("AIRFLOW__SCHEDULER__JOB_HEARTBEAT_SEC", "9")
    monkeypatch.setenv("AIRFLOW_CONN_CITYLAKE_ALERTS", "https://chat")
    env = _books.environment(home)
    assert env["AIRFLOW_HOME"] == str(home / "airflow")
    assert env["AIRFLOW__SCHEDULER__JOB_HEARTBEAT_SEC"] == "9"
    assert env["AIRFLOW_CONN_CITYLAKE_ALERTS"] == "https://chat"
    assert not [name for name, value in env.items() if "elsewhere" in value]
