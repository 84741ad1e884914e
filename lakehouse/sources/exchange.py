"""Exchange packages of another party: verified before anything lands, receipted, each loaded once."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import structlog

from lakehouse.errors import DeliveryUnreadable, NotDelivered, SourceUnavailable
from lakehouse.exchange import keys
from lakehouse.exchange.package import SIGNATURE, Package, reading
from lakehouse.exchange.receipts import Chain, Fates, count_loaded, word
from lakehouse.exchange.signed import Manifest, Signed, kept
from lakehouse.settings import Settings, clock
from lakehouse.source import ExchangeSource
from lakehouse.sources.received import Asked, Received, shown

_log = structlog.get_logger()


@dataclass(frozen=True)
class Stream:
    """The packages of one dataset that one party sends us, and what we know of them."""

    settings: Settings
    source: ExchangeSource
    us: str
    by: Sequence[keys.PublicKey]

    @classmethod
    def of(cls, settings: Settings, source: ExchangeSource) -> "Stream":
        """Raises ContractError for a broken register, UsageError for a sender that isn't in it."""
        known = keys.register(settings)
        return cls(settings, source, known.name, known.keys(source.sender))

    @property
    def folder(self) -> Path:
        """Where the manifests of accepted packages are kept."""
        return keys.home(self.settings) / "received" / self.source.sender / self.source.dataset

    def accepted(self) -> dict[int, Signed[Manifest]]:
        """Sequence number -> the accepted package's manifest, in order."""
        return kept(Manifest, self.folder)

    @property
    def inbox(self) -> Path:
        """The folder the packages arrive in."""
        return Path(self.source.uri.removeprefix("file://").replace("{inbox}", str(self.settings.inbox)))

    def chain(self) -> Chain:
        return Chain(self.settings, self.source.sender, self.us, self.source.dataset)


def gaps(accepted: Mapping[int, Signed[Manifest]]) -> list[int]:
    """The sequence numbers below the last that haven't come."""
    return [number for number in range(1, max(accepted, default=0)) if number not in accepted]


def newest(accepted: Mapping[int, Signed[Manifest]], day: date) -> int:
    """The last package that covers the day, 0 if none does: it replaces those before it."""
    return max((number for number, signed in accepted.items() if signed.record.day == day), default=0)


def fetch(asked: Asked, source: ExchangeSource) -> Iterator[Received]:
    """The files of the newest package that covers the day. Every package there is judged, whatever its day.

    Raises NotDelivered when no package covers the day, DeliveryUnreadable after the last file when packages were refused
    that weren't before, SourceUnavailable when the folder can't be read.
    """
    stream = Stream.of(asked.settings, source)
    paths = _packages(stream)
    with keys.alone(stream.folder):
        chain = stream.chain()
        count_loaded(chain, stream.accepted(), Fates(asked.settings, asked.contract), clock())
        judge = _Judge(asked, stream, chain)
        for path in paths:
            judge.look(path)
    last = newest(judge.accepted, asked.day)
    lying = judge.lying.get(last, [])
    yield from lying
    where = f"{asked.contract.name} {source.uri}"
    if judge.refused:
        raise DeliveryUnreadable("; ".join(judge.refused), where=where)
    if not lying:
        missing = ", ".join(map(str, gaps(judge.accepted)))
        what = (
            f"package {last}, which covers {asked.day}, can no longer be taken from there"
            if last
            else (f"no package covers {asked.day}" + (f" (missing: {missing})" if missing else ""))
        )
        hint = "`citylake exchange status` shows what has come; `citylake exchange request` asks for it again"
        raise NotDelivered(what, where=where, hint=hint)


def _packages(stream: Stream) -> list[Path]:
    """Zips, and folders that are whole: their signature is written last."""
    folder, start = stream.inbox, f"{stream.source.sender}.{stream.source.dataset}."
    try:
        found = sorted(path for path in folder.iterdir() if path.name.startswith(start)) if folder.exists() else []
    except OSError as error:
        raise SourceUnavailable(f"can't be listed ({error.strerror})", where=str(folder), hint="give access") from error
    return [path for path in found if path.suffix == ".zip" or (path / SIGNATURE).exists()]


