"""What the documents say about tables, steps, checks and words is what the code has."""

import re
from pathlib import Path
from typing import get_args

import pytest
import yaml
from pydantic import TypeAdapter

from expectations.arrivals import State
from expectations.checks import REGISTRY
from jobs.steps import STEPS
from lakehouse.contract import ROLES
from lakehouse.ops import SCHEMAS
from lakehouse.source import Source

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
ARCHITECTURE = (DOCS / "architecture.md").read_text("utf-8")


@pytest.mark.parametrize("book", SCHEMAS)
def test_architecture_lists_the_columns_of_every_book(book: str) -> None:
    said = re.search(rf"^- `{book}`: `([^`]+)`", ARCHITECTURE, re.MULTILINE)
    assert said
    assert sorted(said[1].split()) == sorted(SCHEMAS[book].names)


def test_architecture_lists_every_step() -> None:
    steps = ARCHITECTURE.split("## Steps")[1].split("##")[0]
    assert [name for name in re.findall(r"`(\w+)`", steps) if name in STEPS] == list(STEPS)


def test_architecture_lists_every_check_with_its_indicator() -> None:
    table = ARCHITECTURE.split("## Checks")[1]
    said = {row[0]: row[1] for row in re.findall(r"^\| `(\w+)` \|.*\| (\w+ \d{4}).* \|$", table, re.MULTILINE)}
    assert said == {name: f"{check.dimension} {check.indicator}" for name, check in REGISTRY.items()}


def test_the_glossary_has_every_word_of_the_books() -> None:
    glossary = (DOCS / "glossary.md").read_text("utf-8")
    words = {*get_args(get_args(State)[0]), *get_args(get_args(State)[1]), *ROLES, *STEPS}
    words |= {
        "loaded",
        "cleaned",
        "unchanged",
        "refused",
        "missing",
        "superseded",
        "restored",
        "duplicate_of",
        "succeeded",
        "failed",
        "passed",
    }
    words |= {check.dimension for check in REGISTRY.values()}
    assert not [word for word in sorted(words) if not re.search(rf"`[^`]*\b{word}\b[^`]*`", glossary)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    prose = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL)
    links = re.findall(r"\]\(([^)#:]+)\)", prose)
    assert not [link for link in links if not (page.parent / link).exists()]


def test_every_decision_is_in_the_index() -> None:
    index = (DOCS / "decisions" / "README.md").read_text("utf-8")
    assert not [
        p.name for p in (DOCS / "decisions").glob("*.md") if p.name != "README.md" and f"({p.name})" not in index
    ]


def test_every_example_of_an_api_is_a_source() -> None:
    section = (DOCS / "onboarding.md").read_text("utf-8").split("### An API\n")[1].split("\n### ")[0]
    examples = re.findall(r"^source: (.*(?:\n +.*)*)", section, re.MULTILINE)
    assert len(examples) == 8
    for example in examples:
        TypeAdapter(Source).validate_python(yaml.safe_load(example))
