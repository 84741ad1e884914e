"""A large slice judged in parts side by side: on threads of this process, or by the workers of Spark.

Every part is the pass over a range of rows of one bronze file. What it accepts and rejects is written aside, as tables of
its own in the run's staging; when all parts are done, the dataset's tables take their files over, in one commit each.
"""

import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from expectations.plan import Plan
from jobs import judge
from jobs.split import Split, quarantine_schema, silver_schema
from jobs.tally import Tally
from lakehouse.engine import embedded as engine
from lakehouse.settings import Settings
from lakehouse.table import Commit, Table


class Each(Protocol):
    """Does `work` for every item, side by side, and gives the results in the order of the items."""

    def __call__(self, work: Callable[[Any], Any], items: Sequence[Any]) -> Iterable[Any]: ...


@dataclass(frozen=True)
class Pass:
    """What all parts of a slice share: how to judge, whose rows, what one worker may take, and where to leave files."""

    plan: Plan
    deliveries: tuple[str, ...]
    names: tuple[str, ...]
    settings: Settings
    layers: Path
    folder: Path
    run_id: str

    def read(
        self,
        connection: duckdb.DuckDBPyConnection,
        view: str,
        files: Sequence[str],
        rows: tuple[int, int] | None = None,
    ) -> None:
        """Make the slice's rows in `files` readable as `view`, only those from the first to the last of `rows`."""
        columns, ours = self.plan.sent, {"deliveries": self.deliveries, "names": self.names}
        engine.read_slice(connection, view, files, columns=columns, rows=rows, **ours)

    def file(self, kind: str) -> Path:
        """A new path in the folder: a part that is tried again leaves its first files alone."""
        return self.folder / f"{kind}-{uuid.uuid4().hex}"


@dataclass(frozen=True)
class Part:
    """Rows of bronze files, by their first and last `_source_row`; all of them with None."""

    of: Pass
    files: tuple[str, ...]
    rows: tuple[int, int] | None


@dataclass(frozen=True)
class Judged:
    """What a part has counted, and where its rows wait."""

    tally: Tally
    accepted: Path
    rejected: Path | None


def cut(of: Pass, files: Sequence[str], most: int) -> list[Part]:
    """The slice in parts of about `most` rows: several files, one, or whole row groups of one that holds a delivery in order.

    A rule that compares a row with the one before it leaves the slice whole.
    """
    if of.plan.follows:
        return [Part(of, tuple(files), None)]
    parts: list[Part] = []
    small: list[str] = []
    rows = 0
    for file in files:
        facts = pq.read_metadata(file)
        if facts.num_rows > most:
            parts += [Part(of, (file,), some) for some in _ranges(facts, most)]
            continue
        if rows + facts.num_rows > most:
            parts.append(Part(of, tuple(small), None))
            small, rows = [], 0
        small.append(file)
        rows += facts.num_rows
    return [*parts, Part(of, tuple(small), None)] if small else parts


def _ranges(facts: pq.FileMetaData, most: int) -> Iterator[tuple[int, int] | None]:
    """First and last source row of runs of row groups; None, for all rows, where their order doesn't tell them apart."""
    at = facts.schema.names.index("_source_row")
    seen = [facts.row_group(i).column(at).statistics for i in range(facts.num_row_groups)]
    bounds = [(s.min, s.max) for s in seen if s is not None and s.has_min_max]
    if len(bounds) < len(seen) or any(one[1] >= other[0] for one, other in pairwise(bounds)):
        yield None
        return
    share = -(-facts.num_rows // -(-facts.num_rows // most))
    first, rows = bounds[0][0], 0
    for i, (_, last) in enumerate(bounds):
        rows += facts.row_group(i).num_rows
        if rows >= share or i == len(bounds) - 1:
            yield first, last
            first, rows = last + 1, 0


def judge_parts(
    connection: duckdb.DuckDBPyConnection, of: Pass, parts: Sequence[Part], each: Each
) -> tuple[Tally, list[Judged]]:
    """Judge all parts. `connection` is prepared for the plan; here it only compares rows that may repeat others."""
    if len(parts) == 1:
        (judged,) = each(_judge_alone, parts)
        return judged.tally, [judged]

    def hashes(columns: tuple[str, ...]) -> NDArray[np.uint64]:
        return np.concatenate([np.load(file) for file in each(_hash, [(part, columns) for part in parts])])

    def read_candidates(columns: tuple[str, ...], keys: NDArray[np.uint64]) -> None:
        wanted = of.file("keys").with_suffix(".npy")
        np.save(wanted, keys)
        files = list(map(str, each(_find_candidates, [(part, columns, wanted) for part in parts])))
        of.read(connection, "candidates", files)

    repeats = None
    if (repeated := judge.repeated(connection, of.plan, hashes, read_candidates)) is not None:
        repeats = of.file("repeated")
        pq.write_table(repeated, repeats)
    done = list(each(_judge, [(part, repeats) for part in parts]))
    tally = Tally()
    for part in done:
        tally.absorb(part.tally)
    return tally, done


def _hash(task: tuple[Part, tuple[str, ...]]) -> Path:
    part, columns = task
    file = part.of.file("hashes").with_suffix(".npy")
    with _opened(part) as connection:
        np.save(file, judge.hashes(connection, part.of.plan, columns))
    return file


def _find_candidates(task: tuple[Part, tuple[str, ...], Path]) -> Path:
    part, columns, keys = task
    file = part.of.file("candidates")
    with _opened(part) as connection:
        judge.candidates(connection, part.of.plan, columns, np.load(keys)).write_parquet(str(file))
    return file


def _judge(task: tuple[Part, Path | None]) -> Judged:
    part, repeats = task
    with _opened(part) as connection:
        known = None if repeats is None else pq.read_table(repeats)
        return _written(part.of, judge.rows(connection, part.of.plan, known))


def _judge_alone(part: Part) -> Judged:
    with _opened(part) as connection:
        return _written(part.of, judge.judged(connection, part.of.plan))


def _written(of: Pass, rows: pa.RecordBatchReader) -> Judged:
    split = Split(of.plan, of.layers, of.folder)
    accepted, rejected = of.file("accepted"), of.file("rejected")
    _write(accepted, silver_schema(of.plan.contract), split.laid_out(rows), of)
    if not split.tally.quarantined:
        return Judged(split.tally, accepted, None)
    _write(rejected, quarantine_schema(of.plan.contract), split.rejected_batches(), of)
    return Judged(split.tally, accepted, rejected)


def _write(path: Path, schema: pa.Schema, batches: Iterator[pa.RecordBatch], of: Pass) -> None:
    Table(path).append_once(schema, batches, Commit(of.run_id))


@contextmanager
def _opened(part: Part) -> Iterator[duckdb.DuckDBPyConnection]:
    with engine.session(part.of.settings) as connection:
        judge.prepare(connection, part.of.settings.catalog, part.of.plan)
        part.of.read(connection, "bronze", part.files, part.rows)
        yield connection
