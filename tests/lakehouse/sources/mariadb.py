"""A MariaDB server of the tests' own, where its programs are installed."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pymysql
import pytest


@dataclass(frozen=True)
class MariaDB:
    """A running server; the log-in `root` needs no password."""

    port: int

    def uri(self, user: str = "root", password: str = "", scheme: str = "mysql") -> str:
        return f"{scheme}://{user}:{password}@127.0.0.1:{self.port}/town"

    def run(self, *statements: str) -> None:
        options = {"database": "town", "charset": "utf8mb4", "autocommit": True, "init_command": "SET sql_mode = ''"}
        connection = pymysql.connect(host="127.0.0.1", port=self.port, user="root", **options)
        with closing(connection), connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)


@contextmanager
def running(folder: Path) -> Iterator[MariaDB]:
    """A server with an empty database `town`, its data in the folder."""
    install, server = (
        shutil.which("mariadb-install-db"),
        shutil.which("mariadbd", path=f"{os.environ['PATH']}:/usr/sbin"),
    )
    if not install or not server:
        pytest.skip("MariaDB isn't installed (make counterparts)")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    plain = [f"--datadir={folder}/data", *(["--user=root"] if os.geteuid() == 0 else [])]
    first = ["--auth-root-authentication-method=normal", "--skip-test-db"]
    subprocess.run([install, "--no-defaults", *plain, *first], check=True, capture_output=True)
    settings = [
        f"--socket={folder}/socket", f"--port={port}", "--bind-address=127.0.0.1", "--skip-log-bin", "--skip-name-resolve",
        "--innodb-buffer-pool-size=32M", "--innodb-flush-log-at-trx-commit=0", "--default-time-zone=+00:00",
        f"--pid-file={folder}/pid",
    ]  # fmt: skip
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([server, "--no-defaults", *plain, *settings], stdout=log, stderr=log)
    try:
        _wait(process, port, folder / "log")
        with (
            closing(pymysql.connect(host="127.0.0.1", port=port, user="root")) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute("CREATE DATABASE town CHARACTER SET utf8mb4")
        yield MariaDB(port)
    finally:
        process.terminate()
        process.wait(30)


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError(f"MariaDB didn't start: {log.read_text(errors='replace')[-500:]}")
