"""Towns to send bad input to, and the content an undisturbed night gives."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.jobs.small_city import own_settings
from tests.night.town import DATASETS, Contents, Town


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Town]:
    """A town of its own; what its steps set in the environment is undone after the test."""
    with own_settings():
        yield Town(tmp_path)


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Contents:
    """What the layers hold after a night in which nothing goes wrong."""
    with own_settings():
        town = Town(tmp_path_factory.mktemp("undisturbed"))
        town.deliver_all()
        assert town.whole_night() == {}
        assert town.balances()
        return {department: town.content(department) for department in DATASETS}
