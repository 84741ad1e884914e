"""Two lakes exchange packages: what is lost, repeated, reordered, altered or forked is named, and nothing of it is loaded."""

import contextlib
import hashlib
import json
import os
import re
import shutil
import zipfile
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from expectations.catalog import load_usable
from jobs.cli import call
from jobs.department import DatasetsFailed
from lakehouse.errors import DeliveryUnreadable
from lakehouse.exchange import keys, package
from lakehouse.exchange.keys import Register
from lakehouse.exchange.signed import Manifest, Receipt, opened, sign
from lakehouse.settings import Settings
from tests.jobs.small_city import DAY, TOWN, City, own_settings

DAYS = [DAY + timedelta(days) for days in range(3)]
COLUMNS: dict[str, Any] = {
    "id": {"type": "string", "required": True},
    "n": {"type": "integer"},
    "seen_at": {"type": "timestamp", "format": "yyyy-MM-dd HH:mm:ss", "zone": "Asia/Shanghai"},
    "owner": {"type": "string", "class": "sensitive"},
}
THEIRS = {**COLUMNS, "seen_at": {"type": "timestamp", "format": "iso"}}
NAME = "nantong.town.things.{:08d}.zip"


class Party(City):
    """A town with a key and a register of whom it exchanges packages with."""

    def __init__(self, root: Path, name: str) -> None:
        super().__init__(root)
        self.name = name
        self.known: dict[str, list[dict[str, str]]] = {}
        self.register()
        keys.make(self.settings)

    @property
    def settings(self) -> Settings:
        self.point()
        return Settings.from_environment()

    @property
    def key(self) -> str:
        return keys.public(keys.own(self.settings))

    def knows(self, party: str, *signing: dict[str, str]) -> None:
        self.known[party] = list(signing)
        self.register()

    def register(self) -> None:
        content = {"name": self.name, "parties": self.known}
        (self.catalog / "exchange.yml").write_text(yaml.safe_dump(content), "utf-8")

    def say(self, *args: str) -> int:
        self.point()
        return call(["exchange", *args])

    def pack(self, day: date, *more: str, dataset: str = "town.things") -> int:
        return self.say("pack", dataset, "--day", day.isoformat(), "--to", "jiangsu", *more)

    def publish(self, dataset: str, content: str, day: date) -> None:
        self.deliver(dataset, content, day=day)
        self.night(day)
        self.step("release", day)

    @property
    def outbox(self) -> Path:
        return self.home / "exchange" / "outbox" / "jiangsu"

    def sent(self, sequence: int) -> Path:
        return self.outbox / NAME.format(sequence)

    # as the receiver

    def take(self, *packages: Path, name: str = "") -> None:
        folder = self.inbox / "exchange"
        folder.mkdir(parents=True, exist_ok=True)
        for each in packages:
            (shutil.copytree if each.is_dir() else shutil.copy)(each, folder / (name or each.name))

    def bring(self, *days: date) -> None:
        for day in days:
            self.step("bring", day, TOWN)

    def clean(self, *days: date) -> None:
        for day in days:
            self.step("clean", day, TOWN)

    def receipts(self) -> list[tuple[str, int | None, str | None]]:
        folder = self.home / "exchange" / "receipts" / "nantong" / "town.things"
        said = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
        return [(each["outcome"], each["sequence"], each["reason"]) for each in said]

    def ids(self, *days: date) -> list[str]:
        """What was loaded."""
        return [name for day in days for name in self.rows("bronze", "theirs", ["id"], day=day)]

    def status(self, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
        capsys.readouterr()
        assert self.say("status", "--json") == 0
        (found,) = json.loads(capsys.readouterr().out)
        return dict(found)


def signing(party: Party, start: str = "2026-01-01", until: str = "2099-12-31") -> dict[str, str]:
    return {"key": party.key, "from": start, "until": until}


def content(day: date, rows: int = 2) -> str:
    lines = [f"{day:%d}-{n},{n},2026-03-02 08:00:0{n},Quetzalcoatl\n" for n in range(rows)]
    return "id,n,seen_at,owner\n" + "".join(lines)


@pytest.fixture(scope="module")
def nantong(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Party]:
    """A sender with three released and packed days."""
    with own_settings():
        party = Party(tmp_path_factory.mktemp("nantong"), "nantong")
        party.declare("things", COLUMNS)
        for day in DAYS:
            party.publish("things", content(day), day)
        party.knows("jiangsu", signing(party))
        for day in DAYS:
            assert party.pack(day) == 0
        yield party


@pytest.fixture
def jiangsu(tmp_path: Path, nantong: Party) -> Iterator[Party]:
    """A receiver that knows the sender's key."""
    with own_settings():
        party = Party(tmp_path, "jiangsu")
        source = {"type": "exchange", "uri": "{inbox}/exchange", "sender": "nantong", "dataset": "town.things"}
        party.declare("theirs", THEIRS, source=source)
        party.knows("nantong", signing(nantong))
        nantong.knows("jiangsu", signing(party))
        yield party


Change = Callable[[dict[str, bytes]], None]


def altered(path: Path, target: Path, change: Change) -> Path:
    """A copy of a package with other entries."""
    with zipfile.ZipFile(path) as old:
        entries = {name: old.read(name) for name in old.namelist()}
    change(entries)
    with zipfile.ZipFile(target, "w") as new:
        for name, data in entries.items():
            new.writestr(name, data)
    return target


def resigned(party: Party, path: Path, target: Path, **changes: Any) -> Path:
    """A copy of a package whose manifest says something else, signed by the party."""

    def change(entries: dict[str, bytes]) -> None:
        manifest = Manifest.model_validate_json(entries["manifest.json"], strict=True)
        signed = sign(Manifest.model_validate(manifest.model_dump() | changes), party.settings)
        entries["manifest.json"], entries["manifest.sig"] = signed.data, signed.signature

    return altered(path, target, change)


def test_a_round_trip_loads_every_row_once_and_the_receipts_agree(
    nantong: Party, jiangsu: Party, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    jiangsu.take(*map(nantong.sent, (1, 2, 3)))
    for _ in range(2):
        jiangsu.bring(*DAYS)
    jiangsu.clean(*DAYS)
    assert jiangsu.ids(*DAYS) == [f"{day:%d}-{n}" for day in DAYS for n in range(2)]
    assert jiangsu.rows("silver", "theirs", ["n", "owner"])[1] == (1, "Quetzalcoatl")
    assert jiangsu.rows("silver", "theirs", ["seen_at"]) == nantong.rows("silver", "things", ["seen_at"])
    assert jiangsu.say("receipts") == 0
    assert jiangsu.say("receipts") == 0
    said = jiangsu.receipts()
    assert said.count(("accepted", 1, None)) == 1
    assert sorted(said) == sorted((word, n, None) for word in ("accepted", "loaded") for n in (1, 2, 3))
    capsys.readouterr()
    folder = jiangsu.home / "exchange" / "receipts" / "nantong" / "town.things"
    assert nantong.say("reconcile", "town.things", "--with", "jiangsu", "--receipts", str(folder)) == 0
    assert capsys.readouterr().out.count("loaded") == 3


def test_the_same_day_again_is_the_same_package(nantong: Party, capsys: pytest.CaptureFixture[str]) -> None:
    before = nantong.sent(2).read_bytes()
    nantong.sent(2).unlink()
    assert nantong.pack(DAYS[1]) == 0
    assert "packed before and unchanged" in capsys.readouterr().out
    assert nantong.sent(2).read_bytes() == before


def test_a_lost_package_is_a_gap_that_a_request_fills_byte_for_byte(
    nantong: Party, jiangsu: Party, capsys: pytest.CaptureFixture[str]
) -> None:
    jiangsu.take(nantong.sent(1), nantong.sent(3))
    jiangsu.bring(*DAYS)
    assert jiangsu.ids(*DAYS) == ["02-0", "02-1", "04-0", "04-1"]
    assert ("accepted", 3, "gap: packages missing before it: 1") in jiangsu.receipts()
    assert jiangsu.status(capsys)["missing"] == [2]
    assert any("missing: 2" in (row["reason"] or "") for row in jiangsu.book("deliveries", "theirs", day=DAYS[1]))

    assert jiangsu.say("request", "town.theirs") == 0
    (asked,) = (jiangsu.home / "exchange" / "requests").glob("*.json")
    before = nantong.sent(2).read_bytes()
    nantong.sent(2).write_bytes(before[:100])  # the outbox may be damaged or empty: the lake is asked
    assert nantong.say("pack", "--again", str(asked)) == 0
    assert nantong.sent(2).read_bytes() == before

    jiangsu.take(nantong.sent(2))
    jiangsu.bring(DAYS[1])
    assert jiangsu.ids(DAYS[1]) == ["03-0", "03-1"]
    assert ("accepted", 2, "out of order: package 3 came before it") in jiangsu.receipts()
    assert jiangsu.status(capsys)["missing"] == []
    assert jiangsu.say("request", "town.theirs") == 2


def test_a_run_that_was_cut_off_is_made_up_for_and_nothing_said_or_loaded_twice(
    nantong: Party, jiangsu: Party, monkeypatch: pytest.MonkeyPatch
) -> None:
    jiangsu.take(nantong.sent(1))
    with monkeypatch.context() as cut:
        cut.setattr("lakehouse.sources.exchange.Signed.keep", _cut_off)  # before the receipt
        with pytest.raises(DatasetsFailed):
            jiangsu.bring(DAY)
    with monkeypatch.context() as cut:
        cut.setattr("jobs.pull.land", _cut_off)  # after it, before anything lands
        with pytest.raises(DatasetsFailed):
            jiangsu.bring(DAY)
    (jiangsu.home / "exchange" / "received" / "nantong" / "town.things" / "00000001.json").unlink()  # between the two
    jiangsu.bring(DAY, DAY)
    assert jiangsu.ids(DAY) == ["02-0", "02-1"]
    assert jiangsu.receipts() == [("accepted", 1, None)]


def _cut_off(*_: object, **__: object) -> None:
    raise CutOff


class CutOff(RuntimeError):
    """As if the process had ended."""


def test_what_was_altered_after_it_was_accepted_is_not_loaded(nantong: Party, jiangsu: Party) -> None:
    jiangsu.take(nantong.sent(1), nantong.sent(2))
    jiangsu.bring(DAY)
    altered(nantong.sent(2), jiangsu.inbox / "exchange" / NAME.format(2), tampered_file)
    jiangsu.bring(DAYS[1])
    assert jiangsu.ids(DAYS[1]) == []
    assert jiangsu.receipts()[-1][:2] == ("refused", 2)
    jiangsu.take(nantong.sent(2))
    jiangsu.bring(DAYS[1])
    assert jiangsu.ids(DAYS[1]) == ["03-0", "03-1"]


def test_what_came_for_another_day_is_shown_as_waiting(
    nantong: Party, jiangsu: Party, capsys: pytest.CaptureFixture[str]
) -> None:
    jiangsu.take(nantong.sent(1), nantong.sent(2))
    jiangsu.bring(DAYS[1])
    jiangsu.clean(DAYS[1])
    assert jiangsu.status(capsys)["waiting"] == [DAY.isoformat()]
    assert jiangsu.say("status") == 0
    assert f"backfill --from {DAY} --to {DAY}" in capsys.readouterr().out


def test_a_request_nobody_we_know_has_signed_is_not_answered(nantong: Party, jiangsu: Party) -> None:
    jiangsu.take(nantong.sent(2))
    jiangsu.bring(DAY)
    keys.make(jiangsu.settings)
    assert jiangsu.say("request", "town.theirs") == 0
    (asked,) = (jiangsu.home / "exchange" / "requests").glob("*.json")
    assert nantong.say("pack", "--again", str(asked)) == 1


def tampered_file(entries: dict[str, bytes]) -> None:
    data = bytearray(entries["data/things.parquet"])
    data[40] ^= 1
    entries["data/things.parquet"] = bytes(data)


def tampered_manifest(entries: dict[str, bytes]) -> None:
    entries["manifest.json"] = entries["manifest.json"].replace(b'"rows": 2', b'"rows": 3')


def unlisted(entries: dict[str, bytes]) -> None:
    entries["../evil.csv"] = b"id\n1\n"


def unsigned(entries: dict[str, bytes]) -> None:
    del entries["manifest.sig"]


def without_data(entries: dict[str, bytes]) -> None:
    del entries["data/things.parquet"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (tampered_file, "data/things.parquet isn't the file that was signed (its SHA-256 differs)"),
        (tampered_manifest, "the signature doesn't fit: altered, or signed with an unknown key"),
        (unlisted, "1 files more than the manifest lists"),
        (unsigned, "there is no manifest.sig"),
        (without_data, "data/things.parquet is missing"),
    ],
)
def test_an_altered_package_is_refused_and_costs_no_other(
    nantong: Party, jiangsu: Party, change: Change, reason: str
) -> None:
    jiangsu.take(nantong.sent(1))
    jiangsu.take(altered(nantong.sent(2), jiangsu.home.parent / NAME.format(2), change))
    jiangsu.bring(DAYS[1], DAY)
    assert [said for word, _, said in jiangsu.receipts() if word == "refused"] == [reason]
    assert jiangsu.ids(*DAYS) == ["02-0", "02-1"]
    (told,) = (row for row in jiangsu.book("deliveries", "theirs", day=DAYS[1]) if row["event"] == "refused")
    assert told["reason"].endswith(f"{NAME.format(2)}: {reason}")

    jiangsu.take(nantong.sent(2))
    jiangsu.bring(DAYS[1])
    assert jiangsu.ids(DAYS[1]) == ["03-0", "03-1"]


def test_a_truncated_zip_is_refused(nantong: Party, jiangsu: Party) -> None:
    broken = jiangsu.home.parent / NAME.format(1)
    broken.write_bytes(nantong.sent(1).read_bytes()[:-200])
    jiangsu.take(broken)
    jiangsu.bring(DAY)
    assert jiangsu.receipts() == [("refused", None, "the package is damaged")]
    assert not jiangsu.table("bronze", "theirs").exists()


def test_whatever_byte_is_changed_or_cut_off_a_package_is_refused_or_as_it_was(nantong: Party, jiangsu: Party) -> None:
    whole = nantong.sent(1).read_bytes()
    path, into = jiangsu.home.parent / "changed.zip", jiangsu.home.parent / "extracted"
    contract = load_usable(jiangsu.catalog).contract("town.theirs")
    by = Register(name="jiangsu", parties={"nantong": (signing(nantong),)}).keys("nantong")
    hashes = []
    for place in range(0, len(whole), 17):
        for data in (whole[:place], whole[:place] + bytes([whole[place] ^ 0x41]) + whole[place + 1 :]):
            path.write_bytes(data)
            with contextlib.suppress(DeliveryUnreadable), package.reading(path) as found:
                manifest = found.manifest(by).record
                files = found.extract(manifest, contract, contract.source, into)
                hashes += [(file.sha256, sha256(file.path.read_bytes())) for file in files]
            shutil.rmtree(into, ignore_errors=True)
    assert len(set(hashes)) == 1  # a zip says some things nobody needs
    assert hashes[0][0] == hashes[0][1]


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    ("method", "names", "reason"),
    [
        (zipfile.ZIP_DEFLATED, ["manifest.json"], "the zip is compressed, encrypted or names a file twice"),
        (zipfile.ZIP_STORED, ["manifest.json"] * 2, "the zip is compressed, encrypted or names a file twice"),
        (zipfile.ZIP_STORED, [""], "there is no manifest.json"),
    ],
)
def test_a_zip_of_another_make_is_refused(jiangsu: Party, method: int, names: list[str], reason: str) -> None:
    with zipfile.ZipFile(jiangsu.home.parent / NAME.format(1), "w") as made:
        for name in names:
            entry = zipfile.ZipInfo(name)
            entry.compress_type = method
            with made.open(entry, "w") as file:
                file.write(b"{}")
    jiangsu.take(jiangsu.home.parent / NAME.format(1))
    jiangsu.bring(DAY)
    assert [said for _, _, said in jiangsu.receipts()] == [reason]


