"""One city's places in eleven files that overlap."""

from tests.real.deliveries import SHARED, Lake, repeats, table_of


def test_duplicates_across_files_and_several_types_in_a_cell(lake: Lake) -> None:
    records = [record for path in (SHARED / "poi_shanghai").glob("*.csv") for record in table_of(path)[1]]
    assert lake.found("places.shanghai") == {
        "duplicate_rows": repeats([(*record[:5], *map(float, record[5:])) for record in records]),
        "types.pattern": sum("|" in record[4] for record in records),
    }
