"""Checks that look into another dataset, after every department is clean: the step `relate`."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass

import duckdb

from expectations.catalog import Catalog
from expectations.checks.relations import Relation, agreeing, referenced
from expectations.rules import Rule, rules
from expectations.verify import misfits
from jobs import results
from jobs.department import Outcome, last_success
from jobs.results import Failing, Result
from jobs.tally import MOST_FAILING_KEYS
from jobs.written import Seen, Silver
from lakehouse.contract import Contract
from lakehouse.engine import embedded as engine
from lakehouse.errors import LakeError
from lakehouse.runs import Run, code_version


@dataclass(frozen=True)
class Question:
    """One reference rule of one dataset's slice of the day, and the dataset it looks into: None where nothing usable is
    declared of it, no rows where it has no version yet."""

    contract: Contract
    rule: Rule
    named: str
    other: Contract | None
    ours: Seen
    theirs: Seen | None


def relate(run: Run, catalog: Catalog) -> Outcome:
    """Judge every reference rule of every slice of the day against the other dataset as served tonight.

    Writes results and failing keys, never quarantine: a department's rows aren't held back for another's. Where the other
    side has no version yet, the rule is unknown.
    """
    questions = list(_questions(run, catalog))
    fingerprint = _fingerprint(questions)
    if fingerprint == last_success(run) and not run.forced:
        return Outcome("unchanged", fingerprint=fingerprint)
    with engine.session(run.settings) as connection:
        for question in questions:
            result, broken = _judged(run, connection, question)
            failing = Failing.all_of(question.contract, result.rule.id, broken)
            results.note(run, question.contract, [result], failing)
    reads = {q.contract.table: q.ours.version for q in questions}
    reads |= {q.other.table: q.theirs.version for q in questions if q.other and q.theirs}
    read = {f"silver.{table}": version for table, version in sorted(reads.items())}
    return Outcome("succeeded", fingerprint=fingerprint, reads=json.dumps(read))


def _questions(run: Run, catalog: Catalog) -> Iterator[Question]:
    usable = {contract.name: contract for contract in catalog.contracts}
    silver = Silver(run, catalog.contracts)
    for contract in catalog.contracts:
        if any(misfits(contract, catalog.file(contract))):
            continue  # `clean` has said so
        asked = [rule for rule in rules(contract) if rule.check.kind == "reference"]
        if not asked or (ours := silver.slice(contract)) is None:
            continue
        for rule in asked:
            named = rule.args["to"].rpartition(".")[0] if rule.check.name == "references" else rule.args["dataset"]
            other = usable.get(named)
            yield Question(contract, rule, named, other, ours, silver.served(other) if other else None)


def _fingerprint(questions: list[Question]) -> str:
    """Changes with the rules, the code and the rows read."""
    parts = [
        code_version(),
        *(
            f"{q.contract.fingerprint} {q.rule.id} {q.ours.state} "
            f"{q.other and q.other.fingerprint} {q.theirs and q.theirs.state}"
            for q in questions
        ),
    ]
    return hashlib.sha256("|".join(parts).encode()).hexdigest()[:32]


def _judged(
    run: Run, connection: duckdb.DuckDBPyConnection, question: Question
) -> tuple[Result, list[dict[str, object]]]:
    if question.other is None or question.theirs is None:
        why = "has no version yet" if question.other else "has no contract that can be used"
        return Result(question.rule, "unknown", 0, 0, message=f"{question.named} {why}"), []
    try:
        day = run.day if question.contract.rank else None
        engine.read(connection, "ours", question.ours.files, day)
        engine.read(connection, "theirs", question.theirs.files)
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
