"""What goes wrong in a table or in a file's bytes. Each function plants one kind of defect and says which rows it hit."""

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

Random = np.random.Generator
Hit = tuple[pa.Table, np.ndarray]
"""The table with the defect, and the places of the rows that must be named."""


def replace(table: pa.Table, column: str, rows: np.ndarray, values: object) -> pa.Table:
    """The table with new values in some rows of a column. A text in a column of numbers makes it a column of text."""
    old = table[column].combine_chunks()
    new = np.broadcast_to(np.asarray(values, object), len(rows)).tolist()
    if any(isinstance(value, str) for value in new):
        old = old.cast(pa.string())
    mask = np.zeros(len(table), bool)
    mask[rows] = True
    cells = pc.replace_with_mask(old, pa.array(mask), pa.array(new, type=old.type))
    return table.set_column(table.schema.get_field_index(column), column, cells)


def some(table: pa.Table, rng: Random, rows: int, *columns: str, among_last: int = 0) -> np.ndarray:
    """Places of `rows` different rows in which `columns` are filled, of the last `among_last` ones if given."""
    eligible = np.ones(len(table), bool)
    for column in columns:
        eligible &= table[column].is_valid().to_numpy()
    eligible[: len(table) - among_last if among_last else 0] = False
    return np.sort(rng.choice(np.flatnonzero(eligible), rows, replace=False))


def _text(table: pa.Table, column: str, rows: np.ndarray) -> list[str]:
    return [str(value) for value in table[column].take(pa.array(rows)).to_pylist()]


def wrong_check_digit(table: pa.Table, rng: Random, rows: int, *, column: str, among_last: int = 0) -> Hit:
    """The last character is another digit."""
    hit = some(table, rng, rows, column, among_last=among_last)
    wrong = [code[:-1] + ("1" if code[-1] == "0" else "0") for code in _text(table, column, hit)]
    return replace(table, column, hit, wrong), hit


def swapped_axes(table: pa.Table, rng: Random, rows: int, *, x: str, y: str) -> Hit:
    """Longitude and latitude have changed places."""
    hit = some(table, rng, rows, x, y)
    lon, lat = table[x].to_numpy()[hit], table[y].to_numpy()[hit]
    return replace(replace(table, x, hit, lat), y, hit, lon), hit


def null_island(table: pa.Table, rng: Random, rows: int, *, x: str, y: str) -> Hit:
    """Position 0, 0."""
    hit = some(table, rng, rows, x, y)
    return replace(replace(table, x, hit, 0.0), y, hit, 0.0), hit


TABLE_DEFECTS: dict[str, Callable[..., Hit]] = {
    "bad_uscc": wrong_check_digit,
    "swapped_axes": swapped_axes,
    "null_island": null_island,
}
"""Kinds that change rows before the file is written."""

BYTE_DEFECTS: dict[str, Callable[..., bytes]] = {}
"""Kinds that change the written file."""
