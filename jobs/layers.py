"""The catalogue's layers as a process has them at hand, and what they tell of positions."""

from datetime import date
from functools import lru_cache
from pathlib import Path

from lakehouse.geo.infer import Inference, Sample, infer
from lakehouse.geo.regions import Regions
from lakehouse.geo.roads import Roads

ROADS = "roads.geojson"
"""The layer of roads, which a catalogue may do without."""


@lru_cache(maxsize=4)  # a rebuild goes from day to day
def districts(layers: Path, day: date) -> Regions:
    """The city's districts on a day."""
    return Regions.load(layers / "districts.geojson", day)


@lru_cache(maxsize=1)
def roads(layers: Path) -> Roads | None:
    """The city's roads; None without such a layer."""
    return Roads.load(layers / ROADS) if (layers / ROADS).exists() else None


def inferred(sample: Sample, layers: Path, day: date) -> Inference:
    """What the positions of a sample seem to be in on a day."""
    return infer(sample, districts(layers, day), roads(layers))
