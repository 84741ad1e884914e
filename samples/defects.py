"""What goes wrong in a table. Each function plants one kind of defect and says which rows it hit.

All take the table, random numbers, how many rows, and what the kind needs; `choice` narrows the rows (see `some`).
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from samples import identity
from samples.datum import DATUMS

Random = np.random.Generator
Hit = tuple[pa.Table, np.ndarray]
"""The table with the defect, and the places of the rows that must be named."""

_NOBODY = np.array([], int)


def replace(table: pa.Table, column: str, rows: np.ndarray, values: object) -> pa.Table:
    """The table with new values in some rows (ascending) of a column. A text makes numbers a column of text."""
    old = table[column].combine_chunks()
    new = np.broadcast_to(np.asarray(values, object), len(rows)).tolist()
    if any(isinstance(value, str) for value in new):
        old = old.cast(pa.string())
    mask = np.zeros(len(table), bool)
    mask[rows] = True
    cells = pc.replace_with_mask(old, pa.array(mask), pa.array(new, type=old.type))
    return table.set_column(table.schema.get_field_index(column), column, cells)


def some(
    table: pa.Table, rng: Random, rows: int, *columns: str, among_last: int = 0, avoid: np.ndarray = _NOBODY
) -> np.ndarray:
    """Places of `rows` rows in which `columns` are filled: of the last `among_last` if given, none of `avoid`."""
    eligible = np.ones(len(table), bool)
    for column in columns:
        eligible &= table[column].is_valid().to_numpy()
    eligible[: len(table) - among_last if among_last else 0] = False
    eligible[avoid] = False
    return np.sort(rng.choice(np.flatnonzero(eligible), rows, replace=False))


def _texts(table: pa.Table, column: str, rows: np.ndarray) -> list[str]:
    return [str(value) for value in table[column].take(pa.array(rows)).to_pylist()]


def set_value(table: pa.Table, rng: Random, rows: int, *, column: str, value: Any = None, **choice: Any) -> Hit:
    """One and the same value, or nothing, where there was another."""
    hit = some(table, rng, rows, column, **choice)
    return replace(table, column, hit, value), hit


def wrong_check_digit(table: pa.Table, rng: Random, rows: int, *, column: str, **choice: Any) -> Hit:
    """The last character is another digit."""
    hit = some(table, rng, rows, column, **choice)
    wrong = [code[:-1] + ("1" if code[-1] == "0" else "0") for code in _texts(table, column, hit)]
    return replace(table, column, hit, wrong), hit


def wrong_letter(table: pa.Table, rng: Random, rows: int, *, column: str, **choice: Any) -> Hit:
    """The third character of a plate is the letter O, which no plate has (GA 36-2018)."""
    hit = some(table, rng, rows, column, **choice)
    return replace(table, column, hit, [plate[:2] + "O" + plate[3:] for plate in _texts(table, column, hit)]), hit


def cut_off(table: pa.Table, rng: Random, rows: int, *, column: str, keep: int, **choice: Any) -> Hit:
    """Only the first `keep` characters are left."""
    hit = some(table, rng, rows, column, **choice)
    return replace(table, column, hit, [value[:keep] for value in _texts(table, column, hit)]), hit


def mojibake(table: pa.Table, rng: Random, rows: int, *, column: str, **choice: Any) -> Hit:
    """Characters lost on the way through a wrong encoding."""
    hit = some(table, rng, rows, column, **choice)
    spoilt = [value[:3] + "锟斤拷\ufffd" + value[5:] for value in _texts(table, column, hit)]
    return replace(table, column, hit, spoilt), hit


def swapped(table: pa.Table, rng: Random, rows: int, *, one: str, other: str, **choice: Any) -> Hit:
    """Two columns have changed places."""
    hit = some(table, rng, rows, one, other, **choice)
    first, second = (table[name].take(pa.array(hit)).to_pylist() for name in (one, other))
    return replace(replace(table, one, hit, second), other, hit, first), hit


def moved(table: pa.Table, rng: Random, rows: int, *, x: str, y: str, to: tuple[float, float], **choice: Any) -> Hit:
    """Positions set to one and the same place."""
    hit = some(table, rng, rows, x, y, **choice)
    return replace(replace(table, x, hit, to[0]), y, hit, to[1]), hit


def other_crs(table: pa.Table, rng: Random, rows: int, *, x: str, y: str, to: str, **choice: Any) -> Hit:
    """Every position in another coordinate system than WGS-84: a matter of the slice, no row is named."""
    shifted = DATUMS[to](*(table[name].to_numpy().astype(float) for name in (x, y)))
    for name, values in zip((x, y), shifted, strict=True):
        table = table.set_column(table.schema.get_field_index(name), name, pa.array(values.round(6), from_pandas=True))
    return table, _NOBODY


def unknown_firm(table: pa.Table, rng: Random, rows: int, *, column: str, **choice: Any) -> Hit:
    """A valid credit code of another city's firm."""
    hit = some(table, rng, rows, column, **choice)
    return replace(table, column, hit, identity.usccs(rng, np.full(rows, "320500"))), hit


def unknown_person(table: pa.Table, rng: Random, rows: int, *, column: str, **choice: Any) -> Hit:
    """A valid id of somebody who isn't on the register."""
    hit = some(table, rng, rows, column, **choice)
    return replace(table, column, hit, identity.resident_ids(rng, rows, np.array(["320501"]))), hit


