"""A small departmental API: rows of a day as JSON, paged, with ETags and a token. Loopback only."""

import base64
import hashlib
import json
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

_PAGES = {"page": ("size", 1), "pageIndex": ("pageSize", 0)}
"""Names of the page number this API understands, with the name of the size and the first number."""


@contextmanager
def running(folder: Path) -> Iterator[str]:
    """Serves `<folder>/<path>.jsonl` at `/<path>` until the end; gives the base URI with its token.

    With `?page=1&size=200` (or `pageIndex=0&pageSize=200`) the answer is
    `{"code": 0, "data": {"rows": [...], "total": n}}`; with `?limit=5` it also has a `next`, for `?limit=5&cursor=<next>`,
    as long as there is one; with neither it is a plain list. The token goes into `Authorization`, as bearer or as password.
    """
    token = secrets.token_hex(16)
    handler = type("Handler", (_Handler,), {"folder": folder.resolve(), "token": token})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://citylake:{token}@127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    """Answers GET. `folder` and `token` are set by `running`."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # head and body are sent apart: each would wait 40 ms for the other's receipt
    folder: Path
    token: str

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        if not self._is_known():
            return self._answer(401, {"code": 401, "message": "token missing or wrong"})
        path = (self.folder / f"{unquote(url.path).strip('/')}.jsonl").resolve()
        if not (path.is_relative_to(self.folder) and path.is_file()):
            return self._answer(404, {"code": 404, "message": "no such resource"})
        rows = [json.loads(line) for line in path.read_text("utf-8").splitlines() if line]
        return self._answer(200, _page(rows, parse_qs(url.query)))

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing: the night's screen belongs to the night."""

    def _is_known(self) -> bool:
        scheme, _, given = self.headers.get("Authorization", "").partition(" ")
        if scheme == "Basic":
            given = base64.b64decode(given).decode(errors="replace").partition(":")[2]
        return secrets.compare_digest(given.encode(), self.token.encode())

    def _answer(self, status: int, content: Any) -> None:
        body = json.dumps(content, ensure_ascii=False).encode()
        tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
        if status == 200 and self.headers.get("If-None-Match") == tag:
            status, body = 304, b""
        self.send_response(status)
        self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("ETag", tag)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _page(rows: list[Any], query: dict[str, list[str]]) -> Any:
    for number, (size, start) in _PAGES.items():
        if number in query:
            length = int(query[size][0])
            first = (int(query[number][0]) - start) * length
            return {"code": 0, "data": {"rows": rows[first : first + length], "total": len(rows)}}
    if "limit" in query:
        first, length = int(query.get("cursor", ["0"])[0]), int(query["limit"][0])
        more = {"next": str(first + length)} if first + length < len(rows) else {}
        return {"code": 0, "data": {"rows": rows[first : first + length], "total": len(rows), **more}}
    return rows
