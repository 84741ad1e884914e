"""A made-up city's books, for tests of scores and pages; `python -m tests.jobs.made_up FOLDER` shows its pages."""

import random
import sys
import tempfile
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from expectations.catalog import Catalog, Department
from jobs.assess import assess, read_weights
from jobs.books import Books
from jobs.scorecard import write_pages
from lakehouse.contract import Contract
from lakehouse.ops import Ops

DAY = date(2026, 6, 1)
"""A Monday and the first of a month: every frequency but the yearly expects a delivery then, quarters excepted."""


def at(day: date, hour: float) -> datetime:
    """The instant of a wall clock time in Asia/Shanghai on `day`."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(hours=hour - 8)


def contract(department: str, dataset: str, **declared: Any) -> Contract:
    content = {
        "title": dataset,
        "kind": "government",
        "sharing": "unconditional",
        "source": {"type": "file", "uri": "{inbox}/x/{day}/*.csv"},
        "load": "append",
        "arrives": {"every": "day", "by": "05:00", "grace": "1h"},
        "columns": {"id": {"type": "string"}},
    }
    return Contract.model_validate({"department": department, "dataset": dataset, **content, **declared})


def catalog(contracts: Iterable[Contract], departments: Iterable[Department] | None = None) -> Catalog:
    listed = tuple(contracts)
    register = departments or [Department(id=d, zh=d, en=d) for d in sorted({c.department for c in listed})]
    return Catalog(Path("nowhere"), tuple(register), listed, {})


def delivered(
    ops: Ops,
    contract: Contract,
    day: date,
    *,
    event: str = "cleaned",
    rows: int = 100,
    quarantined: int = 0,
    **told: Any,
) -> None:
    """One word of the books about a delivery; `missing` has no delivery id and no counts."""
    cleaned = event == "cleaned"
    counts = {"rows_in": rows, "unparsable": 0} if event in ("loaded", "cleaned") else {}
    counts |= {"accepted": rows - quarantined, "quarantined": quarantined} if cleaned else {}
    row = {
        "at": at(day, 8.5),
        "run_id": "bring",
        "department": contract.department,
        "dataset": contract.dataset,
        "day": day,
        "delivery_id": None if event == "missing" else f"{contract.dataset}{day:%d}",
        "event": event,
        "received_at": None if event == "missing" else at(day, 4),
        **counts,
    }
    ops.note("deliveries", **row | told)


def checked(
    ops: Ops,
    contract: Contract,
    day: date,
    check_id: str,
    passed: int,
    evaluated: int,
    *,
    declared_as: str | None = None,
    **told: Any,
) -> None:
    """One result under the contract's or another fingerprint; dimension and indicator as told, else completeness."""
    row = {
        "at": at(day, 8.6),
        "run_id": "clean",
        "department": contract.department,
        "dataset": contract.dataset,
        "day": day,
        "check_id": check_id,
        "check": check_id.split(".")[-1].split("(")[0],
        "column": check_id.split(".")[0] if "." in check_id else None,
        "dimension": "complete",
        "indicator": "0201",
        "level": "warn",
        "status": "passed" if passed == evaluated else "failed",
        "evaluated": evaluated,
        "passed": passed,
        "contract": declared_as or contract.fingerprint,
    }
    ops.note("results", **row | told)


def failing(ops: Ops, contract: Contract, day: date, check_id: str, **told: Any) -> None:
    """One failing row."""
    row = {
        "at": at(day, 8.6),
        "run_id": "clean",
        "department": contract.department,
        "dataset": contract.dataset,
        "day": day,
        "check_id": check_id,
        "delivery_id": f"{contract.dataset}{day:%d}",
    }
    ops.note("failing_keys", **row | told)


def released(ops: Ops, day: date, *, revision: int = 1, hour: float = 9) -> None:
    ops.note("releases", at=at(day, hour), run_id="release", day=day, revision=revision, tables="{}", departments=1)


# --- a whole city to look at ---

