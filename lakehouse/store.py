"""Tables on an S3 server: where they lie, how it is logged in to, and the copy of them that readers are given.

The server has the tables; the folder of each in the lake is a copy of it: its log, and the data files that have been read.
Data files and log entries are never written twice, so what is here is right, and what is missing is brought when it is
asked for. DuckDB, pyarrow and Spark read files, as everywhere.

Everything goes through delta-rs's own client: one log-in, one patience. The connection `tables` is written like that of
an S3 source: `s3://KEY:SECRET@HOST`, or with `?endpoint_url=http://...`, `region_name` and `addressing=virtual`.
"""

import os
import secrets
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import pyarrow.fs as pafs
from deltalake.exceptions import DeltaError
from deltalake.fs import DeltaStorageHandler

from lakehouse.errors import EnvironmentFault, LakeError, TablesUnreachable
from lakehouse.layout import ON_SERVER, tables_at
from lakehouse.settings import connection_uri

CONNECTION = "tables"
_WORDS = {"endpoint_url", "region_name", "addressing"}
_TRIES = {"max_retries": "5", "retry_timeout": "60s", "connect_timeout": "5s"}
"""A request that fails is repeated five times within some seconds: a step says soon that the server is down."""


@dataclass(frozen=True)
class Store:
    """One table on a server, at `uri`, and its copy in `folder`."""

    uri: str
    folder: Path

    @property
    def options(self) -> dict[str, str]:
        """How delta-rs gets in. A secret."""
        return dict(_options(connection_uri(CONNECTION), urlsplit(self.uri).netloc))

    def follow(self) -> None:
        """Bring the newest entries of the log, oldest first: wherever it is ended, the copy opens at some version.

        Raises LakeError when the server has lost the log, TablesUnreachable when it doesn't answer.
        """
        with faults(self.uri):
            here = max((int(path.stem) for path in self._log.glob("[0-9]*.json")), default=-1)
            if here < 0 or not self._has(_entry(here)):
                return self._follow_anew()
            while self._has(_entry(here + 1)):
                here += 1
                self._bring(_entry(here))

    def bring(self, paths: Iterable[str]) -> None:
        """Bring those of the data files, by their path in the table, that aren't here."""
        with faults(self.uri):
            for path in paths:
                if not (self.folder / path).exists():
                    self._bring(path)

    def put(self, file: Path, path: str) -> None:
        """Move a finished data file to the server, and into the copy."""
        self._client.put(file, path)
        (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
        os.replace(file, self.folder / path)

    def sizes(self, below: str = "") -> dict[str, int]:
        """Everything the server has of the table, or of a folder of it, by its path in the table, and its bytes."""
        with faults(self.uri):
            return {info.path: info.size for info in self.listed(below, recursive=True) if info.is_file}

    def listed(self, below: str, *, recursive: bool = False) -> list[pafs.FileInfo]:
        """What lies in a folder of the table; nothing where there is none."""
        selected = pafs.FileSelector(below, recursive=recursive, allow_not_found=True)
        return list(self._files.get_file_info(selected))

    def tidy(self) -> None:
        """Drop from the copy what the server no longer has, and what a killed run has left half brought."""
        self._follow_anew()
        there, long_ago = self.sizes(), time.time() - _HALF_BROUGHT_S
        for path in self.folder.rglob("*.parquet*"):
            name = str(path.relative_to(self.folder))
            if path.stat().st_mtime < long_ago if path.name.startswith(".") else name not in there:
                path.unlink(missing_ok=True)

    def forget_log(self) -> None:
        """Drop the copy's log: it is brought again."""
        shutil.rmtree(self._log, ignore_errors=True)

    def _follow_anew(self) -> None:
        """Make the copy's log what the server has: it may have dropped entries that a checkpoint sums up."""
        there = self.sizes("_delta_log")
        here = [path.name for path in self._log.glob("[!.]*")]
        if here and not there:
            hint = f"bring it back by the server's own means: {self._log} has a copy"
            raise LakeError("its log is gone from the server", where=self.uri, hint=hint)
        for path in sorted(there, key=lambda path: (path.endswith(_POINTER), path.endswith(".json"), path)):
            if path.endswith(_POINTER) or not (self.folder / path).exists():
                self._bring(path)
        for name in here:
            if f"_delta_log/{name}" not in there:
                (self._log / name).unlink(missing_ok=True)

    def _has(self, path: str) -> bool:
        return bool(self._files.get_file_info(path).is_file)

    def _bring(self, path: str) -> None:
        target = self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
        try:
            with self._files.open_input_file(path) as source, draft.open("wb") as file:
                shutil.copyfileobj(source, file, _PIECE)
                file.flush()
                os.fsync(file.fileno())  # a copy that is there is whole
            os.replace(draft, target)
        except FileNotFoundError as error:
            raise LakeError("a file is gone from the server", where=f"{self.uri}/{path}", hint=_DOCTOR) from error
        finally:
            draft.unlink(missing_ok=True)

    @property
    def _log(self) -> Path:
        return self.folder / "_delta_log"

    @property
    def _files(self) -> pafs.FileSystem:
        return pafs.PyFileSystem(self._client)

    @property
    def _client(self) -> "_Client":
        return _opened(self.uri, tuple(sorted(self.options.items())))


def of(folder: Path) -> Store | None:
    """Where the table of a folder lies; None: there."""
    layer, home = folder.parent.name, folder.parent.parent
    address = tables_at(home) if layer in ON_SERVER else None
    return Store(f"{address}/{layer}/{folder.name}", folder) if address else None


def names(home: Path, layer: str) -> set[str]:
    """The tables of a layer that lie on a server; none where they lie in the lake."""
    address = tables_at(home) if layer in ON_SERVER else None
    if not address:
        return set()
    store = Store(f"{address}/{layer}", home / layer)
    with faults(store.uri):
        return {info.base_name for info in store.listed("")}


@contextmanager
def faults(where: str) -> Iterator[None]:
    """Say in one line what a server's answers mean. Other errors pass."""
    try:
        yield
    except (DeltaError, OSError) as error:
        if fault := explained(error, where):
            raise fault from error
        raise


def explained(error: Exception, where: str) -> LakeError | None:
    """The fault of a server behind an error of delta-rs; None where there is no server or it isn't to blame."""
    said = str(error)
    if not where.startswith("s3://"):
        return None
    if any(word in said for word in _REFUSED):
        hint = f"check the connection '{CONNECTION}' and what its key may do"
        return LakeError("the server of the tables refuses the log-in", where=where, hint=hint)
    if "NoSuchBucket" in said:
        return LakeError(
            "the server of the tables has no such bucket", where=where, hint="make it, or mend the address"
        )
    if any(word in said for word in _UNREACHABLE):
        hint = "see to the server, then run the same command again"
        return TablesUnreachable("the server of the tables doesn't answer", where=where, hint=hint)
    return None


_REFUSED = ("401 Unauthorized", "403 Forbidden", "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch")
_UNREACHABLE = (
    "error sending request",
    "HTTP error",
    "after 5 retries",
    "retry_timeout",
    "Server returned error response",
)
_POINTER = "_last_checkpoint"
_PIECE = 8 << 20
_HALF_BROUGHT_S = 24 * 3600
_DOCTOR = "run `citylake doctor`"


def _entry(version: int) -> str:
    return f"_delta_log/{version:020}.json"


class _Client(DeltaStorageHandler):
    def put(self, file: Path, path: str) -> None:
        target: Any = self._handler.open_output_stream(path, None)  # as pyarrow's stream it is given what isn't bytes
        with file.open("rb") as source:
            shutil.copyfileobj(source, target, _PIECE)
        target.close()  # only what is whole becomes an object


@cache
def _opened(uri: str, options: tuple[tuple[str, str], ...]) -> _Client:
    return _Client(uri, dict(options))


@cache
def _options(connection: str, bucket: str) -> Mapping[str, str]:
    """delta-rs's words for the connection's. Raises EnvironmentFault for what they can't be."""
    given = urlsplit(connection)
    said = dict(parse_qsl(given.query, keep_blank_values=True))
    if unknown := said.keys() - _WORDS:
        fault = f"connection '{CONNECTION}': '{min(unknown)}' means nothing in it"
        raise EnvironmentFault(fault, hint=f"known: {', '.join(sorted(_WORDS))}")
    if not given.username or not given.password:
        raise EnvironmentFault(
            f"connection '{CONNECTION}' has no key and secret", hint="write it s3://KEY:SECRET@HOST, percent-encoded"
        )
    region = said.get("region_name", "us-east-1")
    port = f":{given.port}" if given.port else ""
    endpoint = said.get("endpoint_url") or f"https://{given.hostname or f's3.{region}.amazonaws.com'}{port}"
    virtual = said.get("addressing") == "virtual"
    return {
        "aws_access_key_id": unquote(given.username),
        "aws_secret_access_key": unquote(given.password),
        "aws_region": region,
        "aws_endpoint_url": endpoint.replace("://", f"://{bucket}.", 1) if virtual else endpoint,
        "aws_virtual_hosted_style_request": str(virtual).lower(),
        "aws_allow_http": str(endpoint.startswith("http:")).lower(),
        "aws_conditional_put": "etag",
        **_TRIES,
    }
