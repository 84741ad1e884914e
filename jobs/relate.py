"""Checks that look into another dataset, after every department is clean: the step `relate`."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass

import duckdb

from expectations.catalog import Catalog
from expectations.checks.relations import Relation, agreeing, referenced
from expectations.rules import Rule, rules
from jobs import results
from jobs.department import Outcome
from jobs.results import Failing, Result
from jobs.tally import MOST_FAILING_KEYS
from lakehouse.contract import Contract
from lakehouse.engine import embedded as engine
from lakehouse.errors import LakeError
from lakehouse.runs import Run, code_version


@dataclass(frozen=True)
class Question:
    """One reference rule of one dataset, and the dataset it looks into: None where nothing usable is declared of it."""

    contract: Contract
    rule: Rule
    named: str
    other: Contract | None


def relate(run: Run, catalog: Catalog) -> Outcome:
    """Judge every reference rule of every slice of the day against the other dataset as served tonight.

    Writes results and failing keys, never quarantine: a department's rows aren't held back for another's. Where the other
    side has no version yet, the rule is unknown.
    """
    questions = [q for q in _questions(catalog) if run.day in _served_days(run, q.contract)]
    files = sorted({path for q in questions for path in (*_files(run, q.contract, slice_only=True), *_theirs(run, q))})
    fingerprint = _fingerprint(questions, files)
    if fingerprint == _last(run) and not run.forced:
        return Outcome("unchanged", fingerprint=fingerprint)
    with engine.session(run.settings) as connection:
        for question in questions:
            result, broken = _judged(run, connection, question)
            failing = [Failing.of(question.contract, result.rule.id, row) for row in broken]
            results.note(run, question.contract, [result], failing)
    tables = {q.contract.table for q in questions} | {q.other.table for q in questions if q.other}
    reads = {f"silver.{table}": run.table("silver", table).version() for table in sorted(tables)}
    return Outcome("succeeded", fingerprint=fingerprint, reads=json.dumps(reads))


def _questions(catalog: Catalog) -> Iterator[Question]:
    usable = {contract.name: contract for contract in catalog.contracts}
    for contract in catalog.contracts:
        for rule in rules(contract):
            if rule.check.kind == "reference":
                named = rule.args["to"].rpartition(".")[0] if rule.check.name == "references" else rule.args["dataset"]
                yield Question(contract, rule, named, usable.get(named))


def _fingerprint(questions: list[Question], files: list[str]) -> str:
    """Changes with the rules, the code and the data files read; versions would also count other days' commits."""
    parts = [
        *files,
        code_version(),
        *(f"{q.contract.fingerprint} {q.rule.id} {q.other and q.other.fingerprint}" for q in questions),
    ]
    return hashlib.sha256("|".join(parts).encode()).hexdigest()[:32]


def _last(run: Run) -> str | None:
    done = [
        r for r in run.ops.read("runs", day=run.day).to_pylist() if r["step"] == run.step and r["status"] == "succeeded"
    ]
    return done[-1]["fingerprint"] if done else None


def _served_days(run: Run, contract: Contract) -> set[object]:
    table = run.table("silver", contract.table)
    return {run.day} if contract.load == "upsert" and table.exists() else set(table.days())


def _judged(
    run: Run, connection: duckdb.DuckDBPyConnection, question: Question
) -> tuple[Result, list[dict[str, object]]]:
    if question.other is None or not _theirs(run, question):
        why = "has no version yet" if question.other else "has no contract that can be used"
        return Result(question.rule, "unknown", 0, 0, message=f"{question.named} {why}"), []
    try:
        _open(connection, "ours", run, question.contract, slice_only=True)
        _open(connection, "theirs", run, question.other, slice_only=False)
        relation = _relation(question.contract, question.rule, question.other)
        evaluated = engine.run(connection, relation.evaluated).read_all()["evaluated"][0].as_py()
        broken = engine.run(connection, relation.broken).read_all()
    except (*engine.FAULTS, LakeError) as error:
        return Result(question.rule, "unknown", 0, 0, message=f"the check broke: {type(error).__name__}"), []
    judged = Result.of(question.rule, evaluated, evaluated - broken.num_rows)
    return judged, broken.slice(0, MOST_FAILING_KEYS).to_pylist()


def _relation(contract: Contract, rule: Rule, other: Contract) -> Relation:
    if rule.check.name == "references":
        return referenced(contract, rule.columns[0], other, rule.args["to"].rpartition(".")[2])
    wanted = {name: rule.args[name] for name in ("on", "left", "op", "right")}
    return agreeing(contract, other, **wanted)


def _theirs(run: Run, question: Question) -> list[str]:
    return _files(run, question.other) if question.other else []


def _files(run: Run, contract: Contract, *, slice_only: bool = False) -> list[str]:
    """Data files of the slice of the day, or of the dataset as served: snapshots at their newest day, others up to the day."""
    table = run.table("silver", contract.table)
    if not table.exists():
        return []
    if contract.load == "upsert":
        return table.files()
    days = sorted(day for day in table.days() if day <= run.day)
    wanted = [run.day] if slice_only else days[-1:] if contract.load == "snapshot" else days
    return [path for day in wanted for path in table.files(day)]


def _open(connection: duckdb.DuckDBPyConnection, name: str, run: Run, contract: Contract, *, slice_only: bool) -> None:
    day = run.day if slice_only and contract.load == "upsert" else None
    engine.read(connection, name, _files(run, contract, slice_only=slice_only), day)
