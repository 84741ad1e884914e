"""From validation results to the page of every check of a department: typed records, no markup and no disk."""

from collections.abc import Mapping, Sequence
from typing import Any

from expectations.catalog import Department
from expectations.suite.documents import Document
from jobs.findings import title, wording
from lakehouse.contract import Contract
from lakehouse.report.records import CheckedDataset, CheckLine, ChecksPage, Edition, Example, Text


def checks_page(
    edition: Edition, department: Department, contracts: Sequence[Contract], documents: Mapping[str, Document]
) -> ChecksPage:
    """Every check of the department's datasets, as their validation results tell them."""
    named = Text(department.zh, department.en)
    return ChecksPage(edition, department.id, named, tuple(_dataset(c, documents.get(c.name)) for c in contracts))


def file_of(contract: Contract) -> str:
    """The name of the file that holds the dataset's validation result."""
    return f"{contract.name}.gx.json"


def _dataset(contract: Contract, document: Document | None) -> CheckedDataset:
    if document is None:
        return CheckedDataset(contract.dataset, title(contract), None, None, 0, 0, ())
    figures, batch = document["statistics"], document["meta"]["active_batch_definition"]["batch_identifiers"]
    lines = sorted(map(_line, document["results"]), key=lambda line: ("failed", "unknown", "passed").index(line.status))
    return CheckedDataset(
        contract.dataset,
        title(contract),
        batch["day"],
        file_of(contract),
        figures["successful_expectations"],
        figures["evaluated_expectations"],
        tuple(lines),
    )


def _line(result: Document) -> CheckLine:
    config, outcome, fault = result["expectation_config"], result["result"], result["exception_info"]
    known = config["meta"]["citylake"]
    words = wording().checks.get(known["check"])
    missing = outcome.get("missing_count") or 0
    return CheckLine(
        known["id"],
        words.name if words else None,
        config["type"],
        _arguments(config["kwargs"]),
        "unknown" if fault["raised_exception"] else "passed" if result["success"] else "failed",
        known["level"],
        wording().dimensions[known["dimension"]],
        outcome["element_count"] - missing if "element_count" in outcome else None,
        outcome.get("unexpected_count"),
        _text(outcome.get("observed_value")),
        fault["exception_message"],
        tuple(
            Example(None, place["_source_file"], place["_source_row"], place.get("key"))
            for place in outcome.get("partial_unexpected_index_list", ())
        ),
    )


def _arguments(kwargs: Document) -> str:
    told = {name: value for name, value in kwargs.items() if name not in ("column", "ignore_row_if")}
    return ", ".join(f"{name} {_text(value)}" for name, value in told.items())


def _text(value: Any) -> str | None:
    if value is None:
        return None
    return (
        ", ".join(map(str, value))
        if isinstance(value, list)
        else f"{value:,.6g}"
        if isinstance(value, float)
        else str(value)
    )
