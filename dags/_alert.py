"""Tells people that a task has failed for good: always in the log, and by webhook or mail where one is configured.

The connection `citylake_alerts` (environment `CITYLAKE_CONN_CITYLAKE_ALERTS`, or Airflow's own) says where to:
`https://...` takes a JSON text message as office chats read it (`{"msgtype": "text", "text": {"content": ...}}`),
`smtps://user:password@host:465/?from=lake@city&to=duty@city` takes a mail (`smtp://` must offer STARTTLS).
"""

import logging
import smtplib
import ssl
from email.message import EmailMessage
from textwrap import shorten
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

CONNECTION = "citylake_alerts"
TIMEOUT_S = 10
LONGEST = 400
log = logging.getLogger(__name__)


def alert(context: Any) -> None:
    """Failure callback of every task. A message that can't be sent is a line in the log, never a second failure."""
    from lakehouse.errors import EnvironmentFault
    from lakehouse.settings import connection_uri

    ti = context["task_instance"]
    line = f"Citylake: {ti.dag_id}.{ti.task_id} failed in {ti.run_id}: {reason(context.get('exception'))}"
    log.error(line)
    try:
        send(line, connection_uri(CONNECTION))
    except EnvironmentFault:
        log.info("connection %s is not set: nobody else is told", CONNECTION)
    except Exception as error:  # whatever a mail server or a chat does, the night goes on
        log.warning("alert not sent: %s", type(error).__name__)


def reason(error: object) -> str:
    """Why a task failed, in one short line. Only errors of our own are quoted: others may carry values of the data."""
    from lakehouse.errors import CitylakeError

    ours = next((e for e in (error, getattr(error, "__context__", None)) if isinstance(e, CitylakeError)), None)
    return shorten(str(ours), LONGEST, placeholder=" ...") if ours else f"{type(error).__name__}, see the task's log"


def send(line: str, uri: str) -> None:
    """Posts or mails `line`, as the scheme of `uri` says. Raises what the transport raises, ValueError for others."""
    scheme = urlsplit(uri).scheme
    if scheme in {"http", "https"}:
        import httpx

        httpx.post(uri, json={"msgtype": "text", "text": {"content": line}}, timeout=TIMEOUT_S).raise_for_status()
    elif scheme in {"smtp", "smtps"}:
        _mail(line, uri)
    else:
        raise ValueError(f"connection {CONNECTION} is neither http(s) nor smtp(s)")


def _mail(line: str, uri: str) -> None:
    where = urlsplit(uri)
    asked = parse_qs(where.query)
    message = EmailMessage()
    message["Subject"] = line[:120]
    message["From"], message["To"] = asked["from"][0], ", ".join(asked["to"])
    message.set_content(line)
    host, trusted = where.hostname or "localhost", ssl.create_default_context()
    server: smtplib.SMTP
    if where.scheme == "smtps":
        server = smtplib.SMTP_SSL(host, where.port or 465, timeout=TIMEOUT_S, context=trusted)
    else:
        server = smtplib.SMTP(host, where.port or 587, timeout=TIMEOUT_S)
    with server:
        if where.scheme == "smtp":
            server.starttls(context=trusted)
        if where.username:
            server.login(unquote(where.username), unquote(where.password or ""))
        server.send_message(message)
