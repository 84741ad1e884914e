"""Sites from the stays of the last nights: the step `sites`.

A night starts from the sites of the newest day before it that has any. What has changed since is told by a digest of the
stays at every spot, so that late fixes, stays that ended and days that left the window count like new stays; only sites
around such spots are found again (`lakehouse.geo.sites`). The day's slices of two tables are replaced, `site_spots` last:
a run that ends between them is as if it had not been, because the next reads of the day before.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import shapely
from pydantic import ValidationError

from expectations.catalog import Catalog
from jobs.department import Outcome, last_success
from lakehouse.document import read_document
from lakehouse.engine import embedded as engine
from lakehouse.errors import ContractError, LakeError
from lakehouse.geo.kernels import Ints
from lakehouse.geo.regions import NOWHERE, Regions
from lakehouse.geo.sites import (
    NO_SITE,
    NO_SPOT,
    NOTHING_BEFORE,
    PER_DEGREE,
    ROW,
    Rule,
    State,
    Visits,
    advanced,
    outlines,
)
from lakehouse.runs import Run, code_version
from lakehouse.table import Commit, Table

_INSTANT, _COUNT, _DEGREES = pa.timestamp("us", "UTC"), pa.int64(), pa.float64()

SITES = pa.schema([
    ("site_id", pa.string()), ("lon", _DEGREES), ("lat", _DEGREES), ("geometry", pa.binary()),
    ("xmin", _DEGREES), ("ymin", _DEGREES), ("xmax", _DEGREES), ("ymax", _DEGREES),
    ("stays", _COUNT), ("vehicles", _COUNT), ("first_at", _INSTANT), ("last_at", _INSTANT),
    ("dwell_median_s", _DEGREES), ("night_share", _DEGREES), ("district", pa.string()), ("_day", pa.date32()),
])  # fmt: skip
SPOTS = pa.schema([("spot", _COUNT), ("site_id", pa.string()), ("digest", _COUNT), ("_day", pa.date32())])

_TABLES = "gold.sites", "gold.site_spots"
"""What the step writes, in this order."""

SPOT = f"""CASE WHEN abs(lon) <= 180 AND abs(lat) <= 90 AND (lon != 0 OR lat != 0) THEN
    CAST(floor((lat + 90) * {PER_DEGREE}) AS BIGINT) * {ROW} + CAST(floor((lon + 180) * {PER_DEGREE}) AS BIGINT)
    ELSE {NO_SPOT} END"""
"""`lakehouse.geo.sites.spots` in SQL, of columns `lon` and `lat`: multiplying by a power of two is exact, so both agree."""

_VISITS = """
    SELECT spot, vehicle, count(*) AS stays,
           bit_xor(hash(stay_id, vehicle, epoch_us(began_at), epoch_us(ended_at), lon, lat) >> 1)::BIGINT AS digest
    FROM stays GROUP BY spot, vehicle ORDER BY spot, vehicle"""

_NIGHT = "hour(began_at AT TIME ZONE 'Asia/Shanghai') NOT BETWEEN 6 AND 21"
"""Night is from 22 to 6 o'clock: Noise Pollution Prevention and Control Law (2022), article 88."""

_FACTS = f"""
    SELECT site, count(*) AS stays, count(DISTINCT vehicle) AS vehicles, min(began_at) AS first_at, max(ended_at) AS last_at,
           median(epoch_us(ended_at) - epoch_us(began_at)) / 1e6 AS dwell_median_s,
           count(*) FILTER ({_NIGHT}) / count(*) AS night_share,
           sum(round(lon * 1e7)::BIGINT) / count(*) / 1e7 AS lon, sum(round(lat * 1e7)::BIGINT) / count(*) / 1e7 AS lat
    FROM stays JOIN places USING (spot) GROUP BY site ORDER BY site"""


@dataclass(frozen=True)
class _Before:
    """The newest night before: its day and files, its sites by spot, and their rows in `gold.sites`."""

    state: State = NOTHING_BEFORE
    rows: pa.Table = field(default_factory=SITES.empty_table)
    day: date | None = None
    files: tuple[str, ...] = ()


