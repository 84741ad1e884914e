"""The contracts the sample delivers to."""

from functools import cache
from pathlib import Path

import yaml

from lakehouse.contract import Contract

CONTRACTS = Path(__file__).parent.parent / "expectations" / "contracts"


@cache
def contracts(folder: Path = CONTRACTS) -> dict[str, Contract]:
    """Every contract of the shipped catalogue by `department.dataset`, sorted."""
    found = [_read(path) for path in sorted(folder.glob("*/*.yml"))]
    return {contract.name: contract for contract in found}


def _read(path: Path) -> Contract:
    content = yaml.safe_load(path.read_text("utf-8"))
    return Contract.model_validate({"department": path.parent.name, "dataset": path.stem, **content})
