"""Reads the polygons of a layer from GeoJSON (RFC 7946: WGS-84, longitude first)."""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from itertools import combinations
from pathlib import Path
from typing import Any

import shapely

from lakehouse.errors import ContractError

_HINT = "a layer is a FeatureCollection of Polygon and MultiPolygon features, each with a property 'code' of its own"

Ring = list[tuple[float, float]]


@dataclass(frozen=True)
class Feature:
    """One region: its code, its geometry as GeoJSON text, the rings of all its polygons, holes included, and the first
    and last day on which it is one (open where it doesn't say)."""

    code: str
    geometry: str
    rings: tuple[Ring, ...]
    valid_from: date = date.min
    valid_to: date = date.max

    def valid(self, day: date) -> bool:
        """Whether it is a region on `day`."""
        return self.valid_from <= day <= self.valid_to


def read_layer(path: Path) -> tuple[Feature, ...]:
    """The features in the file's order. Raises ContractError with every feature that is not as it should be."""
    found = read_features(path, _HINT)
    if not found:
        raise ContractError("holds no features", where=str(path), hint=_HINT)
    mistakes: list[str] = []
    features = []
    for number, given in enumerate(found, 1):
        try:
            features.append(feature(given))
        except (KeyError, TypeError, ValueError) as error:
            mistakes.append(f"feature {number}: {said(error)}")
    mistakes += sorted(_twice(features))
    if mistakes:
        raise ContractError("; ".join(mistakes), where=str(path), hint=_HINT)
    return tuple(features)


def read_features(path: Path, hint: str) -> list[Any]:
    """What a file lists as its features. Raises ContractError, with the hint, when it isn't a FeatureCollection."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ContractError(f"can't be read as GeoJSON ({error})", where=str(path), hint=hint) from error
    found = content.get("features") if isinstance(content, dict) else None
    if not isinstance(found, list):
        raise ContractError("holds no features", where=str(path), hint=hint)
    return found


def _twice(features: list[Feature]) -> set[str]:
    """Codes that two regions have on one day, as mistakes."""
    of: dict[str, list[Feature]] = {}
    for region in features:
        of.setdefault(region.code, []).append(region)
    return {
        f"code '{code}' stands there twice"
        for code, several in of.items()
        if any(max(a.valid_from, b.valid_from) <= min(a.valid_to, b.valid_to) for a, b in combinations(several, 2))
    }


def feature(given: Any) -> Feature:
    """The region a GeoJSON feature is. Raises KeyError, TypeError or ValueError when it is none."""
    properties = given["properties"]
    code = properties["code"]
    if not isinstance(code, str) or not code:
        raise ValueError("'code' must be a text")
    first, last = (_day(properties, name, other) for name, other in (("valid_from", date.min), ("valid_to", date.max)))
    if first > last:
        raise ValueError(f"'valid_from' {first} lies after 'valid_to' {last}")
    geometry = given["geometry"]
    if not isinstance(geometry, dict):
        raise ValueError("has no geometry")
    rings = tuple(_rings(geometry))
    if not rings:
        raise ValueError("has no extent")
    text = json.dumps(geometry)
    shape = shapely.from_geojson(text)
    if not shapely.is_valid(shape):  # what lies inside such a shape is a matter of taste
        raise ValueError(f"is no region ({shapely.is_valid_reason(shape)}): `shapely.make_valid` may mend it")
    return Feature(code, text, rings, first, last)


def _day(properties: Any, name: str, otherwise: date) -> date:
    given = properties.get(name)
    return otherwise if given is None else date.fromisoformat(given)


def _rings(geometry: Any) -> Iterator[Ring]:
    if geometry["type"] not in ("Polygon", "MultiPolygon"):
        raise ValueError(f"a {geometry['type']} is no region")
    polygons = [geometry["coordinates"]] if geometry["type"] == "Polygon" else geometry["coordinates"]
    for polygon in polygons:
        for ring in polygon:
            yield _ring(ring)


def _ring(positions: Any) -> Ring:
    ring = [(float(position[0]), float(position[1])) for position in positions]
    for lon, lat in ring:
        if not (math.isfinite(lon) and abs(lon) <= 180 and math.isfinite(lat) and abs(lat) <= 90):
            swapped = "; longitude comes first" if abs(lon) <= 90 < abs(lat) <= 180 else ""
            raise ValueError(f"position {lon}, {lat} is not on the globe{swapped}")
    if len(ring) < 4 or ring[0] != ring[-1]:
        raise ValueError("a ring must have at least four positions and end where it began")
    if len(set(ring)) < 3:
        raise ValueError("a ring has no extent")
    return ring


def said(error: Exception) -> str:
    """What is wrong with a feature, by the error `feature` raised."""
    return f"{error} is missing" if isinstance(error, KeyError) else str(error)