def sites(run: Run, catalog: Catalog) -> Outcome:
    """Bring the day's sites up to the stays. Does nothing where nothing changed since the last success."""
    stays, rule = run.table("gold", "stays"), rule_of(catalog)
    if not stays.exists():
        return Outcome("unchanged")
    first = run.day - timedelta(days=rule.window_days - 1)
    version, days = _as_left(run, stays)
    files = {day: found for day, found in days.items() if day is not None and first <= day <= run.day}
    written = [run.table(*name.split(".")) for name in _TABLES]
    if not files and not any(run.day in table.days() for table in written):
        return Outcome("unchanged")
    before = _before(run, *written)
    how, what = _fingerprints(catalog, rule, files, before)
    if last_success(run, _TABLES) == how + what and not run.forced:
        return Outcome("unchanged", fingerprint=how + what)
    afresh = run.forced or before.day is None or (last_success(run, _TABLES, day=before.day) or "")[: len(how)] != how
    with engine.session(run.settings) as connection:
        seen = _visits(connection, stays.here([file for found in files.values() for file in found]))
        state, again = advanced(before.state, seen, rule, run.day, afresh=afresh)
        regions = Regions.load(catalog.layers / "districts.geojson", run.day)
        rows = _rows(connection, state, _stale(state, again, before), before, regions, run.day)
    facts = (("sites", str(len(state.names))), ("looked_at_again", str(len(again))))
    commit = Commit(run.id, facts)
    names = pa.array(np.array([*state.names, None], object)[state.site])
    spots = pa.table([state.spot, names, state.digest, _days(run.day, len(state.spot))], schema=SPOTS)
    for table, content in zip(written, (rows, spots), strict=True):
        table.replace_slice(run.day, content.schema, content.to_batches(), commit)
    count = int(seen.stays.sum())
    return Outcome(
        "succeeded",
        rows_in=count,
        accepted=count,
        fingerprint=how + what,
        reads=json.dumps({stays.name: version}),
        writes=json.dumps({table.name: table.version() for table in written}),
    )


def _as_left(run: Run, stays: Table) -> tuple[int, Mapping[date | None, list[str]]]:
    """The version of the stays that the day's own night left, and its files: a later night makes stays over midnight longer,
    which is its own news. The newest where nobody knows that version any more."""
    wrote = (
        pc.field("step").isin(["stays", "restore"])
        & (pc.field("status") == "succeeded")
        & pc.field("writes").is_valid()
    )
    told = [json.loads(text) for text in run.ops.read("runs", day=run.day).filter(wrote)["writes"].to_pylist()]
    known = [writes[stays.name] for writes in told if stays.name in writes]
    newest = stays.open().version()
    for version in [each for each in known[-1:] if each is not None]:
        with suppress(LakeError):
            files = stays.files_by_day(version)
            if all(Path(file).exists() for found in files.values() for file in found):
                return version, files
    return newest, stays.files_by_day(newest)


def rule_of(catalog: Catalog) -> Rule:
    """What makes a site in this city: the catalogue's `sites.yml`, else the defaults. Raises ContractError for mistakes."""
    path = catalog.path / "sites.yml"
    mistakes: list[str] = []
    document = read_document(path, mistakes) if path.exists() else None
    try:
        rule = Rule.model_validate(document.content or {}) if document else Rule()
    except ValidationError as error:
        mistakes += [f"{'.'.join(map(str, fault['loc']))}: {fault['msg'].lower()}" for fault in error.errors()]
    if mistakes:
        raise ContractError("; ".join(mistakes), where=str(path), hint="mend the lines named above")
    return rule


def _visits(connection: duckdb.DuckDBPyConnection, files: Sequence[str]) -> Visits:
    """Who stayed where how often; leaves the view `stays`, those that have a spot."""
    connection.execute("SET TimeZone = 'UTC'")
    read = connection.read_parquet(list(files)) if files else connection.from_arrow(_NO_STAYS)
    held = read.select(f"stay_id, hash(vehicle) >> 1 AS vehicle, began_at, ended_at, lon, lat, {SPOT} AS spot")
    connection.register("stays", held.filter(f"spot != {NO_SPOT}"))
    found = connection.sql(_VISITS).to_arrow_table()
    return Visits(*(found[name].cast(_COUNT).to_numpy() for name in ("spot", "vehicle", "stays", "digest")))


