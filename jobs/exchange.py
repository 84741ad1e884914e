"""Exchange packages: packing a day for another party, answering its requests, comparing its receipts, asking it again."""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from expectations.catalog import Catalog
from lakehouse import queries
from lakehouse.contract import Contract
from lakehouse.errors import DeliveryUnreadable, LakeError, NotDelivered, UsageError
from lakehouse.exchange import keys
from lakehouse.exchange.package import write
from lakehouse.exchange.receipts import Fates, count_loaded, received_from, word
from lakehouse.exchange.signed import File, Manifest, Receipt, Request, Signed, kept, opened, sign, stamped
from lakehouse.lake import Lake
from lakehouse.settings import Settings
from lakehouse.source import ExchangeSource
from lakehouse.sources.exchange import Stream, gaps
from lakehouse.sources.received import writing

Form = Literal["parquet", "csv"]

_AT_ONCE = 1 << 17
"""Rows of a row group. Fixed: the same rows give the same bytes."""


@dataclass(frozen=True)
class Packed:
    """A package in the outbox; not `new` when the same rows of the day were packed before."""

    path: Path
    manifest: Manifest
    new: bool


@dataclass(frozen=True)
class Standing:
    """How one stream stands. `waiting`: days of packages that were accepted and not loaded yet; `refused`: files of which
    no package was accepted, and why."""

    direction: Literal["sent", "received"]
    party: str
    dataset: str
    last: int
    day: date | None
    missing: tuple[int, ...] = ()
    waiting: tuple[date, ...] = ()
    refused: tuple[str, ...] = ()


@dataclass(frozen=True)
class Compared:
    """One package of ours beside the receiver's word on it. `agrees` is false where somebody has to act."""

    sequence: int
    day: date
    rows: int
    rows_in: int | None
    accepted: int | None
    quarantined: int | None
    verdict: str
    agrees: bool


def pack(settings: Settings, contract: Contract, day: date, receiver: str, form: Form, now: datetime) -> Packed:
    """The day's rows of silver, as released for the day, as the next package for `receiver`, in the outbox.

    Sensitive columns are masked unless the dataset is shared unconditionally. The same rows again are the same package.
    Raises UsageError for a withheld dataset, an unknown receiver or a day that isn't released, NotDelivered for one without
    rows, unless it had some when it was packed before.
    """
    known = keys.register(settings)
    known.keys(receiver)
    _require_shared(contract)
    table = f"silver.{contract.table}"
    origin = f"{table}@{Lake.open(settings.home).at(day).version(table)}"
    folder = _sent(settings, receiver, contract.name)
    with _extracted(settings, contract, receiver, day, origin, form) as (data, file):
        sent = kept(Manifest, folder)
        before = [signed for signed in sent.values() if signed.record.day == day][-1:]
        if before and before[0].record.files == (file,):
            return Packed(_written(settings, before[0], data), before[0].record, False)
        if not before and file.rows == 0:
            raise NotDelivered(f"no rows of {day} are released", where=contract.name, hint="see `citylake status`")
        last = max(sent, default=0)
        manifest = Manifest(
            sender=known.name, receiver=receiver, dataset=contract.name, created_at=stamped(now), sequence=last + 1,
            previous=sent[last].sha256 if last else None, day=day, origin=origin, contract=contract.fingerprint,
            masked=_masked(settings, contract), files=(file,),
        )  # fmt: skip
        signed = sign(manifest, settings)
        signed.keep(folder, f"{manifest.sequence:08d}")
        return Packed(_written(settings, signed, data), manifest, True)


def answer(settings: Settings, catalog: Catalog, request: Path) -> Iterator[Packed]:
    """The packages a signed request asks for, byte for byte: made again of the version of the table they were made of.

    Raises DeliveryUnreadable for a request its sender hasn't signed, UsageError for a package that was never sent or shows more
    than may be shared by now, LakeError where the lake no longer has the rows and the outbox hasn't the package.
    """
    asked = _request(request, keys.register(settings))
    contract = catalog.contract(asked.dataset)
    _require_shared(contract)
    sent = kept(Manifest, _sent(settings, asked.receiver, asked.dataset))
    for sequence in asked.sequences:
        if sequence not in sent:
            hint = f"the last one is {max(sent, default=0)}"
            raise UsageError(f"package {sequence} was never sent", where=str(request), hint=hint)
        if open_then := set(_masked(settings, contract)) - set(sent[sequence].record.masked):
            what = f"package {sequence} shows what is masked by now ({', '.join(sorted(open_then))})"
            raise UsageError(what, where=contract.name, hint="`citylake exchange pack` sends the day anew")
        yield Packed(_again(settings, contract, sent[sequence]), sent[sequence].record, False)


