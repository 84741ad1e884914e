"""Source to landing to bronze, for all datasets of one department: the step `bring`."""

import csv
import shutil
from collections.abc import Mapping
from datetime import date, datetime
from functools import cache
from pathlib import Path, PurePath

from expectations.catalog import Catalog
from jobs.department import Outcome, each_dataset
from jobs.load import load
from lakehouse.contract import Contract
from lakehouse.deliveries import Delivery, land, landed
from lakehouse.errors import CitylakeError, DeliveryUnreadable, NotDelivered, SourceRefused, SourceUnavailable
from lakehouse.ops import Ops
from lakehouse.runs import Run
from lakehouse.sources import fetch


def bring(run: Run, catalog: Catalog, department: str) -> None:
    """Pull what each dataset of the department delivers for the day, and load what isn't loaded yet.

    What did not come or can't be read is written into the books: a result, not a failure. Sources that can't be reached
    raise after the other datasets are done.
    """
    known = Known.of(run.ops, run.day)
    each_dataset(run, catalog, department, lambda contract: _bring(run, contract, known))


class Known:
    """What the books say about earlier deliveries: ids loaded, ids refused and why, contents seen on earlier days."""

    def __init__(
        self, loaded: set[str], refused: Mapping[str, str], contents: Mapping[tuple[str, str], set[tuple[date, str]]]
    ) -> None:
        self.loaded, self.refused, self.contents = loaded, refused, contents

    @classmethod
    def of(cls, ops: Ops, day: date) -> "Known":
        told = ["department", "dataset", "day", "delivery_id", "event", "content_hash", "reason"]
        rows = ops.read("deliveries").select(told)
        loaded: set[str] = set()
        refused: dict[str, str] = {}
        contents: dict[tuple[str, str], set[tuple[date, str]]] = {}
        for row in rows.to_pylist():
            if row["event"] == "loaded":
                loaded.add(row["delivery_id"])
                contents.setdefault((row["department"], row["dataset"]), set()).add((row["day"], row["content_hash"]))
            elif row["event"] == "refused" and row["delivery_id"]:
                refused[row["delivery_id"]] = row["reason"]
        return cls(loaded, refused, contents)

    def seen_before(self, contract: Contract, day: date, content_hash: str) -> bool:
        """Whether the same content was delivered on an earlier day."""
        earlier = self.contents.get((contract.department, contract.dataset), set())
        return any(then < day and content == content_hash for then, content in earlier)


def _bring(run: Run, contract: Contract, known: Known) -> Outcome:
    fault = _pull(run, contract)
    deliveries = landed(run.settings, contract, run.day)
    news = [_load(run, contract, delivery, known) for delivery in deliveries if delivery.id not in known.loaded]
    if isinstance(fault, SourceUnavailable | SourceRefused):
        raise fault
    return Outcome("succeeded" if any(news) else "unchanged")


def _pull(run: Run, contract: Contract) -> CitylakeError | None:
    """Fetch into a folder of this run's own and land what came. A fault is noted in the books and given back."""
    into = run.staging / contract.table
    shutil.rmtree(into, ignore_errors=True)
    into.mkdir(parents=True, mode=0o700)
    etags = {url: tag for delivery in landed(run.settings, contract, run.day) for url, tag in delivery.etags.items()}
    try:
        for received in fetch(contract, run.day, run.settings, into, etags):
            if not received.unchanged:
                land(run.settings, contract, run.day, received, _received_at(run, contract, received.name))
    except (NotDelivered, SourceUnavailable, SourceRefused, DeliveryUnreadable) as error:
        if not (isinstance(error, NotDelivered) and landed(run.settings, contract, run.day)):
            event = "refused" if isinstance(error, DeliveryUnreadable) else "missing"
            _note(run, contract, event, reason=str(error))
        return error
    finally:
        shutil.rmtree(into, ignore_errors=True)
    return None


def _load(run: Run, contract: Contract, delivery: Delivery, known: Known) -> bool:
    """Load one delivery. Whether the books learn anything new: what was refused is tried again with every run, for the
    contract may have been mended, but said once."""
    try:
        done = load(run, contract, delivery)
    except DeliveryUnreadable as error:
        reason = str(error)
        if known.refused.get(delivery.id) == reason:
            return False
        _note(run, contract, "refused", delivery, reason=reason)
        return True
    counts = {
        "rows_in": done.rows_in,
        "loaded": done.loaded,
        "unparsable": done.unparsable,
        "content_hash": done.content_hash,
    }
    _note(run, contract, "loaded", delivery, **counts, undeclared=done.undeclared, missing=done.missing)
    if known.seen_before(contract, delivery.day, done.content_hash):
        _note(run, contract, "unchanged", delivery, **counts, reason="the same content was delivered on an earlier day")
    return True


def _note(run: Run, contract: Contract, event: str, delivery: Delivery | None = None, **more: object) -> None:
    facts: dict[str, object] = {}
    if delivery:
        facts = {
            "delivery_id": delivery.id,
            "received_at": delivery.received_at,
            "name": delivery.name,
            "bytes": delivery.bytes,
            "sha256": delivery.sha256,
        }
    where = {"department": contract.department, "dataset": contract.dataset, "day": run.day}
    run.ops.note("deliveries", at=run.now, run_id=run.id, event=event, **where, **facts, **more)


def _received_at(run: Run, contract: Contract, name: str) -> datetime:
    """When the content was first seen: now, or as planned where the inbox has an arrival list (the sample replays its days)."""
    plan = _arrivals(run.settings.inbox / "arrivals.csv")
    dataset = (contract.department, contract.dataset, run.day.isoformat())
    return plan.get((*dataset, name)) or plan.get((*dataset, "")) or run.now


@cache
def _arrivals(path: Path) -> dict[tuple[str, str, str, str], datetime]:
    if not path.exists():
        return {}
    with path.open(encoding="utf-8", newline="") as lines:
        return {
            (row["department"], row["dataset"], row["day"], PurePath(row["path"]).name): datetime.fromisoformat(
                row["received_at"]
            )
            for row in csv.DictReader(lines)
            if row["received_at"]
        }
