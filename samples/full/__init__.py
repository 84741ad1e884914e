"""A whole city's night: 75 units with ten datasets each, and a day of 34 million sensor readings; a catalogue of its own.

Rows are drawn from the contracts themselves. One row in a hundred is broken: its last column doesn't fit its rule or type.
"""

import io
import json
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import yaml

from lakehouse.contract import Column, Contract
from lakehouse.source import FileSource
from samples import draw, identity
from samples.encode import encode

DAY = date(2026, 3, 2)
UNITS = 75
ROWS, READINGS = 1_000, 34_000_000
KINDS = 100
_STEP_S = 300
_BLOCK = 1_000_000
_HERE = Path(__file__).parent
_STANDARDS = _HERE.parents[1] / "expectations"


def deliver(home: Path, *, seed: int = 7, units: int = UNITS, rows: int = ROWS, readings: int = READINGS) -> Path:
    """The deliveries of `DAY` below `home/inbox`; returns the catalogue's folder. The same bytes for the same seed.

    Every unit's ten datasets have `rows` rows; `readings` are shared among one file a unit of the dataset `sensing.readings`.
    With 0 of either there are no such datasets.
    """
    catalog = home / "catalog"
    shutil.rmtree(catalog, ignore_errors=True)
    _register(catalog, units, bool(readings))
    made = list(_contracts(units)) if rows else []
    for contract, text in made:
        path = catalog / "contracts" / contract.department / f"{contract.dataset}.yml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    pools = _pools(np.random.default_rng(seed))
    with ThreadPoolExecutor(2) as pool:
        for _ in pool.map(lambda item: _write(home, item[1][0], seed + item[0], rows, pools), enumerate(made)):
            pass
        if readings:
            contract_text = (_HERE / "readings.yml").read_text("utf-8").replace("KINDS", json.dumps(_kinds()))
            (catalog / "contracts" / "sensing").mkdir(parents=True)
            (catalog / "contracts" / "sensing" / "readings.yml").write_text(contract_text, "utf-8")
            folder = home / "inbox" / "sensing" / "readings" / DAY.isoformat()
            folder.mkdir(parents=True, exist_ok=True)
            shares = np.diff(np.linspace(0, readings, units + 1).astype(int))
            for _ in pool.map(lambda item: _readings(folder, seed, *item), enumerate(shares, 1)):
                pass
    return catalog


def _register(catalog: Path, units: int, sensing: bool) -> None:
    departments = [{"id": _unit(n), "zh": f"第{n:02d}单位", "en": f"Unit {n:02d}"} for n in range(1, units + 1)]
    departments += [{"id": "sensing", "zh": "城市感知平台", "en": "Sensing"}] if sensing else []
    catalog.mkdir(parents=True)
    (catalog / "departments.yml").write_text(yaml.safe_dump({"departments": departments}, allow_unicode=True), "utf-8")
    for name in ("standards", "weights.yml", "wording.yml"):
        (catalog / name).symlink_to(_STANDARDS / name)


def _contracts(units: int) -> Iterator[tuple[Contract, str]]:
    declared = yaml.safe_load((_HERE / "datasets.yml").read_text("utf-8"))
    for number in range(1, units + 1):
        for dataset, content in declared.items():
            unit, dialect = _unit(number), content.get("source", {})
            suffix = dialect.get("format", "csv")
            source = {"type": "file", "uri": f"{{inbox}}/{unit}/{dataset}/{{day}}/*.{suffix}", **dialect}
            whole = content | {"source": source}
            contract = Contract.model_validate({"department": unit, "dataset": dataset, **whole})
            yield contract, yaml.safe_dump(whole, allow_unicode=True, sort_keys=False)


def _unit(number: int) -> str:
    return f"unit_{number:02d}"


