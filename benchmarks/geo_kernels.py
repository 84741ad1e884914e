"""Positions per second and core of `place`, and of the region look-up beside shapely's tree on the same points.

Run: python -m benchmarks.geo_kernels [millions of points, default 16]
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

_begun = time.perf_counter()
from lakehouse.geo.points import place  # noqa: E402
from lakehouse.geo.regions import NOWHERE, Regions  # noqa: E402

IMPORT_S = time.perf_counter() - _begun

import numpy as np  # noqa: E402
import pyarrow as pa  # noqa: E402
import shapely  # noqa: E402

from lakehouse.geo.crs import from_wgs84  # noqa: E402

BATCH = 200_000
COMPARED = 1_000_000
EXTENT = (119.9, 31.4, 121.6, 32.8)


def districts(columns: int, rows: int, steps: int) -> list[dict]:
    """Districts of `4 * steps` vertices side by side; neighbours share every vertex of a crooked border."""
    random = np.random.default_rng(5)
    across, up = np.linspace(120, 121.5, columns + 1), np.linspace(31.5, 32.7, rows + 1)
    bend = 0.3 * min(across[1] - across[0], up[1] - up[0]) / steps

    def border(*ends: tuple[float, float]) -> np.ndarray:
        line = np.linspace(*ends, steps + 1)
        line[1:-1] += random.uniform(-bend, bend, (steps - 1, 2))
        return line

    level = {
        (i, j): border((across[i], up[j]), (across[i + 1], up[j])) for i in range(columns) for j in range(rows + 1)
    }
    upright = {
        (i, j): border((across[i], up[j]), (across[i], up[j + 1])) for i in range(columns + 1) for j in range(rows)
    }
    found = []
    for i, j in ((i, j) for i in range(columns) for j in range(rows)):
        sides = [level[i, j], upright[i + 1, j], level[i, j + 1][::-1], upright[i, j][::-1]]
        ring = [*np.concatenate([side[:-1] for side in sides]).tolist(), sides[0][0].tolist()]
        found.append({"type": "Polygon", "coordinates": [ring]})
    return found


def load(geometries: list[dict]) -> tuple[Regions, float]:
    """The regions from a file, and the seconds it took."""
    features = [{"properties": {"code": f"{i:06d}"}, "geometry": shape} for i, shape in enumerate(geometries)]
    with TemporaryDirectory() as folder:
        path = Path(folder) / "districts.geojson"
        path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
        begun = time.perf_counter()
        return Regions.load(path), time.perf_counter() - begun


def rate(work: Callable[[], object], points: int, rounds: int = 3) -> float:
    """Million points a second of this thread's processor time: the best of some rounds."""
    best = min(_seconds(work) for _ in range(rounds))
    return points / best / 1e6


def _seconds(work: Callable[[], object]) -> float:
    begun = time.thread_time()
    work()
    return time.thread_time() - begun


def by_shapely(geometries: list[dict], lon: np.ndarray, lat: np.ndarray) -> np.ndarray:
    """The first region that intersects each point."""
    tree = shapely.STRtree(shapely.from_geojson([json.dumps(shape) for shape in geometries]))
    point, region = tree.query(shapely.points(lon, lat), predicate="intersects")
    found = np.full(len(lon), len(geometries))
    np.minimum.at(found, point, region)
    return np.where(found == len(geometries), NOWHERE, found)


def main(points: int) -> None:
    random = np.random.default_rng(1)
    lon, lat = random.uniform(EXTENT[0], EXTENT[2], points), random.uniform(EXTENT[1], EXTENT[3], points)
    print(f"{points:,} points; kernels imported in {IMPORT_S:.2f} s; million points a second and core:")
    for count, geometries in ((10, districts(5, 2, 100)), (300, districts(20, 15, 100))):
        regions, built_s = load(geometries)
        print(f"{count} districts of 400 vertices, drawn in {built_s:.2f} s")
        for crs in ("wgs84", "gcj02", "bd09"):
            x, y = map(pa.array, from_wgs84(crs, lon, lat))

            def placed(x=x, y=y, crs=crs, regions=regions) -> None:
                for start in range(0, points, BATCH):
                    place(x[start : start + BATCH], y[start : start + BATCH], crs, regions)

            print(f"  place {crs:6} {rate(placed, points):8.1f}")
        few = lon[:COMPARED], lat[:COMPARED]
        print(f"  locate       {rate(lambda r=regions: r.locate(lon, lat), points):8.1f}")
        print(f"  shapely tree {rate(lambda g=geometries, few=few: by_shapely(g, *few), len(few[0]), 1):8.1f}")
        print(f"  differing    {(regions.locate(*few) != by_shapely(geometries, *few)).sum():8,} of {len(few[0]):,}")


if __name__ == "__main__":
    main(int(float(sys.argv[1] if len(sys.argv) > 1 else 16) * 1e6))
