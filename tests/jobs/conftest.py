"""A town of its own for every test that asks for one."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.jobs.small_city import City


@pytest.fixture
def city(tmp_path: Path) -> Iterator[City]:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("HOME", "CATALOG", "INBOX", "NOW"):
            patch.setenv(f"CITYLAKE_{name}", "")  # what a step sets is undone with this patch
        yield City(tmp_path)
