"""Nothing vanishes, whatever is delivered, and a second run changes nothing."""

from collections import Counter
from datetime import date
from pathlib import Path

import pytest

from tests.real.deliveries import DAY, DEPARTMENTS, DROPS, NEXT, SHARED, Lake, table_of


def records_in(path: Path, dataset: str) -> int:
    """Records counted without Citylake's code; a header is none."""
    if dataset == "taxis.fixes":
        return path.read_bytes().count(b"\n")
    return len(table_of(path)[1])


@pytest.mark.parametrize(("dataset", "day"), DROPS)
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


def test_a_second_run_changes_no_table_and_makes_no_release(lake: Lake) -> None:
    before = lake.versions()
    lake.night(DAY, DEPARTMENTS)
    lake.night(NEXT, ("requests",))
    assert lake.versions() == before