TITLES = {
    "firms": "企业登记",
    "inspections": "监督检查",
    "licences": "经营许可",
    "complaints": "投诉举报",
    "hazmat_gps": "危化品车辆定位",
    "hazmat_vehicles": "危化品车辆",
    "waybills": "电子运单",
    "bus_trips": "公交班次",
    "sites": "重点场所",
    "incidents": "突发事件",
    "stores": "应急物资",
    "air_hourly": "空气质量小时值",
    "water_quality": "水质监测",
    "discharges": "排污口",
    "levels": "水位",
    "pressure": "管网压力",
    "plants": "水厂台账",
    "rainfall": "雨量",
    "rentals": "租赁备案",
    "buildings": "房屋楼栋",
    "permits": "施工许可",
    "clinics": "医疗机构",
    "beds": "床位",
    "addresses": "标准地址",
    "care_homes": "养老机构",
    "marriages": "婚姻登记",
    "muck_trucks": "渣土车定位",
    "cases": "城管案件",
    "street_lights": "路灯",
    "vehicles": "机动车",
    "drivers": "驾驶人",
    "residence_permits": "居住证",
    "alarms": "接处警",
    "tickets": "热线工单",
    "topics": "热线话题",
    "forecast": "天气预报",
    "stations": "气象站",
}
DEPARTMENTS = [
    (
        "market_supervision",
        "市场监督管理局",
        "Market Supervision",
        0.96,
        ("firms", "inspections", "licences", "complaints"),
    ),
    ("transport", "交通运输局", "Transport", 0.9, ("hazmat_gps", "hazmat_vehicles", "waybills", "bus_trips")),
    ("emergency", "应急管理局", "Emergency Management", 0.82, ("sites", "incidents", "stores")),
    ("ecology", "生态环境局", "Ecology and Environment", 0.985, ("air_hourly", "water_quality", "discharges")),
    ("water", "水利局", "Water Resources", 0.75, ("levels", "pressure", "plants", "rainfall")),
    ("housing", "住房和城乡建设局", "Housing and Construction", 0.68, ("rentals", "buildings", "permits")),
    ("health", "卫生健康委员会", "Health", 0.93, ("clinics", "beds")),
    ("civil_affairs", "民政局", "Civil Affairs", 0.55, ("addresses", "care_homes", "marriages")),
    ("urban_management", "城市管理局", "Urban Management", 0.87, ("muck_trucks", "cases", "street_lights")),
    ("public_security", "公安局", "Public Security", 0.78, ("vehicles", "drivers", "residence_permits", "alarms")),
    ("hotline_12345", "12345政务服务热线", "12345 Hotline", 0.91, ("tickets", "topics")),
    ("meteorology", "气象局", "Meteorology", None, ("forecast", "stations")),
]
CHECKS = [
    ("id.required", "complete", "0201"),
    ("at.type", "norm", "0101"),
    ("uscc.standard", "norm", "0101"),
    ("status.in", "norm", "0104"),
    ("phone.pattern", "accurate", "0302"),
    ("key.unique", "accurate", "0304"),
    ("value.between", "accurate", "0301"),
    ("firm.references", "consistent", "0402"),
    ("within_day(at)", "timely", "0501"),
    ("row_count", "complete", "0202"),
]


def whole_city(home: Path, days: int = 7) -> tuple[Ops, Catalog]:
    """Twelve departments of every kind of behaviour over some days, released, with earlier scores."""
    dice = random.Random(7)
    ops = Ops(home)
    register = [Department(id=id_, zh=zh, en=en, contact=f"data@{id_}.example") for id_, zh, en, _, _ in DEPARTMENTS]
    contracts = [
        contract(id_, name, title=f"{TITLES[name]} · {name.replace('_', ' ')}", arrives=_arrives(name))
        for id_, _, _, _, names in DEPARTMENTS
        for name in names
    ]
    city = catalog(contracts, register)
    skill = {id_: s for id_, _, _, s, _ in DEPARTMENTS}
    weights = read_weights(city.path)
    for day in (DAY + timedelta(days=n) for n in range(days)):
        for number, c in enumerate(contracts):
            if c.arrives.expected_on(day):
                _one_delivery(ops, dice, c, number, day, skill[c.department])
        if day == DAY + timedelta(days=days - 1):
            failed = {"at": at(day, 8.6), "run_id": "clean", "step": "clean", "day": day, "status": "failed"}
            ops.note("runs", department="housing", dataset="permits", error="disk is full; free some space", **failed)
        released(ops, day)
        ops.flush("made up")
        for row in assess(Books.read(ops, city, day), city, weights).rows():
            ops.note("scores", at=at(day, 9), run_id="score", **row)
        ops.flush("made up")
    return ops, city


def _arrives(dataset: str) -> dict[str, str]:
    return {"every": "month" if dataset == "plants" else "day", "by": "05:00", "grace": "2h"}


def _one_delivery(ops: Ops, dice: random.Random, c: Contract, number: int, day: date, skill: float | None) -> None:
    if skill is None or (c.dataset == "marriages") or (c.dataset == "permits" and dice.random() < 0.5):
        if skill is not None:
            delivered(
                ops, c, day, event="missing", reason=f"nothing matches inbox/{c.department}/{c.dataset}/{day}/*.csv"
            )
        return
    luck = dice.random()
    if luck > skill + 0.15:
        event = dice.choice(["missing", "unchanged", "refused"])
        reasons = {
            "refused": "line 3: 4 fields, 6 are declared",
            "missing": f"nothing matches inbox/{c.dataset}/{day}/*.csv",
        }
        delivered(ops, c, day, event=event, reason=reasons.get(event))
        return
    rows = dice.randint(200, 200_000) * (40 if c.dataset == "hazmat_gps" else 1)
    lost = int(rows * (1 - skill) * 0.1)
    late = dice.choice([5, 20, 40]) if luck > skill else 0
    delivered(ops, c, day, rows=rows, quarantined=lost, received_at=at(day, 4 + late))
    for place, (check_id, dimension, indicator) in enumerate(CHECKS):
        if (number + place) % 4 == 0:
            continue
        bad = int(rows * min(0.9, (1 - skill) * dice.random() * 2)) if (number + place) % 3 == 1 else 0
        told: dict[str, Any] = {"dimension": dimension, "indicator": indicator}
        if number % 7 == 3 and place == 4:
            told |= {"status": "unknown", "message": "the standard's code list could not be read"}
        checked(ops, c, day, check_id, rows - bad, rows, **told)
        for row in range(min(bad, 3)):
            place_of_row = {"source_file": f"{c.dataset}_{day:%m%d}.csv", "source_row": 17 + 41 * row}
            key = f"91320{dice.randint(100, 999)}********{row}K"
            failing(ops, c, day, check_id, key=key, **place_of_row)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        books, made_up = whole_city(Path(folder))
        write_pages(Path(sys.argv[1]), books, made_up, DAY + timedelta(days=6))
