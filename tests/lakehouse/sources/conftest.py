"""A contract with any source, and a folder to receive into."""

from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from lakehouse.contract import Contract
from lakehouse.settings import Settings
from lakehouse.sources import Asked, Received, fetch

DAY = date(2026, 11, 21)


def contract_of(limits: dict[str, int] | None = None, key: tuple[str, ...] = (), **source: object) -> Contract:
    return Contract(
        department="d",
        dataset="t",
        title="t",
        kind="government",
        sharing="unconditional",
        load="append",
        source=source,
        key=key,
        columns={"id": {"type": "string"}, "name": {"type": "string", "from": "Name"}},
        limits=limits or {},
    )


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    """The folder of the day's files."""
    folder = tmp_path / "inbox" / "d" / "t" / DAY.isoformat()
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def fetched(tmp_path: Path) -> Callable[..., list[Received]]:
    """Fetch into a fresh folder: `fetched(type="file", uri="{inbox}/*.csv")`."""
    runs = iter(range(1000))

    def call(
        previous: dict[str, str] | None = None,
        marks: dict[str, str] | None = None,
        state: Path | None = None,
        **contract: object,
    ) -> list[Received]:
        into = tmp_path / f"into{next(runs)}"
        into.mkdir()
        settings = Settings(home=tmp_path / "home", catalog=tmp_path / "catalog", inbox=tmp_path / "inbox")
        return list(fetch(Asked(contract_of(**contract), DAY, settings, into, previous or {}, marks or {}, state)))

    return call
