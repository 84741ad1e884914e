"""Bronze to silver and quarantine in one pass, for all datasets of one department: the step `clean`."""

import hashlib
import json
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime

import structlog

from expectations.arrivals import carried
from expectations.catalog import Catalog
from expectations.plan import Plan
from expectations.verify import misfits
from jobs import results
from jobs.department import DatasetsFailed, Outcome, each_dataset
from jobs.judge import measured, prepare
from jobs.load import bronze_schema
from jobs.parts import Pass
from jobs.rebuild import is_cut_off, rebuild
from jobs.slices import cleaned
from jobs.tally import Tally, Verdict
from jobs.written import WRITING
from lakehouse.contract import Contract
from lakehouse.engine import embedded as engine
from lakehouse.errors import ContractError, LakeError
from lakehouse.runs import Run, code_version

_log = structlog.get_logger()


def clean(run: Run, catalog: Catalog, department: str) -> None:
    """Type, check and route the day's slice of each dataset. Does nothing where nothing changed since the last success.

    A dataset whose rebuild was cut off is rebuilt first: readers would miss its other days.
    """
    if not run.forced:
        for contract in catalog.of(department):
            _finish(run, contract)
    books = Books.of(run)
    each_dataset(run, catalog, department, lambda contract: _clean(run, catalog, contract, books))


def _finish(run: Run, contract: Contract) -> None:
    """Rebuild a dataset where that was cut off. What fails of it is in the books, and is tried again by the next run; till
    then releases name what they did before."""
    if is_cut_off(run, contract):
        _log.warning("made again: a rebuild was cut off", dataset=contract.name)
        with suppress(DatasetsFailed, LakeError):  # another process may be at it
            for _ in rebuild(run.settings, contract, run.table("silver", contract.table).engine() or "embedded"):
                pass


@dataclass(frozen=True)
class Arrived:
    """One loaded delivery of the slice, as the books know it."""

    id: str
    name: str
    loaded: int
    unparsable: int
    bytes: int
    undeclared: tuple[str, ...]
    missing: tuple[str, ...]
    received_at: datetime | None = None


_TOLD = ["department", "dataset", "day", "delivery_id", "event", "received_at", "name", "bytes", "loaded", "unparsable"]
_TOLD += ["undeclared", "missing"]


@dataclass(frozen=True)
class Books:
    """What earlier runs wrote: the day's deliveries, the fingerprints of the last successes, and rows per earlier day."""

    arrived: dict[tuple[str, str], tuple[Arrived, ...]]
    done: dict[tuple[str, str], str]
    history: dict[tuple[str, str], tuple[tuple[date, int], ...]]

    @classmethod
    def of(cls, run: Run) -> "Books":
        arrived: dict[tuple[str, str], dict[str, Arrived]] = {}
        earlier: dict[tuple[str, str], dict[tuple[date, str], int]] = {}
        rows = run.ops.read("deliveries").select(_TOLD).to_pylist()
        counting = {delivery for delivery, _ in carried(rows)}
        for row in rows:
            where, delivery = (row["department"], row["dataset"]), row["delivery_id"]
            if row["event"] != "loaded" or delivery not in counting:
                continue
            if row["day"] == run.day:
                names = tuple(row["undeclared"] or ()), tuple(row["missing"] or ())
                counts = row["loaded"], row["unparsable"], row["bytes"] or 0
                arrived.setdefault(where, {})[delivery] = Arrived(
                    delivery, row["name"], *counts, *names, row["received_at"]
                )
            elif row["day"] < run.day:
                earlier.setdefault(where, {})[(row["day"], delivery)] = row["loaded"]
        done = {}
        for row in run.ops.read("runs", day=run.day).to_pylist():
            if row["step"] in WRITING and row["status"] == "succeeded":
                done[(row["department"], row["dataset"])] = row["fingerprint"]  # none of what was restored since
        slices = {where: tuple(deliveries.values()) for where, deliveries in arrived.items()}
        return cls(slices, done, {where: _per_day(files) for where, files in earlier.items()})


