"""Everything the environment decides, read once and frozen."""

import os
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict

from lakehouse.errors import EnvironmentFault

ZONE = ZoneInfo("Asia/Shanghai")
"""The zone of business days and of wall-clock times in contracts. Stored instants are UTC."""


class Settings(BaseModel):
    """Where the lake and the catalogue are, and how much of the machine one process may take."""

    model_config = ConfigDict(frozen=True, extra="forbid", ignored_types=(cached_property,))

    home: Path
    catalog: Path
    inbox: Path
    memory_mb: int = 1024
    threads: int = 2

    @classmethod
    def from_environment(cls) -> "Settings":
        """Settings from `CITYLAKE_HOME`, `_CATALOG`, `_INBOX`, `_MEMORY_MB` and `_THREADS`."""
        env = os.environ
        home = Path(env.get("CITYLAKE_HOME", "lake")).absolute()
        own_catalog = Path(__file__).parent.parent / "expectations"
        return cls(
            home=home,
            catalog=Path(env.get("CITYLAKE_CATALOG", own_catalog)).absolute(),
            inbox=Path(env.get("CITYLAKE_INBOX", home / "inbox")).absolute(),
            memory_mb=int(env.get("CITYLAKE_MEMORY_MB", 1024)),
            threads=int(env.get("CITYLAKE_THREADS", os.cpu_count() or 2)),
        )


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
            return str(Connection.get(name).get_uri())
        except AirflowNotFoundException:
            pass  # unknown to Airflow too: the error below says where it can be set
    raise EnvironmentFault(
        f"connection '{name}' is not set",
        hint=f"set the environment variable CITYLAKE_CONN_{name.upper()} or add the Airflow connection '{name}'",
    )
