"""moto's S3 server in a process of its own, which fails as it is told: the counterpart of tables on a server.

It knows one log-in, puts an object that shall not be there yet (`If-None-Match: *`) one at a time, as S3 promises it, and
at a planned write kills its client or loses the answer.
"""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import httpx

KEY, SECRET, BUCKET = "clerk", "s3cr3t/of+tables", "town"

When = Literal["before", "after", "lost"]


@dataclass(frozen=True)
class Server:
    """A server that runs, with one bucket."""

    url: str

    def login(self, key: str = KEY) -> str:
        """The connection's URI."""
        return f"s3://{key}:{SECRET.replace('/', '%2F').replace('+', '%2B')}@/?endpoint_url={self.url}"

    def plan(self, key: str, when: When, pid: int = 0) -> None:
        """At the next write whose key holds `key`: kill the process before or after it, or lose the answer."""
        httpx.post(f"{self.url}/__plan", json={"key": key, "when": when, "pid": pid}).raise_for_status()

    def lose(self, key: str) -> None:
        """Delete an object behind everybody's back."""
        says_who = {"Authorization": f"AWS4-HMAC-SHA256 Credential={KEY}/20260101/us-east-1/s3/aws4_request"}
        httpx.delete(f"{self.url}/{BUCKET}/{key}", headers=says_who).raise_for_status()


@contextmanager
def running() -> Iterator[Server]:
    with subprocess.Popen([sys.executable, "-m", __name__], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            yield Server(f"http://127.0.0.1:{process.stdout.readline().strip()}")
        finally:
            process.kill()


class _Faulty:
    """The WSGI application around moto's."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self._plan: dict[str, Any] | None = None
        self._one_by_one = threading.Lock()

    def __call__(self, env: dict[str, Any], start: Any) -> Iterable[bytes]:
        path = env["PATH_INFO"]
        if path == "/__plan":
            self._plan = json.loads(env["wsgi.input"].read(int(env["CONTENT_LENGTH"])))
            return _answer(start, "200 OK", b"")
        if f"Credential={KEY}/" not in env.get("HTTP_AUTHORIZATION", ""):
            return _answer(start, "403 Forbidden", b"<Error><Code>InvalidAccessKeyId</Code></Error>")
        if env["REQUEST_METHOD"] in ("GET", "HEAD"):
            return list(self._app(env, start))
        planned = self._planned(path)
        if planned.get("when") == "before":
            os.kill(planned["pid"], signal.SIGKILL)
            return _answer(start, "503 Slow Down", b"")
        with self._one_by_one:
            answer = list(self._app(env, start))
        if planned.get("when") == "after":
            os.kill(planned["pid"], signal.SIGKILL)
        elif planned:
            env["werkzeug.socket"].shutdown(2)
        return answer

    def _planned(self, path: str) -> dict[str, Any]:
        with self._one_by_one:
            planned = self._plan if self._plan and self._plan["key"] in path else {}
            self._plan = None if planned else self._plan
        return planned or {}


def _answer(start: Any, status: str, body: bytes) -> Iterable[bytes]:
    start(status, [("Content-Length", str(len(body)))])
    return [body]


def _main() -> None:
    import logging

    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server
    from werkzeug.test import Client

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    app = DomainDispatcherApplication(create_backend_app)
    assert Client(app).put(f"/{BUCKET}", base_url="http://127.0.0.1").status_code == 200
    server = make_server("127.0.0.1", 0, _Faulty(app), threaded=True)
    print(server.port, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    _main()
