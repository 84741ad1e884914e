"""Row fate: what silver takes, what quarantine keeps and why, and that every row is somewhere."""

import shutil
from datetime import date, timedelta
from typing import Any

import pyarrow.parquet as pq
import pytest

import lakehouse.table
from jobs import judge, slices
from jobs.department import DatasetsFailed
from lakehouse.errors import EnvironmentFault
from tests.jobs.small_city import DAY, STANDARDS, TOWN, City, text_of

TYPED: dict[str, Any] = {
    "id": {"type": "string"},
    "size": {"type": "integer", "required": True},
    "note": {"type": "string"},
    "depth": {"type": "double"},
}


@pytest.fixture(params=["whole", "parts"])
def city(city: City, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> City:
    """Every case is judged as one stream and in parts of two rows."""
    if request.param == "parts":
        monkeypatch.setattr(slices, "PART_ROWS", 1)
        monkeypatch.setitem(lakehouse.table._WRITING, "max_row_group_size", 2)
    return city


def closes(city: City, dataset: str, day: date = DAY) -> bool:
    """Whether rows in = accepted + quarantined + unparsable for every delivery, in the books and in the tables."""
    cleaned = {r["delivery_id"]: r for r in city.book("deliveries", dataset, day=day) if r["event"] == "cleaned"}
    stored = all(
        sum(r["_delivery_id"] == name for r in city.rows("silver", dataset, day=day)) == row["accepted"]
        and sum(r["_delivery_id"] == name for r in city.rows("quarantine", dataset, day=day)) == row["quarantined"]
        and sum(r["_delivery_id"] == name for r in city.rows("bronze", "unparsable", day=day)) == row["unparsable"]
        for name, row in cleaned.items()
    )
    sums = all(r["rows_in"] == r["accepted"] + r["quarantined"] + r["unparsable"] for r in cleaned.values())
    return bool(cleaned) and stored and sums


def test_a_null_in_key_or_required_quarantines(city: City) -> None:
    city.declare("things", TYPED, key=["id"])
    city.deliver("things", "id,size,note,depth\na,1,x,1.5\n,2,,\n c ,,,\n\u3000,\u00a0,,\nd,4,,\n")
    city.night()
    assert city.silver("things", "id", "size") == [("a", 1), ("d", 4)]
    assert city.quarantine("things", "_source_row", "_errors") == [
        (3, ["id.required"]),
        (4, ["size.required"]),
        (5, ["id.required", "size.required"]),
    ]
    assert city.results("things")["id.required"] == ("failed", 5, 3)
    assert closes(city, "things")


def test_a_misfit_in_key_or_required_quarantines_by_its_type_alone(city: City) -> None:
    city.declare("things", TYPED | {"id": {"type": "integer"}}, key=["id"])
    city.deliver("things", "id,size,note,depth\n1,1,,\nx,1,,\n2,1_0,,\n")
    city.night()
    assert city.quarantine("things", "id", "size", "_errors") == [("x", "1", ["id.type"]), ("2", "1_0", ["size.type"])]
    results = city.results("things")
    assert results["id.required"] == ("passed", 3, 3)
    assert results["id.type"] == ("failed", 3, 2)
    assert results["size.type"] == ("failed", 3, 2)


def test_an_optional_misfit_becomes_null_and_keeps_its_text(city: City) -> None:
    city.declare("things", TYPED | {"depth": {"type": "double", "between": [0, 9]}}, key=["id"])
    city.deliver(
        "things", text_of(["id", "size", "note", "depth"], [["a", 1, "", " 5 m"], ["b", 2, "", ""], ["c", 3, "", "10"]])
    )
    city.night()
    assert city.silver("things", "id", "depth", "_raw", "_warnings") == [
        ("a", None, '{"depth": " 5 m"}', ["depth.type"]),
        ("b", None, None, None),
        ("c", 10.0, None, ["depth.between"]),
    ]
    results = city.results("things")
    assert results["depth.type"] == ("failed", 2, 1)  # b has nothing to judge
    assert results["depth.between"] == ("failed", 1, 0)  # a isn't tested again


def test_white_space_and_null_words_are_no_values(city: City) -> None:
    city.declare("things", TYPED, key=["id"], source={"null": ["-", "N/A", "-999"]})
    rows = [["a", 1, "-", "-"], ["b", 2, "N/A", "-999"], ["c", 3, " - ", "  "], ["d", "-999", "x", "-999.0"]]
    city.deliver("things", text_of(["id", "size", "note", "depth"], rows))
    city.night()
    assert city.silver("things", "id", "note", "depth", "_raw", "_warnings") == [
        ("a", None, None, None, None),
        ("b", None, None, None, None),
        ("c", None, None, None, None),
    ]
    assert city.quarantine("things", "size", "_errors") == [("-999", ["size.required"])]
    assert city.results("things")["depth.type"] == ("passed", 1, 1)


def test_the_first_of_equal_keys_stays_among_sound_rows(city: City) -> None:
    city.declare("things", TYPED, key=["id"])
    rows = [
        ["a", "x"],
        ["a", 1],
        ["a", 2],
        ["b", 3],
        [" b", 4],
        ["c", 5],
    ]  # the first a is unsound: the second is the first
    city.deliver("things", text_of(["id", "size"], rows))
    city.night()
    assert city.silver("things", "id", "size") == [("a", 1), ("b", 3), ("c", 5)]
    assert city.quarantine("things", "size", "_errors") == [
        ("x", ["size.type"]),
        ("2", ["key.unique"]),
        ("4", ["key.unique"]),
    ]
    assert city.results("things")["key.unique"] == ("failed", 6, 4)


def test_keys_of_several_columns_are_equal_as_values_not_as_text(city: City) -> None:
    columns = {"id": {"type": "integer"}, "at": {"type": "timestamp", "format": "yyyy-MM-dd HH:mm:ss | iso"}}
    city.declare("things", columns, key=["id", "at"])
    times = ["2026-03-02 08:00:00", "2026-03-02T00:00:00Z", "2026-03-02 08:00:01", "2026-03-02 08:00:00"]
    city.deliver(
        "things", text_of(["id", "at"], [["1", t] for t in times] + [["01", times[0]], ["2", times[0]], ["", times[0]]])
    )
    city.night()
    assert city.silver("things", "_source_row") == [2, 4, 7]
    assert city.quarantine("things", "_source_row", "_errors") == [
        (3, ["key.unique"]),
        (5, ["key.unique"]),
        (6, ["key.unique"]),
        (8, ["id.required"]),
    ]
    assert city.results("things")["key.unique"] == ("failed", 6, 3)


@pytest.mark.parametrize(
    ("form", "texts"),
    [
        ("yyyy-MM-dd hh:mm a", ["2026-03-02 08:00 AM", "2026-03-02 08:00 am"]),
        ("yyyy-M-d H:mm", ["2026-3-2 8:00", "2026-03-02 08:00"]),
        ("yyyy-MM-dd HH:mm", ["2026-03-02 08:00", " 2026-03-02 08:00"]),
        ("iso", ["2026-03-02 08:00", "2026-03-02T08:00:00.0"]),
    ],
)
def test_equal_instants_are_equal_keys_however_they_are_written(city: City, form: str, texts: list[str]) -> None:
    city.declare("things", {"at": {"type": "timestamp", "format": form}, "n": {"type": "integer"}}, key=["at"])
    city.deliver("things", text_of(["at", "n"], [[text, 1] for text in texts]))
    city.night()
    assert city.silver("things", "_source_row") == [2]
    assert city.quarantine("things", "_source_row", "_errors") == [(3, ["key.unique"])]


def test_the_first_of_equal_keys_stays_across_files(city: City) -> None:
    city.declare("things", TYPED, key=["id"])
    city.deliver("things", "id,size\na,1\n", name="1.csv")
    city.deliver("things", "id,size\nb,2\na,3\n", name="2.csv")
    city.night()
    assert city.silver("things", "id", "size") == [("a", 1), ("b", 2)]
    assert closes(city, "things")


def test_a_unique_column_warns(city: City) -> None:
    city.declare("things", {"id": {"type": "string"}, "plate": {"type": "string", "unique": True}})
    city.deliver("things", text_of(["id", "plate"], [["a", "p"], ["b", "p"], ["c", ""], ["d", ""], ["e", "p"]]))
    city.night()
    assert city.silver("things", "_warnings") == [None, ["plate.unique"], None, None, ["plate.unique"]]
    assert city.results("things")["plate.unique"] == ("failed", 3, 1)


@pytest.mark.parametrize(
    ("level", "fate"),
    [(None, ("silver", ["n.between"])), ("warn", ("silver", ["n.between"])), ("error", ("quarantine", ["n.between"]))],
)
def test_a_level_decides_the_fate_of_a_columns_checks(
    city: City, level: str | None, fate: tuple[str, list[str]]
) -> None:
    column = {"type": "integer", "between": [0, 9]} | ({"level": level} if level else {})
    city.declare("things", {"id": {"type": "string"}, "n": column})
    city.deliver("things", "id,n\na,10\n")
    city.night()
    warned = city.silver("things", "_warnings"), city.quarantine("things", "_errors")
    assert warned == (([fate[1]], []) if fate[0] == "silver" else ([], [fate[1]]))


def test_a_level_overrides_required_and_type(city: City) -> None:
    columns = {
        "id": {"type": "string", "required": True, "level": "warn"},
        "strict": {"type": "integer", "level": "error"},
        "mild": {"type": "integer", "required": True, "level": "warn"},
    }
    city.declare("things", columns)
    city.deliver("things", text_of(columns, [["", 1, 1], ["a", "x", 1], ["b", 1, "x"], ["c", "", ""]]))
    city.night()
    assert city.silver("things", "_source_row", "_warnings") == [
        (2, ["id.required"]),
        (4, ["mild.type"]),
        (5, ["mild.required"]),
    ]
    assert city.quarantine("things", "_source_row", "_errors") == [(3, ["strict.type"])]


def test_types_may_quarantine_every_misfit_unless_a_level_says_otherwise(city: City) -> None:
    columns = {"id": {"type": "string"}, "n": {"type": "integer"}, "m": {"type": "integer", "level": "warn"}}
    city.declare("things", columns, drift={"types": "quarantine"})
    city.deliver("things", text_of(columns, [["a", "x", 1], ["b", 1, "x"], ["c", 1, ""]]))
    city.night()
    assert city.silver("things", "id", "_warnings") == [("b", ["m.type"]), ("c", None)]
    assert city.quarantine("things", "id", "_errors") == [("a", ["n.type"])]


def test_frozen_types_refuse_the_slice(city: City) -> None:
    columns = {"id": {"type": "string"}, "n": {"type": "integer"}}
    city.declare("things", columns, drift={"types": "freeze"})
    city.deliver("things", text_of(columns, [["a", 1], ["b", 2]]))
    city.night()
    assert city.silver("things", "id") == ["a", "b"]
    city.deliver("things", text_of(columns, [["a", 1], ["b", "x"]]), day=DAY + timedelta(days=1))
    city.night(DAY + timedelta(days=1))
    assert city.silver("things", "id", day=None) == ["a", "b"]
    assert city.quarantine("things", "id", "n", "_errors", day=DAY + timedelta(days=1)) == [
        ("a", "1", ["n.type"]),
        ("b", "x", ["n.type"]),
    ]


@pytest.mark.parametrize(
    ("mode", "silver", "quarantined", "extra"),
    [
        ("discard_value", ["a", "b"], [], None),
        ("evolve", ["a", "b"], [], '{"colour": "red"}'),
        ("quarantine", [], [["declared.row"], ["declared.row"]], None),
    ],
)
def test_undeclared_columns(
    city: City, mode: str, silver: list[str], quarantined: list[list[str]], extra: str | None
) -> None:
    city.declare(
        "things", {"id": {"type": "string"}, "n": {"type": "integer"}}, drift={"columns": mode}, ignore=["device"]
    )
    city.deliver("things", 'id,n,colour,device\na,1,red,d\nb,2,"say ""hi""",d\n')
    city.night()
    assert city.silver("things", "id") == silver
    assert city.quarantine("things", "_errors") == quarantined
    assert city.results("things")["declared"] == ("failed", 3, 2)
    kept = city.rows("bronze", "things", ["_extra"])
    assert kept == ['{"colour": "red"}', '{"colour": "say \\"hi\\""}']
    assert (city.silver("things")[0].get("_extra") if silver else None) == extra
    assert closes(city, "things")


def test_frozen_columns_refuse_the_delivery(city: City) -> None:
    city.declare("things", {"id": {"type": "string"}, "n": {"type": "integer"}}, drift={"columns": "freeze"})
    city.deliver("things", "id,n,colour\na,1,red\n")
    city.night()
    (refused,) = city.book("deliveries", "things")
    assert refused["event"] == "refused"
    assert "undeclared: colour" in refused["reason"]
    assert city.silver("things") == []
    city.deliver("things", "id,n\na,1\n")  # mended under the same name
    city.night()
    assert city.silver("things", "id") == ["a"]


def test_declared_columns_that_did_not_come_are_null(city: City) -> None:
    city.declare("things", {"id": {"type": "string"}, "n": {"type": "integer"}, "m": {"type": "double", "from": "M"}})
    city.deliver("things", "M,id\n1.5,a\n")
    city.night()
    assert city.silver("things", "id", "n", "m") == [("a", None, 1.5)]
    assert city.results("things")["declared"] == ("failed", 3, 2)
    assert [r["message"] for r in city.book("results", "things") if r["check_id"] == "declared"] == ["missing: n"]


def test_a_broken_fail_rule_keeps_the_slice_from_being_served(city: City) -> None:
    city.declare(
        "things", {"id": {"type": "integer"}}, load="snapshot", key=["id"], expect={"fail": [{"row_count": {"min": 2}}]}
    )
    next_day = DAY + timedelta(days=1)
    city.deliver("things", "id\n1\n2\n")
    city.deliver("things", "id\nx\n", day=next_day)
    city.night()
    before = city.silver("things")
    city.night(next_day)
    assert city.silver("things") == before
    assert city.silver("things", day=next_day) == []
    assert city.quarantine("things", "id", "_errors", day=next_day) == [("x", ["row_count"])]
    assert city.results("things", day=next_day)["row_count"] == ("failed", 1, 0)
    assert closes(city, "things", next_day)
    assert city.last_run("clean", "things", day=next_day)["quarantined"] == 1
    city.deliver("things", "id\n3\n4\n5\n", day=next_day)  # the department mends it
    city.night(next_day)
    assert city.silver("things", "id", day=next_day) == [3, 4, 5]
    assert city.quarantine("things", day=next_day) == []


def test_a_slice_that_was_served_is_withdrawn_when_its_new_delivery_breaks_a_fail_rule(city: City) -> None:
    city.declare("things", {"id": {"type": "integer"}}, expect={"fail": [{"row_count": {"max": 1}}]})
    city.deliver("things", "id\n1\n")
    city.night()
    assert city.silver("things", "id") == [1]
    city.deliver("things", "id\n2\n", name="more.csv")
    city.night()
    assert city.silver("things") == []
    assert city.quarantine("things", "id") == ["2", "1"]
    assert closes(city, "things")


def test_a_row_check_under_fail_passes_by_its_share(city: City) -> None:
    city.declare(
        "things",
        {"a": {"type": "integer"}, "b": {"type": "integer"}},
        expect={"fail": [{"compare": {"left": "a", "op": "<=", "right": "b", "share": 0.07}}]},
    )
    city.deliver("things", text_of(["a", "b"], [[1, 2]] * 7 + [[2, 1]] * 93))
    city.night()
    assert len(city.silver("things")) == 100  # 7 of 100 is 0.07, whatever floating point says
    assert city.silver("things", "_warnings")[7] == ["compare(a,b)"]
    assert city.results("things")["compare(a,b)"] == ("passed", 100, 7)


UPSERT: dict[str, Any] = {"load": "upsert", "key": ["id"], "order": "at"}
VERSIONED = {"id": {"type": "string"}, "at": {"type": "timestamp"}, "n": {"type": "integer"}}


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0), (0, 2, 1)])
def test_upsert_keeps_the_newest_in_any_order_of_days(city: City, order: tuple[int, ...]) -> None:
    city.declare("things", VERSIONED, **UPSERT)
    versions = [
        "id,at,n\na,2026-03-01 08:00,1\nb,2026-03-05 08:00,9\n",
        "id,at,n\na,2026-03-02 08:00,2\na,2026-03-02 07:00,0\n",
        "id,at,n\na,2026-03-03 08:00,3\nb,2026-03-04 08:00,0\nc,2026-03-03 08:00,5\n",
    ]
    for place in order:
        city.deliver("things", versions[place], day=DAY + timedelta(days=place))
        city.night(DAY + timedelta(days=place))
    assert sorted(city.silver("things", "id", "n", day=None)) == [("a", 3), ("b", 9), ("c", 5)]
    before = city.versions()
    for place in order:
        city.night(DAY + timedelta(days=place))
    assert city.versions() == before
    city.step("clean", DAY, "town", forced=True)
    assert sorted(city.silver("things", "id", "n", day=None)) == [("a", 3), ("b", 9), ("c", 5)]


