"""The JVM Spark lives in: started with everything local, by the lake's engine or for one process alone.

Most of a fresh JVM's time goes into reading and verifying some twenty thousand classes. So the first one keeps them,
on its way out, as an archive beside the JARs (class data sharing, JEP 350), and later ones map it: 13 s of processor
time to the first Delta table written and read instead of 25. What no longer fits is made anew.
"""

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pyspark
from pyspark import SparkConf, SparkContext
from pyspark.errors import PySparkException
from pyspark.java_gateway import launch_gateway

from lakehouse.engine.jars import folder, jar_paths, java
from lakehouse.engine.server import log_of
from lakehouse.errors import EnvironmentFault
from lakehouse.settings import Settings

_LOGGING, _POOLS = (Path(__file__).with_name(name) for name in ("log4j2.properties", "pools.xml"))
_SECONDS_TO_END = 120  # writing the archive takes 10 s on a quiet machine
_LEAST_MEMORY_MB = 1024  # below it Delta and Sedona have no room for data


@dataclass(frozen=True)
class Archive:
    """The kept classes: one file per Java, pyspark and set of JARs, `path`; a JVM writes it to `draft` first."""

    path: Path
    draft: Path

    @classmethod
    def of(cls, scratch: Path) -> "Archive":
        parts = [Path(java()).resolve(), _pyspark_jars(), *jar_paths()]
        stamps = [f"{part}:{part.stat().st_mtime_ns}" for part in parts]
        key = hashlib.sha256("|".join([pyspark.__version__, *stamps]).encode()).hexdigest()[:12]
        return cls(folder() / f"classes-{key}.jsa", scratch / "classes.jsa")

    def option(self) -> str:
        """The JVM's option to use the archive, or to write it where there is none."""
        return f"-XX:SharedArchiveFile={self.path}" if self.path.exists() else f"-XX:ArchiveClassesAtExit={self.draft}"

    def keep(self) -> None:
        """Put a written draft in the place of all earlier archives; a folder that can't be written goes without."""
        if not self.draft.exists() or not os.access(self.path.parent, os.W_OK):
            return
        arriving = self.path.with_suffix(f".{os.getpid()}")
        shutil.move(self.draft, arriving)
        arriving.chmod(0o444)
        arriving.replace(self.path)
        for earlier in set(self.path.parent.glob("classes-*.jsa")) - {self.path}:
            earlier.unlink(missing_ok=True)


@dataclass(frozen=True)
class Jvm:
    """A running JVM with its Spark context; `scratch` is its folder for temporary files."""

    context: SparkContext
    process: subprocess.Popen[bytes]
    archive: Archive

    @classmethod
    def start(
        cls, settings: Settings, scratch: Path, more: Mapping[str, str] = MappingProxyType({}), kept: Sequence[int] = ()
    ) -> "Jvm":
        """With `more` settings of Spark; the open files `kept` stay open as long as the JVM lives.

        Raises EnvironmentFault when Java or the JARs are missing or the JVM doesn't start.
        """
        archive = Archive.of(scratch)
        wanted = _configuration(settings, scratch, archive) | dict(more)
        conf = SparkConf(loadDefaults=False).setAll(list(wanted.items()))
        os.environ |= python_environment()
        log_of(settings.home).parent.mkdir(parents=True, exist_ok=True)
        with log_of(settings.home).open("ab") as said:
            try:
                gateway: Any = launch_gateway(conf, {"stdout": said, "stderr": said, "pass_fds": tuple(kept)})
            except PySparkException as error:
                hint = "its last lines say why; a JDK 17 or 21 is needed"
                raise EnvironmentFault("Spark doesn't start", where=str(log_of(settings.home)), hint=hint) from error
        with _own_interrupt():
            return cls(SparkContext(conf=conf, gateway=gateway), gateway.proc, archive)

    def end(self) -> None:
        """Stop Spark and wait until the JVM has ended; nothing to do where it has already."""
        if self.process.poll() is not None:
            return
        self.context.stop()
        gateway = SparkContext._gateway
        assert gateway is not None and self.process.stdin is not None
        gateway.shutdown()
        SparkContext._gateway = SparkContext._jvm = None  # else pyspark would give the ended JVM to the next session
        self.process.stdin.close()  # what the JVM waits for
        try:
            self.process.wait(_SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        else:
            self.archive.keep()


@contextmanager
def _own_interrupt() -> Iterator[None]:
    """Keep Ctrl-C as it is: pyspark's handler would talk to the JVM in the middle of another talk with it."""
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, handler)


def python_environment() -> dict[str, str]:
    """What the JVM hands to its Python workers: this Python, not the system's, and where our packages are."""
    root = str(Path(__file__).parents[2])
    path = [root, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    return {"PYSPARK_PYTHON": sys.executable, "PYTHONPATH": os.pathsep.join(dict.fromkeys(path))}


def _pyspark_jars() -> Path:
    return Path(pyspark.__file__).parent / "jars"


def _configuration(settings: Settings, scratch: Path, archive: Archive) -> dict[str, str]:
    return {
        "spark.master": f"local[{settings.threads}]",
        "spark.app.name": "citylake",
        "spark.driver.memory": f"{max(settings.memory_mb, _LEAST_MEMORY_MB)}m",
        # on the class path and not in spark.jars, whose classes no archive holds; pyspark's own first, for they win
        "spark.driver.extraClassPath": os.pathsep.join([f"{_pyspark_jars()}/*", *map(str, jar_paths())]),
        "spark.driver.extraJavaOptions": " ".join(f'"{option}"' for option in _options(settings, scratch, archive)),
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.local.dir": str(scratch),
        "spark.ui.enabled": "false",
        "spark.scheduler.mode": "FAIR",
        "spark.scheduler.allocation.file": str(_POOLS),
        "spark.ui.showConsoleProgress": "false",
        "spark.serializer": "org.apache.spark.serializer.KryoSerializer",
        "spark.kryo.registrator": "org.apache.sedona.core.serde.SedonaKryoRegistrator",
        "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension,org.apache.sedona.sql.SedonaSqlExtensions",
        "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
        "spark.sql.warehouse.dir": str(scratch / "warehouse"),
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.shuffle.partitions": str(2 * settings.threads),
        "spark.sql.parquet.compression.codec": "zstd",
        "spark.databricks.delta.snapshotPartitions": str(settings.threads),
    }


def _options(settings: Settings, scratch: Path, archive: Archive) -> list[str]:
    return [
        "-XX:TieredStopAtLevel=1",  # the quick compiler only: a night's step ends before the thorough one pays
        "-XX:+UseSerialGC",
        "-XX:-UsePerfData",
        "-XX:+ExitOnOutOfMemoryError",  # gone and started anew, rather than half alive
        "-Xlog:disable",
        archive.option(),
        f"-Djava.io.tmpdir={scratch}",
        f"-Dlog4j2.configurationFile={_LOGGING}",
        f"-Dcitylake.log={log_of(settings.home)}",
    ]
