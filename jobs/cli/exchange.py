"""Packages between cities, provinces and the state: `citylake exchange keys | pack | status | receipts | reconcile | request`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from jobs.cli import screen
from jobs.cli.screen import AsJson, Day

app = typer.Typer(
    help="Signed packages of data to and from other cities, the province, the state.", no_args_is_help=True
)

Dataset = Annotated[str, typer.Argument(metavar="DATASET", help="DEPARTMENT.DATASET")]


@app.command("keys")
def keys_(
    new: Annotated[bool, typer.Option("--new", help="Make a new pair; the old one signs no more.")] = False,
) -> None:
    """Show our public key, for the others' exchange.yml; made with the first call. The private key never leaves the lake.

    \b
    For example:
    citylake exchange keys
    """
    from lakehouse.exchange import keys
    from lakehouse.settings import Settings

    settings = Settings.from_environment()
    if new or not keys.exist(settings):
        keys.make(settings)
    screen.line(f'- {{key: "{keys.public(keys.own(settings))}", from: {keys.since(settings)}}}')


@app.command("pack")
def pack(
    dataset: Annotated[str | None, typer.Argument(metavar="DATASET", help="DEPARTMENT.DATASET")] = None,
    day: Day = None,
    receiver: Annotated[str | None, typer.Option("--to", metavar="RECEIVER", help="As exchange.yml calls it.")] = None,
    form: Annotated[Literal["parquet", "csv"], typer.Option("--format", help="How rows are written.")] = "parquet",
    again: Annotated[Path | None, typer.Option(metavar="REQUEST", help="Answer this signed request (.json).")] = None,
) -> None:
    """Pack a released day of a dataset for another party, into the outbox. Packed before and unchanged: the same package.

    \b
    For example:
    citylake exchange pack transport.hazmat_gps --day 2026-03-01 --to jiangsu
    citylake exchange pack --again jiangsu.nantong.transport.hazmat_gps.20260303T010000Z.json
    """
    from expectations.catalog import load_usable
    from jobs.exchange import answer
    from jobs.exchange import pack as packed
    from lakehouse.errors import UsageError
    from lakehouse.settings import Settings, clock

    settings = Settings.from_environment()
    catalog = load_usable(settings.catalog)
    if again:
        for found in answer(settings, catalog, again):
            screen.line(f"package {found.manifest.sequence} of {found.manifest.day}, as it was: {found.path}")
        return
    if not (dataset and day and receiver):
        raise UsageError("DATASET, --day and --to are needed", hint="or --again REQUEST")
    contract = catalog.contract(dataset)
    done = packed(settings, contract, screen.day_of(day, screen.today), receiver, form, clock())
    sent, word = done.manifest, "" if done.new else ", packed before and unchanged"
    screen.line(f"package {sent.sequence} of {sent.day}: {sent.rows:,} rows{word}")
    if sent.masked:
        key = " (key columns among them)" if set(sent.masked) & set(contract.key) else ""
        screen.line(f"masked     {', '.join(sent.masked)}{key}, for sharing is '{contract.sharing}'")
    screen.line(f"lies in    {done.path}")


@app.command("status")
def status(json: AsJson = False) -> None:
    """Every dataset we send or receive: the last package, what is missing, what waits to be loaded, what was refused."""
    from dataclasses import asdict

    from expectations.catalog import load_usable
    from jobs.exchange import standings
    from lakehouse.settings import Settings

    settings = Settings.from_environment()
    found = standings(settings, load_usable(settings.catalog))
    if json:
        screen.as_json([asdict(standing) for standing in found])
        return
    if not found:
        screen.line("Nothing is exchanged: no package was packed, no contract has `source: {type: exchange}`.")
        return
    headings = ["direction", "party", "dataset", "last#", "day", "missing", "to load"]
    cells = [
        (s.direction, s.party, s.dataset, s.last, s.day, _ranges(s.missing), ", ".join(map(str, s.waiting)))
        for s in found
    ]
    screen.table(headings, cells)
    for text in (text for standing in found for text in standing.refused):
        screen.line(f"refused    {text}", "red")
    if waiting := sorted(day for standing in found for day in standing.waiting):
        screen.line(f"next       citylake backfill --from {waiting[0]} --to {waiting[-1]}")


@app.command("receipts")
def receipts(dataset: Annotated[str | None, typer.Argument(metavar="DATASET", help="Only this one.")] = None) -> None:
    """Write receipts for the packages whose rows were loaded since, and say where all receipts lie. Run it after the night."""
    from expectations.catalog import load_usable
    from jobs.exchange import receipt, received
    from lakehouse.settings import Settings, clock

    settings = Settings.from_environment()
    catalog = load_usable(settings.catalog)
    for contract in [catalog.contract(dataset)] if dataset else received(catalog):
        written, folder = receipt(settings, contract, clock())
        screen.line(f"{contract.name}: {written} new receipts in {folder}")


@app.command("reconcile")
def reconcile(
    dataset: Dataset,
    receiver: Annotated[str, typer.Option("--with", metavar="RECEIVER", help="As exchange.yml calls it.")],
    folder: Annotated[Path, typer.Option("--receipts", metavar="FOLDER", help="The receipts it has sent back.")],
    json: AsJson = False,
) -> None:
    """Compare the packages we sent with the receiver's receipts. Exit 1 when they differ."""
    from dataclasses import asdict

    from jobs.exchange import compare
    from lakehouse.settings import Settings

    found = compare(Settings.from_environment(), dataset, receiver, folder)
    if json:
        screen.as_json([asdict(each) for each in found])
    else:
        headings = ["package#", "day", "rows sent#", "rows in#", "accepted#", "quarantined#", "verdict"]
        screen.table(headings, [list(asdict(each).values())[:-1] for each in found])
    if not all(each.agrees for each in found):
        raise typer.Exit(1)


@app.command("request")
def request(
    dataset: Dataset,
    sequence: Annotated[list[int] | None, typer.Option(min=1, help="This package, though it isn't missing.")] = None,
) -> None:
    """Write a signed request for the packages that are missing; the sender answers it with `pack --again`."""
    from expectations.catalog import load_usable
    from jobs.exchange import ask
    from lakehouse.settings import Settings, clock

    settings = Settings.from_environment()
    contract = load_usable(settings.catalog).contract(dataset)
    asked, path = ask(settings, contract, sequence or [], clock())
    screen.line(f"asked of {asked.sender}: packages {_ranges(asked.sequences)}")
    screen.line(f"lies in    {path} (and .sig)")


def _ranges(numbers: tuple[int, ...]) -> str:
    """Numbers as people write them: 1-3, 7."""
    found: list[list[int]] = []
    for number in sorted(numbers):
        if found and number == found[-1][-1] + 1:
            found[-1] = [found[-1][0], number]
        else:
            found.append([number])
    return ", ".join("-".join(map(str, run)) for run in found)
