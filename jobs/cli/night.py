"""Running steps and looking at what they did: `run`, `backfill`, `status`, `logs`."""

import os
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import date, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jobs.cli import progress, screen
from jobs.cli.screen import AsJson, Day
from jobs.steps import STEPS

if TYPE_CHECKING:
    from jobs.night import Night

_WORST = 3


def enter(app: typer.Typer) -> None:
    """Add these commands to the application."""
    app.command("run")(run)
    app.command("backfill")(backfill)
    app.command("status")(status)
    app.command("logs")(logs)


def run(
    step: Annotated[str, typer.Argument(help=f"One of {', '.join(STEPS)}.")],
    day: Day = None,
    department: Annotated[str | None, typer.Option(help="Only this one; without it every department.")] = None,
) -> None:
    """Run one step of one day. A step finds out itself what is already done.

    \b
    For example:
    citylake run bring --day 2026-03-01
    citylake run clean --day 2026-03-01 --department transport
    """
    from lakehouse.errors import UsageError

    if step not in STEPS:
        raise UsageError(f"no step '{step}'", hint=f"known: {', '.join(STEPS)}")
    if department and STEPS[step].scope == "city":
        raise UsageError(f"step '{step}' runs for the whole city", hint="leave --department out")
    on = screen.day_of(day, screen.today)
    with _night(), _sources():
        failed = _run_step(step, on, [department] if department else None)
    if failed:
        raise typer.Exit(1)


def backfill(
    first: Annotated[str, typer.Option("--from", metavar="YYYY-MM-DD", help="The first day.")],
    last: Annotated[str, typer.Option("--to", metavar="YYYY-MM-DD", help="The last day.")],
    force: Annotated[bool, typer.Option("--force", help="Clean again even where nothing changed.")] = False,
) -> None:
    """Run every step of the night for each day, oldest first, without Airflow. What is done already is not done again.

    Ctrl-C is safe at any time: run the same command again.

    \b
    For example:
    citylake backfill --from 2026-03-01 --to 2026-03-07
    """
    from lakehouse.errors import UsageError

    start, end = screen.day_of(first, screen.today), screen.day_of(last, screen.today)
    if end < start:
        raise UsageError(f"--to {end} is before --from {start}", hint="swap them")
    with _sources():
        nights([start + timedelta(n) for n in range((end - start).days + 1)], forced=force)


def nights(days: Sequence[date], *, first: str = "bring", forced: bool = False) -> None:
    """Run every step of the night for each of the days; `first` stands in for `bring`. Exits with 1 when any failed."""
    steps = [first, *(name for name, row in STEPS.items() if row.nightly and name != "bring")]
    with _night():
        failed = [
            f"{day} {name}" for day in days for step in steps for name in _run_step(step, day, None, forced=forced)
        ]
    if failed:
        screen.progress(f"failed: {', '.join(failed)}; mend what is named above and run the same command again")
        raise typer.Exit(1)


def status(
    following: Annotated[
        bool, typer.Option("--next", help="Print the oldest delivered day not released, or nothing.")
    ] = False,
    night: Annotated[
        str | None, typer.Option("--night", metavar="YYYY-MM-DD", help="One screen about this night.")
    ] = None,
    json: AsJson = False,
) -> None:
    """Which days are delivered and released, or how one night went.

    \b
    For example:
    citylake status
    citylake status --night 2026-03-01
    """
    from jobs import night as nights
    from lakehouse.ops import Ops
    from lakehouse.settings import Settings

    settings = Settings.from_environment()
    ops = Ops(settings.home)
    if following:
        day = nights.next_day(settings, ops)
        if json:
            screen.as_json({"next": day})
        elif day:
            screen.line(str(day))
    elif night:
        _show_night(settings, ops, screen.day_of(night, screen.today), json)
    else:
        _show_days(nights.delivered_days(settings), nights.releases(ops), json)


def logs(
    run: Annotated[
        str | None, typer.Argument(metavar="RUN_ID", help="Only this run, or this night (a run of the DAG).")
    ] = None,
    day: Day = None,
    json: AsJson = False,
) -> None:
    """What was said while steps ran, with the ids of run, step and dataset. Without arguments: of today.

    \b
    For example:
    citylake logs --day 2026-03-01
    """
    from lakehouse.logs import read
    from lakehouse.settings import Settings

    on = screen.day_of(day, screen.today) if day or not run else None
    said = [e for e in read(Settings.from_environment().home, on) if run in (None, e.get("run_id"), e.get("night"))]
    if json:
        screen.as_json(said)
        return
    if not said:
        screen.line("Nothing was said" + (f" by {run}." if run else f" on {on}."))
    for event in said:
        screen.line(_said(event), {"error": "red", "warning": "yellow"}.get(event.get("level", ""), ""))


def _said(event: Mapping[str, Any]) -> str:
    """One event as a line, the lines of code of an error below it."""
    head = (event.get("at"), event.get("level"), event.get("run_id"), event.get("dataset"), event.get("event"))
    ours = ("at", "level", "run_id", "dataset", "event", "night", "step", "day", "department", "exception")
    facts = [f"{name}={value}" for name, value in event.items() if name not in ours and value is not None]
    below = "".join(f"\n    {line}" for line in event.get("exception", "").splitlines())
    return "  ".join([*(str(part) for part in head if part), *facts]) + below


def _night() -> AbstractContextManager[None]:
    """All runs of one command are one night: what they say has its id."""
    from lakehouse.logs import bound
    from lakehouse.settings import clock

    return bound(night=f"{clock():%Y%m%dT%H%M%SZ}-{os.getpid()}")


