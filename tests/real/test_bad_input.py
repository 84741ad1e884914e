"""Everything bad in one landing zone: whoever delivers well notices nothing, and every bad file is loaded or refused in a line.

The messy files go all to one contract that takes the format from the name; those whose name doesn't tell it also to one that
says how they are written. The naughty strings come as cells, headers, file names, titles and values of contracts.
"""

import csv
import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import yaml
from openpyxl import Workbook
from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE

from lakehouse.sources.received import shown
from tests.jobs.small_city import DAY, City, own_settings
from tests.real.deliveries import SHARED

GOOD = ("roads", "schools", "trees")
GOOD_ROWS = 300


@dataclass(frozen=True)
class Messy:
    """How a file is written, its first column's name, and how many records a reader of other make finds in it (csv of
    Python, openpyxl, xlrd, a count of table rows): all must load, but for those that can't be parsed."""

    first: str
    rows: int
    unparsable: int = 0
    source: dict[str, Any] | None = None


MESSY = {
    "211.csv": Messy("ResourceAgencyNum", 2132, source={"encoding": "latin-1"}),
    "README.md": Messy("text", 3, source={"format": "csv", "header": False, "delimiter": "\t"}),
    "badcolspan.html": Messy("05", 3),
    "begrotingsanalyse-2011.csv": Messy("NR.", 36, source={"skip": 6}),
    "bian-anal-mca-2005-dols-eng-1011-0312-tab3.xlsm": Messy("column_1", 40),
    "blank_line.ods": Messy("Name", 3),
    "characters.csv": Messy("id", 382, source={"encoding": "big5"}),
    "complex.csv": Messy("date", 3, 1),
    "complex.html": Messy("head", 2, source={"sheet": 2}),
    "example.tsv": Messy("hour", 140),
    "excel_pasting.csv": Messy("Year", 17, source={"skip": 3}),
    "excel_properties.xls": Messy("bold", 17),
    "html.html": Messy("HDI Rank", 199),
    "invisible_text.html": Messy("Station", 3),
    "large.ods": Messy("Financial Year", 23760),
    "large.xlsx": Messy("SERIES", 29, source={"skip": 4}),
    "loffice-4.4.1.2.ods": Messy("Name", 3),
    "long.csv": Messy("foo", 3999),
    "mixedGLB.csv": Messy("Year", 133, source={"skip": 3}),
    "multilineods.ods": Messy("text", 1, source={"header": False}),
    "null.csv": Messy("a", 10, source={"header": False}),
    "ods_formats.ods": Messy("Date", 5),
    "rowcolspan.html": Messy("05", 9),
    "simple.csv": Messy("date", 6),
    "simple.ods": Messy("Name", 3),
    "simple.psv": Messy("Year", 28),
    "simple.ssv": Messy("date", 6, source={"format": "csv", "delimiter": ";"}),
    "simple.xls": Messy("date", 6),
    "simple.xlsx": Messy("date", 6),
    "skip_initials.csv": Messy("field1", 2),
    "small.csv": Messy("text", 1, source={"header": False}),
    "span_rich.xls": Messy("I", 5),
    "spanish_chars.csv": Messy("GF_ID", 116, source={"encoding": "latin-1"}),
    "sparse_with_column_errors.csv": Messy("LP", 2237, source={"encoding": "latin-1"}),
    "sw_gen.xlsx": Messy("id_str", 15),
    "unicode_sheet_name.xls": Messy("text", 1, source={"header": False}),
    "utf-16le_encoded.csv": Messy("Organisation_code", 327, source={"encoding": "utf-16"}),
    "utf8bom.csv": Messy("a", 1, source={"header": False}),
    "weird_head_padding.csv": Messy(
        "column_1", 60, source={"delimiter": ";", "skip": 11, "footer": 16, "ragged": True}
    ),
}
WIDTHS = {"null.csv": 4, "utf8bom.csv": 2}
"""Columns of files without a header."""

UNREADABLE = ("encrypted_no_password.xls", "libreoffice.xlsx", "simple.unknown")
"""One needs a password, one has an empty sheet, one has no bytes."""


def strings() -> list[str]:
    found: list[str] = json.loads((SHARED / "naughty" / "blns.json").read_text("utf-8"))
    return found


def slug(name: str) -> str:
    return "f_" + re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