def test_a_package_in_a_folder_is_one_too_but_not_with_a_link_in_it(nantong: Party, jiangsu: Party) -> None:
    folder = jiangsu.home.parent / NAME.format(1).removesuffix(".zip")
    with zipfile.ZipFile(nantong.sent(1)) as packed:
        packed.extractall(folder)
    jiangsu.take(folder)
    inside = jiangsu.inbox / "exchange" / folder.name / "data" / "things.parquet"
    inside.rename(jiangsu.inbox / "elsewhere")
    inside.symlink_to(jiangsu.inbox / "elsewhere")
    jiangsu.bring(DAY)
    assert [reason for _, _, reason in jiangsu.receipts()] == ["a link is in it"]
    inside.unlink()
    shutil.copy(folder / "data" / "things.parquet", inside)
    jiangsu.bring(DAY)
    assert jiangsu.ids(DAY) == ["02-0", "02-1"]


def test_a_stranger_can_not_send_in_another_name(nantong: Party, jiangsu: Party) -> None:
    jiangsu.take(resigned(jiangsu, nantong.sent(1), jiangsu.home.parent / NAME.format(1)))
    jiangsu.bring(DAY)
    assert [reason for _, _, reason in jiangsu.receipts()] == [
        "the signature doesn't fit: altered, or signed with an unknown key"
    ]


