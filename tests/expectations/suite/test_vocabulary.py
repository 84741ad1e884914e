"""What may stand under `gx:`: the words of the installed Great Expectations, and what is said about others."""

import inspect
import subprocess
import sys
from pathlib import Path

import great_expectations.expectations as gxe
import pytest

from expectations.rules import rules
from expectations.suite.vocabulary import misfits, words
from expectations.verify import misfits as contract_misfits
from lakehouse.contract import Contract
from tests.jobs.made_up import contract


def asking(*items: dict[str, object]) -> Contract:
    columns = {
        "pm25": {"type": "double"},
        "pm10": {"type": "double"},
        "plate": {"type": "string", "class": "sensitive"},
    }
    return contract("ecology", "air", columns=columns, gx=list(items))


def said_about(item: dict[str, object]) -> list[str]:
    agreed = asking(item)
    return [" ".join([*where, fault]) for where, fault in misfits(agreed, agreed.gx[0])]


MEAN = "expect_column_mean_to_be_between"


REGEX = "expect_column_values_to_match_regex"
COMPOUND = "expect_compound_columns_to_be_unique"


@pytest.mark.parametrize(
    ("item", "said"),
    [
        ({MEAN: {"column": "pm25", "min_value": 1}}, []),
        ({MEAN: {"column": "pm25", "name": "usual", "dimension": "consistent", "max_value": 1.5}}, []),
        ({"expect_column_mean_to_be_betwen": {}}, [f"no such expectation; did you mean '{MEAN}'?"]),
        ({MEAN: {"column": "pm25", "min_val": 1}}, ["min_val no such argument; did you mean 'min_value'?"]),
        ({MEAN: {"column": "pm2", "min_value": 1}}, ["no column 'pm2'; did you mean 'pm25'?"]),
        ({MEAN: {"min_value": 1}}, ["argument 'column' is missing"]),
        ({MEAN: {"column": "pm25", "strict_min": "no"}}, ["strict_min 'no': true or false is expected"]),
        ({REGEX: {"column": "plate", "regex": "^A", "mostly": 2}}, ["mostly 2: a number from 0.0 to 1.0 is expected"]),
        (
            {REGEX: {"column": "plate", "regex": "^A", "row_condition": "pm25 > 1"}},
            ["row_condition 'pm25 > 1': a mapping is expected"],
        ),
        ({COMPOUND: {"column_list": ["pm25", "pm1"]}}, ["no column 'pm1'; did you mean 'pm10'?"]),
        ({COMPOUND: {"column_list": "pm25"}}, ["column_list 'pm25': a list of text is expected"]),
    ],
)
def test_an_item_is_fitted_to_what_great_expectations_offers(item: dict[str, object], said: list[str]) -> None:
    assert said_about(item) == said


@pytest.mark.parametrize(
    "refused",
    [
        "unexpected_rows_expectation",
        "expect_table_row_count_to_equal_other_table",
        "expect_table_column_count_to_equal",
    ],
)
def test_what_needs_sql_another_table_or_the_tables_columns_is_refused(refused: str) -> None:
    assert said_about({refused: {}})[0].startswith("no such expectation")


def test_mistakes_name_file_line_and_key(tmp_path: Path) -> None:
    file = tmp_path / "air.yml"
    file.write_text(f"title: air\ngx:\n  - {MEAN}: {{column: pm25, min_value: low}}\n")
    wrong = {MEAN: {"column": "pm25", "min_value": "low", "dimension": "what"}}
    what, low = sorted(contract_misfits(asking(wrong), file))
    assert low == f"{file}:3: gx.0.{MEAN}.min_value: 'low': a number or a date or instant is expected"
    assert "'what': norm or complete" in what


def test_two_items_of_one_kind_need_names(tmp_path: Path) -> None:
    item = {MEAN: {"column": "pm25", "min_value": 1}}
    (said,) = contract_misfits(asking(item, item), tmp_path / "none.yml")
    assert said.endswith(f"another check is called '{MEAN}(pm25)'; give one of them a 'name'")


def test_an_item_is_a_rule_that_scores() -> None:
    plain = {"expect_column_values_to_not_be_null": {"column": "plate", "mostly": 0.9}}
    named = {MEAN: {"column": "pm25", "min_value": 1, "name": "usual", "dimension": "timely"}}
    null, mean = rules(asking(plain, named))[-2:]
    assert (null.id, null.level, null.share) == ("expect_column_values_to_not_be_null(plate)", "warn", 0.9)
    assert (null.check.kind, null.check.dimension, null.check.indicator) == ("gx", "complete", "0201")
    assert (mean.id, mean.check.dimension, mean.check.indicator) == (f"{MEAN}(usual)", "timely", "0501")
    assert dict(mean.args) == {"column": "pm25", "min_value": 1}


def test_the_words_are_those_of_great_expectations() -> None:
    """Every word and every argument read from its files exists in the package itself."""
    kinds = {
        kind.expectation_type: kind
        for _, kind in inspect.getmembers(gxe, inspect.isclass)
        if hasattr(kind, "expectation_type")
    }
    for name, word in words().items():
        fields = kinds[name].__fields__
        assert word.arguments.keys() <= fields.keys(), name
        assert {n for n, f in fields.items() if f.required} <= word.needed, name
        assert word.said


def test_reading_a_contract_does_not_import_great_expectations() -> None:
    code = (
        "import sys; from pathlib import Path; from expectations.catalog import load; from expectations.verify import verify;"
        "verify(load(Path('expectations'))); assert 'great_expectations' not in sys.modules"
    )
    root = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
