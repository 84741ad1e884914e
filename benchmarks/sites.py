"""A night's stays to sites: the step's own work on lorries with habits, and the next night after it.

Every lorry has places it comes back to, shared with others; `--nights` of stays are there before. In turns the night is
found after the one before it and by looking at everything: the same sites, or the row is void. scikit-learn's DBSCAN does
the density part alone on the same spots.
Run: python -m benchmarks.sites [--vehicles 20000] [--stays 20] [--nights 30]      (about 5 minutes; --nights 3: 1 minute)
"""

import argparse
import json
import resource
import shutil
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
import pyarrow as pa
from sklearn.cluster import DBSCAN

from expectations.catalog import Catalog
from jobs import sites as step
from jobs.movement import STAYS
from lakehouse.engine import embedded as engine
from lakehouse.geo.lines import METRES
from lakehouse.geo.sites import PER_DEGREE, ROW, Rule, found
from lakehouse.runs import Run
from lakehouse.settings import Settings
from lakehouse.table import Commit, Table

FIRST = date(2026, 3, 1)
PLACES = 30
"""Places a lorry comes back to; one stay in ten is somewhere else along the road."""
LAYERS = Path(__file__).parent.parent / "expectations" / "standards" / "layers"


def night(day: date, vehicles: int, each: int) -> pa.Table:
    """The stays of one day."""
    habits, random = np.random.default_rng(1), np.random.default_rng(day.toordinal())
    firms = habits.uniform((120.3, 31.85), (121.7, 32.5), (vehicles // 4 + 1, 2))
    own = habits.integers(0, len(firms), (vehicles, PLACES))
    count = vehicles * each
    vehicle = np.repeat(np.arange(vehicles), each)
    where = firms[own[vehicle, random.integers(0, PLACES, count)]]
    where = np.where(random.random((count, 1)) < 0.1, random.uniform((120.3, 31.85), (121.7, 32.5), (count, 2)), where)
    where = where + random.normal(0, 2e-4, (count, 2))
    began = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) + random.integers(0, 72_000, count)
    names = pa.array([f"{v:016x}" for v in range(vehicles)]).take(pa.array(vehicle))
    text = pa.array(np.char.add(f"{day:%m%d}", np.arange(count).astype("U9")))
    instants = [
        pa.array(at * 1_000_000).cast(pa.timestamp("us", "UTC"))
        for at in (began, began + random.integers(300, 20_000, count))
    ]
    none = pa.nulls(count, pa.string())
    columns = [text, none, names, *instants, where[:, 0], where[:, 1], np.full(count, 30), np.zeros(count, np.int64), none,
               pa.array(np.zeros(count, bool)), pa.array([day] * count, pa.date32())]  # fmt: skip
    return pa.table([pa.array(column) for column in columns], names=STAYS.names).cast(STAYS)


class Lake:
    """A lake with nothing but stays."""

    def __init__(self, folder: Path) -> None:
        self.catalog = Catalog(LAYERS.parent.parent, (), (), {})
        self.settings = Settings(home=folder, catalog=self.catalog.path, inbox=folder, memory_mb=2048)
        self.runs = 0

    def keep(self, day: date, stays: pa.Table) -> None:
        Table(self.settings.home / "gold" / "stays").replace_slice(day, STAYS, stays.to_batches(), Commit("stays"))

    def run(self, day: date, forced: bool = False) -> tuple[float, float]:
        """Wall-clock and processor seconds of one run of the step."""
        self.runs += 1
        run = Run.start("sites", day, datetime(2026, 6, 1, 1, self.runs, tzinfo=UTC), self.settings, forced=forced)
        wall, busy = time.perf_counter(), time.process_time()
        outcome = step.sites(run, self.catalog)
        spent = time.perf_counter() - wall, time.process_time() - busy
        run.ops.note("runs", at=run.now, run_id=run.id, step=run.step, day=run.day, **vars(outcome))
        run.ops.flush(run.id)
        return spent

    def sites(self, day: date) -> tuple[pa.Table, dict[str, str]]:
        table = Table(self.settings.home / "gold" / "sites")
        return table.read(day=day).sort_by("site_id"), table.history()[0]


def by_scikit_learn(lake: Lake) -> None:
    """The density part on the spots of one night, beside DBSCAN's: the same clusters of dense spots."""
    rule = Rule(merge_m=1e-3)
    with engine.session(lake.settings) as connection:
        files = Table(lake.settings.home / "gold" / "stays").files(FIRST)
        seen = step._visits(connection, files)
    busy = time.thread_time()
    spot, site = found(seen, rule)
    ours = time.thread_time() - busy
    _, stays, _ = seen.by_spot()
    row, column = np.divmod(spot, ROW)
    scale, shrunk = METRES / PER_DEGREE, np.cos(np.radians(row / PER_DEGREE - 90))
    column, row = column - column[0], row - row[0]  # near enough to each other that the plane tells no other neighbours
    metres = np.stack([column * scale * shrunk, row * scale], axis=1)
    busy = time.thread_time()
    oracle = DBSCAN(eps=rule.radius_m, min_samples=rule.least_stays).fit(metres, sample_weight=stays)
    theirs = time.thread_time() - busy
    dense = np.isin(np.arange(len(spot)), oracle.core_sample_indices_) & (site >= 0)
    pairs = len(np.unique(np.stack([site[dense], oracle.labels_[dense]]), axis=1).T)
    print(f"density of {len(spot):,} spots: ours {ours:.2f} s with the visitors' part, scikit-learn {theirs:.2f} s; "
          f"{pairs:,} pairs of {len(np.unique(site[dense])):,} and {len(np.unique(oracle.labels_[dense])):,} clusters")  # fmt: skip


def main(vehicles: int, each: int, nights: int) -> None:
    folder = Path(mkdtemp(prefix="citylake-sites-"))
    try:
        lake = Lake(folder)
        for n in range(nights):
            lake.keep(FIRST + timedelta(n), night(FIRST + timedelta(n), vehicles, each))
        total = vehicles * each * nights
        print(f"{vehicles:,} lorries, {each} stays each a night, {nights} nights: {total:,} stays")
        wall, busy = lake.run(FIRST)
        print(f"  first night alone             {wall:7.1f} s  ({busy:.1f} s of processor)")
        by_scikit_learn(lake)
        if nights < 2:
            return
        day = FIRST + timedelta(nights - 1)
        lake.run(day - timedelta(1))
        wall, busy = lake.run(day)
        rows, facts = lake.sites(day)
        print(f"  newest night, after the others {wall:6.1f} s  ({busy:.1f} s)")
        print(f"    {facts['sites']} sites, {facts['looked_at_again']} looked at again")
        wall, busy = lake.run(day, forced=True)
        same = "the same sites" if lake.sites(day)[0].equals(rows) else "OTHER SITES: void"
        print(f"  the same by looking at all    {wall:7.1f} s  ({busy:.1f} s); {same}")
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        print(json.dumps({"peak_gb": round(peak, 2)}))
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--vehicles", type=int, default=20_000)
    parser.add_argument("--stays", type=int, default=20)
    parser.add_argument("--nights", type=int, default=30)
    given = parser.parse_args()
    main(given.vehicles, given.stays, given.nights)
