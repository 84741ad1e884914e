"""A database server, and what is received of its tables."""

from collections.abc import Iterator
from typing import Any

import pyarrow.parquet as pq
import pytest

from lakehouse.sources import Received
from tests.lakehouse.sources.database import mariadb


@pytest.fixture(scope="session")
def maria(tmp_path_factory: pytest.TempPathFactory) -> Iterator[mariadb.MariaDB]:
    """A MariaDB server with an empty database `town`."""
    with mariadb.running(tmp_path_factory.mktemp("mariadb")) as started:
        yield started


def rows(received: Received) -> list[tuple[Any, ...]]:
    """What a table was received as."""
    return list(zip(*pq.read_table(received.path).to_pydict().values(), strict=True))
