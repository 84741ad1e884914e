"""What came, what did not, and what has come before: landing, bronze and the books about them."""

import json
from datetime import date, timedelta

import pytest

from expectations.arrivals import newest
from jobs.department import DatasetsFailed
from tests.jobs.small_city import DAY, TOWN, City

NEXT = DAY + timedelta(days=1)
COLUMNS = {"id": {"type": "string"}, "n": {"type": "integer"}}


@pytest.fixture
def town(city: City) -> City:
    city.declare("things", COLUMNS)
    return city


def events(city: City, dataset: str = "things", day: date = DAY) -> list[str]:
    return [row["event"] for row in city.book("deliveries", dataset, day=day)]


def bring(city: City, day: date = DAY) -> None:
    city.step("bring", day, TOWN)


def test_bronze_has_the_text_as_sent(town: City) -> None:
    town.deliver("things", "n,id,colour\n 01 ,a,red\nx,,\n")
    bring(town)
    rows = town.rows("bronze", "things")
    assert [(r["id"], r["n"], r["_extra"], r["_source_file"], r["_source_row"], r["_day"]) for r in rows] == [
        ("a", " 01 ", '{"colour": "red"}', "part.csv", 2, DAY),
        (rows[1]["id"], "x", rows[1]["_extra"], "part.csv", 3, DAY),
    ]
    assert rows[1]["id"] in (None, "")
    assert {r["_loaded_at"] for r in rows} == {town.now}
    (loaded,) = town.book("deliveries", "things")
    assert (loaded["rows_in"], loaded["loaded"], loaded["unparsable"]) == (2, 2, 0)
    assert (loaded["undeclared"], loaded["missing"]) == (["colour"], [])


def test_fields_nobody_declared_are_kept_as_json_whatever_they_hold(town: City) -> None:
    town.deliver("things", 'id,"a ""b"" \\",c\n1,"x ""y"" \\","tab\t南"\n2,,"two\nlines"\n')
    bring(town)
    kept = [json.loads(extra) for extra in town.rows("bronze", "things", ["_extra"])]
    assert kept[0] == {'a "b" \\': 'x "y" \\', "c": "tab\t南"}
    assert kept[1]["c"] == "two\nlines"


def test_nothing_delivered_is_missing_not_failed(town: City) -> None:
    bring(town)
    (row,) = town.book("deliveries", "things")
    assert (row["event"], row["delivery_id"]) == ("missing", None)
    assert "nothing delivered for 2026-03-02" in row["reason"]
    assert town.last_run("bring", "things")["status"] == "unchanged"
    bring(town)
    assert events(town) == ["missing"]
    town.step("clean", DAY, TOWN)
    assert town.last_run("clean", "things")["status"] == "unchanged"


def test_a_delivery_loads_once_however_often_it_is_looked_for(town: City) -> None:
    town.deliver("things", "id,n\na,1\n")
    for _ in range(3):
        bring(town)
    assert events(town) == ["loaded"]
    assert town.table("bronze", "things").version() == 0


def told(city: City, *, day: date = DAY) -> list[tuple[str, str]]:
    return [(row["event"], row["name"]) for row in city.book("deliveries", "things", day=day) if row["name"]]


def test_the_same_bytes_under_another_name_load_once_and_are_named(town: City) -> None:
    town.deliver("things", "id,n\na,1\n", name="1.csv")
    town.deliver("things", "id,n\na,1\n", name="2.csv")
    for _ in range(3):
        town.night()
    assert town.rows("bronze", "things", ["id"]) == town.silver("things", "id") == ["a"]
    assert told(town) == [("loaded", "1.csv"), ("duplicate_of", "2.csv")]
    (_, duplicate, _) = town.book("deliveries", "things")
    assert duplicate["reason"] == "the same bytes as '1.csv'"


