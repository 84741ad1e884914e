"""The lake's Spark engine: one Connect server per lake, started with the first step that needs it, found again by all others.

A process of its own keeps it (`python -m lakehouse.engine.server`): it holds the lock on the lake's record of the engine,
starts the JVM, which inherits that lock and ends when its keeper does, and stops it when nobody has used it for a while.
Clients hold a shared lock as long as they use it. All of it is in `staging/engine`, for the lake's user alone.
"""

import fcntl
import json
import os
import secrets
import select
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from lakehouse import staging
from lakehouse.engine.jars import jar_paths, java
from lakehouse.errors import CitylakeError, EngineLost, EnvironmentFault, LakeError
from lakehouse.layout import private
from lakehouse.runs import code_version
from lakehouse.settings import Settings

if TYPE_CHECKING:
    from pyspark import SparkContext

IDLE_S = 600
"""How long an engine that a step has started waits for the next one."""
STOP = "citylake engine stop"
_START_S, _END_S = 180, 150  # on a busy machine; the end includes writing the archive of classes
_LOOK_EVERY_S = 0.1
_CONNECT = {
    "spark.plugins": "org.apache.spark.sql.connect.SparkConnectPlugin",
    "spark.connect.grpc.binding.address": "127.0.0.1",
    "spark.connect.grpc.binding.port": "0",
    # nobody ships classes or files with a session, and workers that serve one session only would be started for each
    "spark.sql.artifact.isolation.enabled": "false",
    # clients of long statements ask again every 20 s; who hasn't for 20 s has died, and his work is cancelled
    "spark.connect.execute.reattachable.senderMaxStreamDuration": "20s",
    "spark.connect.execute.manager.detachedTimeout": "20s",
    "spark.connect.execute.manager.maintenanceInterval": "5s",
    "spark.connect.session.manager.defaultSessionTimeout": "24h",  # somebody may think about his notebook
}

_started: set[Path] = set()


@dataclass(frozen=True)
class Server:
    """A lake's engine as its record says; `port` is 0 while it starts, `idle_s` None where it stays until it is stopped."""

    keeper: int
    code: str
    spark: str
    started_at: str
    idle_s: int | None
    memory_mb: int
    threads: int
    pid: int = 0
    port: int = 0

    def answers(self) -> bool:
        """Whether somebody takes connections at its port."""
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=5):
            return self.port != 0
        return False

    def fits(self) -> bool:
        """Whether it runs the same code and Spark as this process."""
        return (self.code, self.spark) == (code_version(), version("pyspark"))


def folder(home: Path) -> Path:
    """Where the engine keeps its record, its token and its locks; mode 0700."""
    path = home / "staging" / "engine"
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.mkdir(exist_ok=True, mode=0o700)
    return path


def log_of(home: Path) -> Path:
    """Where everything goes that the JVMs of a lake have to say."""
    return home / "logs" / "spark.log"


def found(home: Path) -> Server | None:
    """The lake's engine, also one that is just starting or doesn't answer; None where none runs."""
    record = _record(home)
    try:
        with record.open("r") as file:
            with suppress(BlockingIOError):
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                return None  # nobody holds it: left by an engine that has ended
            return Server(**json.load(file))
    except FileNotFoundError:
        return None
    except ValueError:  # written this very moment
        time.sleep(_LOOK_EVERY_S)
        return found(home)


def token(home: Path) -> str:
    """What a client must show to the running engine. A secret."""
    return (folder(home) / "token").read_text()


def start(settings: Settings, *, idle_s: int | None = None) -> Server:
    """The lake's engine, started where none runs; with `idle_s` it ends when nobody has used it for so many seconds.

    Raises EnvironmentFault when Java or JARs are missing or Spark doesn't start, LakeError when an engine is there that
    doesn't answer.
    """
    with _locked(folder(settings.home) / "starting", fcntl.LOCK_EX):
        if server := _answering(settings.home):
            return server
        java(), jar_paths()
        _launch(settings, idle_s)
        if idle_s is not None:
            _started.add(settings.home)
        server = _answering(settings.home)
    if server is None:
        raise lost(settings)
    return server


