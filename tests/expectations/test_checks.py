"""Every check of the vocabulary against the table of cases, and every operator in it proved to matter."""

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml

from expectations import fragments
from expectations.checks import REGISTRY
from tests.jobs.small_city import DAY, TOWN, City, own_settings, text_of

CASES: dict[str, dict[str, Any]] = yaml.safe_load(
    (Path(__file__).parents[1] / "cases" / "checks.yml").read_text("utf-8")
)
VERDICTS = ("passes", "fails", "nothing")


@dataclass(frozen=True)
class Verdict:
    """What a check said: counts, and the rows that broke it."""

    status: str
    evaluated: int
    passed: int
    failing: tuple[int, ...]


def _texts(value: Any) -> Any:
    """Dates of the YAML as the text a contract would have."""
    if isinstance(value, dict):
        return {key: _texts(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_texts(inner) for inner in value]
    return value.isoformat() if isinstance(value, date) else value


def declared(city: City, cases: dict[str, dict[str, Any]] = CASES) -> None:
    """Declare and deliver cases as datasets of one town."""
    for name, case in cases.items():
        width = len(case["columns"])
        expected = {"expect": {"warn": _texts(case["expect"])}} if "expect" in case else {}
        columns = {column: rule for column, rule in case["columns"].items() if rule}  # what has none is only sent
        city.declare(name, _texts(columns), **case.get("contract", {}), **expected)
        city.deliver(name, text_of(list(case["columns"]), [row[:width] for row in case["rows"]]))
        for day, rows in case.get("earlier", {}).items():
            city.deliver(name, text_of(list(case["columns"]), [[str(n)] for n in range(rows)]), day=day)


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory) -> Iterator[City]:
    """All cases as datasets of one town, through one night."""
    with own_settings():
        city = City(tmp_path_factory.mktemp("cases"))
        declared(city)
        for day in sorted({day for case in CASES.values() for day in case.get("earlier", {})}):
            city.step("bring", day, TOWN)
        city.now = city.now.replace(hour=22, minute=0)
        city.night()
        yield city


def verdict(city: City, name: str, check: str) -> Verdict:
    last = [row for row in city.book("results", name) if row["check_id"] == check][-1]
    rows = city.book("failing_keys", name)
    failing = (r["source_row"] for r in rows if r["check_id"] == check and r["run_id"] == last["run_id"])
    return Verdict(last["status"], last["evaluated"], last["passed"], tuple(sorted(failing)))


def expected(case: dict[str, Any]) -> Verdict:
    if "says" in case:
        return Verdict(*case["says"], ())
    said = [row[-1] for row in case["rows"]]
    assert set(said) <= set(VERDICTS)
    evaluated, passed = sum(word != "nothing" for word in said), said.count("passes")
    fine = passed >= case.get("share", 1) * evaluated
    failing = tuple(number for number, word in enumerate(said, 2) if word == "fails")
    return Verdict("passed" if fine else "failed", evaluated, passed, failing)


@pytest.mark.parametrize("name", CASES)
def test_what_a_check_says(city: City, name: str) -> None:
    assert verdict(city, name, CASES[name]["check"]) == expected(CASES[name])


@pytest.mark.parametrize("name", CASES)
def test_where_a_check_belongs(city: City, name: str) -> None:
    (row, *_) = [row for row in city.book("results", name) if row["check_id"] == CASES[name]["check"]]
    assert [row["dimension"], row["indicator"]] == CASES[name]["of"]


def test_every_check_has_a_case(city: City) -> None:
    judged = {row["check"] for row in city.book("results")}
    assert REGISTRY.keys() - judged == {"references", "agrees"}  # tests/jobs/test_relate.py


SWAPS: dict[type, type] = {
    ast.LtE: ast.Lt, ast.Lt: ast.LtE, ast.GtE: ast.Gt, ast.Gt: ast.GtE, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
}  # fmt: skip
MUTATED = {
    "between": ["between", "between_timestamp"], "length": ["length"], "volume": ["volume", "volume_too_little"],
    "fresh": ["fresh", "fresh_too_old", "fresh_date", "fresh_date_too_old"],
    "within_day": ["within_day_back", "within_day_date"], "sequence": ["sequence"], "varied": ["varied", "varied_nothing"],
    "row_count": ["row_count", "row_count_enough", "row_count_outside", "row_count_most"],
    "when": ["when"], "new": ["changes_of_new_keys"], "known": ["changes_of_known_keys"],
    "not_future": ["not_future", "not_future_date"],
}  # fmt: skip
"""Checks, and the cases that must tell each of their mutants from them."""


def mutants(function: Callable[..., Any]) -> Iterator[tuple[str, Callable[..., Any]]]:
    """The function with one operator swapped, one `between` bound moved, or one default changed, each in turn."""
    source = textwrap.dedent(inspect.getsource(function))
    count = sum(len(_places(node)) for node in _body(ast.parse(source)))
    for wanted in range(count):
        tree, seen = ast.parse(source), 0
        for node in _body(tree):
            for swap in _places(node):
                if seen == wanted:
                    swap()
                seen += 1
        definition = tree.body[0]
        assert isinstance(definition, ast.FunctionDef)
        definition.decorator_list = []
        space = dict(vars(inspect.getmodule(function)))
        exec(compile(ast.fix_missing_locations(tree), "<mutant>", "exec"), space)
        yield ast.unparse(definition), space[definition.name]


def _body(tree: ast.Module) -> list[ast.AST]:
    """Every node of the function but its head: a mutant with other types of arguments is no mutant."""
    (definition,) = tree.body
    assert isinstance(definition, ast.FunctionDef)
    return [node for statement in definition.body for node in ast.walk(statement)]


def _places(node: ast.AST) -> list[Callable[[], None]]:
    """What can be swapped at a node of the tree."""
    found: list[Callable[[], None]] = []
    if isinstance(node, ast.Compare):
        for place, operator in enumerate(node.ops):
            if type(operator) in SWAPS and not isinstance(operator, ast.NotIn):
                found.append(lambda place=place: node.ops.__setitem__(place, SWAPS[type(node.ops[place])]()))
    if isinstance(node, ast.BinOp) and type(node.op) in SWAPS:
        found.append(lambda: setattr(node, "op", SWAPS[type(node.op)]()))
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "between":
        for place in range(2):
            moved = ast.BinOp(node.args[place], ast.Add(), ast.Constant(1))
            found.append(lambda place=place, moved=moved: node.args.__setitem__(place, moved))
    return found


@pytest.mark.parametrize("check", MUTATED)
def test_every_operator_of_a_check_matters(city: City, check: str, monkeypatch: pytest.MonkeyPatch) -> None:
    survivors = []
    for changed, mutant in mutants(REGISTRY[check].function):
        monkeypatch.setitem(REGISTRY, check, replace(REGISTRY[check], function=mutant))
        _forget()
        if not any(_differs(city, name) for name in MUTATED[check]):
            survivors.append(changed)
    monkeypatch.undo()
    _forget()
    assert survivors == []


def _forget() -> None:
    """What was compiled of checks is compiled again."""
    for pieces in (fragments.passes, fragments.follows):
        pieces.cache_clear()


def _differs(city: City, name: str) -> bool:
    """Whether the case notices: another verdict, or a check that breaks."""
    try:
        city.step("clean", DAY, TOWN, dataset=f"{TOWN}.{name}", forced=True)
    except Exception:  # a mutant may do anything
        return True
    return verdict(city, name, CASES[name]["check"]) != expected(CASES[name])
