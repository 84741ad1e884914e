"""A dataset's silver and quarantine made again from bronze: after a breaking change of its contract, or for another engine.

Releases of before stay readable, as earlier versions of the tables; the next release serves what was made anew.
"""

from collections.abc import Iterator
from datetime import date

from jobs.run import run
from jobs.split import quarantine_schema, silver_schema
from lakehouse.contract import Contract
from lakehouse.errors import LakeError
from lakehouse.locks import alone
from lakehouse.runs import Run
from lakehouse.settings import Settings, clock
from lakehouse.table import Commit, Engine

REBUILT = "rebuild"
"""The transaction that silver holds while it is made again."""


def rebuild(settings: Settings, contract: Contract, engine: Engine) -> Iterator[date]:
    """Empty both tables, then clean every day of bronze again, oldest first; yields each day when it is done.

    Silver that takes upserts belongs to `engine` from now on; all else is written by the embedded engine. Raises what
    cleaning a day raises: the same command starts over. One that is cut off is done again by the dataset's next `clean`.
    """
    now = clock()
    this = Run.start("rebuild", now.date(), now, settings)
    bronze = this.table("bronze", contract.table)
    if not bronze.exists():
        raise LakeError("nothing has been loaded yet", where=contract.name, hint="run `citylake run bring` first")
    upserts = bool(contract.rank)
    silver, quarantine = this.table("silver", contract.table), this.table("quarantine", contract.table)
    with alone(settings.home / f".rebuild-{contract.table}.lock", "it is being rebuilt", "wait until that has ended"):
        if silver.exists():
            owner: Engine = engine if upserts else "embedded"
            by = [] if upserts else ["_day"]
            silver.reset(silver_schema(contract), owner, Commit(this.id, transaction=REBUILT), partition_by=by)
        if quarantine.exists():
            quarantine.reset(quarantine_schema(contract), "embedded", Commit(this.id), partition_by=["_day"])
        for day in sorted(bronze.days()):
            run("clean", day, contract.department, dataset=contract.name, forced=True)
            yield day
        if silver.holding([REBUILT]):
            silver.take_back(REBUILT, Commit(this.id))


def is_cut_off(run: Run, contract: Contract) -> bool:
    """Whether the dataset's silver was emptied to be made again, and that has not come to its end."""
    return bool(run.table("silver", contract.table).holding([REBUILT]))
