"""An archive's members are deliveries like any other: counted, replaced, told twice, refused one by one."""

import gzip
import io
import json
import os
import tarfile
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from expectations.catalog import load
from jobs.check import check
from jobs.profile import profile
from lakehouse import deliveries
from lakehouse.errors import DeliveryUnreadable, UsageError
from lakehouse.settings import Settings
from tests.jobs.small_city import DAY, TOWN, City, zipped

COLUMNS = {"id": {"type": "string"}, "n": {"type": "integer"}}
A, B = "id,n\na,1\n", "id,n\nb,2\nc,3\n"


def tarred(mode: Any, **members: str) -> bytes:
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode=mode) as package:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            package.addfile(entry, io.BytesIO(content.encode()))
    return written.getvalue()


@pytest.fixture
def town(city: City) -> City:
    declare(city)
    return city


def declare(city: City, **source: str) -> None:
    city.declare("things", COLUMNS, source={"uri": "{inbox}/things/{day}/*"} | source)


def told(city: City, *events: str) -> list[tuple[str, str]]:
    return [(r["event"], r["name"]) for r in city.book("deliveries", "things") if not events or r["event"] in events]


def reasons(city: City) -> dict[str, str]:
    return {row["name"]: row["reason"] for row in city.book("deliveries", "things") if row["event"] == "refused"}


def silver(city: City) -> list[str]:
    return sorted(city.silver("things", "id"))


def landed(city: City) -> list[Path]:
    folder = city.home / "landing" / TOWN / "things" / DAY.isoformat()
    return sorted(path for path in folder.glob("*/*") if path.name != "manifest.json")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("all.zip", zipped(**{"a.csv": A, "dir/b.csv": B})),
        ("all.tar", tarred("w", **{"a.csv": A, "./dir/b.csv": B})),
        ("all.TGZ", tarred("w:gz", **{"a.csv": A, "dir/b.csv": B})),
        ("all.tar.bz2", tarred("w:bz2", **{"a.csv": A, "dir/b.csv": B})),
        ("all.tar.xz", tarred("w:xz", **{"a.csv": A, "dir/b.csv": B})),
    ],
)
def test_every_member_is_a_delivery(town: City, name: str, content: bytes) -> None:
    town.deliver("things", content, name=name)
    for _ in range(2):
        town.night()
    assert silver(town) == ["a", "b", "c"]
    loaded = [row for row in town.book("deliveries", "things") if row["event"] == "loaded"]
    assert [(r["name"], r["bytes"], r["rows_in"]) for r in loaded] == [
        (f"{name}/a.csv", len(A), 1),
        (f"{name}/dir/b.csv", len(B), 2),
    ]
    one, other = landed(town)
    assert (one.name, one.read_bytes(), os.path.samefile(one, other)) == (name, content, True)
    manifest = json.loads((one.parent / "manifest.json").read_text())
    assert manifest["name"] == f"{name}/{manifest['member']}"
    assert not any((town.home / "staging").rglob("*.csv"))


def test_one_packed_file(town: City) -> None:
    town.deliver("things", gzip.compress(B.encode()), name="part.csv.gz")
    town.night()
    assert (silver(town), told(town, "loaded")) == (["b", "c"], [("loaded", "part.csv.gz/part.csv")])


def test_only_the_members_that_are_meant(town: City) -> None:
    declare(town, members="*.csv")
    hidden = {"__MACOSX/._a.csv": "x", ".DS_Store": "x", "dir/Thumbs.db": "x"}
    town.deliver("things", zipped(**{"dir/A.CSV": A, "readme.txt": "hello", "inner.zip": "x"}, **hidden), name="a.zip")
    town.night()
    assert (silver(town), told(town, "loaded", "refused")) == (["a"], [("loaded", "a.zip/dir/A.CSV")])


def test_a_bad_member_costs_itself_alone(town: City) -> None:
    members: dict[str, str | bytes] = {
        "a.csv": A,
        "empty.csv": "",
        "inner.zip": zipped(**{"x.csv": A}),
        "odd.pdf": "%PDF",
        "wrong.csv": "x;y\n1;2\n",
    }
    town.deliver("things", zipped(**members), name="all.zip")
    town.night()
    assert silver(town) == ["a"]
    refused = reasons(town)
    assert refused.keys() == {f"all.zip/{name}" for name in members if name != "a.csv"}
    assert refused["all.zip/empty.csv"].startswith("town.things all.zip/empty.csv: empty file; ")
    assert "an archive in an archive isn't taken apart" in refused["all.zip/inner.zip"]


def test_an_archive_sent_again_replaces_all_it_held(town: City) -> None:
    for members in ({"a.csv": A, "b.csv": B}, {"a.csv": A}, {"a.csv": B, "b.csv": A}, {"b.csv": B}):
        town.deliver("things", zipped(**members), name="all.zip")
        town.night()
        town.night()
        assert silver(town) == sorted(line[0] for text in members.values() for line in text.splitlines()[1:])


def test_what_cannot_be_unpacked_replaces_nothing_and_heals(town: City) -> None:
    whole = zipped(**{"a.csv": A, "b.csv": B})
    town.deliver("things", whole, name="all.zip")
    town.night()
    newer = zipped(**{"a.csv": "id,n\nz,1\n"})
    town.deliver("things", newer[:-30], name="all.zip")
    for _ in range(2):
        town.night()
        assert silver(town) == ["a", "b", "c"]
    (refused,) = told(town, "refused")
    assert refused == ("refused", "all.zip")
    assert "damaged" in reasons(town)["all.zip"]
    town.deliver("things", newer, name="all.zip")
    town.night()
    assert silver(town) == ["z"]
    assert ("superseded", "all.zip") in told(town)


