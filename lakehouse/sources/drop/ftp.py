"""FTP, and FTPS: explicit TLS (RFC 4217) on both connections, of a server whose certificate is vouched for.

The connection's URI is `ftps://USER:PASSWORD@HOST:21` or `ftp://...`, which sends the password for everybody on the way to
read. A city's own certificate authority is named by the environment variable SSL_CERT_FILE.
"""

import ftplib
import io
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any

from fsspec import AbstractFileSystem

from lakehouse.contract import Limits
from lakehouse.errors import SourceRefused
from lakehouse.sources.drop.place import capped
from lakehouse.sources.drop.remote import SILENCE_S, Address

_LONGEST_LINE = 2048
_UNKNOWN_COMMAND = ("500", "501", "502", "504")


def opened(address: Address, limits: Limits, where: str) -> AbstractFileSystem:
    """The server's files. Raises SourceRefused for a log-in or a certificate that isn't right."""
    return Ftp(address, where, skip_instance_cache=True)


class Ftp(AbstractFileSystem):
    """The files of an FTP server that can be read. Names are text as in `os.fsdecode`: what isn't UTF-8 stays what it is."""

    cachable = False
    protocol = "ftp"

    def __init__(self, address: Address, where: str, **options: Any) -> None:
        super().__init__(**options)
        self._where = where
        # one byte, one character: ftplib fails at bytes that aren't in the encoding
        self._ftp = (_Tls if address.scheme == "ftps" else ftplib.FTP)(timeout=SILENCE_S, encoding="latin-1")
        with _refusals(where):
            self._ftp.connect(address.host, address.port or 21)
            self._ftp.login(_wire(address.user or "anonymous"), _wire(address.password))
            if isinstance(self._ftp, _Tls):
                self._ftp.prot_p()
            self._ftp.voidcmd("TYPE I")
            with suppress(ftplib.error_perm):
                self._ftp.sendcmd("OPTS UTF8 ON")

    def close(self) -> None:
        with suppress(OSError):
            if self._ftp.sock:
                self._ftp.sock.shutdown(socket.SHUT_RDWR)
        self._ftp.close()

    def ls(self, path: str, detail: bool = True, **options: Any) -> list[dict[str, Any]]:
        with _refusals(self._where):
            try:
                found = capped(self._lines(f"MLSD {_wire(path)}"), self._where)
            except ftplib.error_perm as error:
                if not str(error).startswith(_UNKNOWN_COMMAND):
                    raise
                names = capped(self._lines(f"NLST {_wire(path)}"), self._where)
                return [{"name": _below(path, name), "type": "file"} for name in names]
        infos = (_info(path, *line.split(" ", 1)) for line in found if " " in line)
        return [info for info in infos if info["type"] not in ("cdir", "pdir")]

    def info(self, path: str, **options: Any) -> dict[str, Any]:
        size, modified = self._said(f"SIZE {_wire(path)}"), self._said(f"MDTM {_wire(path)}")
        return {"name": path, "type": "file", "size": _number(size), "mtime": _instant(modified)}

    def _open(self, path: str, mode: str = "rb", **options: Any) -> "_File":
        return _File(self._ftp, path, self._where)

    def _said(self, command: str) -> str:
        """What the server says to a question, nothing where it doesn't know the command."""
        with _refusals(self._where):
            try:
                return self._ftp.sendcmd(command)[4:].strip()
            except ftplib.error_perm as error:
                if str(error).startswith(_UNKNOWN_COMMAND):
                    return ""
                raise

    def _lines(self, command: str) -> Iterator[str]:
        with self._ftp.transfercmd(command) as data, data.makefile("rb") as lines:
            while line := lines.readline(_LONGEST_LINE):
                yield line.rstrip(b"\r\n").decode(errors="surrogateescape")
        self._ftp.voidresp()


class _Tls(ftplib.FTP_TLS):
    """The data connection goes on with the session of the first, as careful servers demand."""

    def __init__(self, **options: Any) -> None:
        super().__init__(context=ssl.create_default_context(), **options)

    def ntransfercmd(self, cmd: str, rest: int | str | None = None) -> tuple[socket.socket, int | None]:
        data, size = ftplib.FTP.ntransfercmd(self, cmd, rest)
        session = self.sock.session if isinstance(self.sock, ssl.SSLSocket) else None
        return self.context.wrap_socket(data, server_hostname=self.host, session=session), size


class _File(io.RawIOBase):
    """A file that is asked for when it is first read, from where it is to be read on."""

    def __init__(self, ftp: ftplib.FTP, path: str, where: str) -> None:
        self._ftp, self._path, self._where, self._at = ftp, path, where, 0
        self._data: io.BufferedReader | None = None

    def read(self, size: int = -1) -> bytes:
        with _refusals(self._where):
            if self._data is None:
                with self._ftp.transfercmd(f"RETR {_wire(self._path)}", rest=self._at or None) as data:
                    self._data = data.makefile("rb")
            read = self._data.read(size)
            if not read:
                self._data.close()
                self._ftp.voidresp()  # only now the server says whether that was all
            return read

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset
        return offset


@contextmanager
def _refusals(where: str) -> Iterator[None]:
    """What the server says, as errors of ours or of files. Its words aren't passed on."""
    try:
        yield
    except ssl.SSLCertVerificationError as error:
        hint = "ask the department; an authority of its own is named by SSL_CERT_FILE"
        raise SourceRefused("nobody vouches for its certificate", where=where, hint=hint) from error
    except ftplib.error_perm as error:
        code, words = str(error)[:3], str(error).lower()
        if code == "530":
            hint = "check user and password of the connection"
            raise SourceRefused("the log-in was refused", where=where, hint=hint) from None
        if code == "550":
            raise (PermissionError if "denied" in words or "permission" in words else FileNotFoundError) from None
        hint = "ask the department what its server expects"
        raise SourceRefused(f"the server said no (FTP {code})", where=where, hint=hint) from None
    except (ftplib.Error, EOFError) as error:
        raise ConnectionError from error
    except ValueError as error:
        hint = "ask the department to name it otherwise"
        raise SourceRefused("FTP can't ask for a name with a line break", where=where, hint=hint) from error


def _info(folder: str, facts: str, name: str) -> dict[str, Any]:
    """A line of MLSD (RFC 3659): `type=file;size=5;modify=20260301053000; name`."""
    said = dict(fact.lower().split("=", 1) for fact in facts.split(";") if "=" in fact)
    kind = said.get("type", "file")
    return {
        "name": _below(folder, name),
        "type": "directory" if kind == "dir" else kind,
        "size": _number(said.get("size", "")),
        "mtime": _instant(said.get("modify", "")),
    }


def _number(text: str) -> int | None:
    return int(text) if text.isdecimal() else None


def _instant(text: str) -> datetime | None:
    with suppress(ValueError):
        return datetime.strptime(text[:14], "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    return None


def _below(folder: str, name: str) -> str:
    """Some servers give whole paths."""
    return f"{folder.rstrip('/')}/{name.rpartition('/')[2]}"


def _wire(text: str) -> str:
    return text.encode(errors="surrogateescape").decode("latin-1")
