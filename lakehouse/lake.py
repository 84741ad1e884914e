"""What an analyst opens: the tables of one release of a lake, by name or by SQL, with sensitive columns masked.

from lakehouse import Lake
lake = Lake.open()
lake.sql("SELECT _district, count(*) AS fixes FROM silver.transport__hazmat_gps GROUP BY ALL").to_pandas()
"""

import difflib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from lakehouse import queries
from lakehouse.errors import LakeError, UsageError
from lakehouse.ops import SCHEMAS, Ops
from lakehouse.settings import Settings

if TYPE_CHECKING:
    import pandas as pd

    from lakehouse.geo.write import Written
    from lakehouse.pruning import Read
    from lakehouse.report.map import Map

_AT_ONCE = 100_000
"""Rows of an export in memory."""

_HEAD = 20
"""Rows a notebook shows of an answer."""

Moment = datetime | date | str
"""An instant; without offset it is wall-clock time in Asia/Shanghai, a date its first instant."""


@dataclass(frozen=True)
class Release:
    """One revision of a day: the version of every table (`layer.name`), and the departments that failed."""

    day: date
    revision: int
    at: datetime
    tables: Mapping[str, int] = field(repr=False)
    failed: tuple[str, ...]


@dataclass(frozen=True)
class Rows:
    """The answer to one SELECT, asked when it is read. A notebook shows its first 20 rows."""

    lake: "Lake" = field(repr=False)
    query: str
    masked: bool = True
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def to_arrow(self) -> pa.Table:
        """All rows; instants in UTC."""
        with queries.session(self.lake.settings, self._versions(), masked=self.masked) as connection:
            return connection.execute(self.query, dict(self.parameters)).to_arrow_table()

    def to_pandas(self) -> "pd.DataFrame":
        """All rows; instants in UTC."""
        return self.to_arrow().to_pandas()

    def head(self, count: int = _HEAD) -> "pd.DataFrame":
        """The first rows, read no further."""
        with queries.session(self.lake.settings, self._versions(), masked=self.masked) as connection:
            batches = connection.execute(self.query, dict(self.parameters)).to_arrow_reader(count)
            return pa.Table.from_batches([b for b in [next(batches, None)] if b], batches.schema).to_pandas()

    def export(self, path: Path | str, *, geometry: str | None = None) -> "Written":
        """Write all rows to a `.parquet` (GeoParquet), `.geojson` or `.gpkg` file; says how many, and how many without geometry.

        The geometry is that of the column `geometry`, else found: `_lon _lat`, well-known binary, well-known text in
        `geometry`, `lon lat`. Raises UsageError where there is none.
        """
        from lakehouse.geo.write import write

        with queries.session(self.lake.settings, self._versions(), masked=self.masked) as connection:
            rows = connection.execute(self.query, dict(self.parameters)).to_arrow_reader(_AT_ONCE)
            return write(rows, Path(path), geometry)

    def _repr_html_(self) -> str:
        return self.head().to_html(index=False)

    def _versions(self) -> dict[str, int | None]:
        return {name: self.lake.version(name) for name in queries.tables_of(self.query)}


@dataclass(frozen=True)
class Found:
    """Rows that lie where and when they were asked for, and what was read of the tables for them. A notebook shows the first."""

    rows: pa.Table
    read: "Read"

    def to_arrow(self) -> pa.Table:
        """All rows; instants in UTC."""
        return self.rows

    def to_pandas(self) -> "pd.DataFrame":
        """All rows; instants in UTC."""
        return self.rows.to_pandas()

    def _repr_html_(self) -> str:
        return self.rows.slice(0, _HEAD).to_pandas().to_html(index=False)