def test_after_a_rotation_the_old_key_signs_nothing_new(nantong: Party, jiangsu: Party, tmp_path: Path) -> None:
    new = Party(tmp_path / "new", "nantong")
    old_until = {**signing(nantong), "until": "2026-03-02"}
    jiangsu.knows("nantong", old_until, signing(new, "2026-03-02"))
    chained = sha256_of(nantong.sent(1))
    second = resigned(new, nantong.sent(2), tmp_path / NAME.format(2), previous=chained)
    jiangsu.take(nantong.sent(1), second)
    jiangsu.bring(*DAYS[:2])
    assert [word for word, _, _ in jiangsu.receipts()][:2] == ["accepted", "accepted"]

    later = Manifest.model_validate_json(_entry(second, "manifest.json")).created_at + timedelta(days=30)
    third = {"previous": sha256_of(second), "sequence": 3, "day": DAYS[2]}
    late = resigned(nantong, nantong.sent(3), tmp_path / NAME.format(3), **third, created_at=later)
    jiangsu.take(late)
    jiangsu.bring(DAYS[2])
    backdated = resigned(nantong, nantong.sent(3), tmp_path / NAME.format(3), **third)
    jiangsu.take(backdated)
    jiangsu.bring(DAYS[2])
    reasons = [str(reason) for word, _, reason in jiangsu.receipts() if word == "refused"]
    assert "with a key for 2026-01-01 to 2026-03-02" in reasons[0]
    assert reasons[1] == "signed with an older key than package 2"
    assert jiangsu.ids(DAYS[2]) == []


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def sha256_of(path: Path) -> str:
    return sha256(_entry(path, "manifest.json"))


