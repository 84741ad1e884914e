"""The engine's life: one per lake, found by all, gone and back again. Clients are processes of their own, as steps are."""

import fcntl
import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from textwrap import dedent
from urllib.parse import quote

import pytest

from lakehouse.engine import server
from lakehouse.errors import EnvironmentFault, LakeError
from lakehouse.settings import Settings

ROOT = Path(__file__).parents[3]


def lake(home: Path) -> Settings:
    return Settings(home=home, catalog=home, inbox=home)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Settings, server.Server]]:
    """A lake and its engine, which two clients have started at the same time."""
    settings = lake(tmp_path_factory.mktemp("lake"))
    with ThreadPoolExecutor(2) as pool:
        started = list(pool.map(lambda idle: server.start(settings, idle_s=idle), (600, 600)))
    assert started[0] == started[1]
    yield settings, started[0]
    server.end_started()
    assert server.found(settings.home) is None


def client(settings: Settings, work: str, **env: str) -> list[str]:
    """The lines a process prints that does `work` with `settings`."""
    head = """
        from lakehouse.engine import server
        from lakehouse.engine.spark import session
        from lakehouse.settings import Settings
        settings = Settings.from_environment()
    """
    code = dedent(head) + dedent(work)
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("SPARK_", "PYSPARK_"))}
    asked = clean | {"CITYLAKE_HOME": str(settings.home), "CITYLAKE_THREADS": "2"} | env
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=asked, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_an_engine_lost_in_the_middle_is_one_line_and_the_next_session_starts_another(tmp_path: Path) -> None:
    said = client(
        lake(tmp_path),
        """
        import os, signal
        def killed(process):
            os.kill(process, signal.SIGKILL)
            return "SELECT max(hash(id)) FROM range(1000000000000)"  # the JVM may take a moment to end
        ways = (
            lambda engine: killed(engine.pid),
            lambda engine: killed(engine.keeper),
            lambda engine: "SELECT sequence(1L, 2000000000L)",  # 16 GB of heap
        )
        for lose in ways:
            try:
                with session(settings) as spark:
                    print(spark.range(3).count())
                    spark.sql(lose(server.found(settings.home))).collect()
            except Exception as error:
                print(type(error).__name__, error.transient, error)
        with session(settings) as spark:
            print(spark.range(4).count())
        server.end_started()
        """,
    )
    lost = f"EngineLost True {tmp_path}/logs/spark.log: the Spark engine has ended;"
    one = ["3", f"{lost} its last lines may say why; run the same command again"]
    assert said == [*one, *one, *one, "4"]
    assert server.found(tmp_path) is None


def test_a_client_elsewhere_shows_its_token(running: tuple[Settings, server.Server], tmp_path: Path) -> None:
    settings, engine = running
    count = "with session(settings) as spark: print(spark.range(5).count())"
    url = f"sc://localhost:{engine.port}"
    known = f"spark://:{quote(server.token(settings.home), safe='')}@localhost"
    assert client(lake(tmp_path), count, CITYLAKE_SPARK=url, CITYLAKE_CONN_SPARK=known) == ["5"]
    refused = """
        try:
            with session(settings) as spark: spark.range(5).count()
        except Exception as error:
            print("UNAUTHENTICATED" in str(error) or "authentication token" in str(error))
    """
    assert client(lake(tmp_path), refused, CITYLAKE_SPARK=url, CITYLAKE_CONN_SPARK="spark://:wrong@localhost") == [
        "True"
    ]


def test_a_process_may_have_a_jvm_of_its_own(tmp_path: Path) -> None:
    work = """
        with session(settings) as spark:
            print(spark.sparkContext.master, spark.range(6).count(), server.found(settings.home))
    """
    assert client(lake(tmp_path), work, CITYLAKE_SPARK="local") == ["local[2] 6 None"]


def test_the_token_is_for_the_lakes_user_alone(running: tuple[Settings, server.Server]) -> None:
    settings, engine = running
    token = server.token(settings.home)
    folder = server.folder(settings.home)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "token").stat().st_mode) == 0o600
    for pid in (engine.pid, engine.keeper):
        assert token not in Path(f"/proc/{pid}/cmdline").read_text()
    written = [path for path in settings.home.rglob("*") if path.is_file() and path != folder / "token"]
    assert not [path for path in written if token.encode() in path.read_bytes()]


