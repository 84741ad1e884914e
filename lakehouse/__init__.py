"""The library under Citylake: knows no department, no dataset and no theme. Analysts want `Lake`."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lakehouse.lake import Lake

__all__ = ["Lake"]


def __getattr__(name: str) -> Any:
    """`Lake`, imported when it is asked for: DuckDB and Delta would slow down every command's start."""
    if name == "Lake":
        from lakehouse.lake import Lake

        return Lake
    raise AttributeError(f"module 'lakehouse' has no attribute '{name}'")
