"""Reads the polygons of a layer from GeoJSON (RFC 7946: WGS-84, longitude first)."""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lakehouse.errors import ContractError

_HINT = "a layer is a FeatureCollection of Polygon and MultiPolygon features, each with a property 'code' of its own"

Ring = list[tuple[float, float]]


@dataclass(frozen=True)
class Feature:
    """One region: its code, its geometry as GeoJSON text, and the rings of all its polygons, holes included."""

    code: str
    geometry: str
    rings: tuple[Ring, ...]


def read_layer(path: Path) -> tuple[Feature, ...]:
    """The features in the file's order. Raises ContractError with every feature that is not as it should be."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ContractError(f"can't be read as GeoJSON ({error})", where=str(path), hint=_HINT) from error
    found = content.get("features") if isinstance(content, dict) else None
    if not isinstance(found, list) or not found:
        raise ContractError("holds no features", where=str(path), hint=_HINT)
    mistakes: list[str] = []
    features = []
    for number, feature in enumerate(found, 1):
        try:
            features.append(_feature(feature))
        except (KeyError, TypeError, ValueError) as error:
            mistakes.append(f"feature {number}: {_said(error)}")
    codes = [feature.code for feature in features]
    mistakes += [f"code '{code}' stands there twice" for code in sorted({c for c in codes if codes.count(c) > 1})]
    if mistakes:
        raise ContractError("; ".join(mistakes), where=str(path), hint=_HINT)
    return tuple(features)


def _feature(feature: Any) -> Feature:
    code = feature["properties"]["code"]
    if not isinstance(code, str) or not code:
        raise ValueError("'code' must be a text")
    geometry = feature["geometry"]
    if not isinstance(geometry, dict):
        raise ValueError("has no geometry")
    rings = tuple(_rings(geometry))
    if not rings:
        raise ValueError("has no extent")
    return Feature(code, json.dumps(geometry), rings)


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
            raise ValueError(f"position {lon}, {lat} is not on the globe")
    if len(ring) < 4 or ring[0] != ring[-1]:
        raise ValueError("a ring must have at least four positions and end where it began")
    if len(set(ring)) < 3:
        raise ValueError("a ring has no extent")
    return ring


def _said(error: Exception) -> str:
    return f"{error} is missing" if isinstance(error, KeyError) else str(error)