def test_the_last_content_sent_under_a_name_counts(town: City) -> None:
    one, other = "id,n\na,1\nb,x\n", "id,n\na,2\nb,2\nc\n"
    seen = []
    for text in (one, one, other, one, one, other):
        town.deliver("things", text)
        town.night()
        town.night()
        seen.append(town.silver("things", "n"))
    assert seen == [[1, None], [1, None], [2, 2], [1, None], [1, None], [2, 2]]
    events = ["loaded", "loaded", "superseded", "restored", "superseded", "restored", "superseded"]
    assert [event for event, _ in told(town)] == events
    assert len(town.rows("bronze", "things", ["id"])) == 4
    (day,) = newest(town.book("deliveries")).values()
    counting = [delivery for delivery in day[DAY] if delivery.loaded]
    assert [(d.rows_in, d.accepted, d.quarantined, d.unparsable) for d in counting] == [(3, 2, 0, 1)]
    assert counting[0].reconciled


def test_content_that_lies_under_another_name_still_counts(town: City) -> None:
    town.deliver("things", "id,n\na,1\n", name="1.csv")
    town.deliver("things", "id,n\na,1\n", name="2.csv")
    town.night()
    town.deliver("things", "id,n\nb,1\n", name="1.csv")
    town.night()
    assert sorted(town.silver("things", "id")) == ["a", "b"]
    town.deliver("things", "id,n\nc,1\n", name="2.csv")
    for _ in range(2):
        town.night()
        assert sorted(town.silver("things", "id")) == ["b", "c"]
    assert told(town)[2:] == [
        ("loaded", "1.csv"),
        ("superseded", "1.csv"),
        ("loaded", "2.csv"),
        ("superseded", "2.csv"),
    ]


def test_two_files_that_change_names_change_nothing(town: City) -> None:
    one, other = "id,n\na,1\n", "id,n\nb,1\n"
    for first, second in ((one, other), (other, one), (other, one)):
        town.deliver("things", first, name="1.csv")
        town.deliver("things", second, name="2.csv")
        town.night()
        assert sorted(town.silver("things", "id")) == ["a", "b"]
    assert town.table("silver", "things").version() == 0


def test_files_of_one_name_from_two_folders_are_two_deliveries(city: City) -> None:
    city.declare("things", COLUMNS, source={"uri": "{inbox}/things/{day}/*/*.csv"})
    for folder in ("north", "south"):
        (city.inbox / "things" / DAY.isoformat() / folder).mkdir(parents=True)
        city.deliver("things", f"id,n\n{folder},1\n", name=f"{folder}/part.csv")
    for _ in range(2):
        city.night()
        assert sorted(city.silver("things", "id")) == ["north", "south"]
    assert told(city) == [("loaded", "part.csv")] * 2


def test_what_cannot_be_read_replaces_nothing_until_it_is_mended(town: City) -> None:
    good, bad = "id,n\na,1\n", "colour\nred\n"
    for text in (good, bad, bad):
        town.deliver("things", text)
        town.night()
        assert town.silver("things", "id") == ["a"]
    assert [event for event, _ in told(town)] == ["loaded", "refused"]
    town.declare("things", {**COLUMNS, "colour": {"type": "string"}})
    town.night()
    assert town.silver("things", "colour") == ["red"]
    assert [event for event, _ in told(town)] == ["loaded", "refused", "loaded", "superseded"]


def test_a_refused_file_that_was_replaced_is_left_alone(town: City) -> None:
    for text in ("id;n\nb;1\n", "id,n\na,1\n"):
        town.deliver("things", text)
        town.night()
    town.declare("things", COLUMNS, source={"delimiter": ";"})  # the first could be read now
    for _ in range(2):
        town.night()
        assert town.silver("things", "id") == ["a"]
    assert [event for event, _ in told(town)] == ["refused", "loaded", "superseded"]


def test_the_same_content_on_another_day_is_an_arrival_without_a_change(town: City) -> None:
    for day in (DAY, NEXT):
        town.deliver("things", "id,n\na,1\n", day=day)
        bring(town, day)
    assert events(town) == ["loaded"]
    assert events(town, day=NEXT) == ["loaded", "unchanged"]
    assert len(town.rows("bronze", "things", day=None)) == 2


