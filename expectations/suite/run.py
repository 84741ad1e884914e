"""Great Expectations at work: the only importer of great_expectations, which takes seconds.

Its context is ephemeral: it keeps no files, says nothing on the screen and calls nobody.
"""

import json
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import great_expectations as gx
import pandas as pd
import pyarrow as pa
from great_expectations.core.expectation_suite import ExpectationSuite
from great_expectations.data_context.types.base import (
    DataContextConfig,
    InMemoryStoreBackendDefaults,
    ProgressBarsConfig,
)
from great_expectations.exceptions.exceptions import GreatExpectationsError
from great_expectations.expectations.expectation_configuration import ExpectationConfiguration

from expectations.rules import Rule
from expectations.suite.documents import Document, entry

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

_OBSERVED_LENGTH = 200
_QUIET = DataContextConfig(
    store_backend_defaults=InMemoryStoreBackendDefaults(init_temp_docs_sites=False),
    progress_bars=ProgressBarsConfig(globally=False, metric_calculations=False),
    analytics_enabled=False,
)
"""Everything in memory, no bars, nobody told."""


@dataclass(frozen=True)
class Answer:
    """What Great Expectations found for one rule: `passed` of `evaluated` rows, or of one figure that it `observed`.

    `success` is None where it broke; `message` says how, without values. `failing`: the first failing rows.
    """

    rule: Rule
    success: bool | None
    evaluated: int = 0
    passed: int = 0
    observed: str | None = None
    message: str | None = None
    failing: tuple[dict[str, Any], ...] = ()


def judge(rows: "pd.DataFrame | DataFrame", rules: Sequence[Rule], *, index: Sequence[str], most: int) -> list[Answer]:
    """Run the `gx:` rules over a frame of pandas or Spark; `most` failing rows a rule are named by the columns `index`."""
    answers: dict[str, Answer] = {}
    expectations = []
    for rule in rules:
        try:
            expectations.append(
                ExpectationConfiguration(**entry(rule, rule.check.name, dict(rule.args))).to_domain_obj()
            )
        except (GreatExpectationsError, ValueError, TypeError) as error:
            answers[rule.id] = Answer(rule, None, message=f"refused: {_line(error)}")
    form = {"result_format": "SUMMARY", "partial_unexpected_count": most, "unexpected_index_column_names": [*index]}
    told = validate(rows, ExpectationSuite(name="gx", expectations=expectations), form) if expectations else {}
    known = {rule.id: rule for rule in rules}
    for result in told.get("results", ()):
        rule = known[result["expectation_config"]["meta"]["citylake"]["id"]]
        answers[rule.id] = _answer(rule, result, index)
    return [answers[rule.id] for rule in rules]


def validate(rows: "pd.DataFrame | DataFrame", suite: ExpectationSuite, result_format: Document) -> Document:
    """The suite's validation result on the rows, as JSON; a check that broke is among its results."""
    context = gx.get_context(mode="ephemeral", project_config=_QUIET)
    source = context.data_sources.add_pandas if isinstance(rows, pd.DataFrame) else context.data_sources.add_spark
    asset = source("rows").add_dataframe_asset("slice")
    batch = asset.add_batch_definition_whole_dataframe("whole").get_batch({"dataframe": rows})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return batch.validate(suite, result_format=result_format).to_json_dict()


def frame(rows: pa.Table) -> pd.DataFrame:
    """Typed rows as Great Expectations takes them: whole numbers and truth values may be null, instants are UTC without zone."""
    plain = pa.table([_plain(column) for column in rows.columns], names=rows.column_names)
    kinds = {pa.int64(): pd.Int64Dtype(), pa.bool_(): pd.BooleanDtype()}
    return plain.to_pandas(types_mapper=kinds.get, date_as_object=True)


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_dictionary(column.type):
        return column.cast(column.type.value_type)
    if pa.types.is_decimal(column.type):
        return column.cast(pa.float64())
    if pa.types.is_timestamp(column.type):
        return column.cast(pa.timestamp("us"))
    return column


def _answer(rule: Rule, result: Document, index: Iterable[str]) -> Answer:
    outcome = result["result"]
    if not outcome:
        return Answer(rule, None, message=f"Great Expectations broke: {_broke(result['exception_info'])}")
    if "unexpected_count" not in outcome:
        return _whole(rule, bool(result["success"]), outcome.get("observed_value"))
    evaluated = outcome["element_count"] - (outcome.get("missing_count") or 0)
    places = [{name: place.get(name) for name in index} for place in outcome.get("partial_unexpected_index_list") or ()]
    passed = evaluated - outcome["unexpected_count"]
    return Answer(rule, bool(result["success"]), evaluated, passed, failing=tuple(places))


def _whole(rule: Rule, success: bool, observed: Any) -> Answer:
    """A figure of the slice as a whole. There is none where no row has a value: nothing was judged then."""
    if observed is None or observed != observed:
        return Answer(rule, True)
    said = observed if isinstance(observed, str) else json.dumps(observed, ensure_ascii=False, default=str)
    return Answer(rule, success, 1, int(success), said[:_OBSERVED_LENGTH])


def _broke(told: Document) -> str:
    """The kind of fault: its words may hold values of the rows."""
    inner = told if "exception_traceback" in told else next(iter(told.values()), {})
    lines = str(inner.get("exception_traceback") or "").strip().splitlines()
    return lines[-1].partition(":")[0].rpartition(".")[2] if lines else "no answer"


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:_OBSERVED_LENGTH]
