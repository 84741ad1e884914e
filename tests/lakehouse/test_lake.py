"""Reading a release: versions, SQL, masking, the books, and what is refused."""

import json
import os
import subprocess
import sys
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from lakehouse import Lake
from lakehouse.errors import LakeError, UsageError
from lakehouse.ops import Ops
from lakehouse.privacy import masked
from lakehouse.table import Commit, Table

MONDAY, TUESDAY = date(2026, 3, 2), date(2026, 3, 3)
PLATE = "苏F12345"
CONTRACT = """
title: trucks
kind: sensing
sharing: unconditional
source: {type: file, uri: "{inbox}/x/{day}/*.csv"}
load: append
columns:
  plate: {type: string, class: sensitive}
  born_on: {type: date, class: sensitive}
  speed: {type: integer}
expect: {warn: [{agrees: {on: {speed: speed}}}]}
"""
TRUCKS = pa.schema(
    {"plate": pa.string(), "born_on": pa.date32(), "speed": pa.int64(), "added": pa.string(), "_raw": pa.string(),
     "_warnings": pa.list_(pa.string()), "_loaded_at": pa.timestamp("us", "UTC"), "_day": pa.date32()}
)  # fmt: skip


@pytest.fixture
def lake_home(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A lake with the contract of one silver table, and no release yet."""
    folder = tmp_path / "catalog" / "contracts" / "transport"
    folder.mkdir(parents=True)
    (folder / "trucks.yml").write_text(CONTRACT, "utf-8")
    monkeypatch.setenv("CITYLAKE_CATALOG", str(tmp_path / "catalog"))
    return home


def truck(day: date, **values: Any) -> dict[str, Any]:
    return {"plate": PLATE, "speed": 60, "_loaded_at": datetime(2026, 3, 2, 4, tzinfo=UTC), "_day": day} | values


def write(home: Path, day: date, *rows: dict[str, Any], name: str = "silver/transport__trucks") -> int:
    table = Table(home / name)
    content = pa.Table.from_pylist(list(rows), schema=TRUCKS)
    table.replace_slice(day, TRUCKS, content.to_batches(), Commit("test"))
    version = table.version()
    assert version is not None
    return version


def note(home: Path, book: str, *rows: dict[str, Any]) -> None:
    ops = Ops(home)
    for row in rows:
        ops.note(book, **row)
    ops.flush("test")


def release(home: Path, day: date, revision: int = 1, hour: int = 9, **tables: int) -> None:
    named = {name.replace("_", ".", 1): version for name, version in tables.items()}
    at = datetime(day.year, day.month, day.day, hour, tzinfo=UTC)
    note(
        home,
        "releases",
        {"at": at, "day": day, "revision": revision, "tables": json.dumps(named), "failed": '["water"]'},
    )


def test_before_the_first_release_it_says_what_to_run(lake_home: Path) -> None:
    with pytest.raises(LakeError, match=r"nothing is released yet.*make nightly"):
        Lake.open()


def test_a_release_reads_its_own_versions(lake_home: Path) -> None:
    release(lake_home, MONDAY, silver_transport__trucks=write(lake_home, MONDAY, truck(MONDAY, speed=1)))
    release(lake_home, MONDAY, 2, 10, silver_transport__trucks=write(lake_home, MONDAY, truck(MONDAY, speed=2)))
    release(lake_home, TUESDAY, silver_transport__trucks=write(lake_home, TUESDAY, truck(TUESDAY, speed=3)))
    write(lake_home, TUESDAY, truck(TUESDAY, speed=4))  # not released

    def speeds(lake: Lake) -> list[int]:
        return sorted(lake.table("silver.transport__trucks").to_arrow()["speed"].to_pylist())

    lake = Lake.open(lake_home)
    assert speeds(lake) == [2, 3]
    assert speeds(lake.at("2026-03-02")) == [2]
    assert speeds(lake.at(MONDAY, revision=1)) == [1]
    assert list(lake.releases()["revision"]) == [1, 2, 1]
    assert lake.release.failed == ("water",)
    with pytest.raises(UsageError, match="no release of 2026-03-02 revision 3"):
        lake.at(MONDAY, revision=3)


def test_a_lake_may_lie_in_a_folder_of_any_script(lake_home: Path) -> None:
    home = lake_home / "数据 湖"
    release(home, MONDAY, silver_transport__trucks=write(home, MONDAY, truck(MONDAY)))
    assert Lake.open(home).table("silver.transport__trucks").to_arrow().num_rows == 1


def test_sql_over_a_release(lake_home: Path) -> None:
    rows = truck(MONDAY), truck(MONDAY), truck(TUESDAY, plate=None, speed=None)
    write(lake_home, MONDAY, *rows[:2])
    release(lake_home, TUESDAY, silver_transport__trucks=write(lake_home, TUESDAY, rows[2]))
    lake = Lake.open()
    query = """
        WITH days AS (SELECT _day, count(*) AS n, max(_loaded_at) AS last FROM silver.transport__trucks GROUP BY ALL)
        SELECT * FROM days JOIN (SELECT DISTINCT _day FROM silver.transport__trucks) USING (_day)
        WHERE n >= $least ORDER BY 1;"""
    found = lake.sql(query, least=1).to_arrow().to_pylist()
    instant = datetime(2026, 3, 2, 4, tzinfo=UTC)
    assert [(r["_day"], r["n"], r["last"]) for r in found] == [(MONDAY, 2, instant), (TUESDAY, 1, instant)]
    assert lake.sql(query, least=2).to_pandas().shape == (1, 3)
    assert list(lake.tables()["table"]) == ["silver.transport__trucks"]


def test_a_table_without_rows_or_with_a_younger_column(lake_home: Path) -> None:
    older = pa.schema([f for f in TRUCKS if f.name != "added"])
    old = pa.Table.from_pylist([truck(MONDAY)], schema=older)
    Table(lake_home / "silver" / "transport__trucks").replace_slice(MONDAY, older, old.to_batches(), Commit("test"))
    write(lake_home, TUESDAY)
    release(
        lake_home,
        TUESDAY,
        silver_transport__trucks=write(lake_home, TUESDAY),
        silver_transport__none=write(lake_home, MONDAY, name="silver/transport__none"),
    )
    lake = Lake.open()
    assert lake.table("silver.transport__trucks").to_arrow()["added"].to_pylist() == [None]
    empty = lake.table("silver.transport__none", masked=False).to_arrow()
    assert (empty.num_rows, empty.schema.names) == (0, TRUCKS.names)
    assert "<table" in lake.table("silver.transport__none")._repr_html_()


def test_sensitive_and_undeclared_values_are_masked_unless_asked(lake_home: Path) -> None:
    row = truck(
        MONDAY, born_on=date(1990, 12, 31), added="undeclared", _raw='{"born_on": "32.12.1990"}', _warnings=["x"]
    )
    version = write(lake_home, MONDAY, row)
    unknown = write(lake_home, MONDAY, row, name="quarantine/transport__unknown")
    release(lake_home, MONDAY, silver_transport__trucks=version, quarantine_transport__unknown=unknown)
    lake = Lake.open()
    (shown,) = lake.table("silver.transport__trucks").to_arrow().to_pylist()
    assert (shown["plate"], shown["born_on"], shown["speed"]) == (masked(PLATE), masked("1990-12-31"), 60)
    assert shown["added"] == masked("undeclared")
    assert "1990" not in str(shown["_raw"])
    assert (shown["_warnings"], shown["_day"]) == (["x"], MONDAY)
    (shown,) = lake.sql("SELECT plate, speed, _day FROM quarantine.transport__unknown").to_arrow().to_pylist()
    assert shown == {"plate": masked(PLATE), "speed": masked(60), "_day": MONDAY}
    assert PLATE not in lake.table("silver.transport__trucks")._repr_html_()
    (bare,) = lake.table("silver.transport__trucks", masked=False).to_arrow().to_pylist()
    assert (bare["plate"], bare["born_on"]) == (PLATE, date(1990, 12, 31))


@pytest.mark.parametrize(
    ("declared", "is_masked"),
    [
        ("{type: string, standard: licence_plate}", True),
        ("{type: string, standard: licence_plate, class: internal}", False),
        ("{type: string, standard: nobody_knows}", True),
        ("{type: string, standard: division_code}", False),
        ("{type: string, class: internal}", False),
    ],
)
def test_a_column_has_the_class_of_its_standard(lake_home: Path, declared: str, is_masked: bool) -> None:
    catalog = lake_home.parent / "catalog"
    catalog.joinpath("standards").symlink_to(Path(__file__).parents[2] / "expectations" / "standards")
    contract = CONTRACT.replace("plate: {type: string, class: sensitive}", f"plate: {declared}")
    catalog.joinpath("contracts", "transport", "trucks.yml").write_text(contract, "utf-8")
    release(lake_home, MONDAY, silver_transport__trucks=write(lake_home, MONDAY, truck(MONDAY)))
    (shown,) = Lake.open().table("silver.transport__trucks").to_arrow()["plate"].to_pylist()
    assert shown == (masked(PLATE) if is_masked else PLATE)


@pytest.mark.parametrize("value", [None, "", "a", "ab", "abcde", "abcdef", "苏F12345", "32060219900101123X", "x" * 40])
def test_masks_look_the_same_in_sql_and_in_python(lake_home: Path, value: str | None) -> None:
    release(lake_home, MONDAY, silver_transport__trucks=write(lake_home, MONDAY, truck(MONDAY, plate=value)))
    (shown,) = Lake.open().sql("SELECT plate FROM silver.transport__trucks").to_arrow()["plate"].to_pylist()
    assert shown == (None if value is None else masked(value))


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("SELECT * FROM silver.transport__truck", "no table 'silver.transport__truck'.*'silver.transport__trucks'"),
        ("SELECT * FROM silver.zzz", "lake.tables"),
        ("SELECT nothing FROM silver.transport__trucks", "nothing"),
        ("SELECT * FROM transport__trucks", "layer.table"),
        ("SELEC 1", "not a SELECT"),
        ("DROP VIEW silver.transport__trucks", "not a SELECT"),
        ("COPY silver.transport__trucks TO '{file}'", "not a SELECT"),
        ("ATTACH '{file}'", "not a SELECT"),
        ("SET enable_external_access = true", "not a SELECT"),
        ("SELECT 1; COPY (SELECT 1) TO '{file}'", "not a SELECT"),
        ("SELECT * FROM read_text('{file}')", "Permission"),
        ("SELECT * FROM '{file}'", "Permission|does not exist"),
        ("SELECT * FROM leaked", "does not exist"),
    ],
)
def test_only_selects_over_the_lake_are_answered(lake_home: Path, tmp_path: Path, query: str, said: str) -> None:
    leaked = pa.table({"a": [1]})
    assert leaked.num_rows
    file = tmp_path / "other.csv"
    file.write_text("secret\n1\n")
    release(lake_home, MONDAY, silver_transport__trucks=write(lake_home, MONDAY, truck(MONDAY)))
    with pytest.raises(UsageError, match=said):
        Lake.open().sql(query.format(file=file)).to_arrow()
    assert file.read_text() == "secret\n1\n"


def test_files_that_are_gone_are_told(lake_home: Path) -> None:
    release(lake_home, MONDAY, silver_transport__trucks=write(lake_home, MONDAY, truck(MONDAY)))
    for file in (lake_home / "silver").rglob("*.parquet"):
        file.unlink()
    with pytest.raises(LakeError, match="doctor"):
        Lake.open().table("silver.transport__trucks").to_arrow()


def told(book: str, day: date, hour: int, **values: Any) -> dict[str, Any]:
    where = {"department": "transport", "dataset": "trucks", "day": day, "run_id": book}
    return where | {"at": datetime(day.year, day.month, day.day, hour, tzinfo=UTC)} | values


def test_the_books_of_a_dataset(lake_home: Path) -> None:
    release(lake_home, MONDAY)
    release(lake_home, TUESDAY)
    result = {"check_id": "plate.required", "level": "error", "evaluated": 10}
    note(
        lake_home,
        "results",
        told("results", MONDAY, 8, **result, status="failed", passed=4),
        told("results", MONDAY, 9, **result, status="passed", passed=10),
        told("results", MONDAY, 9, check_id="speed.between", level="warn", evaluated=8, passed=2, status="failed"),
        told("results", TUESDAY, 9, **result, status="failed", passed=9),
    )
    arrival = {"delivery_id": "d1", "rows_in": 10}
    note(
        lake_home,
        "deliveries",
        told("deliveries", MONDAY, 7, event="missing", reason="nothing matches"),
        told("deliveries", MONDAY, 8, event="loaded", name="a.csv", **arrival),
        told("deliveries", MONDAY, 9, event="cleaned", accepted=9, quarantined=1, unparsable=0, **arrival),
        told("deliveries", TUESDAY, 9, event="missing", reason="nothing matches"),
    )
    score = {"revision": 1, "dimension": "overall"}
    note(
        lake_home,
        "scores",
        told("scores", MONDAY, 10, **score, score=50.0),
        told("scores", MONDAY, 11, **score, score=60.0),
        told("scores", MONDAY, 11, **score, score=70.0, department="", dataset=""),
    )
    lake = Lake.open()
    assert [
        tuple(r) for r in lake.at(MONDAY).quality("transport.trucks")[["check_id", "status", "share"]].to_numpy()
    ] == [
        ("speed.between", "failed", 0.25),
        ("plate.required", "passed", 1.0),
    ]
    assert list(lake.quality("transport.trucks")["passed"]) == [9]
    assert lake.quality("transport.nothing").empty
    last, first = lake.deliveries("transport.trucks").to_dict("records")
    assert (last["day"], last["event"], last["reason"]) == (TUESDAY, "missing", "nothing matches")
    assert (first["event"], first["name"], first["accepted"], first["quarantined"]) == ("cleaned", "a.csv", 9, 1)
    assert len(lake.deliveries(day=MONDAY)) == 1
    assert list(lake.at(MONDAY).scorecard("transport")["score"]) == [60.0]
    assert list(lake.at(MONDAY).scorecard()["score"]) == [70.0]
    assert lake.scorecard("transport").empty
    assert lake.sql("SELECT count(*) AS n FROM ops.deliveries").to_arrow()["n"].to_pylist() == [4]


def test_importing_the_library_stays_light() -> None:
    heavy = (
        "import sys, lakehouse; print([m for m in ('duckdb', 'deltalake', 'pyarrow', 'pandas') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", heavy], capture_output=True, text=True, check=True, env=os.environ)
    assert done.stdout.strip() == "[]"