@dataclass(frozen=True)
class Lake:
    """One release of a lake. The books, `ops.*`, have no releases: they are read as they stand."""

    settings: Settings = field(repr=False)
    release: Release

    @classmethod
    def open(cls, home: Path | str | None = None) -> "Lake":
        """The newest release of the newest day in `home` (default `CITYLAKE_HOME`). LakeError before the first."""
        settings = Settings.from_environment()
        if home is not None:
            settings = settings.model_copy(update={"home": Path(home).absolute()})
        return cls(settings, max(_releases(settings), key=lambda release: (release.day, release.revision)))

    def at(self, day: date | str, revision: int | None = None) -> "Lake":
        """The lake as released for `day` (like `2026-03-01`); of its revisions the newest, or the one named."""
        wanted = date.fromisoformat(day) if isinstance(day, str) else day
        found = [r for r in _releases(self.settings) if r.day == wanted and revision in (None, r.revision)]
        if not found:
            which = f"{wanted} revision {revision}" if revision else str(wanted)
            raise UsageError(f"no release of {which}", hint="`lake.releases()` lists what there is")
        return replace(self, release=max(found, key=lambda release: release.revision))

    def releases(self) -> "pd.DataFrame":
        """Every release, newest first: `day revision at failed tables` (how many tables it names)."""
        query = """
            SELECT day, revision, "at", failed, len(json_keys(tables)) AS tables FROM ops.releases
            ORDER BY day DESC, revision DESC"""
        return self.sql(query).to_pandas()

    def tables(self) -> "pd.DataFrame":
        """The tables of this release: `table`, as `sql` and `table` take it, and its `version`."""
        versions = sorted(self.release.tables.items())
        return pa.table({"table": [t for t, _ in versions], "version": [v for _, v in versions]}).to_pandas()

    def table(self, name: str, *, masked: bool = True) -> Rows:
        """All rows of one table, like `silver.transport__hazmat_gps`. Raises UsageError with the nearest name."""
        self.version(name)
        layer, _, table = name.partition(".")
        return Rows(self, f'SELECT * FROM "{layer}"."{table}"', masked)

    def sql(self, query: str, *, masked: bool = True, **parameters: Any) -> Rows:
        """The answer to one SELECT over `layer.table` and `ops.book`; `$name` in it stands for a parameter.

        Masked values are text and several may look alike: to join or count by them takes `masked=False`.
        """
        return Rows(self, query, masked, parameters)

    def version(self, name: str) -> int | None:
        """The version of a table in this release, None for a book. Raises UsageError with the nearest name."""
        books = [f"ops.{book}" for book in SCHEMAS]
        if name not in self.release.tables and name not in books:
            close = difflib.get_close_matches(name, [*self.release.tables, *books], n=1)
            hint = f"did you mean '{close[0]}'?" if close else "`lake.tables()` lists them"
            raise UsageError(f"no table '{name}' in the release of {self.release.day}", hint=hint)
        return self.release.tables.get(name)

    def within(
        self,
        table: str,
        polygon: Any,
        start: Moment | None = None,
        end: Moment | None = None,
        *,
        at: str | None = None,
        masked: bool = True,
    ) -> Found:
        """The rows of a table in a polygon, its border included, from `start` until before `end`; `.read` says what it cost.

        `polygon` is GeoJSON or a shape of shapely in WGS-84, or a district's code. `at` names the column of instants where
        the dataset describes no fixes. Raises UsageError for what is no polygon, no instant, or a table without positions.
        """
        from lakehouse import positions  # kernels take half a second to load

        return positions.within(self, table, polygon, start, end, at, masked)

    def track(
        self, vehicle: str, start: Moment | None = None, end: Moment | None = None, *, masked: bool = True
    ) -> Found:
        """The fixes of a vehicle from `start` until before `end` in order of time: `dataset vehicle at lon lat district`.

        All datasets are asked that describe fixes of vehicles.
        """
        from lakehouse import positions

        return positions.track(self, vehicle, start, end, masked)

    def map(
        self,
        rows: "Rows | Found | pa.Table | pd.DataFrame",
        *,
        color: str | None = None,
        geometry: str | None = None,
        tooltip: Sequence[str] = (),
    ) -> "Map":
        """Rows on a map, over the catalogue's boundaries and roads, for a notebook or as a page (`.save(path)`).

        `color` names a column: numbers and instants in classes, anything else as categories; `geometry` as in `export`. More
        rows than a browser likes are drawn as cells. Raises UsageError where there is nothing to draw.
        """
        from lakehouse.report.map import draw

        layers = self.settings.catalog / "standards" / "layers"
        return draw(_table(rows), layers, color, geometry, tooltip)

    def nearest(self, table: str, points: Any, k: int = 1, radius_m: float = 200.0, *, masked: bool = True) -> Found:
        """Each point with the `k` nearest rows of a table within `radius_m` metres, nearest first.

        `points` is a table or data frame with `lon` and `lat`. Its columns stay, `distance_m` and the table's columns as
        `near_<column>` come beside them; a point without neighbours stands there once, with nulls.
        """
        from lakehouse import positions

        return positions.nearest(self, table, points, k, radius_m, masked)

    def quality(self, dataset: str) -> "pd.DataFrame":
        """The results of `department.dataset` on its last judged day until the release, broken checks first."""
        query = """
            SELECT check_id, dimension, indicator, level, status, passed, evaluated,
                   passed / nullif(evaluated, 0) AS share, threshold, observed, message, day
            FROM ops.results WHERE department || '.' || dataset = $dataset AND day <= $day
            QUALIFY day = max(day) OVER () AND row_number() OVER (PARTITION BY day, check_id ORDER BY "at" DESC) = 1
            ORDER BY status = 'passed', share NULLS FIRST, check_id"""
        return self.sql(query, dataset=dataset, day=self.release.day).to_pandas()

    def deliveries(self, dataset: str | None = None, day: date | None = None) -> "pd.DataFrame":
        """The newest word of the books on every delivery, or on those of one dataset or day."""
        query = """
            SELECT day, department || '.' || dataset AS dataset, event, max(name) OVER delivery AS name,
                   min(received_at) OVER delivery AS received_at, rows_in, accepted, quarantined, unparsable,
                   reason, delivery_id
            FROM ops.deliveries
            WHERE ($dataset::VARCHAR IS NULL OR department || '.' || dataset = $dataset)
                AND ($day::DATE IS NULL OR day = $day)
            WINDOW delivery AS (PARTITION BY day, department, dataset, delivery_id),
                   slice AS (PARTITION BY day, department, dataset)
            QUALIFY row_number() OVER (PARTITION BY day, department, dataset, delivery_id ORDER BY "at" DESC) = 1
                AND (delivery_id IS NOT NULL OR count(delivery_id) OVER slice = 0)
            ORDER BY day DESC, dataset, received_at"""
        return self.sql(query, dataset=dataset, day=day).to_pandas()

    def scorecard(self, department: str = "") -> "pd.DataFrame":
        """The release's scores of a department and its datasets, or of the city: a row per dataset and dimension."""
        query = """
            SELECT dataset, dimension, score, coverage, floor, ceiling, passed, evaluated, weights FROM ops.scores
            WHERE department = $department AND day = $day AND revision = $revision
            QUALIFY rank() OVER (ORDER BY "at" DESC) = 1 ORDER BY dataset, dimension"""
        day, revision = self.release.day, self.release.revision
        return self.sql(query, department=department, day=day, revision=revision).to_pandas()


def _table(rows: "Rows | Found | pa.Table | pd.DataFrame") -> pa.Table:
    """Rows in whatever form a notebook has them, geometries of a GeoDataFrame as well-known binary in WGS-84."""
    if isinstance(rows, Rows | Found):
        return rows.to_arrow()
    if isinstance(rows, pa.Table):
        return rows
    if hasattr(rows, "to_wkb"):
        rows = (rows.to_crs(4326) if rows.crs else rows).to_wkb()
    return pa.Table.from_pandas(rows, preserve_index=False)


def _releases(settings: Settings) -> list[Release]:
    """Every release in the books, oldest first. Raises LakeError when there is none."""
    rows = Ops(settings.home).read("releases").to_pylist()
    if not rows:
        hint = "run `make nightly`, or `citylake backfill --from DAY --to DAY`"
        raise LakeError("nothing is released yet", where=str(settings.home), hint=hint)
    return [
        Release(r["day"], r["revision"], r["at"], json.loads(r["tables"]), tuple(json.loads(r["failed"] or "[]")))
        for r in rows
    ]