def _per_day(files: dict[tuple[date, str], int]) -> tuple[tuple[date, int], ...]:
    """Rows per day, the newest day first."""
    days: Counter[date] = Counter()
    for (day, _), rows in files.items():
        days[day] += rows
    return tuple(sorted(days.items(), reverse=True))


def _clean(run: Run, catalog: Catalog, contract: Contract, books: Books) -> Outcome:
    where = (contract.department, contract.dataset)
    arrived = books.arrived.get(where, ())
    if not arrived:
        return Outcome("unchanged")
    if mistakes := list(misfits(contract, catalog.file(contract))):
        raise ContractError("; ".join(mistakes), hint="mend the lines named above")
    fingerprint = _fingerprint(contract, arrived, catalog)
    if books.done.get(where) == fingerprint and not run.forced:
        return Outcome("unchanged", fingerprint=fingerprint)
    received = tuple((d.id, d.received_at.astimezone(UTC).replace(tzinfo=None)) for d in arrived if d.received_at)
    plan = Plan(contract, catalog.standards, run.day, books.history.get(where, ()), received)
    bronze = run.table("bronze", contract.table)
    deliveries, names = tuple(d.id for d in arrived), tuple(sorted({d.name for d in arrived}))
    of = Pass(plan, deliveries, names, run.settings, catalog.layers, run.staging, run.id)
    with engine.session(run.settings) as connection:
        if files := bronze.files(run.day):
            of.read(connection, "bronze", files)
        else:  # nothing but headers
            connection.register("bronze", bronze_schema(contract).empty_table())
        prepare(connection, catalog.path, plan)
        verdict = Verdict(plan, arrived, measured(connection, plan), catalog.layers)
        tally = cleaned(run, of, verdict, connection, files, size=sum(d.bytes for d in arrived))
    results.note(run, contract, verdict.results(tally), tally.failing)
    _note_fates(run, contract, tally, arrived)
    writes = {
        f"{layer}.{contract.table}": run.table(layer, contract.table).version() for layer in ("silver", "quarantine")
    }
    return Outcome(
        "succeeded",
        rows_in=tally.rows + sum(d.unparsable for d in arrived),
        accepted=tally.accepted,
        quarantined=tally.quarantined,
        unparsable=sum(d.unparsable for d in arrived),
        fingerprint=fingerprint,
        reads=json.dumps({f"bronze.{contract.table}": bronze.version()}),
        writes=json.dumps({name: version for name, version in writes.items() if version is not None}),
    )


def _fingerprint(contract: Contract, arrived: tuple[Arrived, ...], catalog: Catalog) -> str:
    """Changes with the deliveries, the contract, the code, and the standards, code lists and districts they are judged by."""
    standards = [catalog.standards[c.standard] for c in contract.columns.values() if c.standard]
    files = [catalog.path / "standards" / s.codes for s in standards if s.codes]
    files += [catalog.layers / "districts.geojson"] if contract.point else []
    asked = {item.check for item in (*contract.expect.fail, *contract.expect.warn)}
    files += [file for file in [catalog.layers / "roads.geojson"] if "crs" in asked and file.exists()]
    known = [*(s.model_dump_json() for s in standards), *(hashlib.sha256(f.read_bytes()).hexdigest() for f in files)]
    parts = [contract.fingerprint, code_version(), *sorted(delivery.id for delivery in arrived), *known]
    return hashlib.sha256("|".join(parts).encode()).hexdigest()[:32]


def _note_fates(run: Run, contract: Contract, tally: Tally, arrived: tuple[Arrived, ...]) -> None:
    """Where the rows of each delivery went: what came in = accepted + quarantined + unparsable."""
    for delivery in arrived:
        quarantined = tally.quarantined_of[delivery.id]
        run.ops.note(
            "deliveries",
            at=run.now,
            run_id=run.id,
            department=contract.department,
            dataset=contract.dataset,
            day=run.day,
            event="cleaned",
            delivery_id=delivery.id,
            rows_in=delivery.loaded + delivery.unparsable,
            loaded=delivery.loaded,
            unparsable=delivery.unparsable,
            accepted=delivery.loaded - quarantined,
            quarantined=quarantined,
        )
