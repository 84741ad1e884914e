"""A first contract for what nobody has described yet: `citylake contract draft`.

Everything in it was seen in one delivery; people decide what holds for all of them. Every column says how it was filled.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import ceil, floor, log10
from typing import Any

from expectations.catalog import Standard
from jobs.profile import Profile
from jobs.suspicion import ColumnProfile, coordinates
from lakehouse.declared import IDENTIFIER

_FEW = 12
"""Different values that may be all there are: a column with more isn't given a list."""

_ENOUGH = 100
"""Rows below which a list or bounds would only repeat what happened to be there."""

_TEXT = ("format", "encoding", "delimiter", "header", "skip", "sheet", "records")
_KNOWN = {"licence_plate": "plate", "resident_id": "person_id", "division_code": "division"}
"""What columns of these standards are usually called."""


_WORDS = ("null", "true", "false", "yes", "no", "on", "off", "y", "n")
"""What YAML 1.1 reads as something else than text."""


def draft(found: Profile, source: dict[str, Any], standards: dict[str, Standard]) -> str:
    """The contract as YAML with comments. `source` is what it says of where deliveries come from."""
    columns = [_without_placeholders(column, found) for column in found.columns]
    names = _names(columns)
    rows = found.rows - found.unparsable
    key = [names[column] for column in found.key]
    sensitive = [c for c in columns if c.standard and standards[c.standard].class_ == "sensitive"]
    lines = [
        f"# Drafted from {found.file.name}: {rows:,} rows. Seen once; decide what holds for every delivery.",
        f"title: {_value(found.file.stem)}",
        "kind: government  # or accepted, sensing, internet",
        *(
            ["sharing: conditional  # or unconditional, withheld", "basis: to be named  # the rule that it rests on"]
            if sensitive
            else ["sharing: unconditional  # or conditional, withheld: with their basis"]
        ),
        f"source: {_value(source | _nulls(found))}",
        "load: append  # every delivery is new; snapshot: holds everything; upsert: newer rows replace (with order)",
        "arrives: {every: day, by: '08:00'}",
        f"key: {_value(key)}  # its values differ in all rows" if key else "# key: no columns tell the rows apart",
        "columns:",
    ]
    width = max(len(name) for name in names.values())
    for column in columns:
        declared = _declared(column, names[column.name], rows, column.name in found.key, standards)
        name = _key(names[column.name]) + ":"
        lines.append(f"  {name:<{width + 1}} {_value(declared)}  # {_seen(column, rows, standards)}")
    lines += _point(found, columns, names)
    lines += ["expect:", "  fail: [{row_count: {min: 1}}]", "  warn:", "    - volume"]
    for column in columns:
        share = column.filled / rows if rows else 0
        if 0.5 <= share < 1:
            rule = {"filled": {"column": names[column.name], "share": floor(share * 20) / 20}}
            lines.append(f"    - {_value(rule)}  # {_percent(share)} here")
    lines += [f"# {said}" for said in _doubts(found, names)]
    return "\n".join(lines) + "\n"


def _without_placeholders(column: ColumnProfile, found: Profile) -> ColumnProfile:
    """The column as it is once words for nothing are null."""
    nothing = sum(s.count for s in found.suspicions if s.kind == "placeholder" and s.column == column.name)
    values = tuple(value for value in column.values if value not in found.placeholders)
    return replace(column, filled=column.filled - nothing, values=values)


