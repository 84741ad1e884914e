"""Writes what the departments deliver: files into the inbox, the rows behind the servers, the truth about the defects."""

import csv
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa

from lakehouse.contract import Contract, FileSource
from samples import encode
from samples.arrival import Arrival, usual
from samples.catalog import contracts
from samples.city import DAYS, City, build
from samples.defects import BYTE_DEFECTS, TABLE_DEFECTS
from samples.planted import Planted, Truth, planted
from samples.serve import keep_rows
from samples.tables import TABLES

_THREADS = 2


def deliver(home: Path, *, seed: int = 7, days: Sequence[date] = DAYS) -> None:
    """Everything the departments deliver on `days`, below `home`; the same bytes for the same seed.

    `inbox/<department>/<dataset>/<day>/` holds files, `sample/` the rows behind the servers (`samples.serve`),
    `inbox/arrivals.csv` when each delivery is first seen and when it is due, `inbox/truth.csv` every planted defect.
    """
    city = build(seed)
    expected = [(c, day) for day in sorted(days) for c in contracts().values() if c.arrives.expected_on(day)]
    with ThreadPoolExecutor(_THREADS) as pool:
        done = list(pool.map(lambda item: _deliver(home, city, *item), expected))
    _write(home / "inbox" / "arrivals.csv", Arrival, [arrival for arrival, _ in done])
    _write(home / "inbox" / "truth.csv", Truth, [truth for _, truths in done for truth in truths])


def _deliver(home: Path, city: City, contract: Contract, day: date) -> tuple[Arrival, list[Truth]]:
    items = planted().get((contract.name, day), ())
    source = contract.source
    if not isinstance(source, FileSource):
        table, truths = rows(city, contract, day)
        keep_rows(home, contract, day, table)
        return _arrival(city, contract, day, ""), truths
    path = file_path(source, contract, day)
    arrival = _arrival(city, contract, day, path, items)
    missed = [Truth(contract.name, day, item.kind, "arrival", path, 1) for item in items if item.kind in _ARRIVALS]
    if arrival.received_at is None:
        return arrival, missed
    content, truths = payload(city, contract, day)
    target = home / "inbox" / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)
    os.utime(target, (arrival.received_at.timestamp(),) * 2)
    return arrival, [*missed, *truths]


_ARRIVALS = ("late", "missing", "unchanged", "touched")


def rows(city: City, contract: Contract, day: date) -> tuple[pa.Table, list[Truth]]:
    """The rows of a dataset on a day with the defects planted in them. A copy of an older delivery says so itself."""
    table = TABLES[contract.name](city, day)
    truths: list[Truth] = []
    for item in planted().get((contract.name, day), ()):
        if plant := TABLE_DEFECTS.get(item.kind):
            table, hit = plant(table, city.draw(f"{item.kind} {contract.name}", day), item.rows, **item.args)
            truths += _truths(contract, item, hit)
    return table, truths


def payload(city: City, contract: Contract, day: date) -> tuple[bytes, list[Truth]]:
    """The file's bytes with every planted defect."""
    table, truths = rows(city, contract, day)
    content = encode.encode(table, contract)
    for item in planted().get((contract.name, day), ()):
        if spoil := BYTE_DEFECTS.get(item.kind):
            content = spoil(content, city.draw(f"{item.kind} {contract.name}", day), item.rows, **item.args)
    return content, truths


def file_path(source: FileSource, contract: Contract, day: date) -> str:
    """The delivered file below the inbox."""
    folder = source.uri.removeprefix("{inbox}/").rsplit("/", 1)[0].replace("{day}", day.isoformat())
    return f"{folder}/{contract.dataset}_{day:%Y%m%d}{encode.suffix(source)}"


def _truths(contract: Contract, item: Planted, hit: Iterable[int]) -> list[Truth]:
    source, day = contract.source, item.day
    if not isinstance(source, FileSource):
        return [Truth(contract.name, day, item.kind, check, "", len(list(hit))) for check in item.checks]
    name, first = Path(file_path(source, contract, day)).name, encode.first_row(source)
    named = [Truth(contract.name, day, item.kind, check, f"{name}#{first + row}", 1) for check in item.checks for row in hit]
    return named + [Truth(contract.name, day, item.kind, check, "", 1) for check in item.verdicts]


def _arrival(city: City, contract: Contract, day: date, path: str, items: Sequence[Planted] = ()) -> Arrival:
    received: datetime | None = usual(contract, day, city.draw(f"arrival {contract.name}", day))
    for item in items:
        if item.kind == "missing":
            received = None
        if item.kind == "late":
            received = contract.arrives.due(day) + timedelta(minutes=item.args["minutes"])
    return Arrival(contract.department, contract.dataset, day, path, received, contract.arrives.due(day))


def _write(path: Path, record: type, found: Sequence[Any]) -> None:
    names = [field.name for field in fields(record)]
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(names)
        writer.writerows([[getattr(item, name) for name in names] for item in found])