def test_the_same_rows_upserted_on_another_day_write_nothing(city: City) -> None:
    city.declare("things", VERSIONED, **UPSERT)
    batch = "id,at,n\na,2026-03-01 08:00,1\nb,2026-03-05 08:00,9\nc,,1\n"
    city.deliver("things", batch)
    city.night()
    files = city.table("silver", "things").files()
    city.deliver("things", batch, day=DAY + timedelta(days=1))
    city.night(DAY + timedelta(days=1))
    assert city.table("silver", "things").version() == 0
    city.deliver("things", "id,at,n\nb,2026-03-05 08:00,7\nd,2026-03-01,2\n", day=DAY + timedelta(days=2))
    city.night(DAY + timedelta(days=2))
    assert set(files) < set(city.table("silver", "things").files())
    assert sorted(city.silver("things", "id", "n", day=None)) == [("a", 1), ("b", 9), ("c", 1), ("d", 2)]


def test_upsert_takes_versions_of_a_key_and_quarantines_repeats_of_one(city: City) -> None:
    city.declare("things", VERSIONED, **UPSERT)
    city.deliver("things", "id,at,n\na,2026-03-01 08:00,1\na,2026-03-01 09:00,2\na,2026-03-01 09:00,3\nb,,4\nb,,5\n")
    city.night()
    assert sorted(city.silver("things", "id", "n", day=None)) == [("a", 2), ("b", 5)]
    assert city.quarantine("things", "n", "_errors") == [("3", ["key.unique"])]