def test_a_snapshot_is_compared_by_its_rows_an_append_by_its_bytes(city: City) -> None:
    city.declare("snap", COLUMNS, load="snapshot")
    city.declare("stream", COLUMNS)
    for dataset in ("snap", "stream"):
        city.deliver(dataset, "id,n\na,1\nb,2\n")
        city.deliver(dataset, "id,n\r\nb,2\r\na,1\r\n", day=NEXT)
    bring(city)
    bring(city, NEXT)
    assert events(city, "snap", NEXT) == ["loaded", "unchanged"]
    assert events(city, "stream", NEXT) == ["loaded"]


def test_a_row_more_or_fewer_is_a_change(city: City) -> None:
    city.declare("snap", COLUMNS, load="snapshot")
    for place, text in enumerate(["id,n\na,1\n", "id,n\na,1\na,1\n", "id,n\na,1\n,\n", "n,id\na,1\n"]):
        city.deliver("snap", text, day=DAY + timedelta(days=place))
        bring(city, DAY + timedelta(days=place))
        assert events(city, "snap", DAY + timedelta(days=place)) == ["loaded"]


def test_what_cannot_be_read_is_refused_and_said_once(town: City) -> None:
    town.deliver("things", "PK\x03\x04 zip", name="zip.csv")
    town.deliver("things", "colour,size\nred,1\n", name="other.csv")
    town.deliver("things", "id,n\na,1\n", name="good.csv")
    bring(town)
    bring(town)
    told = {row["name"]: (row["event"], row["reason"]) for row in town.book("deliveries", "things")}
    assert told["good.csv"] == ("loaded", None)
    assert told["zip.csv"][0] == told["other.csv"][0] == "refused"
    assert "the file is a zip file or workbook" in told["zip.csv"][1]
    assert "none of the declared columns is there (found: 2 columns)" in told["other.csv"][1]
    assert len(events(town)) == 3
    assert town.last_run("bring", "things")["status"] == "unchanged"


@pytest.mark.parametrize("columns", ["discard_value", "freeze"])
def test_a_refusal_shows_no_value_of_a_file_without_header(city: City, columns: str) -> None:
    city.declare(
        "things", {"plate": {"type": "string"}, "owner": {"from": "车主", "type": "string"}}, drift={"columns": columns}
    )
    city.deliver("things", "苏A12345,secret\n苏B54321,secret\n", name="values.csv")
    city.deliver("things", " PLATE_,Secret\na,b\n", name="other.csv")
    city.deliver("things", "secret,secret\na,b\n", name="twice.csv")
    bring(city)
    told = {row["name"]: row["reason"] for row in city.book("deliveries", "things")}
    assert "(found: 2 columns)" in told["values.csv"]
    assert "(found: 2 columns, among them PLATE_)" in told["other.csv"]
    assert "columns 1 and 2 have the same name" in told["twice.csv"]
    assert not any("secret" in reason.casefold() or "苏" in reason for reason in told.values())


def test_a_refused_delivery_loads_when_the_contract_is_mended(town: City) -> None:
    town.deliver("things", "colour,size\nred,1\n")
    bring(town)
    town.declare("things", {"colour": {"type": "string"}})
    bring(town)
    assert events(town) == ["refused", "loaded"]


def test_records_nobody_can_parse_keep_their_text(town: City) -> None:
    town.deliver("things", b"id,n\na,1\nb,2,3,4\n\xff,3\n")
    bring(town)
    (loaded,) = town.book("deliveries", "things")
    assert loaded["rows_in"] == loaded["loaded"] + loaded["unparsable"] == 3
    lost = town.rows("bronze", "unparsable")
    assert len(lost) == loaded["unparsable"] >= 1
    assert {row["_source_file"] for row in lost} == {"part.csv"}
    assert all(row["reason"] and row["raw"] for row in lost)


