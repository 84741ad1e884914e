"""Archives: what lies in them, looked through before anything is unpacked, and the bytes of a member."""

import bz2
import errno
import gzip
import lzma
import re
import stat
import struct
import tarfile
import unicodedata
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from copy import copy
from dataclasses import dataclass
from functools import partial
from io import SEEK_END, BufferedReader, FileIO, RawIOBase
from pathlib import Path, PurePosixPath
from tempfile import TemporaryFile
from typing import BinaryIO
from zipfile import ZIP_BZIP2, ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from lakehouse.contract import Limits
from lakehouse.errors import DeliveryUnreadable, LakeError
from lakehouse.formats import encoding
from lakehouse.formats.reading import like_a_bomb, over_limit
from lakehouse.source import Dialect

MOST_ENTRIES = 10_000
_LONGEST_NAME, _LONGEST_SHOWN = 500, 80
_MOST_AT_ONCE = 8 << 20
"""Bytes: ten thousand entries with long names have a directory of 2 MB; a header that announces gigabytes would take as
much memory before anybody could look at it."""
_CHUNK = 1 << 20

_PACKED = {".gz": "gz", ".bz2": "bz2", ".xz": "xz"}
_TARS = {".tar": None, ".tgz": "gz", ".tbz2": "bz2", ".txz": "xz"} | {
    f".tar{suffix}": packing for suffix, packing in _PACKED.items()
}
_CLOSED = {".rar": "RAR", ".7z": "7z"}
_HIDDEN = re.compile(r"(^|/)(\.|~\$|__MACOSX/|(Thumbs\.db|desktop\.ini)?$)", re.IGNORECASE)
"""What file managers leave in archives, and folders."""
_OUTSIDE = re.compile(r"[/\\]|[A-Za-z]:|(.*[/\\])?\.\.([/\\]|$)", re.DOTALL)
"""Absolute names, names on a drive, and names that climb out."""

_DAMAGE = (
    BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, struct.error,
    EOFError, OSError, NotImplementedError, RuntimeError, ValueError, IndexError, OverflowError,
)  # fmt: skip
"""What the libraries raise for bytes that aren't what they should be."""
_OF_BYTES = (None, errno.EINVAL, errno.EOVERFLOW)
"""Numbers of an OSError that speak of places no file has; others speak of the disk."""


@dataclass(frozen=True)
class Member:
    """A file in an archive: its path there, and how many bytes it says it has (None where nothing says it)."""

    name: str
    bytes: int | None
    open: Callable[[], BinaryIO]


def is_archive(name: str) -> bool:
    """Whether a file of this name holds others."""
    return _suffix(name) is not None


def _suffix(name: str) -> str | None:
    lower = name.lower()
    known = (*_TARS, *_PACKED, *_CLOSED, ".zip")  # the longer before the shorter
    return next((suffix for suffix in known if lower.endswith(suffix) and lower != suffix), None)


def is_whole(names: Iterable[str], source: Dialect) -> bool:
    """Whether the archive is read as one: a shapefile is several files."""
    return source.format == "shapefile" or (not source.members and any(name.lower().endswith(".shp") for name in names))


@contextmanager
def opened(path: Path, folder: Path | None, limits: Limits, where: str) -> Iterator[dict[str, Member]]:
    """The archive's files by name, without those that file managers hide; a packed tar lies unpacked in `folder` for as
    long, in a file without a name.

    Raises DeliveryUnreadable for what shouldn't be unpacked: a bomb, a link or device, a name that leads elsewhere or
    can be taken for another's, a password; and for what can't: a damaged archive, an unknown kind.
    """
    suffix = _suffix(path.name) or ""
    with ExitStack() as stack:
        with _damage(where):
            if suffix == ".zip":
                package = stack.enter_context(ZipFile(stack.enter_context(_Guarded(FileIO(path), where))))
                members = _zipped(package, path, limits, where)
            elif suffix in _TARS:
                members = stack.enter_context(_tar(path, _TARS[suffix], folder, limits, where))
            elif suffix in _PACKED:
                plain = path.name[: -len(suffix)]
                members = [Member(plain, None, partial(_unpacking, path, _PACKED[suffix]))]
            else:
                raise _refused(
                    f"{_CLOSED.get(suffix, 'such')} archives can't be opened", where, "ask for a .zip or .tar.gz"
                )
        _refuse_twins([member.name for member in members], where)
        yield {member.name: member for member in members if not _HIDDEN.search(member.name)}


