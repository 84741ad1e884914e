"""A folder of pages is replaced whole or not at all."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from lakehouse.errors import LakeError
from lakehouse.report.shelf import replace_folder


def test_new_files_are_the_only_content(tmp_path: Path):
    replace_folder(tmp_path / "pages", [("a.html", "old"), ("b.html", "old")])
    replace_folder(tmp_path / "pages", [("a.html", "新\n")])
    assert {p.name: p.read_bytes() for p in (tmp_path / "pages").iterdir()} == {"a.html": "新\n".encode()}
    assert [p.name for p in tmp_path.iterdir()] == ["pages"]


def test_a_fault_on_the_way_leaves_the_old_folder(tmp_path: Path):
    def broken() -> Iterator[tuple[str, str]]:
        yield "a.html", "new"
        raise OSError(28, "No space left on device")

    replace_folder(tmp_path / "pages", [("a.html", "old")])
    with pytest.raises(LakeError, match="No space left on device"):
        replace_folder(tmp_path / "pages", broken())
    assert (tmp_path / "pages" / "a.html").read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["pages"]
