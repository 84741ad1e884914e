"""Systems that hold files, started on loopback: what departments run."""

import getpass
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.lakehouse.sources.conftest import DAY

LONG_AGO = 1_000_000_000


@dataclass
class Elsewhere:
    """A system whose files lie in `root`; `uri` is that folder, `connection` the URI that lets one in, `wrong` one that
    doesn't."""

    root: Path
    uri: str
    connection: str
    wrong: str

    def put(self, name: str, content: bytes, *, day: date = DAY, at: int = LONG_AGO) -> Path:
        path = self.root / day.isoformat() / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        os.utime(path, (at, at))
        return path

    def remove(self, name: str) -> None:
        (self.root / DAY.isoformat() / name).unlink()

    def clear(self) -> None:
        shutil.rmtree(self.root)
        self.root.mkdir()


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def await_port(port: int, process: subprocess.Popen[bytes] | None = None) -> None:
    """Until somebody listens. Raises where nobody does in 10 s."""
    until = time.monotonic() + 10
    while time.monotonic() < until and (process is None or process.poll() is None):
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise RuntimeError(f"nobody listens at {port}")


@contextmanager
def sftp(folder: Path) -> Iterator[Elsewhere]:
    """OpenSSH's server with a key of its own; the account that runs the tests logs in with a key."""
    sshd = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if sshd is None:
        pytest.skip("OpenSSH's server is missing (apt-get install openssh-server)")
    root, port = folder / "files", free_port()
    root.mkdir()
    for name in ("host", "user", "stranger"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    (folder / "config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\nAuthorizedKeysFile {folder}/user.pub\n"
        "StrictModes no\nUsePAM no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nPidFile none\n"
        "Subsystem sftp internal-sftp\n"
    )
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(
            exist_ok=True
        )  # where it locks its children in; the package makes it for its own service
    process = subprocess.Popen([sshd, "-D", "-f", folder / "config"], stderr=subprocess.DEVNULL)
    try:
        await_port(port, process)
        told = subprocess.run(["ssh-keygen", "-lf", folder / "host.pub"], capture_output=True, text=True, check=True)
        host = f"sftp://{quote(getpass.getuser())}@127.0.0.1:{port}/?host_key={told.stdout.split()[1]}"
        uri = f"sftp://127.0.0.1:{port}{root}"
        yield Elsewhere(root, uri, f"{host}&key_file={folder}/user", f"{host}&key_file={folder}/stranger")
    finally:
        process.terminate()
        process.wait()


SYSTEMS = {"sftp": sftp}