def test_an_unreadable_member_replaces_nothing(town: City) -> None:
    town.deliver("things", zipped(**{"a.csv": A, "b.csv": B}), name="all.zip")
    town.night()
    town.deliver("things", zipped(**{"a.csv": "id,n\nz,1\n", "b.csv": ""}), name="all.zip")
    for _ in range(2):
        town.night()
        assert silver(town) == ["b", "c", "z"]


def test_the_same_bytes_in_and_outside_an_archive_load_once(town: City) -> None:
    town.deliver("things", A, name="a.csv")
    town.deliver("things", zipped(**{"a.csv": A, "twin.csv": A}), name="z.zip")
    for _ in range(2):
        town.night()
    assert silver(town) == ["a"]
    assert told(town, "loaded", "duplicate_of") == [
        ("loaded", "a.csv"), ("duplicate_of", "z.zip/a.csv"), ("duplicate_of", "z.zip/twin.csv"),
    ]  # fmt: skip


def test_a_mended_contract_opens_an_archive_that_was_refused(town: City) -> None:
    town.declare("things", COLUMNS, source={"uri": "{inbox}/things/{day}/*"}, limits={"bytes": 300})
    town.deliver("things", zipped(**{"a.csv": A + "b,2\n" * 100}), name="a.zip")
    town.night()
    assert "409 bytes are more than the allowed 300" in reasons(town)["a.zip"]
    declare(town)
    for _ in range(2):
        town.night()
    assert len(silver(town)) == 101
    assert told(town, "refused", "loaded", "superseded") == [
        ("refused", "a.zip"), ("loaded", "a.zip/a.csv"), ("superseded", "a.zip"),
    ]  # fmt: skip


def test_what_is_landed_is_enough_to_load_it(town: City) -> None:
    town.deliver("things", zipped(**{"a.csv": A, "b.csv": B}), name="all.zip")
    town.night()
    (town.inbox / "things" / DAY.isoformat() / "all.zip").unlink()
    for layer in ("bronze", "silver", "ops"):
        for table in (town.home / layer).iterdir():
            table.rename(table.with_name(f"gone-{layer}-{table.name}"))
    town.night()
    assert silver(town) == ["a", "b", "c"]


def test_an_archive_that_comes_back_as_it_was_counts_again(town: City) -> None:
    first, other = zipped(**{"a.csv": A, "b.csv": B}), zipped(**{"a.csv": A})
    file = town.inbox / "things" / DAY.isoformat() / "all.zip"
    for content, ids in ((first, "abc"), (other, "a"), (first, "abc")):
        town.deliver("things", content, name="all.zip")
        os.utime(file, (len(content), len(content)))  # as one restores a file
        for _ in range(2):
            town.night()
            assert silver(town) == list(ids)


def test_an_archive_on_a_desk(town: City, tmp_path: Path) -> None:
    town.point()
    contract, settings = load(town.catalog).contract("town.things"), Settings.from_environment()
    one, two, bad = (tmp_path / name for name in ("one.zip", "two.zip", "bad.zip"))
    one.write_bytes(zipped(**{"dir/b.csv": B, ".DS_Store": "x"}))
    two.write_bytes(zipped(**{"a.csv": A, "b.csv": B}))
    bad.write_bytes(zipped(**{"../a.csv": A}))
    assert check(one, contract, {}, DAY, settings).rows.accepted == profile(one, {}, DAY, settings).rows == 2
    for tool in (lambda file: check(file, contract, {}, DAY, settings), lambda file: profile(file, {}, DAY, settings)):
        with pytest.raises(UsageError, match="2 files of it are meant"):
            tool(two)
        with pytest.raises(DeliveryUnreadable, match="leads out of the archive"):
            tool(bad)


def test_a_shapefile_is_one_delivery_unless_members_are_meant(town: City) -> None:
    town.deliver("things", zipped(**{"x.shp": "x", "x.dbf": "x", "list.csv": A}), name="x.zip")
    town.night()
    assert told(town) == [("refused", "x.zip")]
    declare(town, members="*.csv")
    town.night()
    assert told(town, "loaded", "superseded") == [("loaded", "x.zip/list.csv"), ("superseded", "x.zip")]


def test_a_run_cut_off_between_members_is_made_up_for(town: City, monkeypatch: pytest.MonkeyPatch) -> None:
    landed_so_far = []

    def land(*given: Any) -> deliveries.Delivery:
        if landed_so_far:
            raise KeyboardInterrupt
        landed_so_far.append(given)
        return deliveries.land(*given)

    town.deliver("things", zipped(**{"a.csv": A, "b.csv": B}), name="all.zip")
    with monkeypatch.context() as patch:
        patch.setattr("jobs.pull.land", land)
        with pytest.raises(KeyboardInterrupt):
            town.step("bring", DAY, TOWN)
    for _ in range(2):
        town.night()
        assert silver(town) == ["a", "b", "c"]
    assert told(town, "loaded", "superseded") == [("loaded", "all.zip/a.csv"), ("loaded", "all.zip/b.csv")]


def test_members_are_kept_as_long_as_the_contract_says(town: City) -> None:
    town.declare("things", COLUMNS, source={"uri": "{inbox}/things/{day}/*"}, keep="1d")
    town.deliver("things", zipped(**{"a.csv": A, "b.csv": B}), name="all.zip")
    town.night()
    town.step("maintain", DAY + timedelta(days=5))
    assert landed(town) == []
    town.night()
    assert silver(town) == ["a", "b", "c"]


def test_a_packed_tar_with_a_long_name(town: City) -> None:
    name = f"{'长' * 70}.tar.gz"
    town.deliver("things", tarred("w:gz", **{"a.csv": A}), name=name)
    town.night()
    assert told(town, "loaded") == [("loaded", f"{name}/a.csv")]
