"""Regions on Spark: what `Regions.locate` says, decided by a join over cells and by Sedona's exact predicate."""

import pyarrow as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from lakehouse.geo.regions import NOWHERE, Regions


def with_region(positions: DataFrame, regions: Regions) -> DataFrame:
    """The rows with `region`, the index of the region they are in; null in none and where there is no position.

    `positions` has `lon` and `lat` (WGS-84 degrees) and their grid `cell`. A cell wholly inside one region decides by
    itself; only rows in cells with a border are tested. Where several regions hold a position the first owns it.
    """
    cells, owner = regions.cells()
    owners = positions.sparkSession.createDataFrame(pa.table({"cell": cells, "region": owner}))
    placed = positions.join(F.broadcast(owners), on="cell", how="left")
    inner = placed.where(~F.col("region").eqNullSafe(NOWHERE))
    border = placed.where(F.col("region") == NOWHERE).select(*positions.columns)
    return inner.select(*positions.columns, "region").unionByName(_exactly(border, regions))


def code_of(regions: Regions, region: str) -> Column:
    """The code of the region whose index is in the column `region`; null for null."""
    return text_of(regions.codes, region)


def text_of(texts: tuple[str, ...], index: str) -> Column:
    """The text at the index in the column `index`; null for null."""
    return F.get(F.array(*map(F.lit, texts)).cast("array<string>"), F.col(index))


def _exactly(positions: DataFrame, regions: Regions) -> DataFrame:
    """The rows and the first region that intersects them."""
    listed = pa.table({"region": pa.array(range(len(regions.codes)), pa.int32()), "geojson": regions.geometries})
    shapes = positions.sparkSession.createDataFrame(listed).select(
        "region", F.expr("ST_GeomFromGeoJSON(geojson)").alias("shape")
    )
    numbered = positions.withColumn("row", F.monotonically_increasing_id())
    found = numbered.join(F.broadcast(shapes), on=F.expr("ST_Intersects(shape, ST_Point(lon, lat))"), how="left")
    return found.groupBy(*numbered.columns).agg(F.min("region").alias("region")).drop("row")
