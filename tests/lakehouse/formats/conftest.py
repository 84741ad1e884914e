"""Reading bytes the way the loader does, and looking at everything that came out."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from lakehouse.contract import Contract
from lakehouse.formats import Unparsable, read


@dataclass(frozen=True)
class Outcome:
    names: list[str]
    rows: list[tuple[str | None, ...]]
    numbers: list[int]
    unparsable: list[Unparsable]
    rows_in: int


def outcome(path: Path, contract: Contract, *, quoted: bool = True) -> Outcome:
    reading = read(path, contract, quoted=quoted)
    rows, numbers = [], []
    for batch in reading.batches:
        assert batch.schema.names == [*reading.names, "_source_row"]
        *columns, row_numbers = (column.to_pylist() for column in batch.columns)
        rows += zip(*columns, strict=True)
        numbers += row_numbers
    unparsable = list(reading.unparsable)
    assert reading.rows_in == len(rows) + len(unparsable)
    return Outcome(reading.names, rows, numbers, unparsable, reading.rows_in)


def contract_of(
    columns: tuple[str, ...] = ("a", "b"), limits: dict[str, int] | None = None, **source: object
) -> Contract:
    return Contract(
        department="d",
        dataset="t",
        title="t",
        kind="government",
        sharing="unconditional",
        load="append",
        source={"type": "file", "uri": "{inbox}/*"} | source,
        columns={f"c{position}": {"type": "string", "from": name} for position, name in enumerate(columns)},
        limits=limits or {},
    )


@pytest.fixture
def reads(tmp_path: Path) -> Callable[..., Outcome]:
    """Write bytes under a name, or a list of them as pages, and read them: `reads(b"a,b\\n1,2", delimiter=";")`."""

    def call(data: bytes | list[bytes], name: str = "x.csv", *, quoted: bool = True, **contract: object) -> Outcome:
        path = tmp_path / name
        if isinstance(data, bytes):
            path.write_bytes(data)
        else:
            path.mkdir()
            for number, page in enumerate(data, 1):
                (path / f"{number:08}.json").write_bytes(page)
        return outcome(path, contract_of(**contract), quoted=quoted)

    return call
