"""Values of sensitive columns stay in the raw zone, whatever is wrong with them: nothing else ever says one."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jobs.cli import call
from jobs.steps import STEPS
from lakehouse import logs
from lakehouse.errors import CitylakeError
from lakehouse.ops import SCHEMAS
from lakehouse.table import Table
from tests.jobs.small_city import DAY, TOWN, City, own_settings

SECRET = {"class": "sensitive"}
COLUMNS: dict[str, Any] = {
    "plate": {"type": "string", "required": True, "standard": "licence_plate", "unique": True},  # by its standard
    "owner": {"type": "string", "length": [2, 12], "pattern": "[A-Za-z ]+", **SECRET},
    "card": {"type": "integer", "between": [1, 1000], **SECRET},
    "weight": {"type": "double", "between": [0, 50], **SECRET},
    "born_on": {"type": "date", "format": "yyyy-MM-dd", **SECRET},
    "seen_at": {"type": "timestamp", "format": "yyyy-MM-dd HH:mm:ss", **SECRET},
    "kind": {"type": "string", "in": ["a", "b"], **SECRET},
    "other": {"type": "string", "references": "town.owners.owner", **SECRET},
    "note": {"type": "string"},
}
EXPECT = {
    "warn": [
        {"clean_text": {}},
        {"duplicate_rows": {}},
        {"varied": {"column": "owner", "share": 0.1}},
        {"filled": {"column": "owner", "share": 1.0}},
        {"fresh": {"column": "seen_at", "within": "1d"}},
        {"within_day": {"column": "seen_at"}},
        {"not_future": {"column": "seen_at"}},
        {"sequence": {"by": ["plate"], "at": "seen_at"}},
        {"compare": {"left": "card", "op": "<", "right": "card"}},
        {"when": {"column": "kind", "in": ["a"], "then": "card"}},
    ]
}
TOLD = ("9X7Q1", "9X7Q2", "Quetzalcoatl", "918273645", "73918273", "1957-11", "zzkindzz", "Tezcatlipoca", "\\x9c\\xff")
"""What gives a value away, written as it was sent or as it is typed."""

HEADER = ",".join(COLUMNS)
GOOD = [
    "苏F9X7Q1,Quetzalcoatl,918273645,73918273.5,1957-11-23,1957-11-23 04:05:06,a,Quetzalcoatl,",
    "苏F9X7Q2,Quetzalcoatl,918273645,73918273.5,1957-11-24,1957-11-22 04:05:06,zzkindzz,Tezcatlipoca,",
    "苏F9X7Q2,Quetzalcoatl,918273645,73918273.5,1957-11-24,1957-11-22 04:05:06,zzkindzz,Tezcatlipoca,",
]
BAD = [
    "9X7Q1,Quetzalcoatl Quetzalcoatl,918273645x,73918273.5.5,1957-11-33,23.11.1957-11,zzkindzz zzkindzz,Tezcatlipoca,",
    ",Quetzalcoatl9,91827364591827364591827,1e999-73918273,1957-11,1957-11-23,,Quetzalcoatl\x07,",
    "苏F9X7Q1,Quetzalcoatl,918273645",
    '苏F9X7Q1,"Quetzalcoatl,918273645,73918273.5,1957-11-23,1957-11-23 04:05:06,a,Tezcatlipoca,',
]
FILES: dict[str, bytes] = {
    "good.csv": "\n".join([HEADER, *GOOD]).encode(),
    "bad.csv": "\n".join([HEADER, *GOOD, *BAD]).encode(),
    "headless.csv": "\n".join(GOOD[1:]).encode(),
    "headless-twice.csv": b"Quetzalcoatl,Quetzalcoatl\n918273645,918273645\n",
    "encoding.csv": f"{HEADER}\n{GOOD[0]}\n".encode()
    + "苏F9X7Q1,Quetzalcoatl".encode("gb18030")
    + b"\x9c\xff,,,,,,,\n",
    "foreign.csv": "\n".join([HEADER, *GOOD * 5]).encode("gb18030"),
    "semicolons.csv": "\n".join([HEADER, *GOOD]).replace(",", ";").encode(),
    "wide.csv": (HEADER + "\n" + "苏F9X7Q1," + "Quetzalcoatl" * 400 + ",,,,,,,\n").encode(),
    "not.xlsx.csv": b"PK\x03\x04Quetzalcoatl",
    "drift.csv": f"{HEADER},extra\n{GOOD[0]},Quetzalcoatl\n".encode(),
}
LINES: dict[str, bytes] = {
    "good.jsonl": json.dumps({"owner": "Quetzalcoatl", "card": 918273645}).encode(),
    "broken.jsonl": b'{"owner": "Quetzalcoatl", "card": 918273645}\n{"owner": "Quetzalcoatl" 918273645}\n["Quetzalcoatl"]\n',
    "number.jsonl": b"918273645\n" * 3,
    "encoding.jsonl": b'{"owner": "Quetzalcoatl\x9c\xff", "card": 918273645}\n',
    "not.xlsx": b"PK\x03\x04Quetzalcoatl",
    "not.parquet": b"PAR1Quetzalcoatl918273645PAR1",
}


@pytest.fixture
def city(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[City]:
    monkeypatch.setenv("CITYLAKE_LOG_LEVEL", "DEBUG")
    with own_settings():
        yield _city(tmp_path)


def _city(root: Path) -> City:
    found = City(root)
    limits = {"row_bytes": 4000}
    found.declare("trucks", COLUMNS, key=["plate", "seen_at"], expect=EXPECT, limits=limits, title="卡车 · trucks")
    found.declare("frozen", COLUMNS, key=["plate"], drift={"columns": "freeze"}, load="snapshot")
    found.declare("strict", COLUMNS, drift={"columns": "quarantine", "types": "quarantine"}, source={"header": False})
    found.declare(
        "newest", COLUMNS, key=["plate"], load="upsert", order="seen_at", expect={"fail": [{"row_count": {"min": 99}}]}
    )
    source = {"uri": "{inbox}/owners/{day}/*"}
    found.declare("owners", {"owner": COLUMNS["owner"], "card": COLUMNS["card"]}, key=["owner"], source=source)
    for dataset in ("trucks", "frozen", "strict", "newest"):
        for name, content in FILES.items():
            found.deliver(dataset, content, name=name)
    for name, content in LINES.items():
        found.deliver("owners", content, name=name)
    return found


def everything(folder: Path) -> Iterator[tuple[str, str]]:
    """What lies below: tables by their rows and the log of their commits, files by their text."""
    for path in sorted(folder.rglob("*")):
        if (path / "_delta_log").is_dir():
            yield str(path), str(Table(path).read().to_pylist())
        elif path.is_file() and path.suffix != ".parquet":
            yield str(path), path.read_bytes().decode(errors="backslashreplace")


def test_no_value_of_a_sensitive_column_is_told(city: City, capfd: pytest.CaptureFixture[str]) -> None:
    said: list[str] = []
    for _ in range(2):
        for name, step in STEPS.items():
            try:
                city.step(name, DAY, TOWN if step.scope == "department" else None)
            except CitylakeError as error:
                said += [str(error), repr(error), logs.traced(error)]
    for words in (
        ["deliveries"], ["deliveries", "--json"], ["status", "--night", str(DAY)], ["tables"],
        ["scorecard", "--department", TOWN], ["scorecard", "--department", TOWN, "--json"],
        ["quarantine", "list"], ["quarantine", "show", "town.trucks", "--day", str(DAY)],
        ["check", str(city.inbox / "trucks" / str(DAY) / "bad.csv"), "--contract", "town.trucks"],
        ["check", str(city.inbox / "trucks" / str(DAY) / "headless.csv"), "--contract", "town.trucks"],
    ):  # fmt: skip
        assert call(words) in (0, 1), words
    shown = capfd.readouterr()
    told = {"errors": "\n".join(said), "stdout": shown.out, "stderr": shown.err}
    for layer in ("ops", "gold", "pages", "logs"):
        told |= dict(everything(city.home / layer))
    given_away = {f"{where}: {clue}" for where, text in told.items() for clue in TOLD if clue in text}
    assert not given_away
    # and there was something to tell
    assert {row["event"] for row in city.book("deliveries")} >= {"loaded", "cleaned", "refused"}
    assert all(city.book(name) for name in SCHEMAS)
    assert sum(row["unparsable"] or 0 for row in city.book("deliveries", "trucks")) > 3
    assert len(city.quarantine("trucks")) > 3 and "town.html" in str(sorted(told))
    assert any("Quetzalcoatl" in str(row) for row in city.rows("bronze", "trucks"))