def test_one_engine_keeps_a_lake(running: tuple[Settings, server.Server]) -> None:
    settings, engine = running
    asked = {"settings": settings.model_dump(mode="json"), "idle_s": None, "code": "1"}
    second = subprocess.run(
        [sys.executable, "-m", "lakehouse.engine.server"],
        cwd=ROOT,
        input=json.dumps(asked),
        capture_output=True,
        text=True,
    )
    kind, what, where, hint = json.loads(second.stdout)
    assert (kind, what, where) == ("LakeError", "another engine runs on this lake", str(settings.home))
    assert hint == "stop it: citylake engine stop"
    assert server.found(settings.home) == engine


def test_a_client_with_other_code_is_told_to_restart(
    running: tuple[Settings, server.Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, engine = running
    monkeypatch.setattr(server, "code_version", lambda: "0.0+older")
    with pytest.raises(EnvironmentFault, match="restart it: citylake engine stop"), server.using(settings):
        pass
    assert not engine.fits() and engine.answers()


def test_what_an_ended_engine_left_is_nothing(tmp_path: Path) -> None:
    record = server.folder(tmp_path) / "server.json"
    record.write_text(json.dumps({"keeper": os.getpid(), "pid": os.getpid(), "port": 1}))
    assert server.found(tmp_path) is None
    assert server.stop(tmp_path) is None  # and whoever has its number now is left alone


def test_an_engine_that_doesnt_answer_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "_END_S", 0)
    held = server.Server(4711, "1", "4", "2026-03-01T00:00:00+00:00", None, 1024, 2, pid=4712, port=1)
    with (server.folder(tmp_path) / "server.json").open("w") as record:
        json.dump(vars(held), record)
        record.flush()
        fcntl.flock(record, fcntl.LOCK_EX)
        with pytest.raises(LakeError, match=r"process 4711\) doesn't answer; run: citylake engine stop"):
            server.start(lake(tmp_path))


def test_an_idle_engine_ends_by_itself(tmp_path: Path) -> None:
    keeper = server.start(lake(tmp_path), idle_s=0).keeper
    os.waitpid(keeper, 0)
    assert server.found(tmp_path) is None


def test_without_java_no_engine_is_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(EnvironmentFault, match="Java is missing; run: make setup"):
        server.start(lake(tmp_path))


def test_without_jars_no_engine_is_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CITYLAKE_JARS", str(tmp_path))
    with pytest.raises(EnvironmentFault, match=r"JARs missing: .*run: python -m lakehouse\.engine\.jars"):
        server.start(lake(tmp_path))


def test_a_java_that_fails_points_to_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    java = tmp_path / "bin" / "java"
    java.parent.mkdir()
    java.write_text("#!/bin/sh\necho no such virtual machine >&2\nexit 1\n")
    java.chmod(0o755)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(EnvironmentFault, match=r"spark\.log: Spark doesn't start"):
        server.start(lake(tmp_path))
    assert "no such virtual machine" in (tmp_path / "logs" / "spark.log").read_text()
    assert server.found(tmp_path) is None


def test_stop_ends_also_what_doesnt_end_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "_END_S", 0.2)
    stubborn = """
        import fcntl, json, os, signal, sys
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        record = open(sys.argv[1], "w")
        fcntl.flock(record, fcntl.LOCK_EX)
        facts = dict(code="1", spark="4", started_at="", idle_s=None, memory_mb=1, threads=1, port=1)
        json.dump({"keeper": os.getpid(), **facts}, record)
        record.flush()
        print("held", flush=True)
        signal.pause()
    """
    path = server.folder(tmp_path) / "server.json"
    with subprocess.Popen([sys.executable, "-c", dedent(stubborn), str(path)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        stopped = server.stop(tmp_path)
        assert stopped is not None and stopped.keeper == process.pid
        assert process.wait() == -signal.SIGKILL