def chunks(member: Member, packed: int, limits: Limits, where: str) -> Iterator[bytes]:
    """The member's bytes; `packed` is the size of its archive. Raises DeliveryUnreadable when they are damaged, aren't as
    many as announced, or are too many."""
    size = 0
    with _damage(where):
        stream = member.open()
    with stream:
        while True:
            with _damage(where):
                chunk = stream.read(_CHUNK)
            if not chunk:
                break
            size += len(chunk)
            _refuse_bomb(1, size, packed, limits, where)
            yield chunk
    if member.bytes not in (size, None):
        raise _refused(f"'{member.name}' has other bytes than the {member.bytes} the archive announces", where)


def require_whole(path: Path, limits: Limits, source: Dialect, where: str) -> None:
    """Raises DeliveryUnreadable unless the archive is one that is read whole, and sound to the last byte."""
    with opened(path, None, limits, where) as members:
        for member in members.values():
            for _ in chunks(member, path.stat().st_size, limits, where):
                pass
        if not members:
            raise _refused("no file lies in it", where)
        if is_whole(members, source):
            return
        if not meant(members, source):
            first = ", ".join(_shown(name) for name in [*members][:3])
            raise _refused(
                f"no file of it is called {source.members} (first: {first})", where, "check 'members' in 'source'"
            )
        raise _refused("an archive in an archive isn't taken apart", where, "unpack it, or deliver it by itself")


def meant(members: Mapping[str, Member], source: Dialect) -> list[Member]:
    """The members that the source's pattern fits, like `*.csv`; one without folders fits in any folder."""
    pattern = (source.members or "*").lower()
    return [member for name, member in members.items() if PurePosixPath(name.lower()).match(pattern)]


class _Guarded(BufferedReader):
    """A file of which nobody can ask for more at once than an honest archive's largest header."""

    def __init__(self, raw: RawIOBase, where: str) -> None:
        super().__init__(raw)
        self._size, self._where = raw.seek(0, SEEK_END), where
        raw.seek(0)

    def read(self, size: int | None = -1) -> bytes:
        wanted = self._size - self.tell() if size is None or size < 0 else size
        if wanted > _MOST_AT_ONCE:
            raise _refused(f"a header of {wanted} bytes is announced", self._where)
        return super().read(wanted)


def _zipped(package: ZipFile, path: Path, limits: Limits, where: str) -> list[Member]:
    return [
        Member(_zip_name(entry, where), entry.file_size, partial(_entry, package, entry))
        for entry in looked_through(package, path, limits, where)
        if not entry.is_dir()
    ]


def looked_through(package: ZipFile, path: Path, limits: Limits, where: str) -> list[ZipInfo]:
    """The entries of a zip, if they are what they seem. Raises DeliveryUnreadable for a bomb or a password."""
    entries = package.infolist()
    size = sum(entry.file_size for entry in entries)
    _refuse_bomb(len(entries), size, path.stat().st_size, limits, where)
    if any(entry.flag_bits & _ENCRYPTED for entry in entries):
        raise _refused("it is protected by a password", where, "ask for it without")
    place = 0
    for entry in sorted(entries, key=lambda entry: entry.header_offset):
        if entry.header_offset < place:
            raise _refused("entries of it lie upon each other", where)
        place = entry.header_offset + _LOCAL_HEADER + len(entry.orig_filename) + entry.compress_size
    if place > package.start_dir:
        raise _refused("an entry of it reaches into the directory", where)
    return entries


_LOCAL_HEADER = 30
_ENCRYPTED = 0x1 | 0x40 | 0x2000
_UTF8_NAME = 0x800


def _zip_name(entry: ZipInfo, where: str) -> str:
    """The entry's name, if the entry is a plain file that can be read."""
    raw = entry.orig_filename
    name = raw if entry.flag_bits & _UTF8_NAME else _decoded(raw.encode("cp437"))
    if stat.S_IFMT(entry.external_attr >> 16) not in (0, stat.S_IFREG):
        raise _refused(f"'{_shown(name)}' is a link or a device", where)
    if entry.compress_type not in (ZIP_STORED, ZIP_DEFLATED, ZIP_BZIP2):
        raise _refused(f"it is packed by a method we can't read ({entry.compress_type})", where, "ask for a plain .zip")
    return _safe(name, where)


def _entry(package: ZipFile, entry: ZipInfo) -> BinaryIO:
    """The entry's bytes, and one more where there are more than announced: the library would leave them out unsaid."""
    longer = copy(entry)
    longer.file_size += 1
    return package.open(longer)  # type: ignore[return-value]


