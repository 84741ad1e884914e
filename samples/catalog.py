"""The contracts the sample delivers to."""

from functools import cache
from pathlib import Path

from lakehouse.contract import Contract
from lakehouse.document import read_document
from lakehouse.errors import ContractError

CONTRACTS = Path(__file__).parent.parent / "expectations" / "contracts"


@cache
def contracts(folder: Path = CONTRACTS) -> dict[str, Contract]:
    """Every contract of the shipped catalogue by `department.dataset`, sorted."""
    found = [_read(path) for path in sorted(folder.glob("*/*.yml"))]
    return {contract.name: contract for contract in found}


def _read(path: Path) -> Contract:
    mistakes: list[str] = []
    document = read_document(path, mistakes)
    if document is None or mistakes:
        raise ContractError("; ".join(mistakes), hint="mend the lines named above")
    return Contract.model_validate({"department": path.parent.name, "dataset": path.stem, **document.content})
