"""SFTP: a server is who its declared or known host key says; nothing is accepted on sight.

The connection's URI is `sftp://USER:PASSWORD@HOST:22/?host_key=SHA256:...`. Instead of a password `key_file` (a path) or
`private_key` (its text) may stand in its query, with `private_key_passphrase`; instead of `host_key`, `known_hosts` (a path;
left out, the account's own ~/.ssh/known_hosts). Without password and key, the keys of the account are tried.
"""

import io
import logging
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import paramiko
from fsspec import AbstractFileSystem
from paramiko.sftp import (
    CMD_CLOSE,
    CMD_OPENDIR,
    CMD_READDIR,
    SFTP_EOF,
    SFTP_NO_SUCH_FILE,
    SFTP_OK,
    SFTP_PERMISSION_DENIED,
)

from lakehouse.contract import Limits
from lakehouse.errors import EnvironmentFault, SourceRefused
from lakehouse.sources.drop.place import capped
from lakehouse.sources.drop.remote import SILENCE_S, Address

_WORDS = {"host_key", "known_hosts", "key_file", "private_key", "private_key_passphrase"}
_STATUS = {SFTP_EOF: EOFError, SFTP_NO_SUCH_FILE: FileNotFoundError, SFTP_PERMISSION_DENIED: PermissionError}
_KEYS = (paramiko.Ed25519Key, paramiko.ECDSAKey, paramiko.RSAKey)

logging.getLogger("paramiko").setLevel(logging.CRITICAL)  # it tells on stderr what is an error of ours already


def opened(address: Address, limits: Limits, where: str) -> AbstractFileSystem:
    """The server's files. Raises SourceRefused for a log-in or a host key that isn't right."""
    if unknown := address.said.keys() - _WORDS:
        said = f"connection '{address.connection}': '{min(unknown)}' means nothing in it"
        raise EnvironmentFault(said, hint=f"known: {', '.join(sorted(_WORDS))}")
    return Sftp(address, where, skip_instance_cache=True)


class Sftp(AbstractFileSystem):
    """The files of an SSH server that can be read. Names are text as in `os.fsdecode`: what isn't UTF-8 stays what it is."""

    cachable = False
    protocol = "sftp"

    def __init__(self, address: Address, where: str, **options: Any) -> None:
        super().__init__(**options)
        self._where = where
        self._ssh = paramiko.SSHClient()
        with _refusals(where):
            self._connect(address)
            self._files = _Client.from_transport(self._ssh.get_transport())
        self._files.get_channel().settimeout(SILENCE_S)

    def close(self) -> None:
        self._ssh.close()

    def ls(self, path: str, detail: bool = True, **options: Any) -> list[dict[str, Any]]:
        with _refusals(self._where):
            found = capped(self._names(path), self._where)
        return [self._followed(each) if each["type"] == "link" else each for each in found]

    def info(self, path: str, **options: Any) -> dict[str, Any]:
        with _refusals(self._where):
            return _info(path, self._files.stat(_sent(path)))

    def _followed(self, link: dict[str, Any]) -> dict[str, Any]:
        try:
            return self.info(link["name"])
        except OSError:
            return link  # leads nowhere, or where we may not look: said when the file is asked for

    def _open(self, path: str, mode: str = "rb", **options: Any) -> "_File":
        with _refusals(self._where):
            return _File(self._files.open(_sent(path), "rb", bufsize=0), self._where)

    def _connect(self, address: Address) -> None:
        said = address.said
        if fingerprint := said.get("host_key", "").replace(" ", "+"):  # a plus is a blank in a query
            self._ssh.set_missing_host_key_policy(_Declared(fingerprint, self._where))
        elif "known_hosts" in said:
            self._ssh.load_host_keys(said["known_hosts"])
        else:
            self._ssh.load_system_host_keys()
        key = _private_key(address)
        self._ssh.connect(
            address.host,
            address.port or 22,
            username=address.user or None,
            password=address.password or None,
            pkey=key,
            timeout=SILENCE_S,
            banner_timeout=SILENCE_S,
            auth_timeout=SILENCE_S,
            channel_timeout=SILENCE_S,
            allow_agent=False,
            look_for_keys=not (address.password or key),
        )

    def _names(self, folder: str) -> Iterator[dict[str, Any]]:
        """What lies in the folder. paramiko's own list ends at the first name that isn't UTF-8."""
        _, answer = self._files._request(CMD_OPENDIR, _sent(folder))
        handle = answer.get_string()
        with suppress(EOFError):
            while True:
                _, answer = self._files._request(CMD_READDIR, handle)
                for _ in range(answer.get_int()):
                    name = answer.get_string().decode(errors="surrogateescape")
                    answer.get_string()  # the line of `ls -l`
                    facts = paramiko.SFTPAttributes._from_msg(answer)
                    if name not in (".", ".."):
                        yield _info(f"{folder.rstrip('/')}/{name.rpartition('/')[2]}", facts)
        self._files._request(CMD_CLOSE, handle)


