"""Reading delivered files: any format in, batches of text out, nothing lost and nothing guessed."""

from pathlib import Path, PurePath

from lakehouse.contract import Contract, FileSource
from lakehouse.errors import ContractError
from lakehouse.formats import csv
from lakehouse.formats.reading import Reading, Unparsable, Unparsables

__all__ = ["Reading", "Unparsable", "Unparsables", "format_of", "read"]

SUFFIXES = {".csv": "csv", ".tsv": "csv", ".psv": "csv", ".txt": "csv"}
"""The format of a file whose contract doesn't name one."""


def format_of(name: str, contract: Contract) -> str:
    """The format of a delivered file: as declared, else by its name. Raises ContractError when neither says."""
    declared = contract.source.format if isinstance(contract.source, FileSource) else None
    if found := declared or SUFFIXES.get(PurePath(name).suffix.lower()):
        return found
    raise ContractError(
        f"the name '{name}' doesn't tell the format", where=contract.name, hint="set 'format' under 'source' in the contract"
    )


def read(path: Path, contract: Contract, *, quoted: bool = True) -> Reading:
    """The file as names, batches of text and unparsable records; `quoted=False` promises that no quote occurs in it.

    Raises DeliveryUnreadable when the file as a whole isn't what the contract says; from `batches` too, while they are read.
    """
    assert isinstance(contract.source, FileSource)
    return csv.read(path, contract, contract.source, quoted=quoted)
