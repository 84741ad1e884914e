"""Making a dataset again: `rebuild`."""

from typing import Annotated, Literal

import typer

from jobs.cli import screen


def enter(app: typer.Typer) -> None:
    """Add this command to the application."""
    app.command("rebuild")(rebuild)


def rebuild(
    dataset: Annotated[str | None, typer.Argument(metavar="DATASET", help="department.dataset")] = None,
    engine: Annotated[
        Literal["embedded", "spark"] | None,
        typer.Option("--engine", help="Judge with this engine; an upserted table belongs to it afterwards."),
    ] = None,
    from_landing: Annotated[
        bool, typer.Option("--from-landing", help="Every table and every release, from what has landed alone.")
    ] = False,
) -> None:
    """Make silver and quarantine of a dataset again from bronze, after a breaking change of its contract.

    Earlier releases stay readable; the next one serves the new rows. Ctrl-C is safe: the same command starts over.
    With --from-landing whatever is missing of bronze, silver, quarantine, gold and the books is made again, day by day,
    and no department is asked.

    \b
    For example:
    citylake rebuild transport.hazmat_gps
    citylake rebuild market_supervision.firms --engine spark
    citylake rebuild --from-landing
    """
    import os

    from expectations.catalog import load_usable
    from jobs.cli.night import nights
    from jobs.rebuild import rebuild as days
    from lakehouse.deliveries import landed_days
    from lakehouse.errors import UsageError
    from lakehouse.settings import Settings

    settings = Settings.from_environment()
    if from_landing or dataset is None:
        if dataset or engine or not from_landing:
            raise UsageError("either one dataset or all --from-landing", hint="name a DATASET, or leave all else out")
        nights(landed_days(settings), first="reload")
        return
    contract = load_usable(settings.catalog).contract(dataset)
    if engine and contract.engine not in (None, engine):
        raise UsageError(f"the contract says 'engine: {contract.engine}'", where=dataset, hint="change it there")
    if engine:
        os.environ["CITYLAKE_ENGINE"] = engine  # what the days' own runs read
    done = 0
    for day in days(settings, contract, engine or "embedded"):
        screen.progress(f"{day}  {dataset} cleaned")
        done += 1
    screen.line(f"{dataset}: {done} days made again; the next night's release serves them")