def test_an_arrival_list_says_when_a_file_was_received(town: City) -> None:
    town.deliver("things", "id,n\na,1\n", name="1.csv")
    town.deliver("things", "id,n\nb,1\n", name="2.csv")
    town.inbox.joinpath("arrivals.csv").write_text(
        f"department,dataset,day,path,received_at\n{TOWN},things,{DAY},things/{DAY}/1.csv,2026-03-02T04:00:00+08:00\n"
    )
    bring(town)
    at = {row["name"]: row["received_at"] for row in town.book("deliveries", "things")}
    assert at["1.csv"].isoformat() == "2026-03-01T20:00:00+00:00"
    assert at["2.csv"] == town.now


def test_a_source_that_cannot_be_reached_fails_alone(city: City) -> None:
    city.declare("things", COLUMNS)
    city.declare("remote", COLUMNS, source={"uri": "memory-of-nobody://x/{day}.csv"})
    city.deliver("things", "id,n\na,1\n")
    with pytest.raises(DatasetsFailed, match=r"town\.remote"):
        bring(city)
    assert events(city) == ["loaded"]
    assert city.last_run("bring", "remote")["status"] == "failed"
    assert city.last_run("bring", "things")["status"] == "succeeded"


def test_nothing_is_left_behind_in_staging(town: City) -> None:
    town.deliver("things", "id,n\na,1\nb,x\n")
    town.night()
    assert [path for path in (town.home / "staging").rglob("*") if path.is_file()] == []


def test_a_file_taken_away_is_withdrawn_and_its_rows_stay(town: City) -> None:
    town.deliver("things", "id,n\na,1\n", name="1.csv")
    town.deliver("things", "id,n\nb,1\n", name="2.csv")
    bring(town)
    town.step("clean", DAY, TOWN)
    folder = town.inbox / "things" / DAY.isoformat()
    first = folder / "1.csv"
    first.unlink()
    for _ in range(2):
        bring(town)
    assert told(town)[-1] == ("withdrawn", "1.csv") and len([e for e in events(town) if e == "withdrawn"]) == 1
    town.step("clean", DAY, TOWN)
    assert sorted(town.silver("things", "id")) == ["a", "b"]
    town.deliver("things", "id,n\na,1\n", name="1.csv")
    for _ in range(2):
        bring(town)
    assert told(town)[-1] == ("restored", "1.csv") and len([e for e in events(town) if e == "restored"]) == 1
    first.unlink()
    (folder / "2.csv").unlink()
    bring(town)
    assert sorted(told(town)[-2:]) == [("withdrawn", "1.csv"), ("withdrawn", "2.csv")]


def test_a_file_that_was_renamed_can_be_replaced_under_its_new_name(town: City) -> None:
    town.deliver("things", "id,n\na,1\n", name="1.csv")
    bring(town)
    first = town.inbox / "things" / DAY.isoformat() / "1.csv"
    first.rename(first.with_name("2.csv"))
    bring(town)
    assert told(town)[-2:] == [("duplicate_of", "2.csv"), ("withdrawn", "1.csv")]
    town.deliver("things", "id,n\nb,1\n", name="2.csv")
    town.night()
    assert list(town.silver("things", "id")) == ["b"]


def test_nothing_is_taken_away_while_a_file_cannot_be_seen_whole(town: City) -> None:
    town.deliver("things", "id,n\na,1\n", name="1.csv")
    bring(town)
    first = town.inbox / "things" / DAY.isoformat() / "1.csv"
    first.unlink()
    first.with_name("2.csv").symlink_to("/etc/hostname")
    with pytest.raises(DatasetsFailed, match="link out of the inbox"):
        bring(town)
    assert "withdrawn" not in events(town)


def test_one_of_two_files_of_a_name_is_sent_again(city: City) -> None:
    city.declare("things", COLUMNS, source={"uri": "{inbox}/things/{day}/*/*.csv"})
    for folder in ("north", "south"):
        (city.inbox / "things" / DAY.isoformat() / folder).mkdir(parents=True)
        city.deliver("things", f"id,n\n{folder},1\n", name=f"{folder}/part.csv")
    city.night()
    city.deliver("things", "id,n\nsouth again,1\n", name="south/part.csv")
    for _ in range(2):
        city.night()
        assert sorted(city.silver("things", "id")) == ["north", "south again"]
