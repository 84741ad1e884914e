"""Spark as somebody sets it up who has never heard of Citylake: the peer of benchmarks."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lakehouse.engine.jars import jar_paths

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

EXTENSIONS = "spark.sql.extensions"
DELTA = "io.delta.sql.DeltaSparkSessionExtension"


def plain_spark(spill: Path, more: Mapping[str, str] | None = None) -> "SparkSession":
    """Two cores, 6 GB and Delta, with `more` settings; spills into the folder."""
    from pyspark.sql import SparkSession

    settings = {
        "spark.driver.memory": "6g",
        "spark.driver.extraClassPath": os.pathsep.join(map(str, jar_paths())),
        "spark.driver.host": "127.0.0.1",
        EXTENSIONS: DELTA,
        "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.shuffle.partitions": "8",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.local.dir": str(spill),
    }
    builder: Any = SparkSession.builder
    return builder.master("local[2]").config(map=settings | dict(more or {})).getOrCreate()