class Zone(City):
    """The landing zone after one night; `grown_mb`: memory it took at the most."""

    grown_mb = 0.0

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        texts = strings()
        titles = {f"n{part}": " ".join(texts[part : part + 20]) for part in range(0, len(texts), 20)}
        plain = {name: name for name in (*GOOD, "messy", "naughty")}
        rows = [{"id": name, "zh": title, "en": title} for name, title in (plain | titles).items()]
        text = yaml.safe_dump({"departments": rows}, allow_unicode=True)
        (self.catalog / "departments.yml").write_text(text, "utf-8")
        for department in GOOD:
            self._dataset(department, "things", {"id": "id", "n": "n"})
            self.deliver("things", "id,n\n" + "".join(f"{n},{n}\n" for n in range(GOOD_ROWS)), name=f"{department}.csv")
        self._messy()
        self._naughty()

    def _dataset(self, department: str, dataset: str, columns: dict[str, str], **declared: Any) -> None:
        """`columns`: what a column is called in the lake and as sent."""
        uri = f"{{inbox}}/{dataset}/{{day}}/{department}.*" if department in GOOD else f"{{inbox}}/{dataset}/{{day}}/*"
        source = {"uri": uri} | (declared.pop("source", None) or {})
        kinds = {name: {"type": "string", "from": sent} for name, sent in columns.items()}
        self.declare(dataset, kinds, department=department, source=source, drift={"columns": "evolve"}, **declared)

    def _messy(self) -> None:
        firsts = sorted({messy.first for messy in MESSY.values()})
        self._dataset("messy", "as_named", {f"c{n}": first for n, first in enumerate(firsts)})
        for path in sorted((SHARED / "messy").iterdir()):
            content, dataset = path.read_bytes(), slug(path.name)
            self.deliver("as_named", content, name=path.name)
            right = MESSY.get(path.name)
            if right and right.source:
                self.deliver(dataset, content, name=path.name)
                columns = {f"c{n}": f"c{n}" for n in range(WIDTHS.get(path.name, 0))}
                self._dataset("messy", dataset, columns or {"c": right.first}, source=right.source)

    def _naughty(self) -> None:
        self.cells = strings()
        written = io.StringIO()
        csv.writer(written).writerows([["id", "text"], *enumerate(self.cells)])
        lines = "".join(json.dumps({"id": n, "text": text}) + "\n" for n, text in enumerate(self.cells))
        book = Workbook()
        for row in (["id", "text"], *enumerate(self.cells)):
            book.active.append([_for_xml(str(cell)) for cell in row])
            for cell in book.active[book.active.max_row]:
                cell.data_type = "s"  # text, also where it looks like a formula
        book.save(sheet := io.BytesIO())
        for form, content in (("csv", written.getvalue()), ("jsonl", lines), ("xlsx", sheet.getvalue())):
            self._dataset("naughty", f"cells_{form}", {"id": "id", "text": "text"})
            self.deliver(f"cells_{form}", content, name=f"cells.{form}")
        self.names = list(
            dict.fromkeys(name for text in self.cells if (name := " ".join(text.strip("\ufeff").split())))
        )
        written = io.StringIO()
        csv.writer(written).writerows([self.names, range(len(self.names))])
        self._dataset("naughty", "header", {f"c{n}": name for n, name in enumerate(self.names)})
        self._dataset("naughty", "undeclared", {"c0": self.names[0]})
        for dataset in ("header", "undeclared"):
            self.deliver(dataset, written.getvalue())
        self.files = [text for text in self.cells if _can_name_a_file(text)][::8]
        self._dataset("naughty", "files", {"id": "id"}, source={"format": "csv"})
        for n, name in enumerate(self.files):
            self.deliver("files", f"id\n{n}\n", name=name)
        values = {
            "id": {
                "type": "string",
                "title": self.cells[20],
                "in": self.cells,
                "pattern": "|".join(map(re.escape, self.cells)),
            }
        }
        words = {"title": self.names[100], "description": "\n".join(self.cells), "basis": self.names[200]}
        source = {
            "null": self.cells,
            "uri": "{inbox}/values/{day}/*",
            "sheet": self.names[300],
            "footer": re.escape(self.cells[10]),
        }
        self.declare("values", values, department="naughty", source=source, ignore=self.names, **words)
        self.deliver("values", "id\nplain\n")

    def whole_night(self) -> None:
        for department in ("messy", *GOOD, "naughty"):
            self.night(department=department)
        for step in ("relate", "release", "score"):
            self.step(step, DAY)

    def loaded(self, dataset: str) -> list[dict[str, Any]]:
        return [row for row in self.book("deliveries", dataset) if row["event"] == "loaded"]

    def refused(self, dataset: str) -> dict[str, str]:
        return {row["name"]: row["reason"] for row in self.book("deliveries", dataset) if row["event"] == "refused"}


def _for_xml(text: str) -> str:
    """Without the characters XML can't hold."""
    return ILLEGAL_CHARACTERS_RE.sub("?", re.sub("[\ufffe\uffff]", "?", text)).strip()


def _can_name_a_file(text: str) -> bool:
    """Whether it is a name, and one that isn't hidden or half uploaded."""
    return 0 < len(text.encode(errors="surrogatepass")) < 250 and not re.search(r"[/\0]|^[.~]|\.(tmp|part)$", text)


@pytest.fixture(scope="session")
def zone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zone]:
    """The zone after its night."""
    if not SHARED.is_dir():
        pytest.skip(f"the real deliveries are not here ({SHARED}); see docs/real-deliveries.md")
    with own_settings():
        zone = Zone(tmp_path_factory.mktemp("zone"))
        before = _memory_mb("VmRSS")
        Path("/proc/self/clear_refs").write_text("5")  # from here on the peak is this night's
        zone.whole_night()
        zone.grown_mb = _memory_mb("VmHWM") - before
        yield zone


def _memory_mb(which: str) -> float:
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(which))
    return int(line.split()[1]) / 1000