def repeated_rows(
    table: pa.Table, rng: Random, rows: int, *, change: str = "", value: Any = None, **choice: Any
) -> Hit:
    """Some rows once more at the end; with `change`, another value in that column."""
    again = table.take(pa.array(some(table, rng, rows, **choice)))
    if change:
        again = replace(again, change, np.arange(rows), value)
    return pa.concat_tables([table, again]), np.arange(len(table), len(table) + rows)


def copied_value(table: pa.Table, rng: Random, rows: int, *, column: str, **choice: Any) -> Hit:
    """A value that must be unique, taken from an earlier row."""
    hit = some(table, rng, rows, column, **choice)
    return replace(table, column, hit, table[column][: len(hit)].to_pylist()), hit


def emptied(table: pa.Table, rng: Random, rows: int, *, column: str, **choice: Any) -> Hit:
    """`rows` values of a column are gone: a matter of the slice, no row is named."""
    return replace(table, column, some(table, rng, rows, column, **choice), None), _NOBODY


def stuffed(table: pa.Table, rng: Random, rows: int, *, column: str, value: Any, **choice: Any) -> Hit:
    """A default in `rows` rows: a matter of the slice, no row is named."""
    return replace(table, column, some(table, rng, rows, column, **choice), value), _NOBODY


def thinned(table: pa.Table, rng: Random, rows: int, **choice: Any) -> Hit:
    """Only `rows` rows are left, in their old order."""
    return table.take(pa.array(some(table, rng, rows, **choice))), _NOBODY


def run_backwards(table: pa.Table, rng: Random, rows: int, *, by: str, at: str, **choice: Any) -> Hit:
    """Neighbours of one group have changed times: the second of each pair runs backwards."""
    groups, instants = table[by].to_pylist(), table[at].to_pylist()
    last: dict[Any, int] = {}
    pairs = []
    for place, group in enumerate(groups):
        if group in last and instants[last[group]] < instants[place]:
            pairs.append((last[group], place))
        last[group] = place
    chosen = _apart(rng.permutation(len(pairs)), pairs, rows)
    for one, other in chosen:
        instants[one], instants[other] = instants[other], instants[one]
    moved = np.sort(np.array(chosen).ravel())
    return replace(table, at, moved, [instants[place] for place in moved]), np.sort([other for _, other in chosen])


def _apart(order: np.ndarray, pairs: list[tuple[int, int]], rows: int) -> list[tuple[int, int]]:
    """The first pairs in `order` that share no row with a pair taken before, nor with its neighbours."""
    taken: set[int] = set()
    chosen: list[tuple[int, int]] = []
    following = dict(pairs)
    before = {other: one for one, other in pairs}
    for one, other in (pairs[place] for place in order):
        near = {one, other, before.get(one, one), following.get(other, other)}
        if len(chosen) < rows and not near & taken:
            taken |= near
            chosen.append((one, other))
    return chosen


def late(table: pa.Table, rng: Random, rows: int, *, at: str, before: str, **choice: Any) -> Hit:
    """Changes nothing: names the rows from `before` the day, which `samples.fleets` kept back from the last delivery."""
    return table, np.flatnonzero(pc.less(table[at], before).to_numpy())


def renamed(table: pa.Table, rng: Random, rows: int, *, column: str, to: str, **choice: Any) -> Hit:
    """A column comes under another name."""
    return table.rename_columns([to if name == column else name for name in table.column_names]), _NOBODY


def extra(table: pa.Table, rng: Random, rows: int, *, column: str, value: str, **choice: Any) -> Hit:
    """A column nobody declared."""
    return table.append_column(column, pa.array([value] * len(table))), _NOBODY


def dropped(table: pa.Table, rng: Random, rows: int, *, column: str, **choice: Any) -> Hit:
    """A declared column is missing."""
    return table.drop_columns([column]), _NOBODY


TABLE_DEFECTS: dict[str, Callable[..., Hit]] = {
    "bad_plate": wrong_letter,
    "bad_phone": cut_off,
    "bad_resident_id": wrong_check_digit,
    "bad_uscc": wrong_check_digit,
    "broken_person_reference": unknown_person,
    "broken_reference": unknown_firm,
    "default_stuffing": stuffed,
    "disagreement": set_value,
    "duplicate_key": repeated_rows,
    "duplicate_row": repeated_rows,
    "duplicate_value": copied_value,
    "future_time": set_value,
    "half_filled": emptied,
    "header_extra": extra,
    "header_missing": dropped,
    "header_renamed": renamed,
    "impossible_date": set_value,
    "missing_consequence": set_value,
    "missing_value": set_value,
    "late_fixes": late,
    "mojibake": mojibake,
    "null_island": moved,
    "out_of_range": set_value,
    "outdated_code": set_value,
    "outside_city": moved,
    "swapped_axes": swapped,
    "text_in_number": set_value,
    "too_short": cut_off,
    "typo": set_value,
    "unknown_plate": set_value,
    "unsorted": run_backwards,
    "volume_drop": thinned,
    "wrong_crs": other_crs,
    "wrong_day": set_value,
    "wrong_order": swapped,
}
"""Kinds that change rows before the file is written."""
