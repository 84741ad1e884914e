"""How this process reaches Spark: the lake's own engine, a Connect server elsewhere, or a JVM of its own."""

import os
import socket
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

from pyspark.sql import SparkSession

from lakehouse import staging
from lakehouse.engine import server
from lakehouse.errors import EngineLost, EnvironmentFault
from lakehouse.settings import Settings, connection_uri

CONNECTION = "spark"
"""The named connection whose password is the token of a Connect server elsewhere."""


@dataclass(frozen=True)
class Engine:
    """`session` makes a new session, `lives` says whether the engine is there, `lost` what to raise when it isn't."""

    session: Callable[[], SparkSession]
    lives: Callable[[], bool]
    lost: Callable[[], EngineLost]


@dataclass
class _Shared:
    engine: Engine
    stack: ExitStack
    users: int = 0


_sharing = threading.Lock()
_shared: _Shared | None = None


@contextmanager
def connected(settings: Settings) -> Iterator[Engine]:
    """The engine of `settings.spark`, or the one this process is using already, in whichever thread."""
    global _shared
    with _sharing:
        if _shared is None:
            stack = ExitStack()
            _shared = _Shared(stack.enter_context(_reached(settings)), stack)
        mine = _shared
        mine.users += 1
    try:
        yield mine.engine
    finally:
        with _sharing:
            mine.users -= 1
            if not mine.users:
                _shared = None
                mine.stack.close()


@contextmanager
def _reached(settings: Settings) -> Iterator[Engine]:
    match settings.spark:
        case "lake":
            with server.using(settings) as found:

                def lives() -> bool:
                    return server.found(settings.home) == found and found.answers()

                url, token = f"sc://localhost:{found.port}", server.token(settings.home)
                yield Engine(lambda: _session(url, token, lives), lives, lambda: server.lost(settings))
        case "local":
            with _in_process(settings) as engine:
                yield engine
        case url:
            yield _elsewhere(url)


def _elsewhere(url: str) -> Engine:
    address = urlsplit(url.partition(";")[0])
    host, port = address.hostname or "localhost", address.port or 15002

    def lives() -> bool:
        with suppress(OSError), socket.create_connection((host, port), timeout=10):
            return True
        return False

    def lost() -> EngineLost:
        hint = "start it, or set CITYLAKE_SPARK; then run the same command again"
        return EngineLost("the Spark Connect server can't be reached", where=f"{host}:{port}", hint=hint)

    if not lives():
        raise lost()
    return Engine(lambda: _session(url, _token(), lives), lives, lost)


def _token() -> str | None:
    try:
        return unquote(urlsplit(connection_uri(CONNECTION)).password or "") or None
    except EnvironmentFault:
        return None  # a server that asks for none


def _session(url: str, token: str | None, lives: Callable[[], bool]) -> SparkSession:
    # by the first pyspark's functions know which kind of column to make, by the second `getOrCreate` finds the session
    os.environ |= {"SPARK_CONNECT_MODE_ENABLED": "1", "SPARK_REMOTE": url}
    from pyspark.sql.connect.client import DefaultChannelBuilder
    from pyspark.sql.connect.client.retries import DefaultPolicy
    from pyspark.sql.connect.session import SparkSession as Connected

    class WhileItLives(DefaultPolicy):
        """Try again what a living server has not answered; pyspark alone would talk to a dead one for ten minutes."""

        def can_retry(self, e: BaseException) -> bool:
            return super().can_retry(e) and lives()

    options: list[tuple[str, Any]] = [("grpc.enable_http_proxy", 0)]
    channel = DefaultChannelBuilder(url, options)
    if token:
        channel.set("token", token)
    session: Any = Connected.builder.channelBuilder(channel).create()
    session.client.set_retry_policies([WhileItLives()])
    return session


@contextmanager
def _in_process(settings: Settings) -> Iterator[Engine]:
    """A JVM of this process's own, without Connect; it ends with the block."""
    from lakehouse.engine.jvm import Jvm

    name = uuid.uuid4().hex
    scratch = staging.claim(settings.home, "spark", name)
    try:
        jvm = Jvm.start(settings, scratch)
        try:
            first = SparkSession(jvm.context)
            yield Engine(
                first.newSession,
                lambda: jvm.process.poll() is None,
                lambda: EngineLost(
                    "the JVM has ended", where=str(server.log_of(settings.home)), hint="run the same command again"
                ),
            )
        finally:
            jvm.end()
    finally:
        staging.release(settings.home, "spark", name)
