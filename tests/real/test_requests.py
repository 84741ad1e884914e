"""Requests to 311 in New York: one source, two generations of columns."""

import json
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from tests.real.deliveries import NEXT, SHARED, Lake, column, table_of

OLD, NEW = "requests_311/2016.csv", "requests_311/2018.csv"


def test_the_drift_of_the_header_is_a_finding_and_stands_in_the_ledger(lake: Lake) -> None:
    old, new = (set(table_of(SHARED / f)[0]) for f in (OLD, NEW))
    gone, added = old - new, new - old
    assert (len(gone), len(added)) == (14, 2)
    assert lake.results("requests.calls")["declared"] == ("passed", len(old), 0)
    assert lake.results("requests.calls", day=NEXT)["declared"] == ("failed", len(old) + 2, 16)
    (row,) = lake.deliveries("requests.calls", "loaded", day=NEXT)
    assert (set(row["missing"]), set(row["undeclared"])) == (gone, added)


def test_what_nobody_declared_is_kept_as_sent(lake: Lake) -> None:
    kept = [json.loads(row["_extra"]) for row in lake.rows("bronze", "requests.calls", "_extra", day=NEXT)]
    assert kept == [
        {"BBL": bbl, "Open Data Channel Type": channel}
        for bbl, channel in zip(column(NEW, "BBL"), column(NEW, "Open Data Channel Type"), strict=True)
    ]


@pytest.mark.parametrize(("name", "sent"), [("created_at", "Created Date"), ("closed_at", "Closed Date")])
def test_twelve_hour_clock_of_new_york_becomes_utc(lake: Lake, name: str, sent: str) -> None:
    found = [row[name] for row in lake.rows("silver", "requests.calls", name, day=NEXT)]
    assert found == [_in_new_york(text) for text in column(NEW, sent)]


def test_closed_before_created_and_unknown_boroughs(lake: Lake) -> None:
    created, closed = (map(_in_new_york, column(NEW, name)) for name in ("Created Date", "Closed Date"))
    early = sum(end is not None and start > end for start, end in zip(created, closed, strict=True))
    assert lake.found("requests.calls", day=NEXT) == {
        "declared": 16,
        "borough.in": column(NEW, "Borough").count("Unspecified"),
        "compare(created_at,closed_at)": early,
        "filled(lat)": column(NEW, "Latitude").count(""),
    }


def _in_new_york(text: str) -> datetime | None:
    if not text:
        return None
    wall = datetime.strptime(text, "%m/%d/%Y %I:%M:%S %p")
    return wall.replace(tzinfo=ZoneInfo("America/New_York"), fold=1).astimezone(UTC)
