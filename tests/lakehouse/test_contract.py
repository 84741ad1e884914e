"""The typed record of a contract: what it refuses, and what it says then."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from lakehouse.contract import Arrival, Column, Contract, Expectation
from lakehouse.declared import duration

CONTENT: dict[str, Any] = {
    "department": "town",
    "dataset": "things",
    "title": "things",
    "kind": "government",
    "sharing": "unconditional",
    "source": {"type": "file", "uri": "{inbox}/*.csv"},
    "load": "append",
    "columns": {"id": {"type": "string"}, "n": {"type": "integer"}, "at": {"type": "timestamp"}},
}
TABLE: dict[str, Any] = {"type": "odbc", "connection": "town", "table": "A.B"}
CHANGES: dict[str, Any] = {"load": "cdc", "key": ["id"], "order": "at"}


def contract(**declared: Any) -> Contract:
    return Contract.model_validate(CONTENT | declared)


@pytest.mark.parametrize(
    ("declared", "said"),
    [
        ({"dataset": "Things"}, "string should match pattern"),
        ({"dataset": "a" * 64}, "string should match pattern"),
        ({"columns": {}}, "at least 1 item"),
        ({"columns": {"1st": {"type": "string"}}}, "string should match pattern"),
        ({"columns": {"id": {"type": "text"}}}, "input should be 'string', 'integer'"),
        ({"load": "changes"}, "input should be 'snapshot', 'append', 'upsert' or 'cdc'"),
        ({"key": ["nobody"]}, "key: no column 'nobody'"),
        ({"point": {"x": "lon", "y": "lat"}}, "point: no column 'lon'; point: no column 'lat'"),
        ({"sharing": "conditional"}, "basis: sharing 'conditional' needs the rule it rests on"),
        ({"load": "upsert"}, "load: upsert needs 'key' and 'order'"),
        ({"load": "upsert", "key": ["id"]}, "load: upsert needs 'key' and 'order'"),
        ({"load": "cdc", "key": ["id"]}, "load: cdc needs 'key' and 'order'"),
        ({"order": "at"}, "order: only load 'upsert' and 'cdc' compare versions"),
        ({"cdc": {}}, "cdc: only load 'cdc' has operations"),
        (CHANGES | {"cdc": {"op": "n"}}, "cdc.op: 'n' is also a column"),
        (CHANGES | {"cdc": {"op": "x"}, "ignore": ["x"]}, "ignore: 'x' is also a column"),
        (CHANGES | {"cdc": {"insert": ["D"]}}, "'d' stands for two operations"),
        (CHANGES | {"columns": CONTENT["columns"] | {"at": {"type": "timestamp", "level": "warn"}}}, "columns.at.level"),
        ({"source": TABLE | {"changes": True}}, "source.changes: needs load 'cdc' and as 'order' a timestamp column"),
        (CHANGES | {"source": TABLE | {"changes": True}}, "source.changes: needs load 'cdc' and as 'order'"),
        ({"source": TABLE | {"since": {"column": "at"}}, "load": "snapshot"}, "source.since: a snapshot holds everything"),
        ({"source": TABLE | {"since": {"column": "at"}, "day_column": "d"}}, "day_column and since: only one of them"),
        ({"source": TABLE | {"table": "a..b"}}, "table: a name is empty"),
        ({"source": TABLE | {"since": {"column": "at", "overlap": -1}}}, "greater than or equal to 0"),
        ({"describes": {"ship": {"name": "id"}}}, "describes: no role 'ship' (known: firm, fix, person, place, vehicle)"),
        ({"describes": {"firm": {"colour": "id"}}}, "describes.firm: no slot 'colour'"),
        ({"describes": {"firm": {"name": "nobody"}}}, "describes.firm: no column 'nobody'"),
        ({"describes": {"place": {"point": "point"}}}, "describes.place: the contract declares no point"),
        ({"columns": {"a": {"type": "string"}, "b": {"type": "string", "from": "a"}}}, "columns: 'a' is sent to two columns"),
        ({"index": "key"}, "index: 'key' needs 'key'"),
        ({"index": "space"}, "index: 'space' needs 'point'"),
        ({"index": "space_time"}, "index: 'space_time' needs 'point'; index: 'space_time' needs a timestamp as 'describes.fix.at'"),
        ({"index": "track"}, "index: 'track' needs 'describes.fix.vehicle'"),
        (CHANGES | {"index": "key"}, "index: silver of load 'cdc' lies as its rows were merged"),
        ({"ignore": ["id"]}, "ignore: 'id' is also a column"),
        ({"source": {"type": "ftp", "uri": "x"}}, "does not match any of the expected tags"),
        ({"source": {"type": "file", "uri": "x", "delimiter": ";" * 9}}, "at most 8 characters"),
        ({"arrives": {"grace": "2 hours"}}, "'2 hours' is not a duration"),
        ({"limits": {"rows": 0}}, "greater than 0"),
        ({"colour": "red"}, "extra inputs are not permitted"),
    ],
)  # fmt: skip
def test_what_does_not_hang_together_is_refused(declared: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError) as refused:
        contract(**declared)
    assert said.lower() in str(refused.value).lower()


@pytest.mark.parametrize(
    ("column", "said"),
    [
        ({"type": "integer", "format": "yyyy"}, "'format' is for date and timestamp columns"),
        ({"type": "date", "zone": "UTC"}, "'zone' is for timestamp columns"),
        ({"type": "string", "between": [1, 2]}, "'between' is for numbers, dates and timestamps"),
        ({"type": "boolean", "between": [0, 1]}, "'between' is for numbers"),
        ({"type": "integer", "between": [2, 1]}, "isn't [lowest, highest]"),
        ({"type": "integer", "between": ["a", "b"]}, "'a' is not a number"),
        ({"type": "date", "between": ["2026-13-01", "2026-12-31"]}, "month must be in 1..12"),
        ({"type": "date", "between": ["2026-12-31", "2026-01-01"]}, "isn't [lowest, highest]"),
        ({"type": "timestamp", "between": ["2026-01-01 10:00", "2026-01-01 09:00"]}, "isn't [lowest, highest]"),
        ({"type": "integer", "length": [1, 2]}, "'length' is for strings"),
        ({"type": "string", "length": [2, 1]}, "isn't [least, most]"),
        ({"type": "string", "length": [-1, 1]}, "isn't [least, most]"),
        ({"type": "integer", "pattern": "x"}, "'pattern' is for strings"),
        ({"type": "double", "in": ["1"]}, "'in' is for strings and integers"),
        ({"type": "integer", "standard": "uscc"}, "'standard' is for strings"),
        ({"type": "string", "pattern": "("}, "is not a regular expression"),
        ({"type": "date", "format": "yyyy-mmm"}, "'mmm' in format 'yyyy-mmm' isn't known"),
        ({"type": "date", "format": "YYYY-MM-DD"}, "'YYYY' in format"),
        ({"type": "date", "format": "HH:mm"}, "format 'HH:mm' has no year"),
        ({"type": "date", "format": "iso | "}, "has no year"),
        ({"type": "string", "references": "firms.uscc"}, "string should match pattern"),
        ({"type": "string", "class": "secret"}, "input should be 'public', 'internal' or 'sensitive'"),
        ({"type": "string", "requierd": True}, "extra inputs are not permitted"),
    ],
)  # fmt: skip
def test_what_a_column_cannot_ask_for_is_refused(column: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Column.model_validate(column)
    assert said.lower() in str(refused.value).lower()


def test_rules_that_hang_together_are_told_all_at_once() -> None:
    with pytest.raises(ValidationError) as refused:
        contract(key=["nobody"], load="upsert", sharing="withheld")
    assert str(refused.value).count(";") >= 2


@pytest.mark.parametrize(
    ("text", "expected"),
    [("90m", timedelta(minutes=90)), ("2h", timedelta(hours=2)), ("0d", timedelta(0)), ("1w", timedelta(weeks=1))],
)
def test_durations(text: str, expected: timedelta) -> None:
    assert duration(text) == expected


@pytest.mark.parametrize("text", ["", "2", "h", "-1h", "1.5h", "1h30m", "1y", None])
def test_what_is_no_duration(text: object) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        duration(text)


def test_items_are_a_word_or_a_word_with_arguments() -> None:
    assert Expectation.model_validate("volume") == Expectation(check="volume")
    assert Expectation.model_validate({"row_count": {"min": 1}}) == Expectation(check="row_count", args={"min": 1})
    assert Expectation.model_validate({"volume": None}).args == {}
    for wrong in ({"row_count": 5}, {"row_count": {"min": 1}, "volume": {}}, 5):
        with pytest.raises(ValidationError):
            Expectation.model_validate(wrong)


def test_arrivals() -> None:
    monday, first = date(2026, 3, 2), date(2026, 4, 1)
    assert Arrival().expected_on(monday)
    assert Arrival(every="week", weekday=1).expected_on(monday)
    assert not Arrival(every="week", weekday=2).expected_on(monday)
    assert [Arrival(every=e).expected_on(first) for e in ("month", "quarter", "year")] == [True, True, False]
    assert not Arrival(every="month").expected_on(monday)
    arrives = Arrival.model_validate({"by": 630, "grace": "90m"})  # 10:30, as YAML 1.1 reads it without quotes
    assert arrives.due(monday).astimezone(UTC) == datetime(2026, 3, 2, 4, tzinfo=UTC)


def test_the_fingerprint_changes_with_anything_declared_and_only_then() -> None:
    assert contract().fingerprint == contract().fingerprint
    columns = CONTENT["columns"]
    changes = [
        {"title": "other"},
        {"columns": columns | {"n": {"type": "integer", "required": True}}},
        {"columns": columns | {"m": {"type": "string"}}},
        {"expect": {"warn": ["volume"]}},
        {"expect": {"fail": ["volume"]}},
    ]
    assert len({contract(**change).fingerprint for change in [{}, *changes]}) == len(changes) + 1


def test_rejects_follows_key_required_and_level() -> None:
    columns = {
        "id": {"type": "string"},
        "must": {"type": "string", "required": True},
        "mild": {"type": "string", "required": True, "level": "warn"},
        "hard": {"type": "string", "level": "error"},
        "free": {"type": "string"},
    }
    declared = contract(columns=columns, key=["id"])
    assert {name for name in columns if declared.rejects(name)} == {"id", "must", "hard"}


@pytest.mark.parametrize(
    ("sent", "before"),
    [
        ("after.id", "before.id"),
        ("payload.after.id", "payload.before.id"),
        ("after", None),
        ("before.id", None),
        ("id", None),
    ],
)
def test_of_a_delete_the_key_is_read_from_the_image_before(sent: str, before: str | None) -> None:
    columns = {"id": {"type": "string", "from": sent}, "at": {"type": "integer", "from": "after.at"}}
    changes = contract(columns=columns, cdc={"op": "op"}, **{k: v for k, v in CHANGES.items() if k != "cdc"})
    assert (changes.sent_before("id"), changes.sent_before("at")) == (before, None)
    assert changes.sent_names == [sent, "after.at", *([before] if before else []), "op"]
    assert contract(columns=columns).sent_before("id") is None


@pytest.mark.parametrize(
    ("declared", "by"),
    [
        ({}, None),
        ({"describes": {}}, None),
        ({"describes": {"place": {"point": "point"}}}, "space"),
        ({"describes": {"fix": {"at": "at", "point": "point"}}}, "space_time"),
        ({"describes": {"fix": {"vehicle": "id", "at": "at", "point": "point"}}}, "track"),
        ({"describes": {"fix": {"vehicle": "id", "at": "id", "point": "point"}}}, None),
        ({"describes": {"fix": {"vehicle": "id", "at": "at", "point": "point"}}, "index": "space_time"}, "space_time"),
        ({"describes": {"place": {"point": "point"}}, "load": "upsert", "key": ["id"], "order": "at"}, None),
        ({"key": ["id"], "index": "key"}, "key"),
    ],
)
def test_what_a_dataset_describes_says_by_what_it_lies(declared: dict[str, Any], by: str | None) -> None:
    columns = {"id": {"type": "string"}, "at": {"type": "timestamp"}, "x": {"type": "double"}, "y": {"type": "double"}}
    assert contract(columns=columns, point={"x": "x", "y": "y"}, **declared).order_by == by
