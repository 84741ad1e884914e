"""A day of deliveries: the same bytes for the same seed, files where contracts look, every defect on record."""

import csv
import hashlib
import os
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest

import samples
from expectations.checks import REGISTRY
from lakehouse.source import FileSource
from samples import encode
from samples.catalog import contracts
from samples.city import DAYS, build
from samples.damage import DAMAGES
from samples.defects import TABLE_DEFECTS
from samples.delivery import content, file_path, rows
from samples.planted import planted
from samples.truth import read

MONDAY = DAYS[1]
FILES = sorted(c.name for c in contracts().values() if isinstance(c.source, FileSource) and c.dataset != "hazmat_gps")
ARRIVALS = {"late", "missing", "unchanged", "touched", "copied_forward"}
ITEMS = [item for day in DAYS for name in contracts() for item in planted(name, day)]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One delivered Monday, all departments."""
    place = tmp_path_factory.mktemp("city")
    samples.deliver(place, days=[MONDAY])
    return place


def test_files_lie_where_the_contracts_look(home: Path) -> None:
    for contract in contracts().values():
        if isinstance(contract.source, FileSource) and contract.arrives.expected_on(MONDAY):
            pattern = contract.source.uri.replace("{inbox}/", "").replace("{day}", str(MONDAY))
            assert len(list((home / "inbox").glob(pattern))) == 1, contract.name


def test_a_month_s_delivery_comes_on_its_first_day_only(home: Path) -> None:
    assert not (home / "inbox" / "civil_affairs" / "welfare_payments").exists()
    assert contracts()["civil_affairs.welfare_payments"].arrives.expected_on(DAYS[0])


@pytest.mark.parametrize("name", FILES)
def test_same_seed_same_bytes(name: str, home: Path) -> None:
    contract = contracts()[name]
    if contract.arrives.expected_on(MONDAY):
        delivered = (home / "inbox" / file_path(contract, MONDAY)).read_bytes()
        again, _ = content(build(7), contract, MONDAY)
        assert hashlib.sha256(delivered).digest() == hashlib.sha256(again).digest()


def test_another_seed_is_another_city() -> None:
    contract = contracts()["market_supervision.firms"]
    assert content(build(8), contract, MONDAY)[0] != content(build(7), contract, MONDAY)[0]


def test_a_day_of_close_watch_is_over_200_megabytes() -> None:
    contract = contracts()["transport.hazmat_gps"]
    table, _ = rows(build(7), contract, DAYS[0])
    assert table.num_rows > 2_500_000
    part = encode.encode(table.slice(0, 100_000), contract)
    assert len(part) / 100_000 * table.num_rows > 200e6


def test_every_kind_of_defect_is_planted_and_every_planted_kind_exists() -> None:
    assert {item.kind for item in ITEMS} == set(TABLE_DEFECTS) | set(DAMAGES) | ARRIVALS


def test_every_planted_defect_names_a_check_of_its_contract() -> None:
    for item in ITEMS:
        contract = contracts()[item.dataset]
        expected = {expectation.check for expectation in (*contract.expect.fail, *contract.expect.warn)}
        for check in (*item.checks, *item.verdicts):
            column, dot, rule = check.partition(".")
            if check in ("arrival", "unparsable", "declared", "key.unique"):
                continue
            if dot:
                assert column in contract.columns and rule in REGISTRY, check
            else:
                assert check.partition("(")[0] in expected, check


def test_only_deliveries_that_are_expected_carry_defects() -> None:
    assert all(contracts()[item.dataset].arrives.expected_on(item.day) for item in ITEMS)


def test_a_copy_of_the_day_before_copies_no_defect() -> None:
    copies = [item for item in ITEMS if item.kind in ("unchanged", "touched")]
    assert copies
    assert not [item for item in copies if planted(item.dataset, item.day - timedelta(1))]


@pytest.mark.parametrize("day", DAYS)
def test_no_row_carries_two_kinds_of_defect(day: date) -> None:
    for name, contract in contracts().items():
        if name != "transport.hazmat_gps" and planted(name, day):
            kinds: dict[str, set[str]] = {}
            for truth in rows(build(7), contract, day)[1]:
                if "#" in truth.where:
                    kinds.setdefault(truth.where, set()).add(truth.kind)
            assert all(len(of_row) == 1 for of_row in kinds.values()), name


def test_truth_and_arrivals_can_be_read_back(home: Path) -> None:
    truth, arrivals = read(home / "inbox")
    assert set(truth["day"].to_pylist()) == {MONDAY}
    assert truth.num_rows > 100
    assert arrivals.num_rows == sum(c.arrives.expected_on(MONDAY) for c in contracts().values())


def test_arrivals_are_in_time_unless_planted_otherwise(home: Path) -> None:
    with (home / "inbox" / "arrivals.csv").open(encoding="utf-8") as lines:
        for row in csv.DictReader(lines):
            received, due = datetime.fromisoformat(row["received_at"]), datetime.fromisoformat(row["due_at"])
            assert received <= due
            assert (received.hour, received.minute) < (8, 30)
            if row["path"]:
                assert os.path.getmtime(home / "inbox" / row["path"]) == received.timestamp()


def test_a_wrong_file_is_seen_in_the_bytes_of_the_truth() -> None:
    city, contract = build(7), contracts()["hotline_12345.tickets"]
    data, truths = content(city, contract, MONDAY)
    lost = [truth for truth in truths if truth.check_id == "unparsable"]
    assert [truth.count for truth in lost] == [4]
    assert sum(b"\xff" in line for line in data.split(b"\n")) == 4


def test_named_rows_hold_the_defect() -> None:
    contract = contracts()["market_supervision.firms"]
    data, truths = content(build(7), contract, DAYS[0])
    lines = data.decode("gb18030").split("\n")
    named = [int(truth.where.partition("#")[2]) for truth in truths if truth.check_id == "status.in"]
    assert len(named) == 4
    assert all(",存序," in lines[row - 1] for row in named)
    assert sum(",存序," in line for line in lines) == 4
