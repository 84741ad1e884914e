"""A town of its own for every test that asks for one."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.jobs.small_city import City, own_settings


@pytest.fixture
def city(tmp_path: Path) -> Iterator[City]:
    with own_settings():
        yield City(tmp_path)
