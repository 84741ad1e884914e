import json
import logging
import socketserver
import ssl
from base64 import b64decode
from collections.abc import Iterator
from email import message_from_bytes, policy
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import Connection

from dags._alert import alert, reason, send
from lakehouse.errors import SliceRefused
from lakehouse.settings import connection_uri
from tests.certificate import certificate

VARIABLE = "CITYLAKE_CONN_CITYLAKE_ALERTS"


@pytest.fixture
def chat() -> Iterator[tuple[str, list[Any]]]:
    """A loopback server that keeps the JSON it is sent; its address and the messages."""
    heard: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            heard.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/hook?key=geheim", heard
    server.shutdown()
    server.server_close()


@pytest.fixture
def mail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, list[bytes]]]:
    """A mail server behind TLS, whose certificate this process trusts; its connection, and log-ins and messages it took."""
    heard: list[bytes] = []

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.wfile.write(b"220 ready\r\n")
            while line := self.rfile.readline():
                word = line[:4].upper()
                if word == b"EHLO":
                    self.wfile.write(b"250-here\r\n250 AUTH PLAIN\r\n")
                elif word == b"AUTH":
                    heard.append(b64decode(line.split()[2]))
                    self.wfile.write(b"235 welcome\r\n")
                elif word == b"DATA":
                    self.wfile.write(b"354 go on\r\n")
                    heard.append(b"".join(iter(self.rfile.readline, b".\r\n")))
                    self.wfile.write(b"250 taken\r\n")
                else:
                    self.wfile.write(b"250 fine\r\n")

    trusted = certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(trusted)
    with socketserver.TCPServer(("127.0.0.1", 0), Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        Thread(target=server.serve_forever, daemon=True).start()
        port = server.server_address[1]
        yield (
            f"smtps://lake:geheim@127.0.0.1:{port}/?from=lake@example.com&to=duty@example.com&to=boss@example.com",
            heard,
        )
        server.shutdown()


def failed(error: BaseException) -> dict[str, Any]:
    ti = SimpleNamespace(dag_id="nightly", task_id="department.bring", run_id="scheduled__2026-03-01")
    return {"task_instance": ti, "exception": error}


def test_a_failure_goes_to_the_log_and_to_the_chat(
    chat: tuple[str, list[Any]], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    address, heard = chat
    monkeypatch.setenv(VARIABLE, address)
    alert(failed(SliceRefused("too few rows", where="water.levels")))
    said = "Citylake: nightly.department.bring failed in scheduled__2026-03-01: water.levels: too few rows"
    assert heard == [{"msgtype": "text", "text": {"content": said}}]
    assert said in caplog.text


def test_a_failure_goes_by_mail(mail: tuple[str, list[bytes]], monkeypatch: pytest.MonkeyPatch) -> None:
    address, heard = mail
    monkeypatch.setenv(VARIABLE, address)
    alert(failed(SliceRefused("行数太少", where="water.levels")))
    log_in, sent = heard
    message = message_from_bytes(sent, policy=policy.default)
    assert log_in == b"\0lake\0geheim"
    assert (message["From"], message["To"]) == ("lake@example.com", "duty@example.com, boss@example.com")
    said = "Citylake: nightly.department.bring failed in scheduled__2026-03-01: water.levels: 行数太少"
    assert message.get_content().strip() == said


def test_a_mail_server_nobody_vouches_for_is_told_nothing(
    mail: tuple[str, list[bytes]], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(VARIABLE, mail[0])
    monkeypatch.delenv("SSL_CERT_FILE")
    alert(failed(SliceRefused("too few rows")))
    assert mail[1] == []
    assert "alert not sent: SSLCertVerificationError" in caplog.text


def test_without_a_connection_only_the_log_is_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    alert(failed(SliceRefused("too few rows")))
    assert "too few rows" in caplog.text


@pytest.mark.parametrize(
    "uri", ["http://127.0.0.1:9/hook?key=geheim", "smtps://me:geheim@127.0.0.1:9/?to=x", "ftp://x"]
)
def test_an_alert_that_cannot_be_sent_fails_nothing_and_tells_no_secret(
    uri: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="dags._alert")
    monkeypatch.setenv(VARIABLE, uri)
    alert(failed(SliceRefused("too few rows")))
    assert "alert not sent" in caplog.text
    assert "geheim" not in caplog.text


def test_only_errors_of_our_own_are_quoted() -> None:
    wrapped = RuntimeError("outer")
    wrapped.__context__ = SliceRefused("too few rows")
    assert reason(wrapped) == "too few rows"
    assert reason(ValueError("320602199001011234")) == "ValueError, see the task's log"
    assert reason(SliceRefused("a\nb " * 1000)).startswith("a b a b") and len(reason(SliceRefused("a\n" * 1000))) <= 400
    assert reason(None) == "NoneType, see the task's log"


def test_an_address_of_another_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="neither"):
        send("line", "file:///etc/passwd")


@pytest.mark.parametrize(
    "uri",
    ["https://chat.example/robot/send?access_token=a%2Fb", "http://user:pa%2Fss@host:8080/api/v1"],
)
def test_a_connection_stored_in_airflow_keeps_its_path(monkeypatch: pytest.MonkeyPatch, uri: str) -> None:
    monkeypatch.setenv("AIRFLOW_CTX_DAG_ID", "nightly")
    monkeypatch.setattr(Connection, "get", lambda name: Connection.from_uri(uri, conn_id=name))
    assert connection_uri("anywhere") == uri
