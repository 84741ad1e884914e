"""Reading the books: `deliveries`, `tables`, `scorecard`."""

import json as parser
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from jobs.cli import screen
from jobs.cli.screen import AsJson, Day

_COUNTS = ("rows_in", "accepted", "quarantined", "unparsable")
_BARS = 20
_FINDINGS = 10


def enter(app: typer.Typer) -> None:
    """Add these commands to the application."""
    app.command("deliveries")(deliveries)
    app.command("tables")(tables)
    app.command("scorecard")(scorecard)


def deliveries(
    dataset: Annotated[str | None, typer.Option(metavar="DEPARTMENT.DATASET", help="Only this dataset.")] = None,
    day: Day = None,
    json: AsJson = False,
) -> None:
    """What arrived, what became of its rows, and why something didn't arrive: the newest word on every delivery.

    \b
    For example:
    citylake deliveries --day 2026-03-01 --dataset transport.hazmat_gps
    """
    from lakehouse.ops import Ops
    from lakehouse.settings import Settings

    settings = Settings.from_environment()
    if dataset:
        _known(dataset, settings.catalog)
    rows = Ops(settings.home).read("deliveries", day=screen.day_of(day, screen.today) if day else None).to_pylist()
    found = [row for row in ledger(rows) if dataset in (None, row["dataset"])]
    if json:
        screen.as_json(found)
    elif not found:
        screen.line("No deliveries in the books. `citylake run bring --day ...` asks the departments.")
    else:
        cells = [
            (f"{r['day']:%m-%d}", r["dataset"], r["event"], r["received_at"], r["rows_in"], r["quarantined"],
             r["unparsable"], r["name"])
            for r in found
        ]  # fmt: skip
        screen.table(["day", "dataset", "event", "received", "rows in#", "quarantined#", "unparsable#", "file"], cells)
        for reason in [f"{r['day']} {r['event']} {r['reason']}" for r in found if r["reason"]]:
            screen.line(reason, "dim")


def tables(json: AsJson = False) -> None:
    """Every table of the lake: rows, version, days, writing engine and size of its newest version."""
    from lakehouse.settings import Settings

    found = list(_tables(Settings.from_environment().home))
    if json:
        screen.as_json(found)
    elif not found:
        screen.line("No tables yet. `citylake run bring --day ...` makes the first.")
    else:
        cells = [
            (t["layer"], t["table"], t["rows"], t["version"], _days(t["days"]), t["engine"], screen.size(t["bytes"]))
            for t in found
        ]
        screen.table(["layer", "table", "rows#", "version#", "days", "engine", "size#"], cells)


def scorecard(
    department: Annotated[str | None, typer.Option(help="One department's card instead of the city's.")] = None,
    day: Day = None,
    json: AsJson = False,
    out: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Write the pages here (its content is replaced).")
    ] = None,
) -> None:
    """Grade a released day (the newest, without --day), show the scores and write the pages.

    Without --out only the newest day's pages are written, where everybody looks.

    \b
    For example:
    citylake scorecard --department transport
    """
    from expectations.catalog import load_usable
    from jobs.night import releases
    from jobs.scorecard import write_pages
    from lakehouse.errors import UsageError
    from lakehouse.ops import Ops
    from lakehouse.settings import Settings

    settings = Settings.from_environment()
    ops, catalog = Ops(settings.home), load_usable(settings.catalog)
    if department:
        catalog.of(department)
    released = releases(ops)
    if not released:
        raise UsageError(
            "no day is released yet", hint="`citylake status` shows what is delivered; run those days first"
        )
    newest = max(released)
    chosen = screen.day_of(day, lambda: newest)
    with tempfile.TemporaryDirectory() as scratch:
        public = settings.home / "pages" if chosen == newest else None
        folder = out or public or Path(scratch) / "pages"
        write_pages(folder, ops, catalog, chosen)
        page = parser.loads((folder / f"{department or 'index'}.json").read_text("utf-8"))
    if json:
        screen.as_json(page)
        return
    (_department_card if department else _city_card)(page)
    screen.line()
    kept = folder / f"{department or 'index'}.html"
    screen.line(f"page  {kept}" if out or public else "page  not kept for an older day: name a folder with --out")