def _entry(path: Path, name: str) -> bytes:
    with zipfile.ZipFile(path) as packed:
        return packed.read(name)


def test_a_package_that_comes_twice_loads_once(nantong: Party, jiangsu: Party) -> None:
    jiangsu.take(nantong.sent(1), nantong.sent(2))
    jiangsu.take(nantong.sent(1), name="nantong.town.things.00000009.zip")
    jiangsu.bring(*DAYS[:2])
    jiangsu.bring(*DAYS[:2])
    assert jiangsu.ids(*DAYS[:2]) == ["02-0", "02-1", "03-0", "03-1"]
    assert [said for word, _, said in jiangsu.receipts() if word == "refused"] == ["repeated: package 1 came before"]


def test_an_old_package_played_again_does_not_undo_its_correction(
    nantong: Party, jiangsu: Party, tmp_path: Path
) -> None:
    other = {"sequence": 2, "previous": sha256_of(nantong.sent(1)), "day": DAY}
    jiangsu.take(nantong.sent(1))
    jiangsu.bring(DAY)
    jiangsu.take(resigned(nantong, nantong.sent(2), tmp_path / NAME.format(2), **other))
    jiangsu.bring(DAY)
    jiangsu.clean(DAY)
    assert jiangsu.silver("theirs", "id") == ["03-0", "03-1"]
    (jiangsu.inbox / "exchange" / NAME.format(2)).unlink()
    jiangsu.take(nantong.sent(1), name="nantong.town.things.00000003.zip")
    jiangsu.bring(DAY)
    jiangsu.clean(DAY)
    assert jiangsu.silver("theirs", "id") == ["03-0", "03-1"]
    assert jiangsu.receipts()[-1] == ("refused", 1, "repeated: package 1 came before")