@contextmanager
def using(settings: Settings) -> Iterator[Server]:
    """The lake's engine for a client, started where none runs; it isn't idle as long as the block lasts.

    Raises what `start` raises, and EnvironmentFault when it runs other code than this process.
    """
    with _locked(folder(settings.home) / "users", fcntl.LOCK_SH):
        server = start(settings, idle_s=IDLE_S)
        if not server.fits():
            ours = f"{code_version()} with Spark {version('pyspark')}"
            what = f"the engine runs Citylake {server.code} with Spark {server.spark}, this is {ours}"
            raise EnvironmentFault(what, where=str(settings.home), hint=f"restart it: {STOP}, then run this again")
        yield server


def stop(home: Path) -> Server | None:
    """End the lake's engine, whatever it does, and wait until it is gone; gives it, None where none runs."""
    server = found(home)
    if server is None:
        return None
    for number in (signal.SIGTERM, signal.SIGKILL):
        for pid in {server.keeper, server.pid} - {0}:
            if number == signal.SIGKILL or pid == server.keeper:
                with suppress(ProcessLookupError):
                    os.kill(pid, number)
        if _gone(home, within_s=_END_S):
            break
    return server


def end_started() -> None:
    """Stop the engines that steps of this process have started, but for one that others use: that ends when it is idle."""
    for home in list(_started):
        end_unused(home)
        _started.discard(home)


def end_unused(home: Path) -> None:
    """Stop an engine that a step of whatever process has started, unless somebody is using it."""
    server = found(home)
    if server is not None and server.idle_s is not None and _unused(home):
        stop(home)


def _answering(home: Path) -> Server | None:
    """The engine, once it answers; one that is just ending is waited for."""
    deadline = time.monotonic() + _END_S
    while server := found(home):
        if server.answers():
            return server
        if time.monotonic() > deadline:
            what = f"the lake's engine (process {server.keeper}) doesn't answer"
            raise LakeError(what, where=str(home), hint=f"run: {STOP}")
        time.sleep(_LOOK_EVERY_S)
    return None


def _launch(settings: Settings, idle_s: int | None) -> None:
    """Start the keeper and wait for what it says: nothing but `ready`, or why it can't."""
    asked = {"settings": settings.model_dump(mode="json"), "idle_s": idle_s, "code": code_version()}
    log = log_of(settings.home)
    log.parent.mkdir(parents=True, exist_ok=True)
    env = {name: value for name, value in os.environ.items() if not name.startswith(("SPARK_", "PYSPARK_"))}
    command = [sys.executable, "-m", "lakehouse.engine.server"]
    root = str(Path(__file__).parents[2])
    with log.open("ab") as said:
        keeper = subprocess.Popen(
            command,
            env=env | {"PYTHONPATH": os.pathsep.join(filter(None, (root, env.get("PYTHONPATH"))))},
            cwd=settings.home,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said,
            start_new_session=True,  # Ctrl-C is for the client
        )
    assert keeper.stdin is not None and keeper.stdout is not None
    with keeper.stdin, keeper.stdout:
        keeper.stdin.write(json.dumps(asked).encode())
        keeper.stdin.close()
        if not select.select([keeper.stdout], [], [], _START_S)[0]:
            keeper.terminate()
            raise EnvironmentFault(f"Spark isn't up after {_START_S} s", where=str(log), hint="see its last lines")
        answer = keeper.stdout.read()
    if answer != b"ready":
        kind, *said_so = json.loads(answer or b'["EnvironmentFault"]')
        what, where, hint = said_so or ("Spark doesn't start", str(log), "its last lines say why")
        raise {"LakeError": LakeError}.get(kind, EnvironmentFault)(what, where=where, hint=hint)


def lost(settings: Settings) -> EngineLost:
    """What to raise when the engine has ended in the middle of the work."""
    hint = "its last lines may say why; run the same command again"
    return EngineLost("the Spark engine has ended", where=str(log_of(settings.home)), hint=hint)


def _gone(home: Path, *, within_s: float) -> bool:
    deadline = time.monotonic() + within_s
    while found(home):
        if time.monotonic() > deadline:
            return False
        time.sleep(_LOOK_EVERY_S)
    return True