def _request(path: Path, known: keys.Register) -> Request:
    try:
        data, signature = path.read_bytes(), path.with_suffix(".sig").read_bytes()
        claimed = Request.model_validate_json(data).receiver
    except (OSError, ValueError) as error:
        hint = "name its .json; the .sig lies beside it"
        raise DeliveryUnreadable("not a request", where=str(path), hint=hint) from error
    asked = opened(Request, data, signature, known.keys(claimed), str(path)).record
    if asked.sender != known.name:
        raise UsageError(f"it asks {asked.sender}, and we are {known.name}", where=str(path), hint="pass it on")
    return asked


def _again(settings: Settings, contract: Contract, signed: Signed[Manifest]) -> Path:
    manifest = signed.record
    form: Form = "csv" if manifest.files[0].path.endswith(".csv") else "parquet"
    fault = LakeError(
        f"package {manifest.sequence} can't be made again: the rows of {manifest.origin} come out otherwise",
        where=contract.name,
        hint=f"the contract or a library has changed; `citylake exchange pack --day {manifest.day}` sends them anew",
    )
    try:
        with _extracted(settings, contract, manifest.receiver, manifest.day, manifest.origin, form) as (data, file):
            if (file,) == manifest.files:
                return _written(settings, signed, data)
    except LakeError as error:
        fault = error
    lying = _outbox(settings, manifest.receiver) / f"{manifest.name}.zip"
    if not lying.exists():
        raise fault
    return lying


def _require_shared(contract: Contract) -> None:
    if contract.sharing == "withheld":
        raise UsageError(f"it isn't shared: withheld ({contract.basis})", where=contract.name, hint="see 'sharing'")


def _masked(settings: Settings, contract: Contract) -> tuple[str, ...]:
    if contract.sharing == "unconditional":
        return ()
    shown = queries.shown_columns(settings, contract.table)
    return tuple(name for name in contract.columns if name not in shown)


@contextmanager
def _extracted(
    settings: Settings, contract: Contract, receiver: str, day: date, origin: str, form: Form
) -> Iterator[tuple[Path, File]]:
    """The day's rows in the order they were delivered in, as a file that lives for a block, and what a manifest says of it.

    The stream is ours alone meanwhile.
    """
    name, _, version = origin.partition("@")
    folder = _sent(settings, receiver, contract.name)
    path = folder / f"packing.{form}"
    columns = ", ".join(map(queries.quoted, contract.columns))
    query = f"SELECT {columns} FROM {name} WHERE _day = $day ORDER BY _delivery_id, _source_file, _source_row"
    with keys.alone(folder):
        try:
            with queries.session(settings, {name: int(version)}, masked=contract.sharing != "unconditional") as lake:
                rows = _write(path, form, lake.execute(query, {"day": day}).to_arrow_reader(_AT_ONCE))
            with path.open("rb") as data:
                digest = hashlib.file_digest(data, "sha256").hexdigest()
            size = path.stat().st_size
            yield path, File(path=f"data/{contract.dataset}.{form}", bytes=size, rows=rows, sha256=digest)
        finally:
            path.unlink(missing_ok=True)


def _write(path: Path, form: Form, batches: pa.RecordBatchReader) -> int:
    rows = 0
    with writing(path):
        writer = (
            pa.csv.CSVWriter(path, batches.schema)
            if form == "csv"
            else pq.ParquetWriter(path, batches.schema, compression="zstd")
        )
        with writer:
            for batch in batches:
                writer.write_batch(batch)
                rows += batch.num_rows
    return rows


def _written(settings: Settings, signed: Signed[Manifest], data: Path) -> Path:
    path = _outbox(settings, signed.record.receiver) / f"{signed.record.name}.zip"
    write(signed, {signed.record.files[0].path: data}, path)
    return path


def _outbox(settings: Settings, receiver: str) -> Path:
    folder = keys.home(settings) / "outbox" / receiver
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _sent(settings: Settings, receiver: str, dataset: str) -> Path:
    return keys.home(settings) / "sent" / receiver / dataset


def standings(settings: Settings, catalog: Catalog) -> list[Standing]:
    """Every stream we send and receive."""
    found = []
    for folder in sorted((keys.home(settings) / "sent").glob("*/*")):
        for last in [signed.record for signed in kept(Manifest, folder).values()][-1:]:
            found.append(Standing("sent", last.receiver, last.dataset, last.sequence, last.day))
    return found + [_received(settings, contract) for contract in received(catalog)]