def _rows(
    connection: duckdb.DuckDBPyConnection, state: State, stale: Ints, before: _Before, regions: Regions, day: date
) -> pa.Table:
    """The rows of `gold.sites`: new ones of the sites that are stale (places in `state.names`), the others as they were."""
    number = np.full(len(state.names) + 1, NO_SITE, np.int64)
    number[stale] = np.arange(len(stale))
    site = number[state.site]
    shapes = outlines(state.spot, site)
    connection.register("places", pa.table({"spot": state.spot[site != NO_SITE], "site": site[site != NO_SITE]}))
    facts = connection.sql(_FACTS).to_arrow_table()
    lon, lat = (facts[name].to_numpy() for name in ("lon", "lat"))
    region = regions.locate(lon, lat)
    columns = {name: facts[name] for name in facts.column_names} | {
        "site_id": pa.array([state.names[i] for i in stale], pa.string()),
        "geometry": shapely.to_wkb(shapes),
        **dict(zip(("xmin", "ymin", "xmax", "ymax"), shapely.bounds(shapes).reshape(-1, 4).T, strict=True)),
        "district": pa.array(list(regions.codes), pa.string()).take(pa.array(region, mask=region == NOWHERE)),
        "_day": _days(day, len(stale)),
    }
    new = pa.table(columns).select(SITES.names).cast(SITES)
    kept = np.setdiff1d(np.arange(len(state.names)), stale)
    held = before.rows.filter(pc.is_in(before.rows["site_id"], pa.array([state.names[i] for i in kept], pa.string())))
    held = held.set_column(held.schema.get_field_index("_day"), "_day", _days(day, held.num_rows))
    return pa.concat_tables([held.select(SITES.names).cast(SITES), new]).sort_by("site_id")


def _stale(state: State, again: Ints, before: _Before) -> Ints:
    """The sites that need a new row: those looked at again, and those whose row isn't there."""
    there = pc.is_in(pa.array(state.names, pa.string()), before.rows["site_id"].combine_chunks())
    return np.union1d(again, np.flatnonzero(~there.to_numpy(zero_copy_only=False)))


def _before(run: Run, rows: Table, spots: Table) -> _Before:
    """The newest day before the run's that both tables have."""
    both = rows.days() & spots.days()
    day = max((day for day in both if day < run.day), default=None)
    if day is None:
        return _Before()
    held = spots.read(day=day, columns=["spot", "site_id", "digest"]).sort_by("spot").combine_chunks()
    coded = held["site_id"].combine_chunks().dictionary_encode()
    site = pc.fill_null(coded.indices, NO_SITE).to_numpy(zero_copy_only=False).astype(np.int64)
    state = State(held["spot"].to_numpy(), held["digest"].to_numpy(), site, tuple(coded.dictionary.to_pylist()))
    return _Before(state, rows.read(day=day), day, tuple(spots.files(day)))


def _fingerprints(catalog: Catalog, rule: Rule, files: Mapping[date, list[str]], before: _Before) -> tuple[str, str]:
    """One half changes with how sites are found, the other with the stays and the night before."""
    layer = catalog.layers / "districts.geojson"
    shapes = hashlib.sha256(layer.read_bytes() if layer.exists() else b"").hexdigest()
    how = json.dumps([rule.model_dump_json(), shapes, code_version()])
    what = json.dumps([sorted(file for found in files.values() for file in found), before.files])
    one, other = (hashlib.sha256(text.encode()).hexdigest()[:16] for text in (how, what))
    return one, other


def _days(day: date, count: int) -> pa.Array:
    return pa.repeat(pa.scalar(day, pa.date32()), count)


_NO_STAYS = pa.schema([
    ("stay_id", pa.string()), ("vehicle", pa.string()), ("began_at", _INSTANT), ("ended_at", _INSTANT),
    ("lon", _DEGREES), ("lat", _DEGREES),
]).empty_table()  # fmt: skip
