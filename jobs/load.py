"""Landing to bronze: every delivery exactly once, as text, with the column names of the contract."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import reduce
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lakehouse.contract import Contract
from lakehouse.deliveries import Delivery, Opener
from lakehouse.errors import CitylakeError, DeliveryUnreadable
from lakehouse.formats import Reading, read
from lakehouse.runs import Run
from lakehouse.table import Commit

_INSTANT = pa.timestamp("us", "UTC")
_UNPARSABLE = pa.schema(
    [
        ("department", pa.string()),
        ("dataset", pa.string()),
        ("_delivery_id", pa.string()),
        ("_source_file", pa.string()),
        ("_source_row", pa.int64()),
        ("reason", pa.string()),
        ("raw", pa.string()),
        ("_loaded_at", _INSTANT),
        ("_day", pa.date32()),
    ]
)


@dataclass
class Loaded:
    """What one delivery brought: the loader's own counts, its content, and how its header differs from the contract."""

    rows_in: int = 0
    loaded: int = 0
    unparsable: int = 0
    content_hash: str = ""
    undeclared: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    hash_sum: int = 0


def load(run: Run, contract: Contract, delivery: Delivery, opener: Opener) -> Loaded:
    """Append the delivery to bronze unless it is there; its unparsable records go to `bronze.unparsable`.

    Raises DeliveryUnreadable when it isn't what the contract says (nothing is written then), LakeError when the lake can't.
    """
    with opener.file(delivery) as path:
        return _load(run, contract, delivery, path)


def _load(run: Run, contract: Contract, delivery: Delivery, path: Path) -> Loaded:
    reading, done, batches = arriving(contract, delivery, path, run.now)
    table = run.table("bronze", contract.table)
    if not table.append_once(bronze_schema(contract), batches, Commit(run.id, transaction=delivery.id)):
        for _ in batches:  # in bronze since an earlier run that was cut off before its books: count again
            pass
    done.rows_in, done.unparsable = reading.rows_in, len(reading.unparsable)
    if done.rows_in != done.loaded + done.unparsable:
        raise CitylakeError(
            f"{done.rows_in} records came in, but {done.loaded} loaded and {done.unparsable} unparsable",
            where=f"{contract.name} {delivery.name}",
            hint="this is a fault of the reader: keep the delivery and report it",
        )
    if done.unparsable:
        lost = _unparsable(run, delivery, reading)
        run.table("bronze", "unparsable").append_once(_UNPARSABLE, lost, Commit(run.id, transaction=delivery.id))
    done.content_hash = f"{done.hash_sum % (1 << 64):016x}" if _hashes_rows(contract) else delivery.sha256
    return done


def arriving(
    contract: Contract, delivery: Delivery, path: Path, at: datetime
) -> tuple[Reading, Loaded, Iterator[pa.RecordBatch]]:
    """The delivery, its bytes at `path`, on its way to bronze, read `at` an instant. Counts are complete when the batches are exhausted.

    Raises DeliveryUnreadable when it isn't what the contract says, from the batches too.
    """
    reading = read(path, contract, quoted=delivery.quoted)
    done = Loaded(undeclared=_undeclared(reading, contract), missing=_missing(reading, contract))
    _refuse_drift(contract, delivery, reading, done)
    return reading, done, _bronze(contract, delivery, reading, done, at)


def bronze_schema(contract: Contract) -> pa.Schema:
    """The columns of the dataset's bronze table: text under contract names, and where each row came from."""
    columns = [(name, pa.string()) for name in contract.columns]
    said = [("_op", pa.string())] if contract.operations else []
    technical = [
        *said,
        ("_extra", pa.string()),
        ("_delivery_id", _CODED),
        ("_source_file", _CODED),
        ("_source_row", pa.int64()),
    ]
    hashed = [("_row_hash", pa.int64())] if _hashes_rows(contract) else []
    return pa.schema([*columns, *technical, *hashed, ("_loaded_at", _INSTANT), ("_day", pa.date32())])


_CODED = pa.dictionary(pa.int32(), pa.string())
"""Constant text: written once per file, not once per row."""


def _hashes_rows(contract: Contract) -> bool:
    """Load modes that compare rows keep a hash of each; an append is compared by its bytes."""
    return contract.load != "append"


def _bronze(
    contract: Contract, delivery: Delivery, reading: Reading, done: Loaded, at: datetime
) -> Iterator[pa.RecordBatch]:
    if _hashes_rows(contract):
        from lakehouse.rowhash import row_hashes  # numba costs half a second: only datasets that compare rows pay it
    schema = bronze_schema(contract)
    for batch in reading.batches:
        count = batch.num_rows
        sent = {name: batch.column(name) for name in reading.names}
        columns = [_column(sent, contract, name, count) for name in contract.columns]
        columns += [sent[contract.operations.op]] if contract.operations else []
        extra = _as_json({name: sent[name] for name in done.undeclared}, count)
        hashes = []
        if _hashes_rows(contract):
            hashes = [row_hashes([*columns, extra])]
            done.hash_sum += int(np.asarray(hashes[0]).view(np.uint64).sum(dtype=np.uint64))
        done.loaded += count
        yield pa.RecordBatch.from_arrays(
            [
                *columns, extra, _constant(delivery.id, count), _constant(delivery.name, count), batch.column("_source_row"),
                *hashes, _repeat(at, _INSTANT, count), _repeat(delivery.day, pa.date32(), count),
            ],
            schema=schema,
        )  # fmt: skip


