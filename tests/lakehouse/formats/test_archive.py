"""What lies in an archive, and which archives nobody should unpack."""

import bz2
import gzip
import io
import lzma
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lakehouse.contract import Limits
from lakehouse.errors import CitylakeError, DeliveryUnreadable
from lakehouse.formats import archive, reading

Contents = dict[str, bytes]


@pytest.fixture
def unpacked(tmp_path: Path) -> Callable[..., Contents]:
    """Write an archive and read every member of it."""

    def call(data: bytes, name: str = "x.zip", **limits: int) -> Contents:
        path = tmp_path / name
        path.write_bytes(data)
        allowed = Limits(**limits)
        with archive.opened(path, tmp_path, allowed, "d.t x") as members:
            return {m.name: b"".join(archive.chunks(m, len(data), allowed, "d.t x")) for m in members.values()}

    return call


Unpacked = Callable[..., Contents]


def zipped(*entries: tuple[zipfile.ZipInfo | str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", method) as package:
        for entry, content in entries:
            package.writestr(entry, content, method)
    return written.getvalue()


def tarred(*entries: tuple[tarfile.TarInfo | str, bytes], **options: Any) -> bytes:
    written = io.BytesIO()
    with tarfile.open(fileobj=written, **({"mode": "w"} | options)) as package:
        for entry, content in entries:
            info = entry if isinstance(entry, tarfile.TarInfo) else tarfile.TarInfo(entry)
            info.size = len(content)
            package.addfile(info, io.BytesIO(content))
    return written.getvalue()


def of_kind(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = kind, target
    return entry


def with_mode(name: str, mode: int) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name)
    entry.external_attr = mode << 16
    return entry


def patched(data: bytes, old: bytes, new: bytes) -> bytes:
    assert len(old) == len(new) and old in data
    return data.replace(old, new)


ONE = ("a.csv", b"id\n1\n")


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2])
def test_a_zip(unpacked: Unpacked, method: int) -> None:
    assert unpacked(zipped(ONE, ("dir/", b""), ("odd\\", b""), ("dir/b.csv", b""), method=method)) == {
        ONE[0]: ONE[1],
        "dir/b.csv": b"",
    }


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_a_tar(unpacked: Unpacked, form: int) -> None:
    entries = (of_kind("dir", tarfile.DIRTYPE), b""), ("./dir/" + "长" * 20 + ".csv", b"x" * 9999), ONE
    data = tarred(*entries, format=form)
    assert unpacked(data, "x.tar") == {"dir/" + "长" * 20 + ".csv": b"x" * 9999, ONE[0]: ONE[1]}


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_a_packed_file_and_a_packed_tar(unpacked: Unpacked, pack: Callable[[bytes], bytes]) -> None:
    suffix = {gzip.compress: "gz", bz2.compress: "bz2", lzma.compress: "xz"}[pack]
    assert unpacked(pack(ONE[1]), f"part.csv.{suffix}") == {"part.csv": ONE[1]}
    assert unpacked(pack(b"one") + pack(b"two"), f"part.{suffix}") == {"part": b"onetwo"}
    assert unpacked(pack(tarred(ONE)), f"x.TAR.{suffix}") == {ONE[0]: ONE[1]}


def test_names_as_windows_writes_them(unpacked: Unpacked) -> None:
    raw = "数据\\河流.csv".encode("gbk")
    data = patched(zipped(("#" * len(raw), b"x")), b"#" * len(raw), raw)
    assert list(unpacked(data)) == ["数据/河流.csv"]
    utf8 = "数据/河流.csv".encode()
    assert list(unpacked(patched(zipped(("#" * len(utf8), b"x")), b"#" * len(utf8), utf8))) == ["数据/河流.csv"]
    assert list(unpacked(tarred(("河流.csv", b"x"), encoding="gbk", format=tarfile.GNU_FORMAT), "x.tar")) == [
        "河流.csv"
    ]


@pytest.mark.parametrize(
    "name",
    ["/etc/passwd", "../x", "a/../../x", "a\\..\\x", "..", "C:\\x.csv", "c:x.csv", "\\\\host\\x", "a\0.csv", "x" * 501, "长" * 200],
)  # fmt: skip
def test_names_that_lead_elsewhere(unpacked: Unpacked, name: str) -> None:
    for data, kind in ((tarred((name, b"x"), format=tarfile.PAX_FORMAT), "x.tar"), (_zip_named(name), "x.zip")):
        if "\0" in name and kind == "x.tar":
            continue  # a name ends there
        with pytest.raises(DeliveryUnreadable, match=r"leads out of the archive|is no name of a file") as caught:
            unpacked(data, kind)
        assert "\n" not in str(caught.value) and len(str(caught.value)) < 250


