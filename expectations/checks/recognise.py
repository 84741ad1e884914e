"""Which standard values follow that nobody has declared yet."""

from collections.abc import Mapping

import ibis
import ibis.expr.types as ir

from expectations.catalog import Standard
from expectations.checks import norm


def recognised(standards: Mapping[str, Standard]) -> ir.Table:
    """One row: under each standard's name how many rows pass it.

    Reads the view `seen` (each value `v` and its number of rows `n`) and the views `codes_<standard>` (`code`).
    """
    seen = ibis.table({"v": "string", "n": "int64"}, name="seen")
    passing = {name: seen.n.sum(where=_passes(seen.v, rule)) for name, rule in standards.items()}
    return seen.aggregate(**{name: rows.fill_null(0).cast("int64") for name, rows in passing.items()})


def _passes(value: ir.StringValue, rule: Standard) -> ir.BooleanValue:
    written = norm.normalised(value, rule)
    listed = None
    if rule.codes:
        listed = written.isin(ibis.table({"code": "string"}, name=f"codes_{rule.name}").code)
    return norm.standard(written, rule, listed)