def _column(sent: Mapping[str, pa.Array], contract: Contract, name: str, count: int) -> pa.Array:
    """One column as sent, nulls where it isn't; the key of a change without an image after it stands in the one before."""
    column = sent.get(contract.sent_name(name), pa.nulls(count, pa.string()))
    before = sent.get(contract.sent_before(name) or "")
    return column if before is None else pc.coalesce(column, before)


def _constant(text: str, count: int) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(count, np.int32)), pa.array([text]))


def _repeat(value: object, kind: pa.DataType, count: int) -> pa.Array:
    return pa.repeat(pa.scalar(value, kind), count)


def _undeclared(reading: Reading, contract: Contract) -> list[str]:
    known = {*contract.sent_names, *contract.ignore}
    return [name for name in reading.names if name not in known]


def _missing(reading: Reading, contract: Contract) -> list[str]:
    return [contract.sent_name(name) for name in contract.columns if contract.sent_name(name) not in reading.names]


def _refuse_drift(contract: Contract, delivery: Delivery, reading: Reading, done: Loaded) -> None:
    where = f"{contract.name} {delivery.name}"
    if len(done.missing) == len(contract.columns):
        raise DeliveryUnreadable(
            f"none of the declared columns is there (found: {_shown(done.undeclared, contract)})",
            where=where,
            hint="check 'header', 'delimiter', 'skip' and the column names in the contract",
        )
    if contract.operations and contract.operations.op not in reading.names:
        raise DeliveryUnreadable(
            f"no column '{contract.operations.op}' says what was done",
            where=where,
            hint="name the column with the operation under 'cdc: {op: ...}' in the contract",
        )
    if contract.drift.columns == "freeze" and (done.undeclared or done.missing):
        raise DeliveryUnreadable(
            f"the header differs from the contract (undeclared: {_listed(done.undeclared)}; missing: {_listed(done.missing)})",
            where=where,
            hint="ask the department, or change 'columns' (or 'drift') in the contract",
        )


def _shown(names: list[str], contract: Contract) -> str:
    """How many names there are, and those that only spell a declared one another way: the others may be values, for a
    file without a header has values where the names are looked for."""
    known = {_letters(name) for column in contract.columns for name in (column, contract.sent_name(column))} - {""}
    similar = [name for name in names if _letters(name) in known]
    count = f"{len(names)} column{'' if len(names) == 1 else 's'}"
    return f"{count}, among them {_listed(similar)}" if similar else count


def _letters(name: str) -> str:
    return "".join(char for char in name.casefold() if char.isalnum())


def _listed(names: list[str]) -> str:
    return ", ".join(names[:10]) + (" ..." if len(names) > 10 else "") if names else "none"


def _unparsable(run: Run, delivery: Delivery, reading: Reading) -> Iterator[pa.RecordBatch]:
    where = {"department": delivery.department, "dataset": delivery.dataset, "_delivery_id": delivery.id}
    rows = []
    for lost in reading.unparsable:
        place = {
            "_source_file": delivery.name,
            "_source_row": lost.source_row,
            "_loaded_at": run.now,
            "_day": delivery.day,
        }
        rows.append({**where, **place, "reason": lost.reason, "raw": lost.raw})
        if len(rows) == 10_000:
            yield pa.RecordBatch.from_pylist(rows, schema=_UNPARSABLE)
            rows = []
    if rows:
        yield pa.RecordBatch.from_pylist(rows, schema=_UNPARSABLE)


def _as_json(columns: dict[str, pa.Array], count: int) -> pa.Array:
    """One JSON object per row from text columns; null without columns. Control characters are rare enough to go the slow way."""
    if not columns:
        return pa.nulls(count, pa.string())
    if any(pc.any(pc.match_substring_regex(column, r"[\x00-\x1f]")).as_py() for column in columns.values()):
        rows = zip(*[column.to_pylist() for column in columns.values()], strict=True)
        return pa.array(
            [json.dumps(dict(zip(columns, row, strict=True)), ensure_ascii=False) for row in rows], pa.string()
        )
    fields = [_field(name, column) for name, column in columns.items()]
    joined = reduce(lambda one, other: pc.binary_join_element_wise(one, other, ", "), fields)
    return pc.binary_join_element_wise("{", joined, "}", "")


def _field(name: str, column: pa.Array) -> pa.Array:
    escaped = pc.replace_substring(pc.replace_substring(column, "\\", "\\\\"), '"', '\\"')
    quoted = pc.binary_join_element_wise('"', escaped, '"', "")
    return pc.binary_join_element_wise(json.dumps(name, ensure_ascii=False), pc.coalesce(quoted, "null"), ": ")