def _zip_named(name: str) -> bytes:
    """A zip whose entry has any name at all: `zipfile` itself would cut some."""
    entry = zipfile.ZipInfo("#" * len(name.encode()))
    return zipped((entry, b"x")).replace(entry.filename.encode(), name.encode())


@pytest.mark.parametrize(
    ("one", "other"), [("a.csv", "A.CSV"), ("caf\u00e9", "cafe\u0301"), ("dir/a", "dir\\a"), ("a.csv", "./a.csv")]
)
def test_names_that_are_one_elsewhere(unpacked: Unpacked, one: str, other: str) -> None:
    with pytest.raises(DeliveryUnreadable, match="have the same name"):
        unpacked(tarred((one, b"x"), (other, b"y")), "x.tar")
    with pytest.raises(DeliveryUnreadable, match="have the same name"):
        unpacked(zipped((one, b"x"), (other, b"y")))


def test_the_same_name_twice(unpacked: Unpacked) -> None:
    with pytest.warns(UserWarning, match="Duplicate name"):
        data = zipped(ONE, ONE)
    with pytest.raises(DeliveryUnreadable, match="have the same name"):
        unpacked(data)


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_in_a_tar(unpacked: Unpacked, kind: bytes) -> None:
    with pytest.raises(DeliveryUnreadable, match=r"'x.csv' is a link or a device"):
        unpacked(tarred(ONE, (of_kind("x.csv", kind, "/etc/passwd"), b"")), "x.tar")


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFSOCK])
def test_links_and_devices_in_a_zip(unpacked: Unpacked, kind: int) -> None:
    with pytest.raises(DeliveryUnreadable, match=r"'x.csv' is a link or a device"):
        unpacked(zipped(ONE, (with_mode("x.csv", kind | 0o777), b"/etc/passwd")))


def test_a_file_with_holes(unpacked: Unpacked) -> None:
    entry = tarfile.TarInfo("x.csv")
    entry.pax_headers = {"GNU.sparse.major": "0", "GNU.sparse.size": "1000", "GNU.sparse.map": "0,1"}
    with pytest.raises(DeliveryUnreadable, match="or has holes"):
        unpacked(tarred((entry, b"x"), format=tarfile.PAX_FORMAT), "x.tar")


ZEROS = bytes(2 << 20)


@pytest.mark.parametrize(
    ("name", "pack"),
    [
        ("x.zip", lambda: zipped(("a", ZEROS))),
        ("x.tgz", lambda: gzip.compress(ZEROS, 1)),
        ("x.gz", lambda: gzip.compress(ZEROS, 1)),
        ("x.bz2", lambda: bz2.compress(ZEROS, 1)),
        ("x.xz", lambda: lzma.compress(ZEROS, preset=0)),
    ],
)
def test_bombs(unpacked: Unpacked, monkeypatch: pytest.MonkeyPatch, name: str, pack: Callable[[], bytes]) -> None:
    monkeypatch.setattr(reading, "_SMALL", 1 << 20)
    with pytest.raises(DeliveryUnreadable, match="like a bomb"):
        unpacked(pack(), name)


@pytest.mark.parametrize("name", ["x.zip", "x.tar", "x.tar.gz", "x.gz"])
def test_limits_count_for_what_is_unpacked(unpacked: Unpacked, name: str) -> None:
    two = ("a", b"x" * 60), ("b", b"y" * 60)
    data = {
        "x.zip": zipped(*two), "x.tar": tarred(*two), "x.tar.gz": tarred(*two, mode="w:gz"), "x.gz": gzip.compress(b"x" * 120),
    }[name]  # fmt: skip
    with pytest.raises(DeliveryUnreadable, match="bytes are more than the allowed 100"):
        unpacked(data, name, bytes=100)


