"""Writes what the departments deliver: files for the inbox, rows for the servers, and the truth about the defects."""

import csv
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow.csv as pcsv

from lakehouse.contract import Contract
from lakehouse.source import FileSource
from samples import fleets
from samples.arrival import Arrival, planned
from samples.catalog import contracts
from samples.city import DAYS, City, build
from samples.delivery import content, file_path, rows
from samples.planted import Truth, arrival_truths
from samples.serve import keep_rows

_THREADS = 2


def deliver(home: Path, *, seed: int = 7, days: Sequence[date] = DAYS) -> None:
    """Everything the departments deliver on `days`, below `home`; the same bytes for the same seed.

    `inbox/<department>/<dataset>/<day>/` holds files, `sample/` the rows behind the servers (`samples.serve`),
    `inbox/arrivals.csv` when each delivery is first seen and when it is due, `inbox/truth.csv` every planted defect;
    `inbox/stays.csv`, `sites.csv` and `detours.csv` where vehicles were (`samples.fleets`).
    """
    city = build(seed)
    expected = [(c, day) for day in sorted(days) for c in contracts().values() if c.arrives.expected_on(day)]
    with ThreadPoolExecutor(_THREADS) as pool:
        done = list(pool.map(lambda item: _deliver(home, city, *item), expected))
    _write(home / "inbox" / "arrivals.csv", Arrival, [arrival for arrival, _ in done])
    _write(home / "inbox" / "truth.csv", Truth, [truth for _, truths in done for truth in truths])
    stays = fleets.stays(city, days)
    whereabouts = {"stays": stays, "detours": fleets.detours(city, days), "sites": fleets.sites(city, stays)}
    for name, table in whereabouts.items():
        pcsv.write_csv(table, home / "inbox" / f"{name}.csv")


def _deliver(home: Path, city: City, contract: Contract, day: date) -> tuple[Arrival, list[Truth]]:
    path = file_path(contract, day)
    arrival = planned(contract, day, path, city.draw(f"arrival {contract.name}", day))
    about_arrival = arrival_truths(contract.name, day, path)
    if arrival.received_at is None:
        return arrival, about_arrival
    if not isinstance(contract.source, FileSource):
        table, truths = rows(city, contract, day)
        keep_rows(home, contract, day, table)
        return arrival, [*about_arrival, *truths]
    data, truths = content(city, contract, day)
    target = home / "inbox" / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(data)
    os.utime(target, (arrival.received_at.timestamp(),) * 2)
    return arrival, [*about_arrival, *truths]


def _write(path: Path, record: type, found: Sequence[Any]) -> None:
    names = [field.name for field in fields(record)]
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(names)
        writer.writerows([[getattr(item, name) for name in names] for item in found])
