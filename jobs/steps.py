"""THE table of steps: what each reads and writes, and where its function is. One row per job, imported when it runs."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Step:
    """A step of the night, or of its own schedule. `target` is `module:function`; department steps take the department's id
    as third argument."""

    name: str
    scope: Literal["department", "city"]
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    target: str
    nightly: bool = True


STEPS = {
    step.name: step
    for step in (
        Step("bring", "department", (), ("landing", "bronze", "ops.deliveries"), "jobs.pull:bring"),
        Step(
            "clean",
            "department",
            ("bronze", "ops.deliveries"),
            ("silver", "quarantine", "ops.results"),
            "jobs.clean:clean",
        ),
        Step("relate", "city", ("silver",), ("ops.results", "ops.failing_keys"), "jobs.relate:relate"),
        Step("gx", "city", ("silver",), ("ops.results", "ops.failing_keys"), "jobs.gx:gx"),
        Step("geo_index", "city", ("silver",), ("gold.positions",), "jobs.geo_index:geo_index"),
        Step(
            "stays",
            "city",
            ("silver",),
            ("gold.stays", "gold.trips", "gold.vehicle_days", "gold.vehicle_slices"),
            "jobs.movement:stays",
        ),
        Step("sites", "city", ("gold.stays",), ("gold.sites", "gold.site_spots"), "jobs.sites:sites"),
        Step("release", "city", ("silver", "quarantine", "gold"), ("ops.releases",), "jobs.release:release"),
        Step("score", "city", ("ops",), ("ops.scores", "pages"), "jobs.scorecard:score"),
        Step("late", "city", ("ops",), (), "jobs.late:late", nightly=False),
        Step("maintain", "city", (), (), "jobs.maintain:maintain", nightly=False),
        Step("reload", "department", ("landing",), ("bronze", "ops.deliveries"), "jobs.pull:reload", nightly=False),
    )
}
