"""What every test stands on: no network but loopback, and a lake of its own where one is asked for."""

import ipaddress
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from lakehouse.settings import Settings


_PREFIX, _KEPT_S = "citylake-tests-", 3 * 86_400


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """A folder for the temporary files of this run alone. Those that pytest makes lie in one of all runs, which every run that
    begins closes to other users: database servers, which refuse to be root's, then lose theirs."""
    if config.option.basetemp is not None:
        return
    for left in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        if time.time() - left.stat().st_mtime > _KEPT_S:
            shutil.rmtree(left, ignore_errors=True)
    config.option.basetemp = tempfile.mkdtemp(prefix=_PREFIX)
    config.add_cleanup(lambda: _tidied(config))


def _tidied(config: pytest.Config) -> None:
    """Without the run's folder, unless something in it is worth a look."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter and not reporter.stats.keys() & {"failed", "error"}:
        shutil.rmtree(config.option.basetemp, ignore_errors=True)


class NetworkUsed(AssertionError):
    """A test tried to leave this machine."""


@pytest.fixture(autouse=True, scope="session")
def loopback_only() -> Iterator[None]:
    """Only loopback and Unix sockets connect; everything else fails the test that tried."""
    connect, connect_ex = socket.socket.connect, socket.socket.connect_ex

    def is_local(address: object) -> bool:
        if not isinstance(address, tuple):
            return True
        host = str(address[0])
        try:
            return host == "localhost" or ipaddress.ip_address(host).is_loopback
        except ValueError:
            return False

    def guarded(original: Callable[..., object]) -> Callable[..., object]:
        def call(self: socket.socket, address: object) -> object:
            if not is_local(address):
                raise NetworkUsed(f"a test tried to connect to {address}")
            return original(self, address)

        return call

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", guarded(connect))
        patch.setattr(socket.socket, "connect_ex", guarded(connect_ex))
        yield


@pytest.fixture(autouse=True, scope="session")
def own_airflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Airflow writes its files into a folder of this run, never into the user's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW_HOME", str(tmp_path_factory.mktemp("airflow")))
        yield


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh, empty `CITYLAKE_HOME`; every other Citylake setting but the JARs' folder is as if unset."""
    for name in [name for name in os.environ if name.startswith("CITYLAKE_") and name != "CITYLAKE_JARS"]:
        monkeypatch.delenv(name)
    folder = tmp_path / "lake"
    folder.mkdir()
    monkeypatch.setenv("CITYLAKE_HOME", str(folder))
    return folder


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator["Settings"]:
    """The settings of a lake whose Spark engine, once started, runs as long as the tests do."""
    from lakehouse.engine import server
    from lakehouse.settings import Settings

    home = tmp_path_factory.mktemp("spark")
    yield Settings(home=home, catalog=home, inbox=home)
    server.stop(home)


@pytest.fixture(scope="session")
def spark(engine: "Settings") -> Iterator["SparkSession"]:
    """A session with that engine. As long as it is open, steps of any lake work with that engine too."""
    from lakehouse.engine.spark import session

    with session(engine) as running:
        yield running