def test_a_second_run_changes_nothing(city: City) -> None:
    city.declare("things", TYPED, key=["id"])
    city.deliver("things", "id,size,note,depth\na,1,x,1.5\na,2,,\nb,x,,\n")
    city.night()
    before, books = city.versions(), len(city.book("results"))
    city.night()
    assert city.versions() == before
    assert len(city.book("results")) == books
    assert city.last_run("bring", "things")["status"] == city.last_run("clean", "things")["status"] == "unchanged"
    assert [r["event"] for r in city.book("deliveries")] == ["loaded", "cleaned"]


def test_one_datasets_failure_does_not_stop_another(city: City, monkeypatch: pytest.MonkeyPatch) -> None:
    city.declare("bad", {"id": {"type": "string", "pattern": "[a-z]+"}})
    city.declare("good", {"id": {"type": "string"}})
    city.deliver("bad", "id\na\n")
    city.deliver("good", "id\na\n")
    city.step("bring", DAY, "town")
    table = city.table("silver", "bad")
    table.path.parent.mkdir(exist_ok=True)
    table.path.write_text("not a folder")
    with pytest.raises(DatasetsFailed, match=r"town\.bad"):
        city.step("clean", DAY, "town")
    assert city.silver("good", "id") == ["a"]
    assert city.last_run("clean", "bad")["status"] == "failed"
    table.path.unlink()
    city.step("clean", DAY, "town")
    assert city.silver("bad", "id") == ["a"]
    assert city.last_run("clean", "good")["status"] == "unchanged"


