"""One Spark session for all tests that ask for it: starting one takes longer than all they do with it."""

from collections.abc import Iterator

import pytest
from pyspark.sql import SparkSession

from lakehouse.engine.spark import session
from lakehouse.settings import Settings


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    home = tmp_path_factory.mktemp("spark")
    with session(Settings(home=home, catalog=home, inbox=home)) as running:
        yield running