def _pools(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Values of the standards that have check digits or a form of their own."""
    divisions = np.array(["320602", "320611", "320681"])
    return {
        "uscc": identity.usccs(rng, rng.choice(divisions, 5_000)),
        "resident_id": identity.resident_ids(rng, 5_000, divisions),
        "licence_plate": identity.plates(rng, 2_000),
        "phone": identity.phones(rng, 5_000),
        "postcode": np.array(["226000", "226001", "226100", "226200"]),
    }


def _write(home: Path, contract: Contract, seed: int, rows: int, pools: dict[str, np.ndarray]) -> None:
    rng = np.random.default_rng(seed)
    columns = {name: _drawn(contract, name, rng, rows, pools) for name in contract.columns}
    last = list(columns)[-1]
    broken = np.arange(rows) % 100 == 99
    columns[last] = pc.if_else(pa.array(broken), "?", columns[last])
    folder = home / "inbox" / contract.department / contract.dataset / DAY.isoformat()
    folder.mkdir(parents=True, exist_ok=True)
    assert isinstance(contract.source, FileSource)
    (folder / Path(contract.source.uri.replace("*", contract.dataset)).name).write_bytes(
        encode(pa.table(columns), contract)
    )


def _drawn(contract: Contract, name: str, rng: np.random.Generator, n: int, pools: dict[str, np.ndarray]) -> pa.Array:
    """Text that fits the column: serial numbers for the key, else by standard, list, bounds and type."""
    column = contract.columns[name]
    if column.pattern and name in contract.key:
        return pa.array([f"{column.pattern[0]}{number:08d}" for number in range(n)])
    return pa.array(_values(column, rng, n, pools)).cast(pa.string())


def _values(column: Column, rng: np.random.Generator, n: int, pools: dict[str, np.ndarray]) -> Any:
    if column.standard:
        return rng.choice(pools[column.standard], n)
    if column.in_:
        return rng.choice(np.array(column.in_), n)
    low, high = (float(bound) for bound in column.between or (0, 1_000))
    match column.type:
        case "integer":
            return rng.integers(int(low), int(high) + 1, n)
        case "double":
            return np.round(rng.uniform(low, high, n), 4)
        case "decimal":
            return [f"{value:.2f}" for value in rng.uniform(low, high, n)]
        case "boolean":
            return rng.choice(np.array(["true", "false"]), n)
        case "date":
            return np.sort(draw.dates(rng, n, date(2020, 1, 1), date(2026, 2, 28)))
        case "timestamp":
            return draw.text(draw.moments(rng, DAY, n))
        case _:
            return [f"text {number}" for number in rng.integers(0, 1_000, n)]


def _kinds() -> list[str]:
    return [f"kind_{number:03d}" for number in range(KINDS)]


def _readings(folder: Path, seed: int, unit: int, rows: int) -> None:
    """One unit's file: its sensors read every five minutes, one row in 10,000 repeated, one in 1,000 out of bounds."""
    rng = np.random.default_rng((seed, unit))
    steps = 86_400 // _STEP_S
    clock = pa.array(
        draw.text(np.datetime64(DAY - timedelta(1), "s") + np.arange(steps) * np.timedelta64(_STEP_S, "s"))
    )
    kinds, states = pa.array(_kinds()), pa.array(["ok", "ok", "ok", "ok", "ok", "ok", "low", "fault"])
    with (folder / f"{_unit(unit)}.csv").open("wb") as file:
        file.write(b"sensor,kind,unit,read_at,value,battery,state\n")
        for first in range(0, rows, _BLOCK):
            count = min(_BLOCK, rows - first)
            value = np.round(rng.normal(20, 6, count), 2)
            value[rng.integers(0, count, count // 1_000)] = 1e6
            row = np.arange(count)
            again = rng.integers(1, count, count // 10_000)
            row[again] = row[again - 1]
            sensor, step = np.divmod(first + row, steps)
            numbers = pc.utf8_lpad(pa.array(sensor).cast(pa.string()), 6, "0")
            table = pa.table(
                {
                    "sensor": pc.binary_join_element_wise(f"{unit:02d}-", numbers, ""),
                    "kind": kinds.take(pa.array(sensor % KINDS)),
                    "unit": pa.repeat(_unit(unit), count),
                    "read_at": clock.take(pa.array(step)),
                    "value": value[row],
                    "battery": rng.integers(1, 101, count)[row],
                    "state": states.take(pa.array(rng.integers(0, len(states), count)[row])),
                }
            )
            body = io.BytesIO()
            pa.csv.write_csv(table, body, pa.csv.WriteOptions(include_header=False, quoting_style="none"))
            file.write(body.getvalue())