class _Client(paramiko.SFTPClient):
    """paramiko's, but for the words of an error: it reads them as UTF-8, and a server may have others."""

    def _convert_status(self, msg: paramiko.Message) -> None:
        code = msg.get_int()
        if code != SFTP_OK:
            raise _STATUS.get(code, OSError)


class _File(io.RawIOBase):
    """A file that is asked for in many requests at a time, but not for more than one `read` wants: what is ahead is kept in
    memory."""

    def __init__(self, file: paramiko.SFTPFile, where: str) -> None:
        self._file, self._where, self._at = file, where, 0
        with _refusals(where):
            self._size = file.stat().st_size

    def read(self, size: int = -1) -> bytes:
        with _refusals(self._where):
            left = self._size - self._at
            wanted = left if size < 0 else min(size, left)
            read = b"".join(self._file.readv([(self._at, wanted)])) if wanted > 0 else b""
        self._at += len(read)
        return read

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset
        return offset

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()


class _Declared(paramiko.MissingHostKeyPolicy):
    """Only the server with the declared fingerprint (`ssh-keygen -lf`), or one of several with commas between."""

    def __init__(self, fingerprints: str, where: str) -> None:
        self._fingerprints, self._where = fingerprints.split(","), where

    def missing_host_key(self, client: paramiko.SSHClient, hostname: str, key: paramiko.PKey) -> None:
        if key.fingerprint not in self._fingerprints:
            raise SourceRefused(
                f"its host key ({key.get_name()} {key.fingerprint}) is not the declared one",
                where=self._where,
                hint="ask the department whether its server has a new key, then change 'host_key' in the connection",
            )


@contextmanager
def _refusals(where: str) -> Iterator[None]:
    try:
        yield
    except paramiko.BadHostKeyException as error:
        hint = "ask the department whether its server has a new key, then change known_hosts"
        raise SourceRefused("its host key is not the known one", where=where, hint=hint) from error
    except paramiko.AuthenticationException as error:
        if "timeout" in str(error):
            raise ConnectionError from error
        hint = "check user, password or key of the connection"
        raise SourceRefused("the log-in was refused", where=where, hint=hint) from error
    except paramiko.SSHException as error:
        if "not found in known_hosts" in str(error):
            hint = "ask for its fingerprint (`ssh-keygen -lf`) and add `host_key=SHA256:...` to the connection"
            raise SourceRefused("its host key is not known", where=where, hint=hint) from error
        raise ConnectionError from error


def _private_key(address: Address) -> paramiko.PKey | None:
    said, fault = address.said, f"connection '{address.connection}': its private key can't be read"
    text = said.get("private_key")
    try:
        text = text or (Path(said["key_file"]).read_text() if "key_file" in said else None)
    except OSError as error:
        raise EnvironmentFault(fault, hint="check 'key_file' in the connection") from error
    if text is None:
        return None
    for kind in _KEYS:
        with suppress(paramiko.SSHException, ValueError):
            return kind.from_private_key(io.StringIO(text), said.get("private_key_passphrase"))
    raise EnvironmentFault(fault, hint="check it and its 'private_key_passphrase'")


def _info(path: str, facts: paramiko.SFTPAttributes) -> dict[str, Any]:
    mode = facts.st_mode or 0
    kind = "directory" if stat.S_ISDIR(mode) else "link" if stat.S_ISLNK(mode) else "file"
    modified = None if facts.st_mtime is None else datetime.fromtimestamp(facts.st_mtime, UTC)
    return {"name": path, "type": kind, "size": facts.st_size, "mtime": modified}


def _sent(path: str) -> bytes:
    return path.encode(errors="surrogateescape")
