"""Regions on Spark: what `Regions.locate` says, decided by a join over cells and by Sedona's exact predicate."""

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from lakehouse.geo.regions import NOWHERE, Regions


def with_district(positions: DataFrame, regions: Regions) -> DataFrame:
    """The rows with `district`, the code of the region they are in; null in none and where there is no position.

    `positions` has `lon` and `lat` (WGS-84 degrees) and their grid `cell`. A cell wholly inside one region decides by
    itself; only rows in cells with a border are tested. Where several regions hold a position the first owns it.
    """
    spark = positions.sparkSession
    cells, owner = regions.cells()
    codes = [None if index == NOWHERE else regions.codes[index] for index in owner.tolist()]
    owners = spark.createDataFrame(
        pa.table({"cell": cells, "district": pa.array(codes, pa.string()), "is_border": owner == NOWHERE})
    )
    placed = positions.join(F.broadcast(owners), on="cell", how="left")
    inner = placed.where("is_border IS NOT TRUE").select(*positions.columns, "district")
    border = placed.where("is_border").select(*positions.columns, F.monotonically_increasing_id().alias("row"))
    return inner.unionByName(_exactly(border, regions).select(inner.columns))


def _exactly(positions: DataFrame, regions: Regions) -> DataFrame:
    """The rows (with a unique `row`) and the first region that intersects them."""
    listed = pa.table({"rank": range(len(regions.codes)), "code": regions.codes, "geojson": regions.geometries})
    shapes = positions.sparkSession.createDataFrame(listed).select(
        "rank", "code", F.expr("ST_GeomFromGeoJSON(geojson)").alias("shape")
    )
    found = positions.join(F.broadcast(shapes), on=F.expr("ST_Intersects(shape, ST_Point(lon, lat))"), how="left")
    kept = [F.any_value(name).alias(name) for name in positions.columns if name != "row"]
    return found.groupBy("row").agg(*kept, F.min_by("code", "rank").alias("district"))
