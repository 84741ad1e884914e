"""Everything the environment decides, read once and frozen."""

import os
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lakehouse.errors import EnvironmentFault

ZONE = ZoneInfo("Asia/Shanghai")
"""The zone of business days and of wall-clock times in contracts. Stored instants are UTC."""


class Settings(BaseModel):
    """Where the lake and the catalogue are, how much of the machine one process may take, and which engine cleans.

    With engine `auto`, Spark cleans slices whose deliveries have `spark_above_mb` megabytes or more. `spark` says where it
    runs: the `lake`'s own engine, `local` in the process itself, or a Connect server elsewhere (`sc://host:port`).
    `tables`: an address on an S3 server for the tables of a lake that begins (`lakehouse.store`).
    """

    model_config = ConfigDict(frozen=True, extra="forbid", ignored_types=(cached_property,))

    home: Path
    catalog: Path
    inbox: Path
    memory_mb: int = 1024
    threads: int = 2
    min_free_mb: int = 1000
    engine: Literal["auto", "embedded", "spark"] = "auto"
    spark_above_mb: int = 200
    tables: str | None = Field(None, pattern=r"^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[A-Za-z0-9._-]+)+$")
    spark: str = Field("lake", pattern=r"^(lake|local|sc://[^@;]+(;use_ssl=true)?)$")

    @classmethod
    def from_environment(cls) -> "Settings":
        """Settings from `CITYLAKE_HOME`, `_CATALOG`, `_INBOX`, `_MEMORY_MB`, `_THREADS`, `_MIN_FREE_MB`, `_ENGINE`,
        `_SPARK_ABOVE_MB`, `_TABLES` and `_SPARK`; an empty one counts as unset."""
        asked = {name: value for name in cls.model_fields if (value := os.environ.get(f"CITYLAKE_{name.upper()}"))}
        home = Path(asked.pop("home", "lake")).absolute()
        catalog = Path(asked.pop("catalog", Path(__file__).parent.parent / "expectations")).absolute()
        inbox = Path(asked.pop("inbox", home / "inbox")).absolute()
        asked.setdefault("threads", str(os.cpu_count() or 2))
        try:
            return cls.model_validate({"home": home, "catalog": catalog, "inbox": inbox, **asked})
        except ValidationError as error:
            said = "; ".join(f"CITYLAKE_{str(f['loc'][0]).upper()}: {f['msg'].lower()}" for f in error.errors())
            raise EnvironmentFault(said, hint="correct or unset it") from error


def clock() -> datetime:
    """The present instant (UTC); `CITYLAKE_NOW` (ISO 8601) stands in for it in tests and replays."""
    fixed = os.environ.get("CITYLAKE_NOW")
    if not fixed:
        return datetime.now(UTC)
    instant = datetime.fromisoformat(fixed)
    return (instant if instant.tzinfo else instant.replace(tzinfo=ZONE)).astimezone(UTC)


def connection_uri(name: str) -> str:
    """The URI of a named connection, from `CITYLAKE_CONN_<NAME>`, `AIRFLOW_CONN_<NAME>` or, inside an Airflow task, Airflow.

    Raises EnvironmentFault when nobody knows the name. The value is a secret: never log it or put it into an error.
    """
    for prefix in ("CITYLAKE_CONN_", "AIRFLOW_CONN_"):
        if uri := os.environ.get(prefix + name.upper()):
            return uri
    if os.environ.get("AIRFLOW_CTX_DAG_ID"):
        from airflow.sdk import Connection
        from airflow.sdk.exceptions import AirflowNotFoundException

        try:
            stored = urlsplit(str(Connection.get(name).get_uri()))
            return stored._replace(path=stored.path.replace("%2F", "/")).geturl()  # Airflow takes a path for one name
        except AirflowNotFoundException:
            pass  # unknown to Airflow too: the error below says where it can be set
    raise EnvironmentFault(
        f"connection '{name}' is not set",
        hint=f"set the environment variable CITYLAKE_CONN_{name.upper()} or add the Airflow connection '{name}'",
    )
