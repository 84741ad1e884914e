"""The sample city's districts: eight polygons that tile a rectangle near Nantong, with shared ragged edges.

`python -m samples.layers` writes them, and the roads, to `expectations/standards/layers`; the result is committed.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import shapely
import yaml
from shapely.geometry import Polygon, mapping

from samples import roads

FOLDER = Path(__file__).parent.parent / "expectations" / "standards" / "layers"
WORDS = yaml.safe_load((Path(__file__).parent / "words.yml").read_text(encoding="utf-8"))

_CORNERS = {
    "a": (120.25, 32.62), "b": (120.72, 32.66), "c": (121.42, 32.58),
    "d": (120.22, 32.33), "e": (120.80, 32.30), "f": (121.12, 32.27), "g": (121.86, 32.22),
    "h": (120.28, 31.98), "i": (120.68, 32.06), "j": (121.00, 32.02), "k": (121.30, 32.04),
    "l": (120.62, 31.82), "m": (121.05, 31.79), "n": (121.45, 31.77), "o": (121.88, 31.76),
    "p": (121.56, 32.14),
}  # fmt: skip

_FACES = {
    "320685": ("海安市", "Hai'an", "abed"),
    "320623": ("如东县", "Rudong", "bcgpfe"),
    "320682": ("如皋市", "Rugao", "deih"),
    "320612": ("通州区", "Tongzhou", "efpkji"),
    "320613": ("崇川区", "Chongchuan", "hijml"),
    "320614": ("海门区", "Haimen", "jknm"),
    "320681": ("启东市", "Qidong", "kpgon"),
}
_ZONE = "320671"
NAMES = {code: (zh, en) for code, (zh, en, _) in _FACES.items()} | {_ZONE: ("开发区", "Development Zone")}
"""Chinese and English names of the districts by division code."""
_ZONE_CENTRE, _ZONE_RADIUS = (120.80, 31.93), 0.045
_ROUGHNESS, _DEPTH = 0.07, 6


def districts(seed: int = 7) -> dict[str, Polygon]:
    """Polygons by division code, WGS-84, 5 decimals. 320671 is an enclave: the hole of 320613."""
    rng = np.random.default_rng(seed)
    edges: dict[tuple[str, str], np.ndarray] = {}
    shapes = {code: Polygon(_ring(corners, edges, rng)) for code, (_, _, corners) in _FACES.items()}
    zone = Polygon(_blob(rng))
    shapes["320613"] = Polygon(shapes["320613"].exterior, [zone.exterior.coords])
    return shapes | {_ZONE: zone}


def city(seed: int = 7) -> Polygon:
    """The outline of all districts together."""
    return shapely.union_all(list(districts(seed).values()))


def _ring(corners: str, edges: dict[tuple[str, str], np.ndarray], rng: np.random.Generator) -> np.ndarray:
    pairs = zip(corners, corners[1:] + corners[0], strict=True)
    return np.concatenate([_edge(start, end, edges, rng)[:-1] for start, end in pairs])


def _edge(start: str, end: str, edges: dict[tuple[str, str], np.ndarray], rng: np.random.Generator) -> np.ndarray:
    """The ragged line between two corners; neighbours get the same one, in their own direction."""
    if (end, start) in edges:
        return edges[end, start][::-1]
    line = np.array([_CORNERS[start], _CORNERS[end]])
    for _ in range(_DEPTH):
        line = _roughen(line, rng)
    edges[start, end] = np.round(line, 5)
    return edges[start, end]


def _roughen(line: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Moves the middle of every piece sideways by a random part of its length."""
    pieces = np.diff(line, axis=0)
    sideways = np.stack([-pieces[:, 1], pieces[:, 0]], axis=1)
    middles = line[:-1] + pieces / 2 + sideways * rng.uniform(-_ROUGHNESS, _ROUGHNESS, (len(pieces), 1))
    rough = np.empty((2 * len(line) - 1, 2))
    rough[::2], rough[1::2] = line, middles
    return rough


def _blob(rng: np.random.Generator) -> np.ndarray:
    angles = np.linspace(0, 2 * np.pi, 240, endpoint=False)
    waves = sum(rng.uniform(-0.1, 0.1) * np.sin(k * angles + rng.uniform(0, 6)) for k in range(2, 7))
    radius = _ZONE_RADIUS * (1 + waves)
    centre = np.array(_ZONE_CENTRE)
    return np.round(centre + np.stack([radius * np.cos(angles) * 1.2, radius * np.sin(angles)], axis=1), 5)


def _feature(code: str, zh: str, en: str, shape: Polygon) -> str:
    properties = {"code": code, "zh": zh, "en": en}
    return _line({"type": "Feature", "properties": properties, "geometry": mapping(shape)})


def _line(feature: dict[str, Any]) -> str:
    return json.dumps(feature, ensure_ascii=False, separators=(",", ":"))


def write(folder: Path = FOLDER) -> None:
    """Writes `districts.geojson`, `city.geojson` and `roads.geojson` (WGS-84, one feature a line)."""
    shapes = districts()
    layers = {
        "districts": [_feature(code, *NAMES[code], shapes[code]) for code in sorted(shapes)],
        "city": [_feature("320600", "南通市", "Nantong (sample)", city())],
        "roads": [_line(road) for road in roads.features(city(), WORDS["streets"])],
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, features in layers.items():
        lines = ",\n".join(features)
        (folder / f"{name}.geojson").write_text(f'{{"type":"FeatureCollection","features":[\n{lines}\n]}}\n', "utf-8")


if __name__ == "__main__":
    write()
