"""File systems elsewhere, whatever they do: every call ends in time, what may pass is tried again, a copy goes on where it
broke off. Each kind of system is a module with `opened(address, limits, where)`, an fsspec file system."""

from collections.abc import Callable, Generator, Iterator, Mapping
from concurrent.futures import Future, wait
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from importlib import import_module
from queue import SimpleQueue
from threading import Thread
from typing import Any, BinaryIO, Self, TypeVar
from urllib.parse import parse_qsl, unquote, urlsplit

import fsspec
from fsspec import AbstractFileSystem

from lakehouse.contract import Limits
from lakehouse.errors import ContractError, EnvironmentFault, NotDelivered, SourceRefused, SourceUnavailable
from lakehouse.settings import connection_uri
from lakehouse.sources.drop.place import Changed, Entry, Look, Unreachable, refusals
from lakehouse.sources.patience import Patience

SILENCE_S = 60
"""The longest one call may take: to connect, to list a folder, to read the next piece."""

PIECE = 1 << 20
"""Bytes read at a time: what comes slower than this in `SILENCE_S` counts as silence."""

_MODULES = {
    "sftp": "sftp", "ssh": "sftp", "ftp": "ftp", "ftps": "ftp", "webdav": "webdav", "webdavs": "webdav",
    "s3": "s3", "aws": "s3", "http": "web", "https": "web",
}  # fmt: skip
_ONE_FILE = ("http", "https")

T = TypeVar("T")


@dataclass(frozen=True)
class Address:
    """Where files lie: `path` is their pattern on the host. User, password and `said` (the query of the connection's URI,
    under `connection`, its name) are secrets."""

    scheme: str
    host: str
    port: int | None
    path: str
    connection: str | None = None
    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    said: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def file(self) -> str | None:
        """The name of the one file the path is the address of: a web server can't be asked what it has."""
        return unquote(urlsplit(self.path).path).rpartition("/")[2] or "file" if self.scheme in _ONE_FILE else None


def address(uri: str, connection: str | None, where: str) -> Address:
    """What a contract's `uri` and its connection say together; a URI that begins with `/` lies on the connection's host.

    Raises SourceRefused when the connection belongs to another host, EnvironmentFault when it isn't set or there is no driver
    for such a system.
    """
    scheme, _, rest = uri.partition("://") if "://" in uri else ("", "", uri)
    host, _, path = rest.partition("/")
    given = urlsplit(f"//{host}") if scheme else urlsplit("")
    secret = urlsplit(connection_uri(connection)) if connection else given
    if scheme and scheme not in _MODULES:
        return Address(scheme, host, None, _driver(scheme, where)._strip_protocol(uri), connection)
    if scheme == "s3":  # its host is the bucket
        path, given = f"{host}/{path}", secret
    elif (
        given.hostname
        and secret.hostname
        and (given.hostname, given.port or secret.port) != (secret.hostname, secret.port or given.port)
    ):
        hint = "change 'uri' or 'connection'"
        raise SourceRefused(f"connection '{connection}' belongs to another host", where=where, hint=hint)
    return Address(
        scheme or secret.scheme,
        given.hostname or secret.hostname or "",
        given.port or secret.port,
        "/" + path.lstrip("/"),
        connection,
        unquote(secret.username or ""),
        unquote(secret.password or ""),
        dict(parse_qsl(secret.query, keep_blank_values=True)),
    )


def opener(target: Address, limits: Limits, where: str) -> Callable[[], AbstractFileSystem]:
    """What opens the system. Raises ContractError for a connection that its driver can't be given."""
    if target.scheme in _MODULES:
        module = import_module(f"lakehouse.sources.drop.{_MODULES[target.scheme]}")
        return partial(module.opened, target, limits, where)
    driver = _driver(target.scheme, where)
    if target.connection:
        said = f"'{target.scheme}' takes nothing from a connection"
        raise ContractError(said, where=where, hint=f"known to: {', '.join(_MODULES)}")
    options = driver._get_kwargs_from_urls(f"{target.scheme}://{target.host}{target.path}")
    return partial(driver, skip_instance_cache=True, **options)


def _driver(scheme: str, where: str) -> Any:
    try:
        return fsspec.get_filesystem_class(scheme)
    except (ImportError, ValueError) as error:
        said = f"the file system can't be opened: {error}"
        raise EnvironmentFault(said, where=where, hint="install its driver") from error


