"""How a file is written, found out from its first bytes: what a contract's `source` would say."""

import csv
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import ParseError, fromstring, iterparse

from lakehouse.contract import Contract
from lakehouse.errors import DeliveryUnreadable, UsageError
from lakehouse.formats import encoding, format_of
from lakehouse.source import FileSource, Source

_SAMPLE = 1 << 18
_LINES = 200
_DELIMITERS = ",\t;|"


def dialect(file: Path) -> tuple[FileSource, int]:
    """The source that reads the file, and how many columns its text has (0 for formats that say so themselves).

    Raises UsageError without such a file, DeliveryUnreadable for an empty one.
    """
    if not file.is_file():
        raise UsageError("no such file", where=str(file), hint="name a delivered file")
    found = "shapefile" if file.suffix.lower() == ".zip" else format_of(file.name) or "csv"
    with file.open("rb") as stream:
        sample = stream.read(_SAMPLE)
    if not sample.strip():
        raise DeliveryUnreadable("empty file", where=str(file), hint="ask the department to deliver again")
    if found == "json" and b'"FeatureCollection"' in sample:
        found = "geojson"
    if found != "csv":
        records = records_path(file, found)
        return FileSource.model_validate({"type": "file", "uri": "", "format": found, "records": records}), 0
    likely = encoding.likely(sample)
    codec = {"ascii": "utf-8"}.get(likely, likely)
    text = sample.decode(codec, errors="replace").lstrip("\ufeff")
    lines = text.splitlines()[: -1 if len(sample) == _SAMPLE else None][:_LINES]
    delimiter, width = _delimiter(lines, FileSource(type="file", uri="").delimiter_of(file.name))
    rows = list(csv.reader(lines, delimiter=delimiter))
    skip = next((n for n, row in enumerate(rows) if len(row) == width), 0)
    source = {
        "type": "file",
        "uri": "",
        "format": "csv",
        "encoding": codec,
        "delimiter": delimiter,
        "skip": skip,
        "header": _is_header(rows[skip]),
    }
    return FileSource.model_validate(source), width


def bare_contract(source: Source | Mapping[str, Any], *, name: str = "unknown.unknown", columns: int = 1) -> Contract:
    """What readers and sources ask for, where nobody has agreed on anything but the source: so many columns of text."""
    department, _, dataset = name.partition(".")
    content = {
        "department": department,
        "dataset": dataset,
        "title": name,
        "kind": "accepted",
        "sharing": "unconditional",
        "source": source,
        "load": "append",
        "columns": {f"column_{n}": {"type": "string"} for n in range(1, columns + 1)},
    }
    return Contract.model_validate(content)


def records_path(file: Path, kind: str) -> str:
    """Where the records of a JSON or XML document stand: the path to its longest list; empty for the document itself."""
    match kind:
        case "json":
            try:
                lists = list(_lists(json.loads(file.read_bytes()), ()))
            except (ValueError, RecursionError):
                return ""
            return ".".join(max(lists, key=lambda found: found[1], default=((), 0))[0])
        case "xml":
            return max(_elements(file).items(), key=lambda found: (found[1], -found[0].count("/")), default=("", 0))[0]
        case _:
            return ""


def _lists(value: object, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], int]]:
    """Lists of objects below objects, with their lengths."""
    if isinstance(value, list):
        if value and all(isinstance(item, dict) for item in value):
            yield path, len(value)
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield from _lists(inner, (*path, name))


def _elements(file: Path) -> Counter[str]:
    """How often elements with elements of their own come, by the path to them."""
    counts: Counter[str] = Counter()
    way: list[str] = []
    try:
        for event, element in iterparse(file, events=("start", "end"), forbid_dtd=True):
            if event == "start":
                way.append(element.tag.rpartition("}")[2])
                continue
            if len(element) and len(way) > 1:
                counts["/".join(way)] += 1
            way.pop()
            element.clear()
    except (ParseError, ValueError):
        pass  # what is wrong with it the reader says; an encoding of several bytes, like GBK, is only beyond this parser
    return counts


def sheets(workbook: Path) -> tuple[str | None, ...]:
    """The names of a workbook's sheets in order; (None,), standing for the first, where they can't be had (.xls)."""
    try:
        with ZipFile(workbook) as package:
            content = fromstring(package.read("xl/workbook.xml"))
    except (BadZipFile, KeyError, ParseError, DefusedXmlException):
        return (None,)
    return tuple(part.get("name") for part in content.iter() if part.tag.endswith("}sheet")) or (None,)


def _delimiter(lines: list[str], usual: str) -> tuple[str, int]:
    """The delimiter that cuts most lines into the same number of fields, more than one, and that number; where others
    cut no better, the `usual` one."""
    best = (0, 1, usual)
    for char in sorted(_DELIMITERS, key=lambda char: char != usual):
        widths = Counter(len(row) for row in csv.reader(lines, delimiter=char) if row)
        width, count = max(widths.items(), key=lambda item: (item[1], item[0]), default=(1, 0))
        if width > 1 and (count, width) > best[:2]:
            best = (count, width, char)
    return best[2], best[1]


def _is_header(cells: list[str]) -> bool:
    """Names differ from each other, are never empty and never begin like a number."""
    names = [cell.strip() for cell in cells]
    return len(set(names)) == len(names) and not any(name == "" or name[0] in "+-.0123456789" for name in names)
