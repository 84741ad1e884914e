"""Contracts: `citylake contract check | show | diff | schema`."""

import re
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jobs.cli import screen
from jobs.cli.screen import AsJson

if TYPE_CHECKING:
    from expectations.catalog import Standard
    from lakehouse.contract import Contract
    from lakehouse.settings import Settings

app = typer.Typer(
    help="What departments and the lake have agreed: check, show and compare contracts.", no_args_is_help=True
)


@app.command("check")
def check(
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NAME]", help="A file or DEPARTMENT.DATASET; without it the whole catalogue."),
    ] = None,
) -> None:
    """Read contracts and name every mistake at once, with file, line and key. Exit 2 when there are any.

    \b
    For example:
    citylake contract check
    citylake contract check new/waybills.yml
    """
    from expectations.catalog import load
    from expectations.verify import verify
    from lakehouse.settings import Settings

    settings = Settings.from_environment()
    if name:
        screen.line(f"{read(name, settings)[0].name}: no mistakes", "green")
        return
    catalog = load(settings.catalog)
    verify(catalog)
    screen.line(f"{len(catalog.contracts)} contracts of {len(catalog.departments)} departments: no mistakes", "green")


@app.command("draft")
def draft(
    what: Annotated[
        str, typer.Argument(metavar="FILE|URL|CONNECTION:TABLE", help="A delivery, an address, or a database's table.")
    ],
    name: Annotated[str, typer.Option("--as", metavar="DEPARTMENT.DATASET", help="Whose contract it shall be.")],
    connection: Annotated[str | None, typer.Option(metavar="NAME", help="The log-in for an address.")] = None,
) -> None:
    """A first contract for what is delivered: dialect, columns, types, standards, key, bounds. Decide what holds for all of it.

    \b
    For example:
    citylake contract draft firms.csv --as market_supervision.firms > firms.yml
    citylake contract draft https://api.example.com/v1/firms --as market_supervision.firms
    citylake contract draft registry:public.firms --as market_supervision.firms
    """
    from expectations.catalog import standards_of
    from jobs.draft import draft as drafted
    from jobs.draft import source_keys
    from jobs.origin import origin
    from jobs.profile import profile
    from lakehouse.declared import IDENTIFIER
    from lakehouse.errors import UsageError
    from lakehouse.settings import Settings

    if len(parts := name.split(".")) != 2 or not all(re.fullmatch(IDENTIFIER, part) for part in parts):
        raise UsageError(f"'{name}' is no DEPARTMENT.DATASET", hint="write it like market_supervision.firms")
    settings = Settings.from_environment()
    standards, day = standards_of(settings.catalog), screen.today()
    with origin(what, name, connection, day, settings) as found:
        seen = profile(found.path, standards, day, settings, found.source)
        print(drafted(seen, found.declared | source_keys(seen), standards), end="")


@app.command("show")
def show(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A file, or DEPARTMENT.DATASET of the catalogue.")],
    json: AsJson = False,
    gx: Annotated[bool, typer.Option("--gx", help="As an ExpectationSuite of Great Expectations, as JSON.")] = False,
) -> None:
    """A contract as Citylake reads it: columns, and every check with its id, level and dimension.

    \b
    For example:
    citylake contract show transport.hazmat_gps
    citylake contract show transport.hazmat_gps --gx > hazmat_gps.suite.json
    """
    from lakehouse.settings import Settings

    contract, standards = read(name, Settings.from_environment())
    if gx:
        from expectations.suite.documents import suite

        screen.as_json(suite(contract, standards))
        return
    checks = list(_checks(contract))
    if json:
        screen.as_json({**contract.model_dump(mode="json", by_alias=True), "checks": checks})
        return
    for key, value in _facts(contract):
        screen.line(f"{key:<10} {value}")
    screen.line()
    columns = [
        (n, contract.sent_name(n), f"{c.type} {c.format or ''}".strip(), n in contract.key,
         c.required or n in contract.key, c.class_)
        for n, c in contract.columns.items()
    ]  # fmt: skip
    screen.table(["column", "sent as", "type", "key", "required", "class"], columns)
    screen.line()
    cells = [(c["id"], c["level"], c["dimension"], c["indicator"], c["share"], c["asks"]) for c in checks]
    screen.table(["check", "level", "dimension", "GB/T 36344", "share", "asks"], cells)


