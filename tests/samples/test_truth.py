"""Recall and precision on rows made up here."""

from datetime import UTC, date, datetime

import pyarrow as pa

from lakehouse.ops import SCHEMAS
from samples.truth import UNPLANTED, Found, compare, differences

DAY, LATER = date(2026, 3, 2), date(2026, 3, 3)
DUE = datetime(2026, 3, 1, 23, 0, tzinfo=UTC)


def truth(*rows: tuple[str, str, str, int], dataset: str = "transport.gps") -> pa.Table:
    names = ("kind", "check_id", "where", "count")
    return pa.Table.from_pylist(
        [{"dataset": dataset, "day": DAY, **dict(zip(names, row, strict=True))} for row in rows]
    )


def arrivals(*datasets: str, path: str = "transport/gps/2026-03-02/gps.csv") -> pa.Table:
    rows = []
    for name in datasets or ("transport.gps",):
        department, dataset = name.split(".")
        rows.append({"department": department, "dataset": dataset, "day": DAY, "path": path, "due_at": DUE})
    return pa.Table.from_pylist(rows)


def book(name: str, *rows: dict[str, object]) -> pa.Table:
    common = {"at": DUE, "run_id": "r1", "department": "transport", "dataset": "gps", "day": DAY}
    return pa.Table.from_pylist([{**common, **row} for row in rows], schema=SCHEMAS[name])


def found(
    *,
    results: list[dict[str, object]],
    keys: list[dict[str, object]],
    deliveries: list[dict[str, object]] | None = None,
) -> Found:
    arrived = [{"event": "loaded", "name": "gps.csv", "received_at": DUE}] if deliveries is None else deliveries
    return Found(book("results", *results), book("failing_keys", *keys), book("deliveries", *arrived))


def of(table: pa.Table, kind: str) -> dict[str, object]:
    return next(row for row in table.to_pylist() if row["kind"] == kind)


AXES = {"check_id": "axes", "status": "failed"}
HIT = {"check_id": "axes", "source_file": "landing/gps.csv", "source_row": 5}


def test_a_row_that_was_found_and_one_that_was_missed() -> None:
    planted = truth(("swapped_axes", "axes", "gps.csv#5", 1), ("swapped_axes", "axes", "gps.csv#9", 1))
    row = of(compare(planted, arrivals(), found(results=[AXES], keys=[HIT])), "swapped_axes")
    assert (row["planted"], row["found"], row["recall"]) == (2, 1, 0.5)
    assert (row["reported"], row["explained"], row["precision"]) == (1, 1, 1.0)


def test_a_row_reported_without_cause_costs_precision() -> None:
    planted = truth(("swapped_axes", "axes", "gps.csv#5", 1))
    books = found(results=[AXES], keys=[HIT, {**HIT, "source_row": 6}])
    assert of(compare(planted, arrivals(), books), "swapped_axes")["precision"] == 0.5
    (difference,) = differences(planted, arrivals(), books).to_pylist()
    assert (difference["what"], difference["place"]) == ("unexplained", "gps.csv#6")


def test_another_check_on_a_planted_row_is_explained_by_it() -> None:
    planted = truth(("swapped_axes", "axes", "gps.csv#5", 1))
    keys = [HIT, {**HIT, "check_id": "lon.between"}]
    books = found(results=[AXES, {"check_id": "lon.between", "status": "failed"}], keys=keys)
    other = of(compare(planted, arrivals(), books), UNPLANTED)
    assert (other["reported"], other["explained"]) == (1, 1)


def test_a_finding_nobody_planted_stands_by_itself() -> None:
    planted = truth(("swapped_axes", "axes", "gps.csv#5", 1))
    books = found(results=[AXES, {"check_id": "volume", "status": "failed"}], keys=[HIT])
    assert of(compare(planted, arrivals(), books), UNPLANTED)["precision"] == 0.0


def test_a_whole_slice_may_fail_and_explains_all_its_rows() -> None:
    planted = truth(("copied_forward", "within_day(at)", "", 1))
    failed = {"check_id": "within_day(at)", "status": "failed"}
    named = found(results=[failed], keys=[{**HIT, "check_id": "within_day(at)"}])
    by_row = of(compare(planted, arrivals(), named), "copied_forward")
    assert (by_row["recall"], by_row["precision"]) == (1.0, 1.0)
    unnamed = of(compare(planted, arrivals(), found(results=[failed], keys=[])), "copied_forward")
    assert (unnamed["recall"], unnamed["precision"]) == (1.0, 1.0)


def test_only_the_newest_run_of_a_check_counts() -> None:
    planted = truth(("swapped_axes", "axes", "gps.csv#5", 1))
    again = {"check_id": "axes", "status": "passed", "run_id": "r2"}
    row = of(compare(planted, arrivals(), found(results=[AXES, again], keys=[HIT])), "swapped_axes")
    assert (row["found"], row["reported"], row["precision"]) == (0, 0, None)


def test_rows_of_a_server_are_known_by_their_number() -> None:
    planted = truth(("typo", "level.in", "#3", 1))
    keys = [{"check_id": "level.in", "source_file": "00000002.json", "source_row": 3}]
    books = found(results=[{"check_id": "level.in", "status": "failed"}], keys=keys)
    assert of(compare(planted, arrivals(path=""), books), "typo")["recall"] == 1.0


def test_arrivals_are_judged_by_the_books_of_deliveries() -> None:
    late = [{"event": "loaded", "name": "gps.csv", "received_at": datetime(2026, 3, 2, 0, 10, tzinfo=UTC)}]
    missing = [{"event": "missing"}]
    same = [{"event": event, "name": "gps.csv", "received_at": DUE} for event in ("loaded", "unchanged")]
    refused = [{"event": "refused", "name": "gps.csv", "received_at": DUE}]
    for kind, told in (("late", late), ("missing", missing), ("touched", same), ("empty_file", refused)):
        books = found(results=[], keys=[], deliveries=told)
        table = compare(truth((kind, "arrival", "gps.csv", 1)), arrivals(), books)
        assert of(table, kind)["recall"] == 1.0, kind
        nothing = compare(truth(("typo", "x.in", "gps.csv#1", 1)), arrivals(), books)
        assert of(nothing, UNPLANTED)["reported"] == 1, kind


def test_a_delivery_in_time_is_no_finding() -> None:
    table = compare(truth(("late", "arrival", "gps.csv", 1)), arrivals(), found(results=[], keys=[]))
    assert (of(table, "late")["found"], of(table, "late")["reported"]) == (0, 0)


def test_unparsable_records_are_counted() -> None:
    planted = truth(("broken_bytes", "unparsable", "gps.csv", 4))
    for count, recall in ((4, 1.0), (5, 0.0)):
        told = [{"event": "loaded", "name": "gps.csv", "received_at": DUE, "unparsable": count}]
        table = compare(planted, arrivals(), found(results=[], keys=[], deliveries=told))
        assert of(table, "broken_bytes")["recall"] == recall


def test_days_that_were_not_run_are_not_asked_for() -> None:
    planted = truth(("typo", "x.in", "gps.csv#1", 1)).set_column(1, "day", pa.array([LATER], pa.date32()))
    table = compare(planted, arrivals(), found(results=[], keys=[]))
    assert [row["kind"] for row in table.to_pylist()] == [UNPLANTED]
    assert differences(planted, arrivals(), found(results=[], keys=[])).num_rows == 0
