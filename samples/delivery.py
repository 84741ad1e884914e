"""One delivery: the rows of a dataset on a day with their planted defects, and the file made of them."""

from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa

from lakehouse.contract import Contract
from lakehouse.source import FileSource
from samples import encode
from samples.city import City
from samples.damage import DAMAGES
from samples.defects import TABLE_DEFECTS
from samples.planted import Planted, Truth, planted
from samples.tables import TABLES


def rows(city: City, contract: Contract, day: date) -> tuple[pa.Table, list[Truth]]:
    """The rows as delivered, and the truth about the defects in them. No row carries two defects."""
    items = planted(contract.name, day)
    kinds = {item.kind for item in items}
    table = TABLES[contract.name](city, day - timedelta("copied_forward" in kinds))
    if "touched" in kinds:
        table = _touched(rows(city, contract, day - timedelta(1))[0], table, contract)
    spoilt = np.array([], int)
    truths: list[Truth] = []
    for item in items:
        if plant := TABLE_DEFECTS.get(item.kind):
            rng = city.draw(f"{item.kind} {contract.name}", day)
            table, hit = plant(table, rng, item.rows, avoid=spoilt, **item.args)
            spoilt = np.append(spoilt, hit)
            truths += _named(contract, item, hit)
        truths += _judged(contract, item)
    return table, truths


def content(city: City, contract: Contract, day: date) -> tuple[bytes, list[Truth]]:
    """The delivered file's bytes, and the truth about the defects in them."""
    items = planted(contract.name, day)
    if any(item.kind == "unchanged" for item in items):
        return content(city, contract, day - timedelta(1))[0], []
    table, truths = rows(city, contract, day)
    data = encode.encode(table, contract)
    for item in items:
        if spoil := DAMAGES.get(item.kind):
            data = spoil(data, city.draw(f"{item.kind} {contract.name}", day), item.rows, **item.args)
    return data, truths


def file_path(contract: Contract, day: date) -> str:
    """The delivered file below the inbox; empty for a server's dataset."""
    source = contract.source
    if not isinstance(source, FileSource):
        return ""
    folder = source.uri.removeprefix("{inbox}/").rsplit("/", 1)[0].replace("{day}", day.isoformat())
    return f"{folder}/{contract.dataset}_{day:%Y%m%d}{encode.suffix(source)}"


def _touched(before: pa.Table, today: pa.Table, contract: Contract) -> pa.Table:
    """The rows of the day before in another order; only what the contract ignores is today's."""
    table = before.take(pa.array(np.arange(len(before))[::-1]))
    for name in set(contract.ignore) & set(table.column_names):
        values = pa.array([today[name][0].as_py()] * len(table))
        table = table.set_column(table.schema.get_field_index(name), name, values)
    return table


def _named(contract: Contract, item: Planted, hit: np.ndarray) -> list[Truth]:
    """The rows that must be found. Rows of servers are numbered over all pages, from 1."""
    first = encode.first_row(contract.source) if isinstance(contract.source, FileSource) else 1
    name = Path(file_path(contract, item.day)).name
    return [
        Truth(contract.name, item.day, item.kind, check, f"{name}#{first + place}", 1)
        for check in item.checks
        for place in hit.tolist()
    ]


def _judged(contract: Contract, item: Planted) -> list[Truth]:
    """The checks that must fail for the slice, and the records that can't be read. `arrival` is told elsewhere."""
    name = Path(file_path(contract, item.day)).name
    where = {"unparsable": (name, item.rows)}
    return [
        Truth(contract.name, item.day, item.kind, check, *where.get(check, ("", 1)))
        for check in item.verdicts
        if check != "arrival"
    ]