def test_more_files_than_anybody_sends(unpacked: Unpacked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MOST_ENTRIES", 2)
    three = [(str(n), b"") for n in range(3)]
    for data, name in ((zipped(*three), "x.zip"), (tarred(*three), "x.tar")):
        with pytest.raises(DeliveryUnreadable, match="more than 2 files"):
            unpacked(data, name)


def test_entries_upon_each_other(unpacked: Unpacked) -> None:
    """Both names of the directory point at one entry's bytes: the bomb that needs no nesting."""
    data = zipped(("a.csv", b"x" * 99), ("b.csv", b"y"))
    directory = data.index(b"PK\x01\x02")
    second = data.index(b"PK\x01\x02", directory + 4)
    first_offset = struct.pack("<I", 0)
    twisted = data[: second + 42] + first_offset + data[second + 46 :]
    with pytest.raises(DeliveryUnreadable, match="lie upon each other"):
        unpacked(twisted)


def test_a_header_that_announces_gigabytes(unpacked: Unpacked) -> None:
    long = of_kind("././@PaxHeader", tarfile.XHDTYPE)
    long.size = 9 << 20
    data = long.tobuf(tarfile.USTAR_FORMAT) + bytes(9 << 20)
    with pytest.raises(DeliveryUnreadable, match="a header of 9437184 bytes is announced"):
        unpacked(data, "x.tar")


def test_a_tar_that_leads_back_to_its_start(unpacked: Unpacked) -> None:
    entry = tarfile.TarInfo("x.csv")
    entry.size = -1024
    data = entry.tobuf(tarfile.GNU_FORMAT) + bytes(1024)
    with pytest.raises(DeliveryUnreadable):
        unpacked(data, "x.tar")


@pytest.mark.parametrize("bit", [0x1, 0x40, 0x2000])
def test_a_password(unpacked: Unpacked, bit: int) -> None:
    data = bytearray(zipped(ONE))
    for mark, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = data.index(mark) + place
        data[at : at + 2] = struct.pack("<H", bit)
    with pytest.raises(DeliveryUnreadable, match="protected by a password"):
        unpacked(bytes(data))


def test_methods_and_kinds_nobody_can_open(unpacked: Unpacked) -> None:
    data = bytearray(zipped(ONE))
    for mark, place in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        at = data.index(mark) + place
        data[at : at + 2] = struct.pack("<H", 9)
    with pytest.raises(DeliveryUnreadable, match="method we can't read"):
        unpacked(bytes(data))
    for name in ("x.rar", "x.7z"):
        with pytest.raises(DeliveryUnreadable, match="archives can't be opened"):
            unpacked(b"Rar!", name)


def test_lies_about_sizes_and_sums(unpacked: Unpacked) -> None:
    text = b"id\n" + b"1\n" * 50
    data = zipped(("a.csv", text))
    size, less, more = (struct.pack("<I", n) for n in (len(text), 3, 1000))
    for lie in (less, more):
        with pytest.raises(DeliveryUnreadable, match=r"damaged|announces"):
            unpacked(data.replace(size, lie))
    prefix = data.replace(size, less).replace(_sum(text), _sum(text[:3]))  # the prefix has the right check sum
    with pytest.raises(DeliveryUnreadable, match=r"damaged|announces"):
        unpacked(prefix)
    with pytest.raises(DeliveryUnreadable, match=r"damaged: Bad CRC-32"):
        unpacked(data.replace(_sum(text), b"\1\2\3\4"))


def _sum(data: bytes) -> bytes:
    return struct.pack("<I", zlib.crc32(data))


@pytest.mark.parametrize("name", ["x.zip", "x.tar", "x.tar.gz", "x.gz", "x.xz", "x.bz2"])
def test_cut_off_anywhere(unpacked: Unpacked, name: str) -> None:
    members = ONE, ("b.csv", bytes(range(256)) * 4)
    data = {
        "x.zip": zipped(*members), "x.tar": tarred(*members), "x.tar.gz": tarred(*members, mode="w:gz"),
        "x.gz": gzip.compress(members[1][1]), "x.xz": lzma.compress(members[1][1]), "x.bz2": bz2.compress(members[1][1]),
    }[name]  # fmt: skip
    end = len(data.rstrip(b"\0")) if name == "x.tar" else len(data)
    for cut in range(1, end, max(1, end // 60)):
        with pytest.raises(DeliveryUnreadable, match=r"damaged|cut off"):
            unpacked(data[:cut], name)


def test_bytes_behind_a_tar(unpacked: Unpacked) -> None:
    with pytest.raises(DeliveryUnreadable, match="damaged or cut off"):
        unpacked(tarred(ONE) + tarred(("b.csv", b"x")), "x.tar")


@pytest.mark.parametrize(
    ("name", "data"), [("x.zip", zipped()), ("x.tar", tarred()), ("x.zip", zipped((".DS_Store", b"x")))]
)
def test_an_empty_archive(reads: Callable[..., object], name: str, data: bytes) -> None:
    with pytest.raises(CitylakeError, match="no file lies in it"):
        reads(data, name)


def test_an_archive_on_a_desk_or_in_another(reads: Callable[..., object]) -> None:
    with pytest.raises(DeliveryUnreadable, match="isn't taken apart"):
        reads(zipped(ONE), "x.zip", format="csv")
    with pytest.raises(DeliveryUnreadable, match=r"no file of it is called \*\.xml \(first: a\.csv\)"):
        reads(zipped(ONE), "x.zip", members="*.xml")
