"""Accepted rows beside the silver they are going to be merged into.

Of changes: inserts of known keys, updates and deletes of unknown ones are findings. Of upserts as well: what a merge can't undo is said.
"""

import duckdb
import structlog

from expectations import fragments
from expectations.plan import ROW_ID, Plan
from jobs import written
from jobs.results import Failing
from jobs.split import silver_schema
from jobs.tally import MOST_FAILING_KEYS, Tally
from lakehouse.contract import Contract
from lakehouse.engine import embedded as engine
from lakehouse.merging import quoted
from lakehouse.runs import Run

_log = structlog.get_logger()

_ROW = ", ".join(ROW_ID)


def compare(run: Run, connection: duckdb.DuckDBPyConnection, plan: Plan, tally: Tally) -> None:
    """Count in the tally what the rules about changes find in the rows of the view `accepted`."""
    if plan.change_rules:
        _judge(run, connection, plan, tally)
    if withdrawn := _withdrawn(run, connection, plan.contract):
        name, mend = plan.contract.name, f"citylake rebuild {plan.contract.name}"
        _log.warning("silver has rows that no longer count", dataset=name, day=str(run.day), rows=withdrawn, mend=mend)


def _withdrawn(run: Run, connection: duckdb.DuckDBPyConnection, contract: Contract) -> int:
    """How many rows of silver the day has brought that aren't accepted any more: their delivery was replaced, or a rule is
    stricter now. Merging others doesn't take them back."""
    silver = run.table("silver", contract.table)
    files = silver.files() if silver.exists() else []
    if not files:
        return 0
    rows = connection.read_parquet(files, union_by_name=True).filter(f"_day = DATE '{run.day.isoformat()}'")
    connection.register("brought", rows)
    return int(
        connection.sql(f"SELECT {_ROW} FROM brought ANTI JOIN accepted USING ({_ROW})").count("*").fetchall()[0][0]
    )


def _judge(run: Run, connection: duckdb.DuckDBPyConnection, plan: Plan, tally: Tally) -> None:
    if files := written.before(run, plan.contract):
        connection.register("state", connection.read_parquet(list(files), union_by_name=True))
    else:
        connection.register("state", silver_schema(plan.contract).empty_table())
    connection.execute(f"CREATE OR REPLACE TEMP TABLE turns AS {_turns(plan)}")
    key = ", ".join(quoted(plan.contract.key))
    for rule in plan.change_rules:
        passes = f"_{rule.check.name}"
        counted = f"SELECT count({passes}) AS evaluated, count(*) FILTER (NOT {passes}) AS broken FROM turns"
        (counts,) = engine.run(connection, counted).read_all().to_pylist()
        listed = f"SELECT {_ROW}, {key} FROM turns WHERE NOT {passes} ORDER BY {_ROW} LIMIT {MOST_FAILING_KEYS}"
        failing = Failing.all_of(plan.contract, rule.id, engine.run(connection, listed).read_all().to_pylist())
        tally.add(rule, counts["evaluated"], counts["broken"], failing)


def _turns(plan: Plan) -> str:
    """SQL: the changes of the view `accepted` that can be judged: row id, key, and as `_<check>` whether they pass each rule.

    Before a change came the key's next older one, in `accepted` or in the view `state`. A change that is older than the
    state, or in it already, isn't judged where no other comes before it: what was then is no longer known.
    """
    key, rank = ", ".join(quoted(plan.contract.key)), quoted(plan.contract.rank)
    columns = ", ".join(dict.fromkeys(quoted([*ROW_ID, *plan.contract.key, *plan.contract.rank, "_op"])))
    order = ", ".join(f"{name} NULLS FIRST" for name in rank)
    passes = ", ".join(f"{fragments.follows(r.check.name)} AS _{r.check.name}" for r in plan.change_rules)
    return f"""
        WITH told AS (SELECT {columns}, true AS _is_told FROM accepted),
        every AS (FROM told UNION ALL SELECT {columns}, false FROM state SEMI JOIN told USING ({key})),
        placed AS (
            SELECT *, lag(_op) OVER (PARTITION BY {key} ORDER BY {order}, _is_told DESC) AS _before,
                bool_or(NOT _is_told) OVER (PARTITION BY {key}) AS _has_state
            FROM every
        )
        SELECT {_ROW}, {key}, {passes} FROM placed AS t0 WHERE _is_told AND (_before IS NOT NULL OR NOT _has_state)
    """
