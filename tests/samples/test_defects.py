"""Defects as functions of small tables: what they change, and which rows they name."""

import numpy as np
import pyarrow as pa

from samples import damage, defects


def rng() -> np.random.Generator:
    return np.random.default_rng(1)


def table() -> pa.Table:
    return pa.table({
        "group": ["a", "b"] * 10,
        "at": [f"2026-03-01 {hour:02d}:00:00" for hour in range(20)],
        "n": pa.array([None if k == 3 else float(k) for k in range(20)]),
        "text": [f"文字{k}号" for k in range(20)],
    })  # fmt: skip


def changed(before: pa.Table, after: pa.Table) -> list[int]:
    return [k for k, (one, other) in enumerate(zip(before.to_pylist(), after.to_pylist(), strict=True)) if one != other]


def test_named_rows_are_the_changed_rows() -> None:
    for plant, more in (
        (defects.set_value, {"column": "n", "value": -1.0}),
        (defects.cut_off, {"column": "text", "keep": 1}),
        (defects.mojibake, {"column": "text"}),
        (defects.moved, {"x": "n", "y": "n", "to": (-5.0, -5.0)}),
    ):
        spoilt, hit = plant(table(), rng(), 4, **more)
        assert changed(table(), spoilt) == hit.tolist()
        assert len(hit) == 4


def test_null_cells_and_avoided_rows_are_left_alone() -> None:
    spoilt, hit = defects.set_value(table(), rng(), 18, column="n", value=-1.0, avoid=np.array([7]))
    assert {3, 7}.isdisjoint(hit)
    assert spoilt["n"].null_count == 1
    assert spoilt["n"][7].as_py() == 7.0


def test_text_among_numbers_makes_text() -> None:
    spoilt, hit = defects.set_value(table(), rng(), 2, column="n", value="约3")
    assert spoilt.schema.field("n").type == pa.string()
    assert [spoilt["n"][int(k)].as_py() for k in hit] == ["约3", "约3"]
    assert spoilt["n"].null_count == 1


def test_repeated_rows_stand_at_the_end() -> None:
    again, hit = defects.repeated_rows(table(), rng(), 3)
    assert hit.tolist() == [20, 21, 22]
    assert again.slice(20).to_pylist() == [row for row in table().to_pylist() if row in again.slice(20).to_pylist()]
    other, _ = defects.repeated_rows(table(), rng(), 3, change="n", value=99.0)
    assert other["n"][20:].to_pylist() == [99.0] * 3


def test_exactly_the_named_rows_run_backwards() -> None:
    spoilt, hit = defects.run_backwards(table(), rng(), 3, by="group", at="at")
    last: dict[str, str] = {}
    backwards = []
    for place, row in enumerate(spoilt.to_pylist()):
        if row["at"] < last.get(row["group"], ""):
            backwards.append(place)
        last[row["group"]] = row["at"]
    assert backwards == hit.tolist()
    assert len(hit) == 3
    assert sorted(spoilt["at"].to_pylist()) == table()["at"].to_pylist()


def test_matters_of_the_slice_name_no_row() -> None:
    for plant, more in (
        (defects.emptied, {"column": "n"}),
        (defects.stuffed, {"column": "n", "value": 0.0}),
        (defects.thinned, {}),
        (defects.renamed, {"column": "n", "to": "m"}),
        (defects.extra, {"column": "m", "value": "x"}),
        (defects.dropped, {"column": "n"}),
    ):
        spoilt, hit = plant(table(), rng(), 10, **more)
        assert len(hit) == 0
        assert not spoilt.equals(table())


def test_damaged_lines_are_as_many_as_asked_for_and_below_the_header() -> None:
    text = "标题\n标题\n" + "".join(f"{k},文字\n" for k in range(20))
    broken = damage.broken_bytes(text.encode(), rng(), 5).split(b"\n")
    assert sum(b"\xff" in line for line in broken) == 5
    assert b"\xff" not in b"".join(broken[:3])
    ragged = damage.ragged_lines(text.encode(), rng(), 5, more=",?").decode().split("\n")
    assert sum(line.count(",") == 2 for line in ragged) == 5


def test_half_a_line_leaves_the_others_whole() -> None:
    content = b'{"a":1}\n{"a":2}\n{"a":3}\n'
    left = damage.half_line(content, rng(), 1)
    assert left.startswith(b'{"a":1}\n{"a":2}\n{"a')
    assert not left.endswith((b"}", b"\n"))


def test_whole_files_go_wrong() -> None:
    assert damage.emptied(b"abc", rng(), 0) == b""
    assert damage.other_delimiter(b"a,b", rng(), 0, old=",", new=";") == b"a;b"
    assert damage.other_encoding("市".encode("gb18030"), rng(), 0, old="gb18030", new="utf-8") == "市".encode()
    assert damage.torn(b"abcdef", rng(), 0) == b"abcd"
