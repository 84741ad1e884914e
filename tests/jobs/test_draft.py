"""A first contract: what was seen in a delivery is what it says, and the delivery passes it."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import date
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
import yaml

from expectations.catalog import read_contract, standards_of
from expectations.verify import misfits
from jobs.check import check
from jobs.draft import draft, source_keys
from jobs.origin import origin
from jobs.profile import profile
from lakehouse.geo.crs import Crs, from_wgs84
from lakehouse.settings import Settings

CATALOG = Path(__file__).parents[2] / "expectations"
SETTINGS = Settings(home=Path("unused"), catalog=CATALOG, inbox=Path("unused"))
DAY = date(2026, 3, 2)
STANDARDS = standards_of(CATALOG)


def register(tmp_path: Path, *, encoding: str = "utf-8", delimiter: str = ",") -> Path:
    lines = [delimiter.join(["车牌号码", "sentAt", "speed_kmh", "state", "remark", "lon", "lat"])]
    for n in range(240):
        remark = "" if n % 4 == 0 else f"note {n}"
        state = "无" if n % 50 == 1 else ("moving", "parked")[n % 2]
        cells = [f"苏F{10000 + n // 2}", f"2026-03-01 08:{n % 60:02}:{n % 2 * 30:02}", f"{n % 90 + 0.5}", state, remark]
        lines.append(delimiter.join([*cells, f"{120.8 + n / 1000:.4f}", f"{32 + n / 1000:.4f}"]))
    path = tmp_path / "trucks.csv"
    path.write_bytes("\n".join(lines).encode(encoding))
    return path


def test_a_draft_says_what_was_seen(tmp_path: Path) -> None:
    found = yaml.safe_load(drafted_of(str(register(tmp_path, encoding="gb18030", delimiter=";"))))
    assert found["source"] == {
        "type": "file",
        "uri": "{inbox}/town/places/{day}/*.csv",
        "format": "csv",
        "encoding": "gb18030",
        "delimiter": ";",
        "null": ["无"],
    }
    assert found["key"] == ["plate", "sent_at"]
    assert found["columns"] == {
        "plate": {
            "from": "车牌号码",
            "type": "string",
            "required": True,
            "standard": "licence_plate",
            "class": "sensitive",
        },
        "sent_at": {"from": "sentAt", "type": "timestamp", "format": "yyyy-MM-dd HH:mm:ss", "required": True},
        "speed_kmh": {"type": "double", "required": True, "between": [0, 90]},
        "state": {"type": "string", "in": ["moving", "parked"]},
        "remark": {"type": "string"},
        "lon": {"type": "double", "required": True, "between": [120.8, 121.1]},
        "lat": {"type": "double", "required": True, "between": [32, 32.3]},
    }
    assert found["point"] == {"x": "lon", "y": "lat", "crs": "wgs84"}
    assert found["sharing"] == "conditional"
    assert {"filled": {"column": "remark", "share": 0.75}} in found["expect"]["warn"]


@pytest.mark.parametrize(
    ("crs", "order"), [("gcj02", ("lon", "lat")), ("bd09", ("lat", "lon")), ("wgs84", ("lat", "lon"))]
)
def test_the_coordinate_system_is_suggested_with_its_confidence(
    tmp_path: Path, crs: Crs, order: tuple[str, str]
) -> None:
    """The beginnings of the sample city's roads; their longitudes stand under the first name."""
    lines = json.loads((CATALOG / "standards" / "layers" / "roads.geojson").read_text("utf-8"))["features"][:600]
    starts = np.array([line["geometry"]["coordinates"][0] for line in lines])
    x, y = from_wgs84(crs, *np.ascontiguousarray(starts.T))
    path = tmp_path / "places.csv"
    rows = [f"{a:.6f},{b:.6f}" for a, b in zip(x, y, strict=True)]
    path.write_text("\n".join([",".join(order), *rows]), "utf-8")
    text = drafted_of(str(path))
    assert yaml.safe_load(text)["point"] == {"x": order[0], "y": order[1], "crs": crs}
    (said,) = [line for line in text.splitlines() if line.startswith("point:")]
    assert f"# {crs}{'' if order[0] == 'lon' else ', latitude first'} (0.9" in said


@pytest.mark.parametrize("encoding", ["utf-8", "gb18030", "utf-16"])
def test_the_delivery_passes_the_draft(tmp_path: Path, encoding: str) -> None:
    path = register(tmp_path, encoding=encoding)
    contract = tmp_path / "town" / "things.yml"
    contract.parent.mkdir()
    contract.write_text(drafted_of(str(path)), "utf-8")
    agreed = read_contract(contract, STANDARDS)
    assert list(misfits(agreed, contract)) == []
    found = check(path, agreed, STANDARDS, DAY, SETTINGS)
    assert (found.rows.received, found.rows.accepted) == (240, 240)
    assert found.served
    assert [result.rule.id for result in found.results if result.status == "failed"] == []


PLACES = [{"no": n, "name": f"place {n}", "at": {"lon": 120.5 + n / 100}} for n in range(30)]
ANSWERS = {
    "/places.json": json.dumps({"code": 0, "data": {"pages": [], "rows": PLACES}}),
    "/places.xml": "<reply><head><code>0</code></head><places>"
    + "".join(f"<place><no>{place['no']}</no><name>{place['name']}</name></place>" for place in PLACES)
    + "</places></reply>",
    "/places.csv": "no;name\n" + "".join(f"{place['no']};{place['name']}\n" for place in PLACES),
}


@pytest.fixture
def server() -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = ANSWERS[self.path].encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Handler) as running:
        Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


@pytest.mark.parametrize(
    ("path", "declared"),
    [
        ("/places.json", {"type": "http", "records": "data.rows"}),
        ("/places.xml", {"type": "http", "format": "xml", "records": "reply/places/place"}),
        ("/places.csv", {"type": "file", "format": "csv", "delimiter": ";"}),
    ],
)
def test_an_address_is_drafted_from_its_answer(server: str, path: str, declared: dict[str, str]) -> None:
    found = yaml.safe_load(drafted_of(server + path))
    assert found["source"] == {"uri": server + path, **declared}
    assert found["key"] == ["no"]
    assert list(found["columns"])[:2] == ["no", "name"]


def test_a_table_is_drafted_as_its_database_has_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(sqlite3.connect(tmp_path / "register.db")) as database, database:
        database.execute("CREATE TABLE places (no INTEGER PRIMARY KEY, name TEXT)")
        database.executemany("INSERT INTO places VALUES (?, ?)", [(place["no"], place["name"]) for place in PLACES])
    monkeypatch.setenv("CITYLAKE_CONN_REGISTER", f"sqlite:///{tmp_path}/register.db")
    found = yaml.safe_load(drafted_of("register:places"))
    assert found["source"] == {"type": "sqlite", "connection": "register", "table": "places"}
    assert (found["key"], found["columns"]["no"]["type"]) == (["no"], "integer")


def drafted_of(what: str) -> str:
    with origin(what, "town.places", None, DAY, SETTINGS) as found:
        seen = profile(found.path, STANDARDS, DAY, SETTINGS, found.source)
        return draft(seen, found.declared | source_keys(seen), STANDARDS)


def test_no_sensitive_value_stands_in_a_draft(tmp_path: Path) -> None:
    path = tmp_path / "people.csv"
    path.write_text("id,phone\n" + "\n".join(f"{n},1700000{n:04}" for n in range(150)), "utf-8")
    text = drafted_of(str(path))
    assert "standard: phone" in text
    assert "1700000" not in text
