"""A MariaDB server of the tests' own, where its programs are installed."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pymysql
import pytest

Value = tuple[str, str, str | None]
"""Kind of column, value in SQL, and its text."""


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

    def store(self, values: Sequence[Value]) -> None:
        """One row in a table `t`, a column for each of the values."""
        columns = ", ".join(f"c{number} {kind} NULL" for number, (kind, _, _) in enumerate(values))
        self.run(f"CREATE TABLE t ({columns})", f"INSERT INTO t VALUES ({', '.join(value for _, value, _ in values)})")


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


ALIKE: list[Value] = [
    ("bigint unsigned", "18446744073709551615", "18446744073709551615"),
    ("decimal(65,30)", "12345678901234567890123456789012345.123456789012345678901234567890",
     "12345678901234567890123456789012345.123456789012345678901234567890"),
    ("float", "0.1", "0.1"),
    ("double", "0.1", "0.1"),
    ("double", "2.2250738585072014e-308", "2.2250738585072014e-308"),
    ("bit(10)", "b'1000000001'", "0201"),
    ("boolean", "true", "1"),
    ("date", "'0000-00-00'", "0000-00-00"),
    ("datetime(6)", "'9999-12-31 23:59:59.999999'", "9999-12-31 23:59:59.999999"),
    ("year", "2155", "2155"),
    ("enum('a','ü')", "'ü'", "ü"),
    ("json", """'{"a": 1.0, "b": "一"}'""", '{"a": 1.0, "b": "一"}'),
    ("geometry", "ST_GeomFromText('POINT(1 2)', 4326)", "e6100000" "0101000000" "000000000000f03f" "0000000000000040"),
    ("blob", "x'00ff'", "00ff"),
    ("longtext", "'a\0b\n😀'", "a\0b\n😀"),
    ("varchar(9)", "''", ""),
    ("varchar(9)", "null", None),
    ("varchar(9) character set gbk", "'中文'", "中文"),
]  # fmt: skip
"""Values that drivers print alike."""
