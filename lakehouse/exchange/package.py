"""A package as a file: a zip without compression, or a folder, that holds a manifest, its signature and data files."""

import os
import stat
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO
from zipfile import ZIP_STORED, BadZipFile, ZipFile, ZipInfo

import pyarrow as pa
import pyarrow.parquet as pq

from lakehouse.contract import Contract
from lakehouse.errors import DeliveryUnreadable
from lakehouse.exchange.keys import PublicKey
from lakehouse.exchange.signed import File, Manifest, Signed, opened
from lakehouse.formats import read
from lakehouse.source import ExchangeSource
from lakehouse.sources.received import CHUNK, Ledger, Received, writing

MANIFEST, SIGNATURE = "manifest.json", "manifest.sig"
_MOST_BYTES = {MANIFEST: 1 << 20, SIGNATURE: 64}
_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The oldest time a zip can say: the same content gives the same bytes whenever it is packed."""
_ASK = "`citylake exchange request` asks for it again"
_DAMAGED = (BadZipFile, EOFError, ValueError, NotImplementedError, RuntimeError, struct.error, OSError)


def write(manifest: Signed[Manifest], data: Mapping[str, Path], path: Path) -> None:
    """The package as a zip at `path`, under its name in one rename. Raises LakeError when the disk won't."""
    new = path.with_name(f"{path.name}.part")
    with writing(new), ZipFile(new, "w", ZIP_STORED) as package:
        package.writestr(ZipInfo(MANIFEST, _EPOCH), manifest.data)
        package.writestr(ZipInfo(SIGNATURE, _EPOCH), manifest.signature)
        for file in manifest.record.files:
            entry = ZipInfo(file.path, _EPOCH)
            entry.file_size = file.bytes  # tells zipfile whether the entry needs the large form
            with data[file.path].open("rb") as source, package.open(entry, "w") as target:
                while chunk := source.read(CHUNK):
                    target.write(chunk)
    os.replace(new, path)


@dataclass(frozen=True)
class Package:
    """A package that is being read: the sizes of what is in it, and a way to open each."""

    where: str
    sizes: Mapping[str, int]
    open: Callable[[str], IO[bytes]]

    def manifest(self, by: Sequence[PublicKey]) -> Signed[Manifest]:
        """The manifest, if one of the keys has signed it. Raises DeliveryUnreadable."""
        data, signature = (self._small(name) for name in (MANIFEST, SIGNATURE))
        return opened(Manifest, data, signature, by, self.where)

    def _small(self, name: str) -> bytes:
        if self.sizes.get(name, 0) > _MOST_BYTES[name]:
            raise self.fault(f"{name} has {self.sizes[name]} bytes")
        if name not in self.sizes:
            raise self.fault(f"there is no {name}")
        with self.open(name) as file:
            return file.read(_MOST_BYTES[name] + 1)

    def fault(self, what: str) -> DeliveryUnreadable:
        return DeliveryUnreadable(what, where=self.where, hint=_ASK)

    def extract(self, manifest: Manifest, contract: Contract, source: ExchangeSource, into: Path) -> list[Received]:
        """The data files in the new folder `into`: exactly those of the manifest, sizes, hashes and rows as signed.

        Raises DeliveryUnreadable otherwise, LakeError when landing can't be written.
        """
        listed = {file.path for file in manifest.files}
        if odd := sorted(self.sizes.keys() - listed - {MANIFEST, SIGNATURE}):
            raise self.fault(f"{len(odd)} files more than the manifest lists")
        if sum(file.bytes for file in manifest.files) > contract.limits.bytes:
            raise self.fault(f"more than the {contract.limits.bytes} bytes of the contract's limits")
        with writing(into):
            into.mkdir(parents=True, mode=0o700)
        return [self._extracted(file, manifest.delivered(file), contract, source, into) for file in manifest.files]

    def _extracted(self, file: File, name: str, contract: Contract, source: ExchangeSource, into: Path) -> Received:
        if file.path not in self.sizes:
            raise self.fault(f"{file.path} is missing")
        if self.sizes[file.path] != file.bytes:
            raise self.fault(f"{file.path} has {self.sizes[file.path]} bytes, signed are {file.bytes}")
        path = into / PurePosixPath(file.path).name
        ledger = Ledger(file.bytes, source.quote.encode(), self.where)
        with self.open(file.path) as stream:
            ledger.store(iter(lambda: stream.read(CHUNK), b""), path)
        if ledger.sha256 != file.sha256:
            raise self.fault(f"{file.path} isn't the file that was signed (its SHA-256 differs)")
        if (rows := _rows(path, contract, ledger.quoted)) != file.rows:
            raise self.fault(f"{file.path} has {rows} rows, signed are {file.rows}")
        return Received(path, name, ledger.size, ledger.sha256, None, ledger.quoted)


def _rows(path: Path, contract: Contract, quoted: bool) -> int:
    """Records as the reader of the file's format counts them. Raises DeliveryUnreadable when it can't be read."""
    if path.suffix == ".parquet":
        try:
            return int(pq.read_metadata(path).num_rows)
        except (pa.ArrowException, OSError) as error:
            raise DeliveryUnreadable("a data file isn't Parquet", where=contract.name, hint="ask the sender") from error
    reading = read(path, contract, quoted=quoted)
    for _ in reading.batches:
        pass
    return reading.rows_in


@contextmanager
def reading(path: Path) -> Iterator[Package]:
    """The package at `path`. Raises DeliveryUnreadable when it is damaged or not such a package, also while it is read."""
    where = path.name
    try:
        if path.is_dir():
            yield _folder(path, where)
        else:
            with _plain(path, where) as file, ZipFile(file) as package:
                yield _zip(package, where)
    except _DAMAGED as error:
        raise DeliveryUnreadable(
            "the package is damaged", where=where, hint=_ASK
        ) from error  # its words may hold values


def _plain(path: Path, where: str) -> IO[bytes]:
    """The file, never through a link. O_NONBLOCK: opening a named pipe would wait for its writer for ever."""
    file = os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb")
    if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        return file
    file.close()
    raise DeliveryUnreadable(f"{path.name} is no plain file", where=where, hint=_ASK)


def _zip(package: ZipFile, where: str) -> Package:
    entries = [entry for entry in package.infolist() if not entry.filename.endswith("/")]
    sizes = {entry.filename: entry.file_size for entry in entries}
    if len(sizes) < len(entries) or any(e.compress_type != ZIP_STORED or e.flag_bits & 1 for e in entries):
        raise DeliveryUnreadable("the zip is compressed, encrypted or names a file twice", where=where, hint=_ASK)
    return Package(where, sizes, package.open)


def _folder(path: Path, where: str) -> Package:
    found = [each for each in (path, *path.rglob("*")) if each.is_symlink() or not each.is_dir()]
    if any(each.is_symlink() for each in found):
        raise DeliveryUnreadable("a link is in it", where=where, hint=_ASK)
    sizes = {each.relative_to(path).as_posix(): each.stat().st_size for each in found}
    return Package(where, sizes, lambda name: _plain(path / name, where))