class Remote(Patience):
    """A system elsewhere for the length of one fetch, opened when it is first asked, and anew after it broke off.

    Calls run on a thread of their own: one that hangs is left behind, not waited for.
    """

    def __init__(self, opens: Callable[[], AbstractFileSystem], limits: Limits, where: str) -> None:
        super().__init__(limits, where)
        self._opens = opens
        self._system: AbstractFileSystem | None = None
        self._calls: SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *fault: object) -> None:
        self._leave()

    def entries(self, folder: str) -> Iterator[Entry]:
        infos = self.patiently(lambda: self._ask(lambda system: system.ls(folder, detail=True)))
        return (Entry(info["name"], info["type"] == "directory", _looked(info)) for info in infos)

    def look(self, path: str) -> Look:
        return self.patiently(lambda: self._look(path))

    def pieces(self, path: str, look: Look) -> Generator[bytes]:
        at = 0
        stream: BinaryIO | None = None

        def piece() -> bytes:
            nonlocal stream
            try:
                stream = stream or self._stream(path, at, look)
                read = self._read(stream)
                if not read and at < (look.size or 0):
                    self._leave()
                    raise self.unavailable("it broke off")
                return read
            except SourceUnavailable:
                stream = None
                raise

        try:
            while read := self.patiently(piece):
                at += len(read)
                if look.size is not None and at > look.size:
                    raise Changed("it is longer than was said", where=self.where, hint="it is looked for again")
                yield read
        except BaseException:
            self._leave()  # the rest is still on its way
            raise

    def _read(self, stream: BinaryIO) -> bytes:
        """The next piece; the file is closed after the last."""

        def read() -> bytes:
            found = stream.read(PIECE)
            if not found:
                stream.close()
            return found

        return self._ask(lambda _: read())

    def _stream(self, path: str, at: int, look: Look) -> BinaryIO:
        """The file from byte `at` on."""
        if at and self._look(path) != look:
            raise Changed("it changed while it was copied", where=self.where, hint="it is looked for again")
        stream = self._ask(lambda system: system.open(path, "rb"))
        if at:
            self._ask(lambda _: stream.seek(at))
        return stream

    def _look(self, path: str) -> Look:
        return _looked(self._ask(lambda system: system.info(path)))

    def _ask(self, call: Callable[[AbstractFileSystem], T]) -> T:
        """What the system answers. One that breaks off or hangs is left; the next call opens it anew."""
        try:
            if self._system is None:
                self._system = self._opened()
            return self._call(partial(call, self._system))
        except SourceUnavailable:
            self._leave()
            raise

    def _opened(self) -> AbstractFileSystem:
        try:
            return self._call(self._opens)
        except SourceUnavailable as fault:
            raise Unreachable(fault.what, where=fault.where, hint=fault.hint) from fault
        except NotDelivered as fault:
            hint = "check 'known_hosts' in the connection, and SSL_CERT_FILE"
            raise EnvironmentFault(
                "a file that is needed to log in is missing", where=fault.where, hint=hint
            ) from fault

    def _call(self, call: Callable[[], T]) -> T:
        self.check_time()
        if self._calls is None:
            self._calls = SimpleQueue()
            Thread(target=_serve, args=(self._calls,), daemon=True).start()
        future: Future[T] = Future()
        self._calls.put((future, call))
        if not wait([future], min(SILENCE_S, self.left_s)).done:
            raise self.unavailable(f"no answer in {SILENCE_S} s")
        with refusals(self.where):
            return future.result()

    def _leave(self) -> None:
        if self._calls is not None:
            self._calls.put(None)
        if self._system is not None:  # closed from elsewhere, for its own thread may hang in it
            Thread(target=_close, args=(self._system,), daemon=True).start()
        self._calls = self._system = None


def _serve(calls: "SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None]") -> None:
    for future, call in iter(calls.get, None):
        try:
            future.set_result(call())
        except BaseException as error:
            future.set_exception(error)


def _close(system: AbstractFileSystem) -> None:
    with suppress(Exception):
        getattr(system, "close", lambda: None)()


def _looked(info: Mapping[str, Any]) -> Look:
    modified = info.get("mtime")
    if isinstance(modified, int | float):
        modified = datetime.fromtimestamp(modified, UTC)
    return Look(info.get("size"), modified, info.get("etag", ""))
