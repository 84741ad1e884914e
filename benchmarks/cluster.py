"""A standalone Spark cluster on loopback: a master, two workers of one core, and a Connect server in front of them.

    python -m benchmarks.cluster COMMAND...

Runs the command with `CITYLAKE_SPARK` and the connection `spark` set to that server, and ends what it has started.
"""

import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pyspark

from lakehouse.engine.jars import jar_paths
from lakehouse.engine.jvm import python_environment

HOST = "127.0.0.1"
READY_S = 120
SETTINGS = {
    "spark.connect.grpc.binding.address": HOST,
    "spark.driver.host": HOST,
    "spark.driver.memory": "1g",
    "spark.executor.memory": "900m",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.shuffle.partitions": "4",
    "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension,org.apache.sedona.sql.SedonaSqlExtensions",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
    "spark.serializer": "org.apache.spark.serializer.KryoSerializer",
    "spark.kryo.registrator": "org.apache.sedona.core.serde.SedonaKryoRegistrator",
    "spark.databricks.delta.snapshotPartitions": "2",
}


@contextmanager
def cluster(folder: Path) -> Iterator[dict[str, str]]:
    """The environment in which Citylake uses the cluster; the cluster ends with the block. Logs and work lie in `folder`."""
    spark = Path(pyspark.__file__).parent
    token = secrets.token_urlsafe(32)
    env = os.environ | python_environment() | {"SPARK_HOME": str(spark), "SPARK_LOCAL_IP": HOST}
    env |= {"SPARK_CONNECT_AUTHENTICATE_TOKEN": token, "SPARK_WORKER_DIR": str(folder), "SPARK_LOCAL_DIRS": str(folder)}
    master_port, port = _free_port(), _free_port()
    url, of_class = f"spark://{HOST}:{master_port}", [str(spark / "bin" / "spark-class")]
    deploy = "org.apache.spark.deploy"
    with ExitStack() as stack:

        def start(name: str, command: list[str]) -> None:
            stack.enter_context(_running(command, env, folder / f"{name}.log"))

        ui = ["--host", HOST, "--webui-port", "0"]
        start("master", [*of_class, f"{deploy}.master.Master", *ui, "--port", str(master_port)])
        _await(master_port)
        for number in (1, 2):
            sizes = ["--cores", "1", "--memory", "1g"]
            start(f"worker-{number}", [*of_class, f"{deploy}.worker.Worker", *ui, *sizes, url])
        settings = SETTINGS | {"spark.connect.grpc.binding.port": str(port)}
        conf = [word for key, value in settings.items() for word in ("--conf", f"{key}={value}")]
        server = "org.apache.spark.sql.connect.service.SparkConnectServer"
        jars = ",".join(map(str, jar_paths()))
        start(
            "server",
            [
                *of_class,
                f"{deploy}.SparkSubmit",
                "--master",
                url,
                "--class",
                server,
                "--jars",
                jars,
                *conf,
                "spark-internal",
            ],
        )
        _await(port)
        yield {"CITYLAKE_SPARK": f"sc://localhost:{port}", "CITYLAKE_CONN_SPARK": f"spark://:{token}@localhost"}


@contextmanager
def _running(command: list[str], env: dict[str, str], log: Path) -> Iterator[None]:
    with log.open("ab") as said:
        process = subprocess.Popen(command, env=env, stdout=said, stderr=said, start_new_session=True)
    try:
        yield
    finally:
        for number in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.killpg(process.pid, number)  # a worker's executors are in its group
            with suppress(subprocess.TimeoutExpired):
                process.wait(20)
                break


def _free_port() -> int:
    with socket.socket() as trial:
        trial.bind((HOST, 0))
        return int(trial.getsockname()[1])


def _await(port: int) -> None:
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline:
        with suppress(OSError), socket.create_connection((HOST, port), timeout=5):
            return
        time.sleep(0.2)
    raise TimeoutError(f"nobody listens at {port} after {READY_S} s")


def main(command: list[str]) -> int:
    with tempfile.TemporaryDirectory(prefix="citylake-cluster-") as folder, cluster(Path(folder)) as env:
        return subprocess.run(command, env=os.environ | env, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