@contextmanager
def _tar(path: Path, packing: str | None, folder: Path | None, limits: Limits, where: str) -> Iterator[list[Member]]:
    packed = path.stat().st_size
    with ExitStack() as stack:
        if packing:
            whole = Member(path.name, None, partial(_unpacking, path, packing))
            unpacked = stack.enter_context(TemporaryFile(dir=folder))
            unpacked.writelines(chunks(whole, packed, limits, where))
            unpacked.flush()
        plain = FileIO(unpacked.fileno(), closefd=False) if packing else FileIO(path)
        file = stack.enter_context(_Guarded(plain, where))
        package = stack.enter_context(tarfile.open(fileobj=file, mode="r:"))
        yield list(_tarred(package, file, packed, limits, where))


def _tarred(package: tarfile.TarFile, file: BinaryIO, packed: int, limits: Limits, where: str) -> Iterator[Member]:
    size = end = 0
    for count, entry in enumerate(package, 1):
        size += max(entry.size, 0)
        _refuse_bomb(count, size, packed, limits, where)
        name = _decoded(entry.name.encode("utf-8", "surrogateescape"))
        if entry.issparse() or entry.size < 0 or not (entry.isreg() or entry.isdir()):
            raise _refused(f"'{_shown(name)}' is a link or a device, or has holes", where)
        end = entry.offset_data + -(-entry.size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
        if entry.isreg():
            yield Member(_safe(name, where), entry.size, partial(_of_tar, package, entry))
    _refuse_open_end(file, end, where)


def _of_tar(package: tarfile.TarFile, entry: tarfile.TarInfo) -> BinaryIO:
    stream = package.extractfile(entry)
    assert stream is not None  # only of plain files
    return stream  # type: ignore[return-value]


def _refuse_open_end(file: BinaryIO, end: int, where: str) -> None:
    """An archive ends with blocks of zeros. The library takes any other end for one too, and what lies behind it is lost."""
    file.seek(end)
    rest = iter(lambda: file.read(_CHUNK), b"")
    if any(chunk.strip(b"\0") for chunk in rest) or file.tell() < end + tarfile.BLOCKSIZE:
        raise _refused("it is damaged or cut off", where)


def _unpacking(path: Path, packing: str) -> BinaryIO:
    """The stream that one packed file holds."""
    match packing:
        case "gz":
            return gzip.open(path)  # type: ignore[return-value]
        case "bz2":
            return bz2.open(path)  # type: ignore[return-value]
        case _:
            return lzma.open(path)  # type: ignore[return-value]


def _decoded(raw: bytes) -> str:
    """A name as text. Windows in Chinese writes GBK and doesn't say so."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        pass
    try:
        return raw.decode("gb18030")
    except UnicodeDecodeError:
        return encoding.readable(raw)


def _shown(name: str) -> str:
    """A name of a length people read."""
    return name if len(name) <= _LONGEST_SHOWN else f"{name[:_LONGEST_SHOWN]}..."


def _safe(name: str, where: str) -> str:
    """The name with `/` between folders. Raises DeliveryUnreadable for one that leads elsewhere."""
    if "\0" in name or len(name.encode(errors="replace")) > _LONGEST_NAME:
        raise _refused(f"'{_shown(name)}' is no name of a file", where)
    if _OUTSIDE.match(name):
        raise _refused(f"'{_shown(name)}' leads out of the archive", where)
    return name.replace("\\", "/").removeprefix("./")


def _refuse_twins(names: list[str], where: str) -> None:
    """Two names that are one on some systems: whoever unpacks there sees other files than we do."""
    seen: dict[str, str] = {}
    for name in names:
        known = unicodedata.normalize("NFC", name).casefold()
        if known in seen:
            raise _refused(f"'{_shown(seen[known])}' and '{_shown(name)}' have the same name", where)
        seen[known] = name


def _refuse_bomb(entries: int, size: int, packed: int, limits: Limits, where: str) -> None:
    if entries > MOST_ENTRIES:
        raise _refused(f"it holds more than {MOST_ENTRIES} files", where, "deliver several archives")
    if size > limits.bytes:
        raise over_limit("bytes", size, limits.bytes, where)
    if like_a_bomb(size, packed):
        raise _refused(f"{packed} bytes unpack to {size} and more, like a bomb", where, "deliver it as CSV, not packed")


@contextmanager
def _damage(where: str) -> Iterator[None]:
    """What the libraries say of bytes that aren't what they should be, as an error of ours."""
    try:
        yield
    except _DAMAGE as error:
        if isinstance(error, OSError) and error.errno not in _OF_BYTES:
            raise LakeError(
                f"an archive can't be unpacked: {error.strerror}", where=where, hint="free space or mend the disk"
            ) from error
        raise _refused(f"the archive is damaged: {_shown(str(error)) or type(error).__name__}", where) from error


def _refused(what: str, where: str, hint: str = "ask the department to deliver again") -> DeliveryUnreadable:
    return DeliveryUnreadable(what, where=where, hint=hint)
