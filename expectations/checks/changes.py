"""What the keys of changes were before, as a query: by the changes of one slice, and by the state the days before left."""

from collections.abc import Iterable

import ibis
import ibis.expr.types as ir

from expectations.checks.registry import Check
from expectations.checks.relations import ORIGIN, TYPES
from lakehouse.contract import Contract


def turns(contract: Contract, checks: Iterable[Check]) -> ir.Table:
    """The changes of the view `accepted` that can be judged: row id, key, and as `_<check>` whether they pass each check.

    Before a change was the key's next older one, in `accepted` or in the view `state`. A change that is older than the
    state, or in it already, isn't judged where no other is before it: what was then is no longer known.
    """
    changes = _rows(contract, "accepted").mutate(_is_told=True)
    state = _rows(contract, "state").semi_join(changes, list(contract.key)).mutate(_is_told=False)
    both = changes.union(state)
    by = [both[name] for name in contract.key]
    order = [ibis.asc(both[name], nulls_first=True) for name in contract.rank]
    before = both._op.lag().over(group_by=by, order_by=[*order, both._is_told.desc()])
    every = both.mutate(_before=before, _has_state=(~both._is_told).any().over(group_by=by))
    judged = every.filter(every._is_told & (every._before.notnull() | ~every._has_state))
    named = [judged[name] for name in (*ORIGIN, *contract.key)]
    return judged.select(*named, **{f"_{check.name}": check.function(judged._op, judged._before) for check in checks})


def _rows(contract: Contract, view: str) -> ir.Table:
    placing = {name: TYPES[contract.columns[name].type] for name in contract.placing}
    change = {"_op": "string", "_received_at": "timestamp('UTC')", "_day": "date"}
    rows = ibis.table({**placing, **ORIGIN, **change}, name=view)
    return rows.select(*rows.columns)