def _run_step(step: str, day: date, only: Sequence[str] | None, *, forced: bool = False) -> list[str]:
    """Run a step for the departments (all when None) or the city; says how it went, gives the names of what failed."""
    from expectations.catalog import departments
    from jobs.department import DatasetsFailed, said
    from jobs.run import run as run_one
    from lakehouse.errors import ContractError, UsageError

    of_city = STEPS[step].scope == "city"
    names: Sequence[str | None] = [None] if of_city else only or [d.id for d in departments()]
    failed, begun = [], time.monotonic()
    with progress.shown(day, step, None if of_city else sum(_datasets(str(name)) for name in names)):
        for name in names:
            try:
                run_one(step, day, name, forced=forced)
            except (ContractError, UsageError):
                raise
            except Exception as error:  # whatever one department does, the others go on, as they do under Airflow
                failed.append(f"{step} {name or 'city'}")
                if not isinstance(error, DatasetsFailed):  # those are in the log by now, one line each
                    screen.progress(f"citylake: {failed[-1]}: {said(error)}")
    scope = "city" if of_city else f"{len(names)} department{'s' if len(names) > 1 else ''}"
    ending = f", {len(failed)} failed" if failed else ""
    screen.progress(f"{day}  {step:<10} {scope:<15} {time.monotonic() - begun:7.1f} s{ending}")
    return failed


def _datasets(department: str) -> int:
    """How many contracts the department has, usable or not."""
    from lakehouse.settings import Settings

    return sum(1 for _ in (Settings.from_environment().catalog / "contracts" / department).glob("*.yml"))


def _sources() -> AbstractContextManager[Any]:
    """The sample's own servers while a step runs in a sample lake and nobody else has set their connections."""
    from jobs.cli import sample
    from lakehouse.settings import Settings

    home = Settings.from_environment().home
    return sample.servers(home) if sample.needs_servers(home) else nullcontext()


def _show_days(delivered: Sequence[date], released: Any, json: bool) -> None:
    days = sorted({*delivered, *released})
    rows = [(day, released.get(day)) for day in days]
    if json:
        screen.as_json(
            [
                {
                    "day": day,
                    "delivered": day in delivered,
                    "revision": release and release.revision,
                    "released_at": release and release.at,
                    "failed": list(release.failed) if release else [],
                }
                for day, release in rows
            ]
        )
        return
    if not rows:
        screen.line("Nothing delivered and nothing released yet. `citylake sample deliver` makes a city to try.")
        return
    cells = [(str(d), r and r.revision, r.at if r else "waiting", ", ".join(r.failed) if r else None) for d, r in rows]
    screen.table(["day", "revision#", "released", "failed departments"], cells)


def _show_night(settings: Any, ops: Any, day: date, json: bool) -> None:
    from expectations.catalog import load_usable
    from jobs.night import night as tell

    found = tell(ops, load_usable(settings.catalog), day)
    pages = settings.home / "pages" / "index.html"
    if json:
        screen.as_json(_night_record(found, str(pages) if pages.exists() else None))
    else:
        _night_screen(found, str(pages) if pages.exists() else "not written yet: citylake scorecard")


def _night_record(night: "Night", pages: str | None) -> dict[str, object]:
    def rows(of: Any) -> dict[str, int]:
        names = ("received", "accepted", "quarantined", "unparsable", "waiting")
        return {name: getattr(of.rows, name) for name in names}

    return {
        "day": night.day,
        "revision": night.release and night.release.revision,
        "released_at": night.release and night.release.at,
        "score": night.score,
        "rows": rows(night),
        "departments": [
            {
                "id": d.department.id,
                "datasets": d.datasets,
                "delivered": d.delivered,
                "rows": rows(d),
                "score": d.score,
                "failures": list(d.failures),
            }
            for d in night.departments
        ],
        "worst": [d.department.id for d in night.worst(_WORST)],
        "seconds": dict(night.seconds),
        "failures": list(night.failures),
        "pages": pages,
    }


def _night_screen(night: "Night", pages: str) -> None:
    release, rows = night.release, night.rows
    said = f"release {release.revision}, {screen.local(release.at)}" if release else "not released"
    screen.line(f"Night of {night.day} · {said}", "bold")
    screen.line()
    columns = ["department", "came#", "rows in#", "accepted#", "quarantined#", "unparsable#", "score#"]
    shown = [
        (f"{d.department.zh} {d.department.id}", f"{d.delivered}/{d.datasets}", d.rows.received, d.rows.accepted,
         d.rows.quarantined, d.rows.unparsable, screen.points(d.score))
        for d in night.departments
    ]  # fmt: skip
    came = f"{sum(d.delivered for d in night.departments)}/{sum(d.datasets for d in night.departments)}"
    total = ("all", came, rows.received, rows.accepted, rows.quarantined, rows.unparsable, screen.points(night.score))
    screen.table(columns, [*shown, total])
    screen.line()
    screen.line(screen.equation(rows))
    worst = [f"{d.department.zh} {screen.points(d.score)}" for d in night.worst(_WORST) if d.score is not None]
    screen.line(f"lowest scores  {' · '.join(worst) or 'no scores yet'}")
    stages = [f"{step} {seconds:.1f}" for step, seconds in night.seconds.items()]
    screen.line(f"seconds        {' · '.join(stages) or 'nothing has run'}")
    screen.line(f"scorecards     {pages}")
    for failure in (*night.failures, *(f for d in night.departments for f in d.failures)):
        screen.line(f"failed         {failure}", "red")
