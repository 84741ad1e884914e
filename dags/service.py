"""The daily Airflow on this machine: scheduler, DAG processor and API server with its pages, on loopback only.

`python -m dags.service up [COMMAND...]` starts what isn't running and returns when the pages answer; the scheduler,
whose children do the work, is started inside COMMAND where one is given (`/.../citylake sample serve --`).
`python -m dags.service down` ends exactly what was started, and whatever it left behind when it died.
"""

import argparse
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dags import _books, _processes
from lakehouse.engine.server import end_unused
from lakehouse.errors import CitylakeError, EnvironmentFault
from lakehouse.locks import alone
from lakehouse.settings import Settings

COMPONENTS = {
    "api-server": ("api-server",),
    "dag-processor": ("dag-processor",),
    # Logs are read from the disk: the scheduler's log server would listen on every address of the machine.
    "scheduler": ("scheduler", "--skip-serve-logs"),
}
POOLS = Path(__file__).parent / "pools.json"
READY_S = 120
GRACE_S = 60
LOOK_EVERY_S = 0.3


def main(arguments: Sequence[str]) -> int:
    """Runs `up`, `down` or, for a process that `up` has started, `be COMPONENT`. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m dags.service", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=["up", "down", "be"])
    parser.add_argument("rest", nargs=argparse.REMAINDER)
    asked = parser.parse_args(arguments)
    os.umask(0o077)
    settings = Settings.from_environment()
    try:
        if asked.what == "be":
            _be(settings.home, asked.rest[0])
        lock = _books.folder(settings.home) / ".service.lock"
        with alone(lock, "another `make up` or `make down` is at work", "wait until it has ended"):
            return up(settings, asked.rest) if asked.what == "up" else down(settings.home)
    except CitylakeError as error:
        print(f"citylake: {error}", file=sys.stderr)
        return 1


def up(settings: Settings, around: Sequence[str] = ()) -> int:
    """Starts what isn't running, waits until the pages answer, says where they are. Raises EnvironmentFault."""
    home = settings.home
    missing = [name for name in COMPONENTS if not _processes.runs(_record(home, name))]
    if missing:
        env = _environment(settings)
        for name in missing:
            _end(home, name)  # what a component that died has left behind
        if "api-server" in missing:
            _claim(_books.port())
            _books.configure(home)
        if password := _books.new_password(home):
            print(f"password, shown this once: {password}")
        _books.migrate(home, env)
        _books.command(home, env, "pools", "import", str(POOLS))
        _start(home, env, {name: around if name == "scheduler" else () for name in missing})
    print(f"Airflow {'is up' if missing else 'is running'}: {_books.url(home)}")
    print(f"user {_books.USER}, password in {_books.passwords(home)}")
    return 0


def running(home: Path) -> bool:
    """Whether the lake has a scheduler at work."""
    return _processes.runs(_record(home, "scheduler"))


def down(home: Path) -> int:
    """Ends the scheduler with the tasks it is running, then the rest, and waits until all are gone."""
    found = [_end(home, name) for name in reversed(COMPONENTS)]
    end_unused(home)  # Spark, where a step of the night has started it
    print("Airflow is down" if any(found) else "Airflow isn't running")
    return 0


def _start(home: Path, env: Mapping[str, str], commands: Mapping[str, Sequence[str]]) -> None:
    """Starts each component inside its command, and ends them all again where one of them doesn't come up."""
    began = datetime.now(UTC)
    started: dict[str, subprocess.Popen[bytes]] = {}
    try:
        for name, around in commands.items():
            if name == "scheduler":
                _await(home, started, began)
                _warm(home)  # its first tasks ask the API server at once
            command = [*around, sys.executable, "-m", "dags.service", "be", name]
            started[name] = _processes.start(
                command, env=env, record=_path(home, name), folder=_books.folder(home), log=_log(home, name)
            )
        _await(home, started, began)
    except BaseException:
        for name in commands:
            _end(home, name)
        raise


def _await(home: Path, started: Mapping[str, "subprocess.Popen[bytes]"], began: datetime) -> None:
    """Returns when the API server answers that what was started is well. Raises EnvironmentFault when one has ended or time is up."""
    import httpx

    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline:
        for name, process in started.items():
            if process.poll() is not None:
                raise EnvironmentFault(f"Airflow's {name} ended at its start", hint=f"see {_log(home, name)}")
        time.sleep(LOOK_EVERY_S)
        try:
            health = httpx.get(f"{_books.url(home)}/api/v2/monitor/health", trust_env=False).json()
        except (httpx.HTTPError, ValueError):
            continue
        if all(_is_well(health, name, began) for name in started if name != "api-server"):
            return
    raise EnvironmentFault(f"Airflow isn't up after {READY_S} s", hint=f"see {_books.logs(home)}")


def _warm(home: Path) -> None:
    """The API server makes what tasks ask at the first question: seconds of work, many on a busy machine."""
    import httpx

    try:
        httpx.get(f"{_books.url(home)}/execution/health", timeout=READY_S, trust_env=False)
    except httpx.HTTPError as error:
        raise EnvironmentFault("Airflow's API server doesn't answer", hint=f"see {_log(home, 'api-server')}") from error


def _is_well(health: Any, name: str, began: datetime) -> bool:
    """Whether Airflow says so, after a sign of life of this process and not of one before it."""
    part = name.replace("-", "_")
    said = health[part][f"latest_{part}_heartbeat"]
    return said is not None and datetime.fromisoformat(said) >= began and bool(health[part]["status"] == "healthy")


def _be(home: Path, name: str) -> None:
    """Turns the calling process into a component of Airflow, on record so that `down` finds it."""
    _processes.sign(_path(home, name))
    os.execv(sys.executable, [sys.executable, "-m", "airflow", *COMPONENTS[name]])


def _end(home: Path, name: str) -> bool:
    """Ends a component and everything it has started; False when there was nothing to end."""
    path = _path(home, name)
    record = _processes.recorded(path)
    if found := record is not None and bool(_processes.kin(record)):
        assert record is not None
        if _processes.runs(record):
            _processes.signal_all([record.pid], signal.SIGTERM)
            # The scheduler would wait for its tasks. Interrupted, they are reported, and tried again when it is back.
            _processes.signal_all(_processes.groups(record), signal.SIGINT)
        if not _processes.ended(record, within_s=GRACE_S if _processes.runs(record) else 0):
            _processes.signal_all(_processes.kin(record), signal.SIGKILL)
            _processes.ended(record, within_s=GRACE_S)
    path.unlink(missing_ok=True)
    return found


def _claim(port: int) -> None:
    """Raises EnvironmentFault when another program has the port."""
    with socket.socket() as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind(("127.0.0.1", port))
        except OSError as error:
            hint = f"choose another: CITYLAKE_AIRFLOW_PORT={port + 1} make up"
            raise EnvironmentFault(f"port {port} is taken or not allowed", hint=hint) from error


def _environment(settings: Settings) -> dict[str, str]:
    """The environment of Airflow and its tasks. They work in another folder: paths are made absolute."""
    paths = {"HOME": settings.home, "CATALOG": settings.catalog, "INBOX": settings.inbox}
    return _books.environment(settings.home) | {f"CITYLAKE_{name}": str(path) for name, path in paths.items()}


def _path(home: Path, name: str) -> Path:
    return _books.folder(home) / f"{name}.pid"


def _record(home: Path, name: str) -> _processes.Record | None:
    return _processes.recorded(_path(home, name))


def _log(home: Path, name: str) -> Path:
    return _books.logs(home) / f"{name}.log"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