def ledger(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One record per delivery from rows of ops.deliveries (oldest first): its newest event with everything known of it.

    Another name under which the same bytes lie has a record of its own (`duplicate_of`). A dataset and day from which
    nothing came has one record without a name.
    """
    from expectations.arrivals import carried

    rows = list(rows)
    lying = carried(rows)
    counting = {delivery for delivery, _ in lying}
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in rows:
        pair = row["delivery_id"], row["name"]
        replaced = row["event"] in ("superseded", "withdrawn") and pair not in lying
        if replaced and row["delivery_id"] in counting:
            continue  # it lies under another name
        again = row["name"] if row["event"] == "duplicate_of" else ""
        if again and pair not in lying:
            continue
        key = (row["day"], row["department"], row["dataset"], row["delivery_id"] or "", again)
        known = {name: value for name, value in row.items() if value is not None}
        found[key] = {**found.get(key, dict.fromkeys(row)), **known}
    came = {key[:3] for key in found if key[3]}
    kept = [key for key in found if key[3] or key[:3] not in came or found[key]["event"] == "refused"]
    return [
        {
            "day": row["day"],
            "dataset": f"{row['department']}.{row['dataset']}",
            "delivery_id": row["delivery_id"],
            "name": row["name"],
            "event": row["event"],
            "received_at": row["received_at"],
            "bytes": row["bytes"],
            **{name: row[name] for name in _COUNTS},
            "undeclared": row["undeclared"] or [],
            "missing": row["missing"] or [],
            "reason": row["reason"],
        }
        for row in (found[key] for key in sorted(kept))
    ]


def _known(dataset: str, catalog: Path) -> None:
    from expectations.catalog import load_usable

    load_usable(catalog).contract(dataset)


def _tables(home: Path) -> Iterator[dict[str, Any]]:
    from lakehouse.table import added, tables

    for table in tables(home):
        if table.exists():
            opened = table.open()
            files = added(opened)
            counts = [file["num_records"] for file in files]
            partition = "day" if table.layer == "ops" else "_day"
            yield {
                "layer": table.layer,
                "table": table.path.name,
                "rows": None if None in counts else sum(counts),
                "version": opened.version(),
                "days": sorted({p[partition] for p in opened.partitions() if p.get(partition)}),
                "engine": table.engine(),
                "files": len(files),
                "bytes": sum(file["size_bytes"] for file in files),
            }


def _days(days: list[str]) -> str | None:
    if not days:
        return None
    return days[0] if len(days) == 1 else f"{days[0]} .. {days[-1]} ({len(days)})"


def _city_card(page: Mapping[str, Any]) -> None:
    _head("City", page)
    parts = [part["id"] for part in page["pillars"] if part["grade"]["coverage"]]
    rows = []
    for standing in page["standings"]:
        score, first = standing["grade"]["score"], standing["first"] or {}
        name = f"{standing['name']['zh']} {standing['id']}"
        cells = [_score_of(standing["cells"], part) for part in parts]
        rows.append(
            (
                standing["rank"],
                name,
                screen.points(score),
                _bar(score),
                *cells,
                first.get("check") or first.get("pillar"),
            )
        )
    screen.table(["rank#", "department", "score#", "", *(f"{part}#" for part in parts), "first to put right"], rows)


def _department_card(page: Mapping[str, Any]) -> None:
    _head(f"{page['name']['zh']} · {page['name']['en']}", page)
    if page["rank"]:
        screen.line(f"rank {page['rank']} of {page['ranked']}")
    rows = [
        (
            d["id"],
            d["usable"],
            screen.points(d["grade"]["score"]),
            _bar(d["grade"]["score"]),
            d["rows"]["received"],
            d["rows"]["quarantined"],
        )
        for d in page["datasets"]
    ]
    screen.table(["dataset", "access", "score#", "", "rows in#", "quarantined#"], rows)
    for fault in [f"{d['id']}: no score, its contract is wrong: {d['fault']}" for d in page["datasets"] if d["fault"]]:
        screen.line(fault, "red")
    screen.line()
    findings = [
        (
            f"+{f['gain']:.2f}",
            f["dataset"],
            f["check"] or f["pillar"],
            f"{f['failed']:,} of {f['evaluated']:,}",
            f["advice"]["en"],
        )
        for f in page["findings"][:_FINDINGS]
    ]
    if findings:
        screen.table(["points", "dataset", "finding", "failed#", "what to do"], findings)


def _head(title: str, page: Mapping[str, Any]) -> None:
    edition, grade = page["edition"], page["grade"]
    score = "no score" if grade["score"] is None else screen.points(grade["score"])
    screen.line(f"{title} · {edition['day']} release {edition['revision']} · {score}", "bold")
    if grade["score"] is not None:
        assessed = f"{100 * grade['coverage']:.0f} % of the points are assessed"
        screen.line(
            f"sure to be between {screen.points(grade['floor'])} and {screen.points(grade['ceiling'])}: {assessed}"
        )
    screen.line()


def _score_of(cells: list[Mapping[str, Any]], part: str) -> str:
    return screen.points(next((cell["grade"]["score"] for cell in cells if cell["id"] == part), None))


def _bar(score: float | None) -> str:
    return "" if score is None else "█" * round(score / 100 * _BARS) or "▏"