@app.command("diff")
def diff(
    old: Annotated[str, typer.Argument(metavar="OLD", help="A file, or DEPARTMENT.DATASET of the catalogue.")],
    new: Annotated[str, typer.Argument(metavar="NEW", help="The same.")],
    gate: Annotated[bool, typer.Option("--gate", help="Exit 1 when a change is breaking.")] = False,
    json: AsJson = False,
) -> None:
    """What changed between two contracts: breaking (rebuild, readers change), stricter (rows may fail) or compatible.

    \b
    For example:
    citylake contract diff transport.hazmat_gps new/hazmat_gps.yml --gate
    """
    from expectations.diff import diff as compare
    from lakehouse.settings import Settings

    settings = Settings.from_environment()
    changes = compare(read(old, settings)[0], read(new, settings)[0])
    if json:
        screen.as_json([asdict(change) for change in changes])
    elif changes:
        screen.table(["", "key", "what it means"], [(c.weight, c.where, c.said) for c in changes])
    else:
        screen.line("Both mean the same.")
    if gate and any(change.weight == "breaking" for change in changes):
        raise typer.Exit(1)


@app.command("schema")
def schema() -> None:
    """The JSON Schema of contract files, for editors that complete and check YAML.

    \b
    Write it beside the contracts, and begin each with a line that names it:
    citylake contract schema > contract.schema.json
    # yaml-language-server: $schema=contract.schema.json
    """
    from expectations.catalog import standards_of
    from expectations.schema import json_schema
    from lakehouse.settings import Settings

    screen.as_json(json_schema(standards_of(Settings.from_environment().catalog)))


def read(name: str, settings: "Settings") -> "tuple[Contract, dict[str, Standard]]":
    """A contract of the catalogue, or of a file anywhere, its checks verified; and the catalogue's standards."""
    from expectations.catalog import load, read_contract, standards_of
    from expectations.verify import misfits
    from lakehouse.errors import ContractError

    path = Path(name).absolute()
    if path.suffix not in (".yml", ".yaml"):
        catalog = load(settings.catalog)
        contract, standards = catalog.contract(name), catalog.standards
        path = settings.catalog / "contracts" / contract.department / f"{contract.dataset}.yml"
    else:
        standards = standards_of(settings.catalog)
        contract = read_contract(path, standards)
    if mistakes := list(misfits(contract, path)):
        raise ContractError("\n  ".join(["mistakes in checks", *mistakes]), hint="mend the lines named above")
    return contract, standards


def _facts(contract: "Contract") -> Iterator[tuple[str, str]]:
    source, arrives = contract.source, contract.arrives
    yield contract.name, contract.title
    if contract.description:
        yield "", contract.description
    yield "kind", f"{contract.kind}, shared {contract.sharing}" + (f" ({contract.basis})" if contract.basis else "")
    facts = source.model_dump(exclude_defaults=True, exclude={"type"})
    yield "source", f"{source.type}: " + ", ".join(f"{key} {value}" for key, value in facts.items())
    yield "load", contract.load + (f", newest {contract.order} wins" if contract.order else "")
    if operations := contract.operations:
        said = (f"{done} = {' '.join(words)}" for done, words in operations.words.items())
        yield "changes", f"{operations.op} says {', '.join(said)}, in any case"
    on = f", on weekday {arrives.weekday}" if arrives.every == "week" else ""
    yield "arrives", f"every {arrives.every}{on} by {arrives.by:%H:%M}, late after {arrives.grace} more"
    yield "key", ", ".join(contract.key) or "-"
    yield "drift", f"undeclared columns: {contract.drift.columns}; misfits: {contract.drift.types}"
    if contract.point:
        yield "point", f"{contract.point.x}, {contract.point.y} in {contract.point.crs}"
    for role, slots in contract.describes.items():
        yield "describes", f"{role}: " + ", ".join(f"{slot} {column}" for slot, column in slots.items())


def _checks(contract: "Contract") -> Iterator[dict[str, Any]]:
    from expectations.rules import rules

    for rule in rules(contract):
        column = contract.columns.get(rule.columns[0]) if rule.check.kind == "column" and rule.columns else None
        asked = getattr(column, {"in": "in_"}.get(rule.check.name, rule.check.name), None) if column else None
        asks = ", ".join(f"{name} {value}" for name, value in rule.args.items()) or asked
        yield {
            "id": rule.id,
            "check": rule.check.name,
            "level": rule.level,
            "dimension": rule.check.dimension,
            "indicator": rule.check.indicator,
            "share": rule.share,
            "asks": asks if not isinstance(asks, bool) else None,
        }
