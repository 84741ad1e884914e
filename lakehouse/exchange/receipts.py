"""What the receiver tells the sender of each package: signed receipts, each of which names the one before it."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow.compute as pc

from lakehouse.contract import Contract
from lakehouse.deliveries import delivery_id
from lakehouse.errors import DeliveryUnreadable, LakeError
from lakehouse.exchange.keys import PublicKey, home
from lakehouse.exchange.signed import Manifest, Receipt, Signed, kept, sign, stamped
from lakehouse.ops import Ops
from lakehouse.settings import Settings
from lakehouse.sources.received import Received

_FATES = ("rows_in", "accepted", "quarantined", "unparsable")


class Chain:
    """Our receipts for one sender's dataset, the oldest first. Write to it only while holding the stream's folder."""

    def __init__(self, settings: Settings, sender: str, receiver: str, dataset: str) -> None:
        self._settings = settings
        self._of = {"sender": sender, "receiver": receiver, "dataset": dataset}
        self.folder = home(settings) / "receipts" / sender / dataset
        signed = kept(Receipt, self.folder)
        if fault := broken(signed):
            raise LakeError(fault, where=str(self.folder), hint="bring the receipts back from your backup")
        self.receipts = [each.record for each in signed.values()]
        self._last = signed[len(signed)].sha256 if signed else None

    def add(self, now: datetime, **facts: Any) -> None:
        """One more receipt. Raises LakeError when the disk won't, EnvironmentFault without a private key."""
        number = len(self.receipts) + 1
        receipt = Receipt(**self._of, created_at=stamped(now), number=number, previous=self._last, **facts)
        signed = sign(receipt, self._settings)
        signed.keep(self.folder, f"{number:08d}")
        self.receipts.append(receipt)
        self._last = signed.sha256


def word(receipts: Sequence[Receipt], package: str) -> Receipt | None:
    """The last word on the package with this hash: of an accepted one under the name it was accepted by, for a copy under
    another name is refused without a word against the first."""
    said = [receipt for receipt in receipts if receipt.package == package]
    first = next((receipt for receipt in said if receipt.outcome == "accepted"), None)
    return next((receipt for receipt in reversed(said) if first is None or receipt.name == first.name), None)


def broken(chain: Mapping[int, Signed[Receipt]]) -> str | None:
    """What is wrong with a chain of receipts: the first that is missing, or follows another one than is there."""
    before = None
    for number in range(1, max(chain, default=0) + 1):
        if number not in chain:
            return f"receipt {number} is missing"
        if (chain[number].record.number, chain[number].record.previous) != (number, before):
            return f"receipt {number} doesn't follow receipt {number - 1}"
        before = chain[number].sha256
    return None


def received_from(folder: Path, by: Sequence[PublicKey]) -> list[Receipt]:
    """The receipts another party wrote. Raises DeliveryUnreadable when one isn't signed by it, or the chain is broken."""
    chain = kept(Receipt, folder, by)
    if fault := broken(chain):
        raise DeliveryUnreadable(fault, where=str(folder), hint="ask its writer for all of them")
    return [signed.record for signed in chain.values()]


class Fates:
    """Where the rows of packages went, as the books tell it."""

    def __init__(self, settings: Settings, contract: Contract) -> None:
        ours = (pc.field("department") == contract.department) & (pc.field("dataset") == contract.dataset)
        told = Ops(settings.home).read("deliveries").filter(ours).to_pylist()
        self._contract = contract
        self._last = {row["delivery_id"]: row for row in told if row["event"] in ("cleaned", "refused")}

    def of(self, manifest: Manifest) -> dict[str, Any] | None:
        """What a receipt says of a package that was loaded, or couldn't be; None as long as not all of it is judged."""
        files = [Received(Path(), manifest.delivered(f), f.bytes, f.sha256, None, False) for f in manifest.files]
        rows = [self._last.get(name) for name in {delivery_id(self._contract, manifest.day, file) for file in files}]
        known = [row for row in rows if row]
        if len(known) < len(rows):
            return None
        if refused := [row["reason"] for row in known if row["event"] == "refused"]:
            return {"outcome": "refused", "reason": f"verified, but not loaded: {'; '.join(refused)}"}
        counts = {name: sum(row[name] or 0 for row in known) for name in _FATES}
        return {"outcome": "loaded", "reason": None, **counts}


def count_loaded(chain: Chain, accepted: Mapping[int, Signed[Manifest]], fates: Fates, now: datetime) -> int:
    """A receipt for every package whose rows have found their place since, or could not be loaded. How many there were."""
    before = len(chain.receipts)
    for sequence, signed in accepted.items():
        facts, said = fates.of(signed.record), word(chain.receipts, signed.sha256)
        if facts and said and any(getattr(said, name) != fact for name, fact in facts.items()):
            chain.add(now, name=said.name, sequence=sequence, package=signed.sha256, **facts)
    return len(chain.receipts) - before
