"""Telemetry with blanks in the header and years of two digits."""

from collections import Counter

from tests.real.deliveries import SHARED, Lake, column, in_china, table_of


def test_blanks_in_the_header_name_no_other_column(lake: Lake) -> None:
    header, _ = table_of(SHARED / "water/batadal_dataset04.csv")
    assert sum(name != name.strip() for name in header) == 43
    assert lake.results("water.telemetry")["declared"] == ("passed", len(header), 0)
    assert lake.found("water.telemetry") == {}


def test_years_of_two_digits_are_of_this_century(lake: Lake) -> None:
    found = [row["recorded_at"] for row in lake.rows("silver", "water.telemetry", "recorded_at")]
    assert found == [in_china(text, "%d/%m/%y %H") for text in column("water/batadal_dataset04.csv", "DATETIME")]


def test_attacks_are_marked(lake: Lake) -> None:
    marked = Counter(row["is_attack"] for row in lake.rows("silver", "water.telemetry", "is_attack"))
    assert marked == {True: 219, False: 3958}