def test_a_forked_chain_is_named_on_either_side(nantong: Party, jiangsu: Party, tmp_path: Path) -> None:
    jiangsu.take(nantong.sent(1), nantong.sent(3))
    jiangsu.bring(DAY)
    jiangsu.take(resigned(nantong, nantong.sent(2), tmp_path / NAME.format(2), origin="otherwise"))
    jiangsu.take(resigned(nantong, nantong.sent(2), tmp_path / NAME.format(4), sequence=4, previous="0" * 64))
    jiangsu.take(resigned(nantong, nantong.sent(1), tmp_path / "nantong.town.things.1.zip", origin="otherwise"))
    jiangsu.bring(DAYS[1])
    assert [said for word, _, said in jiangsu.receipts() if word == "refused"] == [
        "forked: the accepted package 3 follows another one",
        "forked: it doesn't follow the package 3 that was accepted",
        "forked: another package 1 was accepted before",
    ]
    assert jiangsu.ids(DAYS[1]) == []


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"receiver": "shanghai"}, "it is of nantong to shanghai, town.things"),
        ({"dataset": "town.others"}, "it is of nantong to jiangsu, town.others"),
        ({"files": "rows"}, "data/things.parquet has 2 rows, signed are 7"),
    ],
)
def test_a_package_that_is_not_what_it_says_is_refused(
    nantong: Party, jiangsu: Party, changes: dict[str, Any], reason: str
) -> None:
    if "files" in changes:
        manifest = Manifest.model_validate_json(_entry(nantong.sent(1), "manifest.json"), strict=True)
        changes = {"files": [manifest.files[0].model_copy(update={"rows": 7})]}
    jiangsu.take(resigned(nantong, nantong.sent(1), jiangsu.home.parent / NAME.format(1), **changes))
    jiangsu.bring(DAY)
    assert [said for _, _, said in jiangsu.receipts()] == [reason]
    assert not jiangsu.table("bronze", "theirs").exists()


