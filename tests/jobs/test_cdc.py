"""Deliveries of changes: silver is the state after all of them, in whatever order and how often they come."""

from datetime import timedelta
from typing import Any

from tests.jobs.small_city import DAY, City, text_of

CHANGES: dict[str, Any] = {"load": "cdc", "key": ["id"], "order": "no"}
COLUMNS: dict[str, Any] = {
    "id": {"type": "string"},
    "no": {"type": "integer"},
    "name": {"type": "string", "required": True},
    "size": {"type": "integer", "between": [0, 9]},
}
HEADER = ["id", "no", "name", "size", "_op"]
NEXT = DAY + timedelta(days=1)


def test_a_delete_removes_the_row_and_stays_known(city: City) -> None:
    city.declare("things", COLUMNS, **CHANGES)
    city.deliver("things", text_of(HEADER, [["a", 1, "one", 1, "I"], ["b", 2, "two", 2, "I"], ["a", 4, "", "", "D"]]))
    city.night()
    assert present(city) == {"b": ("two", 2)}
    city.deliver(
        "things", text_of(HEADER, [["a", 3, "late", 1, "U"], ["c", 9, "", "x", "d"], ["c", 8, "c", 1, "c"]]), day=NEXT
    )
    city.night(NEXT)
    assert present(city) == {"b": ("two", 2)}


def present(city: City) -> dict[str, tuple[Any, ...]]:
    """Name and size of the rows that readers see, by id."""
    rows = city.silver("things", day=None)
    return {row["id"]: (row["name"], row["size"]) for row in rows if row["_op"] != "D"}
