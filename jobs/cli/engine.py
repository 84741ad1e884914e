"""The lake's Spark engine by hand: `engine start`, `engine stop`, `engine status`, `engine logs`."""

from typing import Annotated

import typer

from jobs.cli import screen
from jobs.cli.screen import AsJson

app = typer.Typer(
    no_args_is_help=True, help="The lake's Spark engine. Steps start it when they need it, and stop what they started."
)


@app.command("start")
def start() -> None:
    """Start the engine and leave it running until `engine stop`. Harmless when it runs.

    \b
    For example:
    CITYLAKE_MEMORY_MB=4096 citylake engine start
    """
    from lakehouse.engine import server
    from lakehouse.layout import prepare
    from lakehouse.settings import Settings

    settings = Settings.from_environment()
    prepare(settings)
    screen.line(_told(server.start(settings)))


@app.command("stop")
def stop() -> None:
    """Stop the engine, whatever it is doing. A step in the middle of its work fails and can be run again."""
    from lakehouse.engine import server
    from lakehouse.settings import Settings

    ended = server.stop(Settings.from_environment().home)
    screen.line(f"stopped: process {ended.keeper}" if ended else "not running")


@app.command("status")
def status(json: AsJson = False) -> None:
    """Whether the engine runs, since when, with which code, and how much it may take."""
    from dataclasses import asdict

    from lakehouse.engine import server
    from lakehouse.settings import Settings

    home = Settings.from_environment().home
    found = server.found(home)
    if json:
        facts = asdict(found) | {"answers": found.answers(), "fits": found.fits()} if found else {}
        screen.as_json({"running": found is not None, **facts})
    elif found is None:
        screen.line("not running; the first step that needs it starts it")
    else:
        screen.line(_told(found))
        if found.port and not found.answers():
            screen.line(f"it doesn't answer; run: {server.STOP}", "red")
        if not found.fits():
            screen.line(f"its code isn't the one installed now; run: {server.STOP}", "yellow")


@app.command("logs")
def logs(lines: Annotated[int, typer.Option("--lines", "-n", min=1, help="How many, from the end.")] = 50) -> None:
    """The last lines of what Spark has said."""
    from lakehouse.engine.server import log_of
    from lakehouse.errors import UsageError
    from lakehouse.settings import Settings

    log = log_of(Settings.from_environment().home)
    if not log.exists():
        raise UsageError("Spark hasn't run in this lake yet", where=str(log))
    for line in log.read_text("utf-8", errors="replace").splitlines()[-lines:]:
        screen.line(line)


def _told(server: object) -> str:
    from lakehouse.engine.server import Server

    assert isinstance(server, Server)
    where = f"127.0.0.1:{server.port}" if server.port else "starting"
    ends = f"ends when idle for {server.idle_s} s" if server.idle_s else "stays until it is stopped"
    return (
        f"running: process {server.pid or server.keeper}, {where}, since {server.started_at}, Citylake {server.code},"
        f" Spark {server.spark}, {server.memory_mb} MB, {server.threads} threads; {ends}"
    )