def received(catalog: Catalog) -> list[Contract]:
    """The contracts of datasets that come in packages."""
    return [contract for contract in catalog.contracts if isinstance(contract.source, ExchangeSource)]


def _received(settings: Settings, contract: Contract) -> Standing:
    stream = _stream(settings, contract)
    accepted, receipts = stream.accepted(), stream.chain().receipts
    fates = Fates(settings, contract)
    last_of_day = {signed.record.day: signed.record for signed in accepted.values()}
    waiting = tuple(sorted(day for day, manifest in last_of_day.items() if fates.of(manifest) is None))
    by_name = {receipt.name: receipt for receipt in receipts if (stream.inbox / receipt.name).exists()}
    refused = tuple(f"{name}: {last.reason}" for name, last in by_name.items() if last.outcome == "refused")
    last = max(accepted, default=0)
    day = accepted[last].record.day if last else None
    source = stream.source
    return Standing("received", source.sender, source.dataset, last, day, tuple(gaps(accepted)), waiting, refused)


def _stream(settings: Settings, contract: Contract) -> Stream:
    if not isinstance(contract.source, ExchangeSource):
        raise UsageError("it doesn't come in packages", where=contract.name, hint="its contract has another 'source'")
    return Stream.of(settings, contract.source)


def receipt(settings: Settings, contract: Contract, now: datetime) -> tuple[int, Path]:
    """Receipts for what was loaded since: how many were written, and the folder of all of them."""
    stream = _stream(settings, contract)
    with keys.alone(stream.folder):
        chain = stream.chain()
        return count_loaded(chain, stream.accepted(), Fates(settings, contract), now), chain.folder


def ask(settings: Settings, contract: Contract, sequences: Sequence[int], now: datetime) -> tuple[Request, Path]:
    """A signed request for these packages, or for all that are missing. Raises UsageError when nothing is."""
    stream = _stream(settings, contract)
    missing = tuple(sequences) or tuple(gaps(stream.accepted()))
    if not missing:
        raise UsageError("nothing is missing", where=contract.name, hint="--sequence asks for one that came damaged")
    source = stream.source
    request = Request(
        sender=source.sender, receiver=stream.us, dataset=source.dataset, created_at=stamped(now), sequences=missing
    )
    folder = keys.home(settings) / "requests"
    name = f"{stream.us}.{source.sender}.{source.dataset}.{now:%Y%m%dT%H%M%SZ}"
    sign(request, settings).keep(folder, name)
    return request, folder / f"{name}.json"


def compare(settings: Settings, dataset: str, receiver: str, folder: Path) -> list[Compared]:
    """Every package we sent beside the receipts in `folder`, which the receiver wrote.

    Raises DeliveryUnreadable when a receipt isn't the receiver's, is missing or was changed; UsageError without receipts.
    """
    known = keys.register(settings)
    receipts = received_from(folder, known.keys(receiver))
    if not receipts:
        raise UsageError("no receipts are there", where=str(folder), hint="name the folder with 00000001.json")
    theirs = {(r.sender, r.receiver, r.dataset) for r in receipts}
    if theirs != {(known.name, receiver, dataset)}:
        raise UsageError("the receipts are of another stream", where=str(folder), hint="one folder holds one dataset's")
    sent = kept(Manifest, _sent(settings, receiver, dataset))
    newest = {signed.record.day: sequence for sequence, signed in sent.items()}
    return [
        _compared(signed, [r for r in receipts if r.sequence == sequence], newest[signed.record.day])
        for sequence, signed in sent.items()
    ]


def _compared(signed: Signed[Manifest], receipts: list[Receipt], newest: int) -> Compared:
    ours, last = signed.record, word(receipts, signed.sha256)
    rows_in = accepted = quarantined = None
    agrees = False
    match last:
        case Receipt(outcome="loaded"):
            rows_in, accepted, quarantined = last.rows_in, last.accepted, last.quarantined
            agrees = last.rows_in == ours.rows
            verdict = "loaded" if agrees else f"rows differ: {ours.rows} sent, {last.rows_in} found"
        case Receipt(outcome="accepted"):
            agrees = True
            verdict = "accepted, not loaded yet" if ours.sequence == newest else f"replaced by package {newest}"
        case Receipt():
            verdict = f"refused: {last.reason}"
        case None:
            verdict = "another package has its number" if receipts else "no receipt"
    return Compared(ours.sequence, ours.day, ours.rows, rows_in, accepted, quarantined, verdict, agrees)
