"""Nothing vanishes, whatever is delivered, and a second run changes nothing."""

import hashlib
from collections import Counter
from datetime import date
from pathlib import Path

import pytest

from tests.real.deliveries import DAY, DEPARTMENTS, DROPS, NEXT, SHARED, Lake, table_of

READABLE = [drop for drop in DROPS if drop[0] != "leftovers.files"]


def records_in(path: Path, dataset: str) -> int:
    """Records counted without Citylake's code; a header is none."""
    if dataset == "taxis.fixes":
        return path.read_bytes().count(b"\n")
    return len(table_of(path)[1])


@pytest.mark.parametrize(("dataset", "day"), READABLE)
def test_every_record_of_every_file_is_accepted_quarantined_or_unparsable(lake: Lake, dataset: str, day: date) -> None:
    sent = {path.name: records_in(path, dataset) for path in SHARED.glob(DROPS[dataset, day])}
    loaded = {row["delivery_id"]: row for row in lake.deliveries(dataset, "loaded", day=day)}
    assert {row["name"]: row["rows_in"] for row in loaded.values()} == {n: count for n, count in sent.items() if count}
    assert {row["name"] for row in lake.deliveries(dataset, "refused", day=day)} == {n for n in sent if not sent[n]}
    stored = {
        layer: Counter(row["_source_file"] for row in lake.rows(layer, dataset, day=day))
        for layer in ("silver", "quarantine")
    }
    cleaned = lake.deliveries(dataset, "cleaned", day=day)
    assert len(cleaned) == len(loaded)
    for row in cleaned:
        name = loaded[row["delivery_id"]]["name"]
        assert row["accepted"] + row["quarantined"] + row["unparsable"] == sent[name]
        assert (row["accepted"], row["quarantined"]) == (stored["silver"][name], stored["quarantine"][name])


def test_hostile_files_are_loaded_or_refused_each_in_one_line(lake: Lake) -> None:
    contents = {hashlib.sha256(path.read_bytes()).hexdigest() for path in SHARED.glob("messy/*")}
    loaded, refused = (lake.deliveries("leftovers.files", event) for event in ("loaded", "refused"))
    assert {row["sha256"] for row in loaded} | {row["sha256"] for row in refused} == contents
    assert len(loaded) + len(refused) == len(contents)
    assert all(row["rows_in"] == row["loaded"] + row["unparsable"] for row in loaded)
    for row in refused:
        assert row["reason"].startswith(f"leftovers.files {row['name']}: ") or row["name"] in row["reason"]
        assert "\n" not in row["reason"]
        assert "; " in row["reason"]
    kept = sum(row["accepted"] + row["quarantined"] for row in lake.deliveries("leftovers.files", "cleaned"))
    assert kept == sum(row["loaded"] for row in loaded) == len(lake.rows("silver", "leftovers.files"))


def test_a_second_run_changes_no_table_and_makes_no_release(lake: Lake) -> None:
    before = lake.versions()
    lake.night(DAY, DEPARTMENTS)
    lake.night(NEXT, ("requests",))
    assert lake.versions() == before