@pytest.mark.parametrize(
    "path",
    ["../evil.csv", "/etc/passwd", "data/../evil.csv", "data/a/b.csv", "data\\evil.csv", "data/.hidden", "data/"],
)
def test_a_manifest_can_not_name_a_path_outside(path: str) -> None:
    with pytest.raises(ValueError, match="path"):
        Manifest.model_validate(
            {
                "sender": "a", "receiver": "b", "dataset": "a.b", "created_at": "2026-03-02T00:00:00Z", "sequence": 1,
                "previous": None, "day": "2026-03-02", "origin": "", "contract": "", "masked": [],
                "files": [{"path": path, "bytes": 0, "rows": 0, "sha256": "0" * 64}],
            }
        )  # fmt: skip


def test_a_day_without_rows_is_not_packed(nantong: Party, capsys: pytest.CaptureFixture[str]) -> None:
    silent = DAYS[-1] + timedelta(days=1)
    nantong.step("release", silent)
    assert nantong.pack(silent) == 1
    assert f"no rows of {silent} are released" in capsys.readouterr().err
    assert nantong.pack(silent + timedelta(days=1)) == 2  # not released


def test_what_is_masked_by_now_is_not_sent_again(
    tmp_path: Path, jiangsu: Party, capsys: pytest.CaptureFixture[str]
) -> None:
    sender = Party(tmp_path / "sender", "nantong")
    sender.declare("things", COLUMNS)
    sender.knows("jiangsu", signing(jiangsu))
    jiangsu.knows("nantong", signing(sender))
    sender.publish("things", content(DAY), DAY)
    assert sender.pack(DAY) == 0
    assert jiangsu.say("request", "town.theirs", "--sequence", "1") == 0
    (asked,) = (jiangsu.home / "exchange" / "requests").glob("*.json")
    assert sender.say("pack", "--again", str(asked)) == 0
    sender.declare("things", COLUMNS, sharing="conditional", basis="a rule")
    capsys.readouterr()
    assert sender.say("pack", "--again", str(asked)) == 2
    assert "package 1 shows what is masked by now (owner)" in capsys.readouterr().err


