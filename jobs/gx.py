"""Expectations under `gx:`, run by Great Expectations on the rows that silver accepted: the step `gx`.

Great Expectations takes seconds to import and gigabytes for millions of rows in pandas, so it is imported where a
contract asks for it alone, and larger slices are read by Spark.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import structlog

from expectations.catalog import Catalog
from expectations.plan import ROW_ID
from expectations.rules import Rule, rules
from expectations.verify import misfits
from jobs import results
from jobs.department import Outcome, last_success
from jobs.results import Failing, Result
from jobs.tally import MOST_FAILING_KEYS
from jobs.written import Seen, Silver
from lakehouse.contract import Contract
from lakehouse.engine import embedded
from lakehouse.runs import Run, code_version

if TYPE_CHECKING:
    import pandas as pd
    from pyspark.sql import DataFrame

    from expectations.suite.run import Answer

PANDAS_ROWS = 1_000_000
"""Slices of more rows are judged on Spark."""

_log = structlog.get_logger()


@dataclass(frozen=True)
class Question:
    """The `gx:` rules of one dataset, and its slice of the day."""

    contract: Contract
    rules: tuple[Rule, ...]
    ours: Seen


def gx(run: Run, catalog: Catalog) -> Outcome:
    """Judge every `gx:` rule of every slice of the day. Writes results and failing keys, never quarantine.

    A rule that Great Expectations can't answer is unknown, and so are all of a slice it can't take.
    """
    questions = list(_questions(run, catalog))
    if not questions:
        return Outcome("unchanged")
    fingerprint = _fingerprint(questions)
    if fingerprint == last_success(run) and not run.forced:
        return Outcome("unchanged", fingerprint=fingerprint)
    for question in questions:
        results.note(run, question.contract, *_judged(run, question))
    read = {f"silver.{q.contract.table}": q.ours.version for q in questions}
    return Outcome("succeeded", fingerprint=fingerprint, reads=json.dumps(read))


def judged(
    contract: Contract, asked: Sequence[Rule], rows: "pd.DataFrame | DataFrame | pa.Table"
) -> tuple[list[Result], list[Failing]]:
    """The outcome of `gx:` rules on accepted rows, which need the columns of `columns`."""
    from expectations.suite.run import frame, judge

    try:
        known = frame(rows) if isinstance(rows, pa.Table) else rows
        answers = judge(known, asked, index=_index(contract), most=MOST_FAILING_KEYS)
    except Exception as error:  # whatever it stumbles over, the other checks of the night stand
        _log.error("great expectations broke", dataset=contract.name, exc_info=True)
        message = f"Great Expectations broke: {type(error).__name__}"
        return [Result(rule, "unknown", 0, 0, message=message) for rule in asked], []
    failing = [Failing.all_of(contract, answer.rule.id, map(_named, answer.failing)) for answer in answers]
    return [_result(contract, answer) for answer in answers], list(chain.from_iterable(failing))


def columns(contract: Contract, asked: Sequence[Rule]) -> list[str]:
    """What the rules and the rows' names are made of."""
    named = [name for rule in asked for name in (*rule.columns, *_conditioned(rule.args.get("row_condition")))]
    return [name for name in dict.fromkeys((*named, *_index(contract))) if name in {*contract.columns, *ROW_ID}]


def _questions(run: Run, catalog: Catalog) -> Iterator[Question]:
    asking = [c for c in catalog.contracts if c.gx and not any(misfits(c, catalog.file(c)))]
    silver = Silver(run, asking)
    for contract in asking:
        if ours := silver.slice(contract):
            yield Question(contract, tuple(rule for rule in rules(contract) if rule.check.kind == "gx"), ours)


def _fingerprint(questions: Sequence[Question]) -> str:
    """Changes with the rules, the code and the rows read."""
    parts = [code_version(), *(f"{q.contract.fingerprint} {q.ours.state}" for q in questions)]
    return hashlib.sha256("|".join(parts).encode()).hexdigest()[:32]


def _judged(run: Run, question: Question) -> tuple[list[Result], list[Failing]]:
    contract, wanted = question.contract, columns(question.contract, question.rules)
    day = run.day if contract.rank else None
    with embedded.session(run.settings) as connection:
        embedded.read(connection, "ours", question.ours.files, day)
        count = embedded.run(connection, "SELECT count(*) AS n FROM ours").read_all()["n"][0].as_py()
        if count <= PANDAS_ROWS:
            listed = ", ".join(f'"{name}"' for name in wanted)
            return judged(contract, question.rules, embedded.run(connection, f"SELECT {listed} FROM ours").read_all())
    from lakehouse.engine import spark as large

    with large.session(run.settings) as spark:
        rows = large.undeleted(spark.read.parquet(*question.ours.files))
        if day is not None:
            rows = rows.where(rows["_day"] == day)
        kinds = {name: contract.columns[name].type for name in wanted if name in contract.columns}
        plain = [rows[n].cast("double").alias(n) if kinds.get(n) == "decimal" else rows[n] for n in wanted]
        return judged(contract, question.rules, rows.select(plain))


def _result(contract: Contract, answer: "Answer") -> Result:
    if answer.success is None:
        return Result(answer.rule, "unknown", 0, 0, message=answer.message)
    observed = results.visible(contract, answer.rule, answer.observed)
    return Result(answer.rule, "passed" if answer.success else "failed", answer.evaluated, answer.passed, observed)


def _named(row: dict[str, Any]) -> dict[str, Any]:
    return row | {"_source_row": int(row["_source_row"])}  # pandas may have made it a text on its way through JSON


def _index(contract: Contract) -> list[str]:
    """The columns that name a row."""
    return list(dict.fromkeys((*ROW_ID, *contract.key)))


def _conditioned(condition: Any) -> Iterator[str]:
    """The columns a condition on rows names, however deep."""
    if isinstance(condition, dict):
        if isinstance(condition.get("column"), dict):
            yield str(condition["column"].get("name"))
        for inner in condition.get("conditions", ()):
            yield from _conditioned(inner)
