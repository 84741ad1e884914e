"""The sample's servers: pages, tokens, tags, and a real PostgreSQL that is loaded once."""

import os
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from adbc_driver_postgresql import dbapi

from samples import api
from samples.catalog import contracts
from samples.city import DAYS, build
from samples.database import running
from samples.delivery import rows
from samples.serve import keep_rows, serve

DAY = DAYS[0]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The rows of two days behind the servers."""
    place = tmp_path_factory.mktemp("served")
    for contract in contracts().values():
        if contract.source.type != "file":
            for day in DAYS[:2]:
                keep_rows(place, contract, day, rows(build(7), contract, day)[0])
    return place


@pytest.fixture(scope="module")
def base(home: Path) -> Iterator[httpx.URL]:
    with api.running(home / "sample" / "http") as uri:
        yield httpx.URL(uri)


def get(base: httpx.URL, path: str, **more: object) -> httpx.Response:
    return httpx.get(base.join(path).copy_with(userinfo=base.userinfo), **more)  # type: ignore[arg-type]


def test_pages_end_with_a_shorter_one(base: httpx.URL) -> None:
    path = f"/market/inspections/{DAY}"
    pages = [get(base, f"{path}?page={n}&size=200").json()["data"]["rows"] for n in (1, 2, 3, 4)]
    expected, _ = rows(build(7), contracts()["market_supervision.inspections"], DAY)
    assert [len(page) for page in pages] == [200, 200, expected.num_rows - 400, 0]
    assert [row["inspectionNo"] for page in pages for row in page] == expected["inspection_no"].to_pylist()


def test_pages_may_count_from_zero_and_lists_may_be_plain(base: httpx.URL) -> None:
    first = get(base, f"/police/calls/{DAY}?pageIndex=0&pageSize=500").json()
    assert first["data"]["rows"][0]["call_no"].endswith("-00001")
    assert isinstance(get(base, f"/weather/warnings/{DAY}").json(), list)


def test_pages_may_be_asked_for_by_a_token(base: httpx.URL) -> None:
    path = f"/weather/warnings/{DAY}?limit=5"
    rows, cursor = [], ""
    while cursor is not None:
        data = get(base, path + (f"&cursor={cursor}" if cursor else "")).json()["data"]
        rows, cursor = rows + data["rows"], data.get("next")
    assert rows == get(base, f"/weather/warnings/{DAY}").json()
    assert len(rows) == data["total"] > 5


def test_an_unchanged_page_is_answered_304(base: httpx.URL) -> None:
    path = f"/weather/warnings/{DAY}"
    tag = get(base, path).headers["ETag"]
    again = get(base, path, headers={"If-None-Match": tag})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize(
    "path", ["/nothing/here", "/weather/warnings/2020-01-01", "/%2e%2e/postgres/x", "/../../etc/passwd"]
)
def test_what_is_not_there_is_404(base: httpx.URL, path: str) -> None:
    assert get(base, path).status_code == 404


def test_the_token_is_needed_and_is_taken_as_bearer_or_password(base: httpx.URL) -> None:
    bare = base.copy_with(userinfo=b"").join(f"/weather/warnings/{DAY}")
    assert httpx.get(bare).status_code == 401
    assert httpx.get(bare, headers={"Authorization": "Bearer nonsense"}).status_code == 401
    assert httpx.get(bare, headers={"Authorization": f"Bearer {base.password}"}).status_code == 200


def counts(uri: str, table: str) -> dict[object, int]:
    with dbapi.connect(uri) as connection, connection.cursor() as cursor:
        cursor.execute(f"SELECT reported_on, count(*) FROM {table} GROUP BY 1")
        return dict(cursor.fetchall())


def test_postgres_holds_each_day_and_is_loaded_once(home: Path) -> None:
    folder = home / "sample" / "postgres"
    name = "transport.waybills"
    expected = {day: rows(build(7), contracts()[name], day)[0].num_rows for day in DAYS[:2]}
    with running(folder) as uri:
        assert counts(uri, name) == expected
        with dbapi.connect(uri, autocommit=True) as connection, connection.cursor() as cursor:
            cursor.execute(f"DELETE FROM {name} WHERE reported_on = '{DAY}'")
    with running(folder) as uri:
        assert counts(uri, name) == {DAYS[1]: expected[DAYS[1]]}
    (folder / name / f"{DAYS[1]}.csv").unlink()
    with running(folder) as uri:
        assert counts(uri, name) == {DAY: expected[DAY]}


def test_null_stays_null_in_postgres(home: Path) -> None:
    table, _ = rows(build(7), contracts()["transport.waybills"], DAYS[0])
    with running(home / "sample" / "postgres") as uri, dbapi.connect(uri) as connection, connection.cursor() as cursor:
        cursor.execute(f"SELECT unloaded_at FROM transport.waybills WHERE reported_on = '{DAYS[0]}'")
        assert cursor.fetch_arrow_table()["unloaded_at"].null_count == table["unloaded_at"].null_count > 0


def test_the_environment_is_as_before_when_the_servers_stop(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CITYLAKE_CONN_SAMPLE_API", "before")
    monkeypatch.delenv("CITYLAKE_CONN_SAMPLE_PG", raising=False)
    with serve(home) as variables:
        assert {name: os.environ[name] for name in variables} == variables
        assert variables["CITYLAKE_CONN_SAMPLE_API"].startswith("http://")
        assert "@127.0.0.1:" in variables["CITYLAKE_CONN_SAMPLE_API"]
    assert os.environ["CITYLAKE_CONN_SAMPLE_API"] == "before"
    assert "CITYLAKE_CONN_SAMPLE_PG" not in os.environ


def test_a_department_without_rows_has_an_empty_table(tmp_path: Path) -> None:
    contract = contracts()["transport.waybills"]
    keep_rows(tmp_path, contract, DAY, rows(build(7), contract, DAY)[0].slice(0, 0))
    with running(tmp_path / "sample" / "postgres") as uri:
        assert counts(uri, "transport.waybills") == counts(uri, "ecology.waste_transfers") == {}
