"""Road layers for tests: a grid of streets, and a real district as OSMnx exported it."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import shapely

from tests.real.deliveries import SHARED

FUTIAN = SHARED / "roads" / "shenzhen_futian.graphml"


def feature(
    line: Any, *, highway: Any = "primary", oneway: Any = False, limit: Any = None, name: str | None = None
) -> dict[str, Any]:
    properties = {"id": "r", "highway": highway, "oneway": oneway, "maxspeed_kmh": limit, "name": name}
    return {"properties": properties, "geometry": {"type": "LineString", "coordinates": line}}


def layer(folder: Path, features: Iterable[dict[str, Any]]) -> Path:
    path = folder / "roads.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": list(features)}))
    return path


def futian() -> list[dict[str, Any]]:
    """Every edge of the graph, both ways of a street included, classes as they stand there; `length` is OSMnx's, in metres."""
    graph = nx.read_graphml(FUTIAN)
    place = {node: (float(d["x"]), float(d["y"])) for node, d in graph.nodes(data=True)}
    return [
        feature(
            shapely.get_coordinates(shapely.from_wkt(d["geometry"])).tolist()
            if "geometry" in d
            else [place[u], place[v]],
            highway=d["highway"],
            oneway=d["oneway"] == "True",
            limit=float(d["maxspeed"]) if "maxspeed" in d else None,
            name=d.get("name"),
        )
        | {"length": float(d["length"])}
        for u, v, d in graph.edges(data=True)
    ]


def streets(side: int, step: float = 0.001, seed: int = 3) -> list[dict[str, Any]]:
    """`side` by `side` crossings from 120.0, 32.0 on, a tenth of the streets missing and a fifth one-way, of mixed classes."""
    random = np.random.default_rng(seed)
    kinds = ("primary", "secondary", "tertiary", "residential")
    found = []
    for i in range(side):
        for j in range(side):
            for a, b in ((i + 1, j), (i, j + 1)):
                if a < side and b < side and random.random() < 0.9:
                    ends = [[120 + i * step, 32 + j * step], [120 + a * step, 32 + b * step]]
                    kind = str(random.choice(kinds))
                    found.append(feature(ends, highway=kind, oneway=bool(random.random() < 0.2)))
    return found
