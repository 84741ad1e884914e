"""The sample's servers: a small paged JSON API and a real PostgreSQL, both for this machine only."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pcsv

from lakehouse.contract import Contract
from lakehouse.source import HttpSource, PostgresSource
from samples import api, database, encode

FOLDER = "sample"
"""Below the lake's home: the rows behind the servers."""


def keep_rows(home: Path, contract: Contract, day: date, table: pa.Table) -> None:
    """Writes a day's rows where `serve` finds them: JSON lines for the API, CSV for the database."""
    source = contract.source
    if isinstance(source, HttpSource):
        path = home / FOLDER / "http" / f"{source.uri.strip('/').replace('{day}', day.isoformat())}.jsonl"
        sent = table.rename_columns([encode.sent_name(contract, name) for name in table.column_names])
        _write(path, ("\n".join(encode.records(sent)) + "\n").encode())
    if isinstance(source, PostgresSource):
        path = home / FOLDER / "postgres" / source.name / f"{day}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        sent = table.rename_columns([encode.sent_name(contract, name) for name in table.column_names])
        pcsv.write_csv(sent, path)


@contextmanager
def serve(home: Path) -> Iterator[dict[str, str]]:
    """Both servers. Until the end the environment has `CITYLAKE_CONN_SAMPLE_API` and `CITYLAKE_CONN_SAMPLE_PG`."""
    with ExitStack() as stack:
        variables = {
            "CITYLAKE_CONN_SAMPLE_API": stack.enter_context(api.running(home / FOLDER / "http")),
            "CITYLAKE_CONN_SAMPLE_PG": stack.enter_context(database.running(home / FOLDER / "postgres")),
        }
        before = {name: os.environ.get(name) for name in variables}
        stack.callback(_restore, before)
        os.environ.update(variables)
        yield variables


def _restore(before: dict[str, str | None]) -> None:
    for name, value in before.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
