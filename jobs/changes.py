"""What the keys of a slice's changes were before: inserts of known keys, updates and deletes of unknown ones are findings."""

import duckdb

from expectations.checks.changes import turns
from expectations.plan import ROW_ID, Plan
from jobs import written
from jobs.results import Failing
from jobs.split import silver_schema
from jobs.tally import MOST_FAILING_KEYS, Tally
from lakehouse.engine import embedded as engine
from lakehouse.runs import Run


def judge(
    run: Run, connection: duckdb.DuckDBPyConnection, plan: Plan, tally: Tally, accepted: duckdb.DuckDBPyRelation
) -> None:
    """Count in the tally what the rules about changes find in the accepted rows, beside silver as the days before left it."""
    if not plan.change_rules:
        return
    contract = plan.contract
    connection.register("accepted", accepted)
    if files := written.before(run, contract):
        connection.register("state", connection.read_parquet(list(files), union_by_name=True))
    else:
        connection.register("state", silver_schema(contract).empty_table())
    found = turns(contract, [rule.check for rule in plan.change_rules])
    connection.execute(f"CREATE OR REPLACE TEMP TABLE turns AS {engine.sql(found)}")
    named = ", ".join(f'"{name}"' for name in (*ROW_ID, *contract.key))
    for rule in plan.change_rules:
        passes = f"_{rule.check.name}"
        counted = f"SELECT count({passes}) AS evaluated, count(*) FILTER (NOT {passes}) AS broken FROM turns"
        (counts,) = engine.run(connection, counted).read_all().to_pylist()
        listed = f"SELECT {named} FROM turns WHERE NOT {passes} ORDER BY {', '.join(ROW_ID)} LIMIT {MOST_FAILING_KEYS}"
        failing = engine.run(connection, listed).read_all().to_pylist()
        tally.add(rule, counts["evaluated"], counts["broken"], Failing.all_of(contract, rule.id, failing))
