"""Which standard values follow that nobody has declared yet."""

from collections.abc import Mapping

import ibis
import ibis.expr.types as ir

from expectations.catalog import Standard
from expectations.checks import norm


def recognised(standards: Mapping[str, Standard], table: str) -> ir.Table:
    """One row per column `c`: under each standard's name how many rows pass it.

    Reads `table` (column `c`, each of its values `v`, the value's number of rows `n`) and the views `codes_<standard>`.
    """
    values = ibis.table({"c": "string", "v": "string", "n": "int64"}, name=table)
    passing = {name: values.n.sum(where=_passes(values.v, rule)) for name, rule in standards.items()}
    return values.group_by("c").aggregate(**{name: n.fill_null(0).cast("int64") for name, n in passing.items()})


def _passes(value: ir.StringValue, rule: Standard) -> ir.BooleanValue:
    written = norm.normalised(value, rule)
    listed = None
    if rule.codes:
        listed = written.isin(ibis.table({"code": "string"}, name=f"codes_{rule.name}").code)
    return norm.standard(written, rule, listed)