def test_what_is_not_shared_is_not_packed_and_what_is_shared_on_conditions_is_masked(
    nantong: Party, jiangsu: Party, capsys: pytest.CaptureFixture[str]
) -> None:
    nantong.declare("held", COLUMNS, sharing="withheld", basis="a rule")
    nantong.declare("lent", COLUMNS, sharing="conditional", basis="a rule")
    nantong.deliver("held", content(DAY))
    nantong.publish("lent", content(DAY), DAY)
    assert nantong.pack(DAY, dataset="town.held") == 2
    assert "withheld" in capsys.readouterr().err
    assert nantong.pack(DAY, "--format", "csv", dataset="town.lent") == 0
    assert "masked     owner, for sharing is 'conditional'" in capsys.readouterr().out
    data = _entry(nantong.outbox / "nantong.town.lent.00000001.zip", "data/lent.csv").decode()
    assert "Qu********tl" in data
    assert "Quetzalcoatl" not in data

    source = {"type": "exchange", "uri": "{inbox}/exchange", "sender": "nantong", "dataset": "town.lent"}
    jiangsu.declare("theirs", THEIRS, source=source)
    jiangsu.take(nantong.outbox / "nantong.town.lent.00000001.zip")
    jiangsu.bring(DAY)
    assert jiangsu.ids(DAY) == ["02-0", "02-1"]


