"""Systems that hold files, started on loopback: what departments run."""

import getpass
import json
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
from threading import Thread
from typing import Any
from urllib.parse import quote

import pytest
from cheroot.wsgi import Server
from pyftpdlib.authorizers import DummyAuthorizer
from pyftpdlib.handlers import FTPHandler, TLS_FTPHandler
from pyftpdlib.ioloop import IOLoop
from pyftpdlib.servers import FTPServer
from wsgidav.wsgidav_app import WsgiDAVApp

from tests.certificate import certificate
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

    def remove(self, name: str, *, day: date = DAY) -> None:
        (self.root / day.isoformat() / name).unlink()

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


@contextmanager
def ftp(folder: Path) -> Iterator[Elsewhere]:
    with _ftp(folder, "ftp", FTPHandler) as started:
        yield started


@contextmanager
def ftps(folder: Path) -> Iterator[Elsewhere]:
    """Both connections must be encrypted. The certificate is its own authority: SSL_CERT_FILE names it."""

    class Handler(TLS_FTPHandler):
        certfile = str(certificate(folder))
        tls_control_required = tls_data_required = True

    with _ftp(folder, "ftps", Handler) as started:
        yield started


@contextmanager
def _ftp(folder: Path, scheme: str, handler: type[FTPHandler]) -> Iterator[Elsewhere]:
    root = folder / "files"
    root.mkdir()
    accounts = DummyAuthorizer()
    accounts.add_user("clerk", "s3cr3t/:", str(root), perm="elr")
    kind = type("Handler", (handler,), {"authorizer": accounts, "auth_failed_timeout": 0})
    loop = IOLoop()
    server = FTPServer(("127.0.0.1", 0), kind, ioloop=loop)
    thread = Thread(target=server.serve_forever, kwargs={"timeout": 0.01, "handle_exit": False}, daemon=True)
    thread.start()
    try:
        host = f"127.0.0.1:{server.address[1]}"
        log_in = f"{scheme}://clerk:s3cr3t%2F%3A@{host}"
        yield Elsewhere(root, f"{scheme}://{host}", log_in, log_in.replace("s3cr3t", "s3cr3ts"))
    finally:
        server.close_all()
        thread.join()


@contextmanager
def webdav(folder: Path) -> Iterator[Elsewhere]:
    root = folder / "files"
    root.mkdir()
    accounts = {"*": {"clerk": {"password": "s3cr3t/:"}}}
    app = WsgiDAVApp(
        {
            "provider_mapping": {"/dav": {"root": str(root), "readonly": True}},
            "simple_dc": {"user_mapping": accounts},
            "logging": {"enable": False},
        }
    )
    server = Server(("127.0.0.1", 0), app, numthreads=2)
    server.prepare()
    thread = Thread(target=server.serve, daemon=True)
    thread.start()
    try:
        host = f"127.0.0.1:{server.bind_addr[1]}"
        log_in = f"webdav://clerk:s3cr3t%2F%3A@{host}"
        yield Elsewhere(root, f"webdav://{host}/dav", log_in, log_in.replace("s3cr3t", "s3cr3ts"))
    finally:
        server.stop()
        thread.join()


class Bucket(Elsewhere):
    """A bucket `city` of a store, which says itself when an object was modified."""

    client: Any

    def put(self, name: str, content: bytes, *, day: date = DAY, at: int = LONG_AGO) -> Path:
        self.client.put_object(Bucket="city", Key=f"out/{day.isoformat()}/{name}", Body=content)
        return Path(name)

    def remove(self, name: str, *, day: date = DAY) -> None:
        self.client.delete_object(Bucket="city", Key=f"out/{day.isoformat()}/{name}")

    def clear(self) -> None:
        for found in self.client.list_objects_v2(Bucket="city").get("Contents", ()):
            self.client.delete_object(Bucket="city", Key=found["Key"])


@contextmanager
def s3(folder: Path) -> Iterator[Elsewhere]:
    """moto's store, which checks signatures."""
    import boto3
    from moto import settings
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    url = "http://{}:{}".format(*server.get_host_and_port())
    said = {"endpoint_url": url, "region_name": "us-east-1"}
    try:
        iam = boto3.client("iam", aws_access_key_id="x", aws_secret_access_key="x", **said)
        iam.create_user(UserName="clerk")
        rights = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}
        iam.put_user_policy(UserName="clerk", PolicyName="all", PolicyDocument=json.dumps(rights))
        key = iam.create_access_key(UserName="clerk")["AccessKey"]
        settings.INITIAL_NO_AUTH_ACTION_COUNT = 0
        user, secret = key["AccessKeyId"], key["SecretAccessKey"]
        log_in = f"s3://{user}:{quote(secret, safe='')}@/?endpoint_url={quote(url, safe='')}"
        bucket = Bucket(folder / "none", "s3://city/out", log_in, log_in.replace(f"{user}:", f"{user}:s3cr3t"))
        bucket.client = boto3.client("s3", aws_access_key_id=user, aws_secret_access_key=secret, **said)
        bucket.client.create_bucket(Bucket="city")
        yield bucket
    finally:
        settings.INITIAL_NO_AUTH_ACTION_COUNT = float("inf")
        server.stop()


SYSTEMS = {"sftp": sftp, "ftp": ftp, "ftps": ftps, "webdav": webdav, "s3": s3}
