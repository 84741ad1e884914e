"""Setting up: `init`, `doctor`."""

import typer

from jobs.cli import screen
from jobs.cli.screen import AsJson

_MARKS = {"fine": ("ok", "green"), "note": ("!", "yellow"), "broken": ("BROKEN", "bold red")}


def enter(app: typer.Typer) -> None:
    """Add these commands to the application."""
    app.command("init")(init)
    app.command("doctor")(doctor)


def init() -> None:
    """Make the lake's folders in CITYLAKE_HOME. Harmless when they are there.

    \b
    For example:
    CITYLAKE_HOME=/srv/citylake citylake init
    """
    from lakehouse.layout import prepare
    from lakehouse.settings import Settings

    settings = Settings.from_environment()
    prepare(settings)
    screen.line(f"lake       {settings.home}")
    screen.line(f"catalogue  {settings.catalog}")
    screen.line(f"inbox      {settings.inbox}/<department>/<dataset>/<day>/")
    screen.line("next       citylake doctor; to try it out: citylake sample deliver")


def doctor(json: AsJson = False) -> None:
    """Look for what would make a night fail, and name the command that mends it. Exit 3 when something is broken."""
    from dataclasses import asdict

    from jobs.doctor import examine
    from lakehouse.settings import Settings

    found = []
    for finding in examine(Settings.from_environment()):
        found.append(finding)
        if not json:
            mark, style = _MARKS[finding.verdict]
            screen.line(f"{mark:<8}{finding.subject}: {finding.said}", style if finding.verdict != "fine" else "")
            if finding.mend:
                screen.line(f"        mend it: {finding.mend}")
    if json:
        screen.as_json([asdict(finding) for finding in found])
    if any(finding.verdict == "broken" for finding in found):
        raise typer.Exit(3)
