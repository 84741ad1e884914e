"""A day's drop of 157 files without a header, five of them empty."""

import csv
from collections import Counter

import pytest

from tests.real.deliveries import SHARED, Lake, repeats


@pytest.fixture(scope="module")
def sent() -> list[tuple[str, str, float, float]]:
    lines = [line for path in sorted((SHARED / "gps_tdrive").iterdir()) for line in path.open(encoding="ascii")]
    return [(taxi, at, float(lon), float(lat)) for taxi, at, lon, lat in csv.reader(lines)]


def test_empty_files_are_refused_by_name_and_the_others_go_on(lake: Lake) -> None:
    empty = {path.name for path in (SHARED / "gps_tdrive").iterdir() if not path.stat().st_size}
    reasons = {row["name"]: row["reason"] for row in lake.deliveries("taxis.fixes", "refused")}
    assert reasons == {name: f"taxis.fixes {name}: empty file; ask the department to deliver again" for name in empty}
    assert len(empty) == 5
    assert len(lake.deliveries("taxis.fixes", "cleaned")) == 152


def test_impossible_places_and_repeated_rows(lake: Lake, sent: list[tuple[str, str, float, float]]) -> None:
    assert lake.found("taxis.fixes") == {
        "not_null_island": sum(abs(lon) < 0.001 and abs(lat) < 0.001 for _, _, lon, lat in sent),
        "lon.between": sum(not 73 <= lon <= 136 for _, _, lon, _ in sent),
        "lat.between": sum(not 3 <= lat <= 54 for _, _, _, lat in sent),
        "inside": sum(not (115.4 <= lon <= 117.6 and 39.4 <= lat <= 41.1) for _, _, lon, lat in sent),
        "duplicate_rows": repeats(sent),
        "key.unique": repeats([fix[:2] for fix in sent]),
    }


def test_the_first_of_repeated_rows_is_served(lake: Lake, sent: list[tuple[str, str, float, float]]) -> None:
    served = lake.rows("silver", "taxis.fixes", "taxi")
    assert Counter(row["taxi"] for row in served) == Counter(taxi for taxi, _ in {fix[:2] for fix in sent})
