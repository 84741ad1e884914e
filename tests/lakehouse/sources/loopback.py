"""A small HTTP server on loopback that does whatever a test wants, however wrong."""

import ssl
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit


@dataclass(frozen=True)
class Request:
    """What the server was asked; names of headers are in lower case."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self.target).query))


@dataclass(frozen=True)
class Reply:
    """An answer. A body that isn't bytes is sent piece by piece; `raw` stands for the whole answer, head included."""

    body: bytes | Iterable[bytes] = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    raw: Iterable[bytes] | None = None


@dataclass
class Server:
    """`answer` is asked for every request; `asked` keeps them, `over` is set when the test has ended."""

    url: str = ""
    answer: Callable[[Request], Reply] = lambda request: Reply()
    asked: list[Request] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    @property
    def targets(self) -> list[str]:
        return [request.target for request in self.asked]


@contextmanager
def serving(certificate: Path | None = None) -> Iterator[Server]:
    """A server on a free port of this machine; behind TLS with a certificate (and its key)."""
    served = Server()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # head and body are sent apart: each would wait 40 ms for the other's receipt

        def do_GET(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            request = Request(self.command, self.path, headers, self.rfile.read(length))
            served.asked.append(request)
            with suppress(OSError):
                self._send(served.answer(request))

        do_POST = do_GET

        def _send(self, reply: Reply) -> None:
            whole = isinstance(reply.body, bytes) and "Content-Length" not in reply.headers
            self.close_connection = not whole or reply.raw is not None
            if reply.raw is None:
                self.send_response(reply.status)
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                if whole and reply.status != 304:
                    self.send_header("Content-Length", str(len(reply.body)))
                self.end_headers()
            pieces = (
                reply.raw if reply.raw is not None else [reply.body] if isinstance(reply.body, bytes) else reply.body
            )
            for piece in pieces:
                self.wfile.write(piece)
                self.wfile.flush()

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    served.url = f"http{'s' if certificate else ''}://127.0.0.1:{server.server_port}"
    try:
        yield served
    finally:
        served.over.set()
        server.shutdown()
        server.server_close()