def test_receipts_that_were_changed_or_lost_are_found(
    nantong: Party, jiangsu: Party, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    jiangsu.take(nantong.sent(1), nantong.sent(2))
    jiangsu.bring(*DAYS[:2])
    folder = jiangsu.home / "exchange" / "receipts" / "nantong" / "town.things"
    asked = ["reconcile", "town.things", "--with", "jiangsu", "--receipts"]
    capsys.readouterr()
    assert nantong.say(*asked, str(folder)) == 1
    assert "no receipt" in capsys.readouterr().out  # package 3
    lost, changed = shutil.copytree(folder, tmp_path / "lost"), shutil.copytree(folder, tmp_path / "changed")
    (lost / "00000001.json").unlink()
    assert nantong.say(*asked, str(lost)) == 1
    assert "receipt 1 is missing" in capsys.readouterr().err
    receipt = changed / "00000002.json"
    receipt.write_bytes(receipt.read_bytes().replace(b"accepted", b"refused"))
    assert nantong.say(*asked, str(changed)) == 1
    assert "the signature doesn't fit" in capsys.readouterr().err


def test_rows_that_went_another_way_show_in_the_comparison(
    nantong: Party, jiangsu: Party, capsys: pytest.CaptureFixture[str]
) -> None:
    columns = {**THEIRS, "n": {"type": "integer", "between": [1, 9], "level": "error"}}
    source = {"type": "exchange", "uri": "{inbox}/exchange", "sender": "nantong", "dataset": "town.things"}
    jiangsu.declare("theirs", columns, source=source)
    jiangsu.take(nantong.sent(1))
    jiangsu.bring(DAY)
    jiangsu.clean(DAY)
    jiangsu.say("receipts")
    folder = jiangsu.home / "exchange" / "receipts" / "nantong" / "town.things"
    capsys.readouterr()
    nantong.say("reconcile", "town.things", "--with", "jiangsu", "--receipts", str(folder), "--json")
    first = json.loads(capsys.readouterr().out)[0]
    assert (first["rows"], first["rows_in"], first["accepted"], first["quarantined"]) == (2, 2, 1, 1)


def test_a_correction_of_a_day_is_a_new_package_that_replaces_the_old(tmp_path: Path, jiangsu: Party) -> None:
    sender = Party(tmp_path / "sender", "nantong")
    sender.declare("things", COLUMNS)
    sender.knows("jiangsu", signing(jiangsu))
    jiangsu.knows("nantong", signing(sender))
    for rows, form, expected in ((1, "parquet", ["02-0"]), (3, "csv", ["02-0", "02-1", "02-2"])):
        sender.publish("things", content(DAY, rows), DAY)
        assert sender.pack(DAY, "--format", form) == 0
        jiangsu.take(*sender.outbox.glob("*.zip"))
        jiangsu.bring(DAY)
        jiangsu.clean(DAY)
        assert jiangsu.silver("theirs", "id") == expected
    assert len(list(sender.outbox.glob("*.zip"))) == 2


def test_receipts_of_ours_that_were_changed_stop_the_dataset(nantong: Party, jiangsu: Party) -> None:
    jiangsu.take(nantong.sent(1), nantong.sent(2))
    jiangsu.bring(DAY)
    (jiangsu.home / "exchange" / "receipts" / "nantong" / "town.things" / "00000001.json").unlink()
    with pytest.raises(DatasetsFailed, match="receipt 1 is missing"):
        jiangsu.bring(DAY)


def test_private_keys_are_for_their_owner_alone(jiangsu: Party, capsys: pytest.CaptureFixture[str]) -> None:
    path = jiangsu.home / "exchange" / "private.pem"
    assert path.stat().st_mode & 0o777 == 0o600
    before = jiangsu.key
    os.utime(path, (0, 0))
    assert jiangsu.say("keys") == 0
    assert f'- {{key: "{before}", from: 1970-01-01}}' in capsys.readouterr().out
    assert jiangsu.say("keys", "--new") == 0
    assert jiangsu.key != before
    path.chmod(0o644)
    assert jiangsu.say("keys") == 3
    assert "others may read our private key" in capsys.readouterr().err


def test_a_private_key_may_come_from_a_connection(jiangsu: Party, monkeypatch: pytest.MonkeyPatch) -> None:
    (jiangsu.home / "exchange" / "private.pem").unlink()
    monkeypatch.setenv("CITYLAKE_CONN_EXCHANGE", "ed25519://:nWGxne%2F9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A%3D@")
    assert jiangsu.key == "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="  # RFC 8032, 7.1, test 1


def test_the_vectors_of_the_document_hold() -> None:
    text = (Path(__file__).parents[2] / "docs" / "exchange.md").read_text("utf-8").split("### Test vectors")[1]
    data, manifest, receipt = (block.encode() for block in re.findall(r"```(?:csv|json)\n(.*?)```", text, re.DOTALL))
    named = re.findall(r"\| (\w+) \(TEST \d\) \| `(\w+)` \| `(\w+)` \| `(.+?)` \|", text)
    sender, receiver = (keys.PublicKey.model_validate({"key": key, "from": "2026-01-01"}) for *_, key in named)
    assert [key.key.hex() for key in (sender, receiver)] == [public for _, _, public, _ in named]
    (sha_m, sig_m), (sha_r, sig_r) = re.findall(r"```\n([0-9a-f]{64})\n([0-9a-f]{128})\n```", text)
    first = opened(Manifest, manifest, bytes.fromhex(sig_m), [sender], "")
    assert (first.sha256, len(manifest)) == (sha_m, 476)
    assert first.record.files[0].sha256 == sha256(data)
    assert first.record.files[0].bytes == len(data)
    word = opened(Receipt, receipt, bytes.fromhex(sig_r), [receiver], "")
    assert (word.sha256, word.record.package) == (sha_r, first.sha256)
    for party, seed, public, _ in named:
        made = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(seed))
        assert made.public_key().public_bytes_raw().hex() == public
        assert made.sign(manifest if party == "nantong" else receipt).hex() == (sig_m if party == "nantong" else sig_r)
