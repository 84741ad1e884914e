"""`citylake history`, `diff`, `restore` and `maintain`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jobs.cli import call
from lakehouse.table import Table

HEADER = "id,name,phone,length_m\n"
DAYS = ("2026-03-01", "2026-03-02", "2026-03-03")
Told = Callable[..., Any]


@pytest.fixture
def lake(catalog: Path, home: Path, deliver: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> Table:
    """Three days of bridges; b2 is longer on the third, b1 is gone, b3 new."""
    for number, day in enumerate(DAYS, start=1):
        rows = "b1,One,13800000001,10\n" * (number < 3) + f"b2,Two,13800000002,{20 + number // 3}\n"
        deliver("works/bridges", day, HEADER + rows + "b3,Three,13800000003,30\n" * (number == 3))
        monkeypatch.setenv("CITYLAKE_NOW", f"{day}T08:00:00+08:00")
        assert call(["backfill", "--from", day, "--to", day]) == 0
    return Table(home / "silver" / "works__bridges")


def test_history_says_who_wrote_what_when(lake: Table, told: Told, capsys: pytest.CaptureFixture[str]) -> None:
    found = told("history", "silver.works__bridges")
    assert [(v["version"], v["step"], v["rows"]) for v in found] == [(2, "clean", 6), (1, "clean", 4), (0, "clean", 2)]
    assert all(v["run_id"] and v["at"] and v["operation"] for v in found)
    assert call(["history", "silver.works.bridges", "--limit", "1"]) == 0  # as datasets are written
    assert capsys.readouterr().out.splitlines()[1].split()[0] == "2"


def test_diff_counts_by_key_and_masks(
    lake: Table, told: Told, catalog: Path, deliver: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    gps = deliver("parks/trees", DAYS[0], "id\nx\nx\ny\n")
    assert call(["backfill", "--from", DAYS[0], "--to", DAYS[0]]) == 0
    gps.with_name("more.csv").write_text("id\nx\n")
    assert call(["backfill", "--from", DAYS[0], "--to", DAYS[0]]) == 0
    by_row = told("diff", "silver.parks__trees@0", "silver.parks__trees@1")
    assert (by_row["key"], by_row["added"], by_row["removed"], by_row["same"]) == ([], 1, 0, 3)
    assert call(["restore", "silver.works__bridges", "--to", "0", "--yes"]) == 0
    lake.open().delete("id = 'b1'")
    lake.open().update({"length_m": "25.0", "phone": "'13900000002'"}, predicate="id = 'b2'")
    by_key = told("diff", "silver.works__bridges@0", f"silver.works__bridges@{lake.version()}")
    assert (by_key["key"], by_key["added"], by_key["removed"], by_key["changed"]) == (["id", "_day"], 0, 1, 1)
    days = told("diff", "silver.works__bridges@0", "silver.works__bridges@2")
    assert (days["added"], days["removed"], days["changed"], days["same"]) == (4, 0, 0, 2)
    (removed, changed) = by_key["examples"]
    assert removed["kind"] == "removed" and removed["row"]["name"] == "One"
    assert changed["row"]["length_m"] == "20.0 -> 25.0" and changed["row"]["phone"] == "13*******02 -> 13*******02"
    capsys.readouterr()
    assert call(["diff", "silver.works__bridges@0", f"silver.works__bridges@{lake.version()}"]) == 0
    shown = capsys.readouterr().out
    assert "0 rows added, 1 removed, 1 changed, 0 as before" in shown and "13800000001" not in shown


def test_wrong_usage_changes_nothing(lake: Table, capsys: pytest.CaptureFixture[str]) -> None:
    for args in (
        ["history", "silver.works__bridge"],
        ["diff", "silver.works__bridges", "silver.works__bridges@1"],
        ["diff", "silver.works__bridges@0", "bronze.works__bridges@1"],
        ["diff", "silver.works__bridges@0", "silver.works__bridges@99"],
        ["restore", "silver.works__bridges", "--to", "99", "--yes"],
        ["restore", "silver.works__bridges", "--to", "2026-03-09", "--yes"],
        ["restore", "silver.works__bridges", "--to", "yesterday", "--yes"],
        ["restore", "silver.works__bridges", "--to", "0"],  # nobody is there to be asked
        ["restore", "ops.runs", "--to", "0", "--yes"],
        ["restore", "../lake", "--to", "0", "--yes"],
    ):
        capsys.readouterr()
        assert call(args) == 2, args
        assert capsys.readouterr().err.count("\n") == 1, args
        assert lake.version() == 2, args


def test_restore_to_a_release_and_what_to_do_next(lake: Table, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(map(str, lake.read().to_pylist()))
    assert call(["restore", "silver.works__bridges", "--to", DAYS[0], "--yes"]) == 0
    assert "next       citylake backfill --from 2026-03-02 --to 2026-03-03" in capsys.readouterr().out
    assert lake.read().num_rows == 2
    assert call(["backfill", "--from", DAYS[1], "--to", DAYS[2]]) == 0
    assert sorted(map(str, lake.read().to_pylist())) == before


def test_restore_without_a_version_mends_what_is_damaged(lake: Table, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["restore", "silver.works__bridges"]) == 0
    assert "is whole: nothing to mend" in capsys.readouterr().out
    Path(lake.files()[0]).unlink()
    assert call(["restore", "silver.works__bridges", "--yes"]) == 0
    assert "next       citylake backfill --from 2026-03-01 --to 2026-03-03" in capsys.readouterr().out


def test_maintain_may_run_at_any_time(lake: Table, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        assert call(["maintain"]) == 0
    assert "The lake is kept" in capsys.readouterr().out
