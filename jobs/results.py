"""What a check found in a slice, as the books keep it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from expectations.rules import Rule
from lakehouse.contract import Contract
from lakehouse.privacy import masked_key
from lakehouse.runs import Run


@dataclass
class Count:
    """Elements judged, and those that passed."""

    evaluated: int = 0
    passed: int = 0

    def add(self, evaluated: int, broken: int) -> None:
        self.evaluated += evaluated
        self.passed += evaluated - broken


@dataclass(frozen=True)
class Result:
    """One rule's outcome: A = `passed` of B = `evaluated` (GB/T 36344). `unknown` is a check that could not be computed."""

    rule: Rule
    status: Literal["passed", "failed", "unknown"]
    evaluated: int
    passed: int
    observed: str | None = None
    message: str | None = None

    @classmethod
    def of(
        cls, rule: Rule, evaluated: int, passed: int, *, observed: str | None = None, message: str | None = None
    ) -> "Result":
        """Passed when the share of judged elements that pass reaches the rule's; so is a rule with nothing to judge."""
        fine = passed >= rule.share * evaluated - 1e-9 * evaluated  # 0.07 * 100 is a little more than 7
        return cls(rule, "passed" if fine else "failed", evaluated, passed, observed, message)

    def row(self) -> dict[str, Any]:
        """The result's own columns of `ops.results`."""
        return {
            "check_id": self.rule.id,
            "check": self.rule.check.name,
            "column": ",".join(self.rule.columns) or None,
            "dimension": self.rule.check.dimension,
            "indicator": self.rule.check.indicator,
            "level": self.rule.level,
            "status": self.status,
            "evaluated": self.evaluated,
            "passed": self.passed,
            "threshold": self.rule.share,
            "observed": self.observed,
            "message": self.message,
        }


@dataclass(frozen=True)
class Failing:
    """One row that breaks a rule: where a clerk finds it, its key masked."""

    check_id: str
    delivery_id: str
    source_file: str
    source_row: int
    key: str

    @classmethod
    def all_of(cls, contract: Contract, check_id: str, rows: Iterable[Mapping[str, Any]]) -> "list[Failing]":
        """The rows of `contract` that break `check_id`."""
        sensitive = frozenset(name for name, column in contract.columns.items() if column.class_ == "sensitive")
        return [
            cls(
                check_id,
                row["_delivery_id"],
                row["_source_file"],
                row["_source_row"],
                masked_key(contract, row, sensitive),
            )
            for row in rows
        ]


def visible(contract: Contract, rule: Rule, observed: str | None) -> str | None:
    """What a check has observed, None where a column it looks at is sensitive: it may be a value of it."""
    hidden = any(contract.columns[name].class_ == "sensitive" for name in rule.columns)
    return None if hidden else observed


def note(run: Run, contract: Contract, results: Iterable[Result], failing: Iterable[Failing]) -> None:
    """Write the outcome of checks into the books, with rows to look at."""
    where = {
        "at": run.now,
        "run_id": run.id,
        "department": contract.department,
        "dataset": contract.dataset,
        "day": run.day,
    }
    for result in results:
        run.ops.note("results", **where, contract=contract.fingerprint, **result.row())
    for row in failing:
        run.ops.note("failing_keys", **where, **vars(row))