def test_the_good_load_and_nothing_fails(zone: Zone) -> None:
    for department in GOOD:
        rows = zone.table("silver", "things", department).read().to_pylist()
        assert [row["id"] for row in rows] == [str(n) for n in range(GOOD_ROWS)]
    assert [row for row in zone.book("runs") if row["status"] == "failed"] == []
    assert json.loads(zone.book("releases")[-1]["failed"]) == []


def test_nothing_takes_long_or_much(zone: Zone) -> None:
    for row in zone.book("runs"):
        assert row["seconds"] < (120 if row["dataset"] == "as_named" else 30)  # that one reads forty files
    assert zone.grown_mb < 2_000


def test_every_bad_file_is_loaded_or_refused_in_a_line(zone: Zone) -> None:
    names = {path.name for path in (SHARED / "messy").iterdir()}
    told = {row["name"] for row in zone.book("deliveries", "as_named") if row["name"]}
    assert told - {"simple.zip/simple.csv"} == names - {"simple.zip"}
    for row in zone.book("deliveries"):
        if row["event"] == "loaded":
            assert row["rows_in"] == row["loaded"] + row["unparsable"]
        if row["event"] in ("refused", "missing"):
            assert ": " in row["reason"] and "; " in row["reason"]
            assert row["reason"].isprintable() and len(row["reason"]) < 400


def test_bronze_has_what_the_books_say(zone: Zone) -> None:
    for dataset in {row["dataset"] for row in zone.book("deliveries") if row["department"] in ("messy", "naughty")}:
        department = "messy" if dataset.startswith("f_") or dataset == "as_named" else "naughty"
        table = zone.table("bronze", dataset, department)
        stored = table.read().num_rows if table.exists() else 0
        assert stored == sum(row["loaded"] for row in zone.loaded(dataset))


@pytest.mark.parametrize("name", sorted(MESSY))
def test_a_messy_file_loads_whole_where_the_contract_says_how_it_is_written(zone: Zone, name: str) -> None:
    dataset = slug(name) if MESSY[name].source else "as_named"
    (row,) = (row for row in zone.loaded(dataset) if row["name"] == name)
    assert (row["rows_in"], row["unparsable"]) == (MESSY[name].rows, MESSY[name].unparsable)


@pytest.mark.parametrize("name", UNREADABLE)
def test_what_nobody_can_read_is_refused(zone: Zone, name: str) -> None:
    assert zone.refused("as_named").keys() >= {name}
    assert name not in {row["name"] for row in zone.loaded("as_named")}


def test_naughty_cells_of_a_workbook(zone: Zone) -> None:
    rows = zone.table("bronze", "cells_xlsx", "naughty").read().to_pylist()
    texts = {int(row["id"]): row["text"] for row in rows}
    assert [texts[n] or "" for n in range(len(zone.cells))] == [_for_xml(text) for text in zone.cells]


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_naughty_cells_stay_as_sent(zone: Zone, form: str) -> None:
    rows = zone.table("bronze", f"cells_{form}", "naughty").read().to_pylist()
    assert [row["text"] for row in sorted(rows, key=lambda row: int(row["id"]))] == zone.cells


def test_naughty_headers_name_columns(zone: Zone) -> None:
    (row,) = zone.table("bronze", "header", "naughty").read().to_pylist()
    assert [row[f"c{n}"] for n in range(len(zone.names))] == [str(n) for n in range(len(zone.names))]
    (row,) = zone.table("bronze", "undeclared", "naughty").read().to_pylist()
    assert json.loads(row["_extra"]) == {name: str(n) for n, name in enumerate(zone.names) if n}


def test_naughty_file_names_are_told_as_one_line(zone: Zone) -> None:
    loaded = zone.loaded("files")
    assert {row["name"] for row in loaded} == {shown(name) for name in zone.files}
    assert len(loaded) == len(zone.files)
    assert all("\n" not in row["name"] for row in loaded)


def test_naughty_values_of_a_contract_harm_nobody(zone: Zone) -> None:
    (row,) = zone.loaded("values")
    assert (row["rows_in"], row["loaded"]) == (1, 1)


def test_pages_hold_naughty_titles_as_text(zone: Zone) -> None:
    for page in ("index.html", "n0.html", "naughty.html", "naughty.checks.html"):
        parser = Tags()
        parser.feed((zone.home / "pages" / page).read_text("utf-8"))
        parser.close()
        assert (parser.foreign, parser.scripts) == (set(), 1)
        assert page != "index.html" or "<script>alert(123)</script>" in parser.text


class Tags(HTMLParser):
    """Tags and attributes that can do something, and the text between tags."""

    def __init__(self) -> None:
        super().__init__()
        self.foreign: set[str] = set()
        self.text, self.scripts = "", 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.foreign |= {tag} & {"img", "iframe", "video", "object", "embed", "form", "base"}
        self.scripts += tag == "script"
        self.foreign |= {
            name for name, value in attrs if name.startswith("on") or "javascript:" in (value or "").lower()
        }

    def handle_data(self, data: str) -> None:
        self.text += data
