"""A first contract: what was seen in a delivery is what it says, and the delivery passes it."""

from datetime import date
from pathlib import Path

import pytest
import yaml

from expectations.catalog import read_contract, standards_of
from expectations.verify import misfits
from jobs.check import check
from jobs.draft import draft, source_keys
from jobs.profile import profile
from lakehouse.settings import Settings

CATALOG = Path(__file__).parents[2] / "expectations"
SETTINGS = Settings(home=Path("unused"), catalog=CATALOG, inbox=Path("unused"))
DAY = date(2026, 3, 2)
STANDARDS = standards_of(CATALOG)


def drafted(path: Path) -> str:
    found = profile(path, STANDARDS, DAY, SETTINGS)
    uri = f"{{inbox}}/town/things/{{day}}/*{path.suffix}"
    return draft(found, {"type": "file", "uri": uri, **source_keys(found)}, STANDARDS)


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
    found = yaml.safe_load(drafted(register(tmp_path, encoding="gb18030", delimiter=";")))
    assert found["source"] == {
        "type": "file",
        "uri": "{inbox}/town/things/{day}/*.csv",
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


@pytest.mark.parametrize("encoding", ["utf-8", "gb18030", "utf-16"])
def test_the_delivery_passes_the_draft(tmp_path: Path, encoding: str) -> None:
    path = register(tmp_path, encoding=encoding)
    contract = tmp_path / "town" / "things.yml"
    contract.parent.mkdir()
    contract.write_text(drafted(path), "utf-8")
    agreed = read_contract(contract, STANDARDS)
    assert list(misfits(agreed, contract)) == []
    found = check(path, agreed, STANDARDS, DAY, SETTINGS)
    assert (found.rows.received, found.rows.accepted) == (240, 240)
    assert found.served
    assert [result.rule.id for result in found.results if result.status == "failed"] == []


def test_no_sensitive_value_stands_in_a_draft(tmp_path: Path) -> None:
    path = tmp_path / "people.csv"
    path.write_text("id,phone\n" + "\n".join(f"{n},1700000{n:04}" for n in range(150)), "utf-8")
    text = drafted(path)
    assert "standard: phone" in text
    assert "1700000" not in text
