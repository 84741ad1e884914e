"""What the receiver tells the sender of each package: signed receipts, each of which names the one before it."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from lakehouse.contract import Contract
from lakehouse.deliveries import delivery_id
from lakehouse.errors import DeliveryUnreadable
from lakehouse.exchange.keys import PublicKey, home
from lakehouse.exchange.signed import Manifest, Receipt, Signed, opened, sign, stamped
from lakehouse.exchange.signed import kept as records
from lakehouse.ops import Ops
from lakehouse.settings import Settings
from lakehouse.sources.received import Received

_FATES = ("rows_in", "accepted", "quarantined", "unparsable")


class Chain:
    """Our receipts for one sender's dataset, the oldest first. Write to it only while holding `keys.alone`."""

    def __init__(self, settings: Settings, sender: str, receiver: str, dataset: str) -> None:
        self._settings = settings
        self._of = {"sender": sender, "receiver": receiver, "dataset": dataset}
        self.folder = home(settings) / "receipts" / sender / dataset
        self._signed = unbroken(records(Receipt, self.folder), str(self.folder))

    def receipts(self) -> list[Receipt]:
        return [signed.record for signed in self._signed]

    def says(self, **facts: Any) -> bool:
        """Whether a receipt already says this of a package."""
        return any(all(getattr(receipt, name) == fact for name, fact in facts.items()) for receipt in self.receipts())

    def add(self, now: datetime, **facts: Any) -> None:
        """One more receipt. Raises LakeError when the disk won't, EnvironmentFault without a private key."""
        number, last = len(self._signed) + 1, self._signed[-1].sha256 if self._signed else None
        receipt = Receipt(**self._of, created_at=stamped(now), number=number, previous=last, **facts)
        signed = sign(receipt, self._settings)
        signed.keep(self.folder, f"{number:08d}")
        self._signed.append(signed)


def unbroken(chain: Mapping[int, Signed[Receipt]], where: str) -> list[Signed[Receipt]]:
    """The receipts in order. Raises DeliveryUnreadable naming the first that is missing or follows another one."""
    before = None
    for number in range(1, max(chain, default=0) + 1):
        if number not in chain:
            raise DeliveryUnreadable(
                f"receipt {number} is missing", where=where, hint="bring it back, or ask for it again"
            )
        if chain[number].record.number != number or chain[number].record.previous != before:
            raise DeliveryUnreadable(
                f"receipt {number} doesn't follow receipt {number - 1}", where=where, hint="ask who changed it"
            )
        before = chain[number].sha256
    return [chain[number] for number in sorted(chain)]


def received_from(folder: Path, by: Sequence[PublicKey]) -> list[Receipt]:
    """The receipts another party wrote. Raises DeliveryUnreadable when one isn't signed by it, or the chain is broken."""
    chain = records(Receipt, folder)
    for number, signed in chain.items():
        opened(Receipt, signed.data, signed.signature, by, str(folder / f"{number:08d}.json"))
    return [signed.record for signed in unbroken(chain, str(folder))]


def count_loaded(
    settings: Settings, contract: Contract, kept: Mapping[int, Signed[Manifest]], chain: Chain, now: datetime
) -> int:
    """A receipt for every package whose rows have found their place since, or could not be loaded. How many there were."""
    told = Ops(settings.home).read("deliveries").to_pylist()
    fates = {row["delivery_id"]: row for row in told if row["event"] in ("cleaned", "refused")}
    names = {receipt.sequence: receipt.name for receipt in chain.receipts() if receipt.outcome == "accepted"}
    written = 0
    for sequence, signed in kept.items():
        found = [fates.get(delivery) for delivery in _deliveries(contract, signed.record)]
        if None in found:
            continue
        facts = _facts([row for row in found if row])
        last = [r for r in chain.receipts() if r.package == signed.sha256 and r.outcome != "accepted"][-1:]
        if not last or any(getattr(last[0], name) != fact for name, fact in facts.items()):
            chain.add(now, name=names[sequence], sequence=sequence, package=signed.sha256, **facts)
            written += 1
    return written


def _deliveries(contract: Contract, manifest: Manifest) -> set[str]:
    files = [Received(Path(), Path(f.path).name, f.bytes, f.sha256, None, False) for f in manifest.files]
    return {delivery_id(contract, manifest.day, file) for file in files}


def _facts(rows: list[dict[str, Any]]) -> dict[str, Any]:
    refused = [row["reason"] for row in rows if row["event"] == "refused"]
    if refused:
        return {"outcome": "refused", "reason": f"verified, but not loaded: {'; '.join(refused)}"}
    return {"outcome": "loaded", "reason": None, **{name: sum(row[name] or 0 for row in rows) for name in _FATES}}
