"""What a check found in a slice, as the books keep it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from expectations.plan import Rule
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
        fine = evaluated == 0 or passed >= rule.share * evaluated
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


def failing_key(run: Run, contract: Contract, check_id: str, row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of `ops.failing_keys`: where a clerk finds the failing row, its key masked."""
    sensitive = frozenset(name for name, column in contract.columns.items() if column.class_ == "sensitive")
    return {
        "at": run.now,
        "run_id": run.id,
        "department": contract.department,
        "dataset": contract.dataset,
        "day": run.day,
        "check_id": check_id,
        "delivery_id": row["_delivery_id"],
        "source_file": row["_source_file"],
        "source_row": row["_source_row"],
        "key": masked_key(contract, row, sensitive),
    }