def test_an_empty_file_has_no_header_and_a_header_alone_has_no_rows(city: City) -> None:
    city.declare("things", TYPED, key=["id"])
    city.deliver("things", "", name="empty.csv")
    city.deliver("things", "id,size,note,depth\n", name="header.csv")
    city.night()
    events = {r["name"]: r["event"] for r in city.book("deliveries") if r["name"]}
    assert events["empty.csv"] == "refused"
    assert city.silver("things") == city.quarantine("things") == []
    assert city.results("things")["id.required"] == ("passed", 0, 0)


def test_a_contract_may_have_more_rules_than_a_number_has_bits(city: City) -> None:
    columns = {f"n{place}": {"type": "integer", "between": [0, 9], "unique": place == 69} for place in range(70)}
    city.declare("things", {"id": {"type": "string"}, **columns}, key=["id"])
    good, wrong = dict.fromkeys(columns, "1"), {"n0": "10", "n35": "x", "n69": "11"}
    rows = [
        ["a", *good.values()],
        ["b", *(good | wrong | {"n68": "12"}).values()],
        ["a", *(good | {"n69": "2"}).values()],
    ]
    rows.append(["c", *(good | {"n1": "x"}).values()])
    city.deliver("things", text_of(["id", *columns], rows))
    city.night()
    assert city.silver("things", "id", "_warnings") == [
        ("a", None),
        ("b", ["n0.between", "n35.type", "n68.between", "n69.between"]),
        ("c", ["n1.type", "n69.unique"]),
    ]
    assert city.quarantine("things", "id", "_errors") == [("a", ["key.unique"])]


