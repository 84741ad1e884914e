from pathlib import Path

from lakehouse.document import located, read_document


def test_words_are_text_and_every_key_has_its_line(tmp_path: Path):
    path = tmp_path / "a.yml"
    path.write_text("on: no\nday: 2026-03-01\nsure: true\nlist:\n  - {a: 1}\n  - b:\n      c: none\n")
    document = read_document(path, [])
    assert document is not None
    assert document.content == {
        "on": "no", "day": "2026-03-01", "sure": True, "list": [{"a": 1}, {"b": {"c": "none"}}],
    }  # fmt: skip
    assert [document.line(place) for place in ((), ("day",), ("list", 0), ("list", 1, "b", "c"))] == [1, 2, 5, 7]
    assert document.line(("list", 1, "b", "left out")) == 6
    assert located(path, ("list", 1, "b", "c")) == f"{path}:7: list.1.b.c"


def test_what_is_wrong_is_said_with_its_line(tmp_path: Path):
    path, mistakes = tmp_path / "a.yml", list[str]()
    path.write_text("a: 1\nb: 2\na: 3\n")
    assert read_document(path, mistakes) is not None
    assert mistakes == [f"{path}:3: key 'a' stands there twice"]
    assert read_document(tmp_path / "none.yml", mistakes) is None
    assert mistakes[1:] == [f"{tmp_path / 'none.yml'}: no such file"]
    assert located(tmp_path / "none.yml", ("a",)) == f"{tmp_path / 'none.yml'}:1: a"