class _Judge:
    """Looks at packages one after the other and remembers those it accepts; writes a receipt whenever it learns something."""

    def __init__(self, asked: Asked, stream: Stream, chain: Chain) -> None:
        self.asked, self.stream, self.chain = asked, stream, chain
        self.accepted = stream.accepted()
        self.lying: dict[int, list[Received]] = {}
        self.refused: list[str] = []

    def look(self, path: Path) -> None:
        """Judges the package at `path`. One that is refused is looked at again next time; its receipt is written once."""
        name = shown(path.name)
        signed: Signed[Manifest] | None = None
        try:
            with reading(path) as package:
                signed = package.manifest(self.stream.by)
                self._check(signed)
                self._take(package, signed, path)
        except DeliveryUnreadable as fault:
            self._refuse(name, signed, fault)
        else:
            self._accept(signed, name)

    def _check(self, signed: Signed[Manifest]) -> None:
        """Raises DeliveryUnreadable unless the package is meant for us and fits between those we have."""
        ours, source = signed.record, self.stream.source
        if (ours.sender, ours.receiver, ours.dataset) != (source.sender, self.stream.us, source.dataset):
            raise _misfit(f"it is of {ours.sender} to {ours.receiver}, {ours.dataset}")
        known = self.accepted.get(ours.sequence)
        if known and known.sha256 != signed.sha256:
            raise _misfit(f"forked: another package {ours.sequence} was accepted before")
        before, after = (self.accepted.get(ours.sequence + step) for step in (-1, 1))
        if before and ours.previous != before.sha256:
            raise _misfit(f"forked: it doesn't follow the package {ours.sequence - 1} that was accepted")
        if after and after.record.previous != signed.sha256:
            raise _misfit(f"forked: the accepted package {ours.sequence + 1} follows another one")
        earlier = max((number for number in self.accepted if number < ours.sequence), default=None)
        if earlier and self._key(signed) < self._key(self.accepted[earlier]):
            raise _misfit(f"signed with an older key than package {earlier}")

    def _key(self, signed: Signed[Manifest]) -> int:
        place = keys.signer(signed.data, signed.signature, self.stream.by)
        return -1 if place is None else place  # the key of an accepted package may have left the register since

    def _take(self, package: Package, signed: Signed[Manifest], path: Path) -> None:
        """Verifies the data of a package that is new, or the newest of the day asked for: those stay in the asked folder."""
        record = signed.record
        ours = record.day == self.asked.day
        if record.sequence in self.accepted:
            if self._repeats(signed, path):
                raise _misfit(f"repeated: package {record.sequence} came before")
            if not ours or record.sequence < newest(self.accepted, record.day):
                return
        into = self.asked.into / str(record.sequence)
        shutil.rmtree(into, ignore_errors=True)
        files = package.extract(record, self.asked.contract, self.stream.source, into)
        if ours:
            self.lying[record.sequence] = files
        else:
            shutil.rmtree(into, ignore_errors=True)

    def _repeats(self, signed: Signed[Manifest], path: Path) -> bool:
        """Whether an accepted package is here under a second name, beside the first or after its rows were loaded."""
        said = word(self.chain.receipts, signed.sha256)
        if said is None or said.name == shown(path.name):
            return False
        return path.with_name(said.name).exists() or said.outcome != "accepted"

    def _accept(self, signed: Signed[Manifest], name: str) -> None:
        record = signed.record
        if record.sequence in self.accepted:
            return
        said = word(self.chain.receipts, signed.sha256)
        if said is None or said.outcome == "refused":
            facts = {"sequence": record.sequence, "package": signed.sha256, "reason": self._place(record)}
            self.chain.add(clock(), name=name, outcome="accepted", **facts)
        signed.keep(self.stream.folder, f"{record.sequence:08d}")
        self.accepted[record.sequence] = signed

    def _place(self, record: Manifest) -> str | None:
        """What is odd about the place in which an accepted package came."""
        last = max(self.accepted, default=0)
        if record.sequence < last:
            return f"out of order: package {last} came before it"
        if record.sequence > last + 1:
            return f"gap: packages missing before it: {record.sequence - last - 1}"
        return None

    def _refuse(self, name: str, signed: Signed[Manifest] | None, fault: DeliveryUnreadable) -> None:
        if any(r.name == name and r.reason == fault.what for r in self.chain.receipts):
            return
        _log.warning("package refused", file=name, reason=fault.what)
        facts = {"sequence": signed.record.sequence, "package": signed.sha256} if signed else {}
        self.chain.add(clock(), name=name, outcome="refused", reason=fault.what, **facts)
        self.refused.append(f"{name}: {fault.what}")


def _misfit(what: str) -> DeliveryUnreadable:
    return DeliveryUnreadable(what, hint="ask the sender")
