"""The vocabulary of checks: pure functions on ibis columns and tables, a module per quality dimension.

A check is true where a value passes and null where there is nothing to judge. Point checks are functions on Arrow arrays,
because the same kernel places points for both engines. `registry.REGISTRY` lists them all once the modules are imported.
"""

from expectations.checks import accurate, complete, consistent, norm, timely
from expectations.checks.registry import REGISTRY, Check

__all__ = ["REGISTRY", "Check", "accurate", "complete", "consistent", "norm", "timely"]
