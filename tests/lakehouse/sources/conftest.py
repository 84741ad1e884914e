"""A contract with any source, and a folder to receive into."""

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from lakehouse.contract import Contract
from lakehouse.settings import Settings
from lakehouse.sources import Asked, Received, fetch
from lakehouse.sources.received import State
from tests.lakehouse.sources.loopback import Server, serving

DAY = date(2026, 11, 21)
AT = datetime(2026, 11, 21, 0, 30, tzinfo=UTC)


def contract_of(
    limits: dict[str, int] | None = None,
    key: tuple[str, ...] = (),
    columns: dict[str, object] | None = None,
    load: str = "append",
    order: str | None = None,
    **source: object,
) -> Contract:
    return Contract(
        department="d",
        dataset="t",
        title="t",
        kind="government",
        sharing="unconditional",
        load=load,
        order=order,
        source=source,
        key=key,
        columns=columns or {"id": {"type": "string"}, "name": {"type": "string", "from": "Name"}},
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
        held = State(state, DAY - timedelta(days=1)) if state else None
        asked = Asked(contract_of(**contract), DAY, settings, into, previous or {}, marks or {}, held, AT)
        return list(fetch(asked))

    return call


@pytest.fixture
def server() -> Iterator[Server]:
    """An HTTP server that answers as a test tells it to."""
    with serving() as started:
        yield started