def _unused(home: Path) -> bool:
    with (folder(home) / "users").open("w") as users, suppress(BlockingIOError):
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False


def _record(home: Path) -> Path:
    return folder(home) / "server.json"


@contextmanager
def _locked(path: Path, how: int) -> Iterator[None]:
    """A lock that dies with the process, waited for."""
    with path.open("w") as file:
        fcntl.flock(file, how)
        yield


def main() -> None:
    """Keep an engine: what is asked for comes in as JSON, `ready` or an error's type and parts go out."""
    asked = json.load(sys.stdin)
    os.umask(0o077)
    settings = Settings.model_validate(asked["settings"])
    idle_s = asked["idle_s"]
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
    try:
        with _kept(settings, asked["code"], idle_s) as process:
            _say(b"ready")
            _wait(process, settings.home, idle_s)
    except CitylakeError as error:
        _say(json.dumps([type(error).__name__, error.what, error.where, error.hint]).encode())
        sys.exit(1)


def _say(answer: bytes) -> None:
    """Answer whoever asked, and let go of him."""
    os.write(1, answer)
    os.dup2(2, 1)


@contextmanager
def _kept(settings: Settings, code: str, idle_s: int | None) -> Iterator["subprocess.Popen[bytes]"]:
    """The JVM of a new engine, which ends with the block."""
    from pyspark.sql import SparkSession

    from lakehouse.engine.jvm import Jvm

    name = uuid.uuid4().hex
    with _own_record(settings.home) as record:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        server = Server(os.getpid(), code, version("pyspark"), now, idle_s, settings.memory_mb, settings.threads)
        _write(record, server)
        scratch = staging.claim(settings.home, "spark", name)
        try:
            os.environ["SPARK_CONNECT_AUTHENTICATE_TOKEN"] = _new_token(settings.home)
            jvm = Jvm.start(settings, scratch, _CONNECT, kept=(record.fileno(),))
            try:
                SparkSession(jvm.context)  # the one that clients' sessions are copies of
                _write(record, replace(server, pid=jvm.process.pid, port=_port(jvm.context)))
                yield jvm.process
            finally:
                jvm.end()
        finally:
            staging.release(settings.home, "spark", name)


def _port(context: "SparkContext") -> int:
    """Where the Connect service listens: it has chosen a free port itself."""
    service: Any = getattr(context._jvm, "org.apache.spark.sql.connect.service.SparkConnectService$")
    return int(getattr(service, "MODULE$").server().getPort())


@contextmanager
def _own_record(home: Path) -> Iterator[IO[str]]:
    """The record, locked. Raises LakeError where another engine has it."""
    with _record(home).open("a+") as record:
        for _ in range(20):  # somebody may just be looking whether it is locked
            with suppress(BlockingIOError):
                fcntl.flock(record, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            time.sleep(_LOOK_EVERY_S)
        else:
            raise LakeError("another engine runs on this lake", where=str(home), hint=f"stop it: {STOP}")
        yield record


def _write(record: IO[str], server: Server) -> None:
    record.seek(0)
    record.truncate()
    record.write(json.dumps(asdict(server)))
    record.flush()


def _new_token(home: Path) -> str:
    made = secrets.token_urlsafe(32)
    with private(folder(home) / "token") as file:
        file.write(made)
    return made


def _wait(process: "subprocess.Popen[bytes]", home: Path, idle_s: int | None) -> None:
    """Return when the JVM has ended or, holding off new users, when nobody has used it for `idle_s`."""
    used_at = time.monotonic()
    with (folder(home) / "users").open("w") as users:
        while process.poll() is None:
            try:
                fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                used_at = time.monotonic()
            else:
                if idle_s is not None and time.monotonic() - used_at >= idle_s:
                    os.dup(
                        users.fileno()
                    )  # locked until this process has ended: who comes now waits and starts another
                    return
                fcntl.flock(users, fcntl.LOCK_UN)
            with suppress(subprocess.TimeoutExpired):
                process.wait(1)


if __name__ == "__main__":
    main()