def _names(columns: Sequence[ColumnProfile]) -> dict[str, str]:
    """An identifier for every column: its own name, else that of its standard, else its number."""
    names: dict[str, str] = {}
    for number, column in enumerate(columns, 1):
        plain = re.sub(r"[^a-z0-9]+", "_", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", column.name).lower()).strip("_")[:50]
        known = _KNOWN.get(column.standard or "", column.standard)
        wanted = plain if re.fullmatch(IDENTIFIER, plain) and column.name.isascii() else known or f"column_{number}"
        twin, name = 1, wanted
        while name in names.values():
            twin += 1
            name = f"{wanted}_{twin}"
        names[column.name] = name
    return names


def _nulls(found: Profile) -> dict[str, Any]:
    """Words that stand for nothing, as the source declares them."""
    return {"null": list(found.placeholders)} if found.placeholders else {}


def _declared(
    column: ColumnProfile, name: str, rows: int, of_key: bool, standards: dict[str, Standard]
) -> dict[str, Any]:
    said: dict[str, Any] = {} if name == column.name else {"from": column.name}
    said["type"] = column.type
    if column.format:
        said["format"] = column.format
    if of_key or (column.filled == rows > 0 and column.fits == column.filled):
        said["required"] = True
    if column.standard:
        said["standard"] = column.standard
        if standards[column.standard].class_ != "internal":
            said["class"] = standards[column.standard].class_
    elif column.values and len(column.values) <= _FEW and column.distinct < column.filled and rows >= _ENOUGH:
        said["in"] = list(column.values)
    elif column.type in ("integer", "double") and rows >= _ENOUGH and column.fits == column.filled:
        said["between"] = _bounds(float(column.least or 0), float(column.most or 0))
    return said


def _bounds(least: float, most: float) -> list[float | int]:
    """Round numbers around what was seen, as coarse as its span."""
    unit = 10.0 ** floor(log10(most - least or abs(most) or 1))
    bounds = (float(f"{way(bound / unit) * unit:.12g}") for bound, way in ((least, floor), (most, ceil)))
    return [int(bound) if bound.is_integer() else bound for bound in bounds]


def _seen(column: ColumnProfile, rows: int, standards: dict[str, Standard]) -> str:
    if not column.filled:
        return "always empty"
    parts = [f"filled {_percent(column.filled / rows)}", f"{column.distinct:,} different"]
    if column.fits < column.filled:
        parts.append(f"{column.filled - column.fits:,} not of this type")
    if column.standard:
        parts.append(standards[column.standard].en)
    elif column.type != "string":
        parts.append(f"{column.least} to {column.most}")
    return ", ".join(parts)


def _point(found: Profile, columns: Sequence[ColumnProfile], names: dict[str, str]) -> Iterator[str]:
    x, y = coordinates([(names[c.name], c.name) for c in columns if c.type in ("integer", "double")])
    if not (x and y):
        return
    seen = found.crs
    if seen and seen.swapped:
        x, y = y, x
    crs = (seen and seen.crs) or "wgs84"
    why = f"{seen.named}: {seen.why}; " if seen else ""
    others = {"wgs84": "or cgcs2000: "}.get(crs, "") if seen and seen.crs else "or cgcs2000, gcj02, bd09: "
    yield f"point: {{x: {x}, y: {y}, crs: {crs}}}  # {why}{others}ask the department"


def _doubts(found: Profile, names: dict[str, str]) -> Iterator[str]:
    if found.duplicates:
        yield f"{found.duplicates:,} rows repeat an earlier one."
    if found.unparsable:
        yield f"{found.unparsable:,} records can't be read."
    for doubt in found.suspicions:
        where = f"{names.get(doubt.column, doubt.column)}: " if doubt.column else ""
        yield f"{where}{doubt.said} ({doubt.count:,} rows)"


def source_keys(found: Profile) -> dict[str, Any]:
    """How the file is written, as a contract's `source` says it: what differs from the defaults."""
    plain = type(found.source).model_fields
    told = {name: getattr(found.source, name, None) for name in _TEXT}
    return {name: value for name, value in told.items() if value is not None and value != plain[name].default}


def _percent(share: float) -> str:
    return f"{floor(share * 1000) / 10:g} %"


def _value(value: Any) -> str:
    """A value on one line as YAML reads it; the keys of a mapping without quotes."""
    match value:
        case dict():
            return "{" + ", ".join(f"{_key(name)}: {_value(inner)}" for name, inner in value.items()) + "}"
        case list() | tuple():
            return "[" + ", ".join(map(_value, value)) + "]"
        case str() if re.fullmatch(r"[a-z_][a-z0-9_./-]*", value) and value not in _WORDS:
            return value
        case _:
            return json.dumps(value, ensure_ascii=False)


def _key(name: str) -> str:
    return f'"{name}"' if name in _WORDS else name