def test_a_code_list_that_changed_is_judged_again(city: City) -> None:
    (city.catalog / "standards").unlink()
    shutil.copytree(STANDARDS, city.catalog / "standards")
    city.declare("things", {"code": {"type": "string", "standard": "division_code"}})
    city.deliver("things", "code\n320699\n")
    city.night()
    assert city.silver("things", "_warnings") == [["code.standard"]]
    with (city.catalog / "standards" / "division_code.csv").open("a", encoding="utf-8") as codes_:
        codes_.write("320699,新区,New District,320600,,\n")
    judge.codes.cache_clear()  # a night is a process of its own
    city.night()
    assert city.last_run("clean", "things")["status"] == "succeeded"
    assert city.silver("things", "_warnings") == [None]


def test_without_spark_a_slice_is_judged_here_unless_spark_is_asked_for(
    city: City, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CITYLAKE_SPARK_ABOVE_MB", "0")
    monkeypatch.setattr(slices, "_each", _no_spark(slices._each))
    city.declare("things", TYPED, key=["id"])
    city.declare("others", TYPED, key=["id"], engine="spark")
    for name in ("things", "others"):
        city.deliver(name, "id,size\na,1\nb,\n")
    with pytest.raises(DatasetsFailed, match=r"others: .*Java is missing") as failed:
        city.night()
    assert "things" not in str(failed.value)
    assert city.silver("things", "id") == ["a"]
    assert not city.table("silver", "others").exists()


def _no_spark(each: Any) -> Any:
    def chosen(run: Any, engine: str) -> Any:
        if engine == "spark":
            raise EnvironmentFault("Java is missing", hint="install one")
        return each(run, engine)

    return chosen


def test_a_column_that_a_contract_gains_is_null_in_what_came_before(city: City) -> None:
    city.declare("things", {"id": {"type": "string"}}, key=["id"])
    city.deliver("things", "id,size\na,1\na,2\n")
    city.deliver("things", "id\n", day=DAY + timedelta(days=1))
    city.night()
    city.declare("things", {"id": {"type": "string"}, "size": {"type": "integer"}}, key=["id"])
    city.step("clean", DAY, TOWN)
    assert city.silver("things", "id", "size") == [("a", None)]
    city.night(DAY + timedelta(days=1))
    assert closes(city, "things", DAY + timedelta(days=1))


@pytest.mark.parametrize(
    ("index", "by"), [(None, "_track"), ("space", "_space"), ("space_time", "_space_time"), ("key", "plate")]
)
def test_silver_lies_by_what_its_rows_describe_or_as_asked(city: City, index: str | None, by: str) -> None:
    columns = {
        "plate": {"type": "string"},
        "at": {"type": "timestamp"},
        "x": {"type": "double"},
        "y": {"type": "double"},
    }
    fix = {"fix": {"vehicle": "plate", "at": "at", "point": "point"}}
    declared = {"key": ["plate", "at"], "point": {"x": "x", "y": "y"}, "describes": fix}
    city.declare("fixes", columns, **declared, **({"index": index} if index else {}))
    rows = [[f"p{n % 3}", f"2026-03-02 0{n % 7}:00:00", 120.5 + n % 5 / 10, 32 + n % 4 / 10] for n in range(20)]
    city.deliver("fixes", text_of(columns, [*rows, ["p9", "2026-03-02 01:00:00", "", ""], ["", "", 120.7, 32.1]]))
    city.night()
    assert len(city.rows("silver", "fixes")) == 21 and closes(city, "fixes")
    for file in city.table("silver", "fixes").files():
        values = pq.read_table(file, columns=[by], partitioning=None)[by].to_pylist()
        assert values == sorted(values, key=lambda value: (value is None, value))
    assert index == "key" or sum(row[by] is None for row in city.rows("silver", "fixes")) == (by != "_track")
