"""Reads what the city expects: the register of departments, the contracts and the column standards.

`load` checks shape only (no Spark, no ibis) and reports every mistake at once with file, line, key and the nearest valid name.
`expectations.verify.verify` also fits the arguments of checks to their signatures.
"""

import difflib
import hashlib
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

from pydantic import BaseModel, Field, ValidationError

from lakehouse.contract import Column, Contract
from lakehouse.declared import IDENTIFIER, Identifier, Record
from lakehouse.document import Document, Place, located, read_document
from lakehouse.errors import ContractError, UsageError
from lakehouse.settings import Settings
from lakehouse.source import KINDS


class Department(Record):
    """One row of the register."""

    id: Identifier
    zh: str
    en: str
    contact: str = ""
    weight: float = Field(1.0, gt=0)


class Remove(Record):
    """A normalising step: take these characters out."""

    remove: str


class Standard(Record):
    """How values of a known kind are normalised and recognised; `codes` is the closed list, where there is one."""

    name: Identifier
    zh: str
    en: str
    source: str
    normalise: tuple[Literal["upper", "strip", "halfwidth"] | Remove, ...] = ()
    pattern: str
    digit: str | None = None
    codes: str | None = None
    class_: Literal["public", "internal", "sensitive"] = Field("internal", alias="class")


Kind = TypeVar("Kind", bound=BaseModel)


@dataclass(frozen=True)
class Unusable:
    """A contract that has mistakes, each with file, line and key."""

    department: str
    dataset: str
    mistakes: tuple[str, ...]

    @property
    def name(self) -> str:
        """`department.dataset`, as people write it."""
        return f"{self.department}.{self.dataset}"

    def fault(self) -> ContractError:
        """What to say about it."""
        return ContractError("; ".join(self.mistakes), hint="mend the lines named above")


@dataclass(frozen=True)
class Catalog:
    """Departments, contracts and standards of one city."""

    path: Path
    departments: tuple[Department, ...]
    contracts: tuple[Contract, ...]
    standards: dict[str, Standard]
    unusable: tuple[Unusable, ...] = ()

    def of(self, department: str) -> tuple[Contract, ...]:
        """The contracts of one department. Raises UsageError for an unknown one."""
        if department not in {d.id for d in self.departments}:
            raise UsageError(
                f"no department '{department}'", hint=nearest(department, [d.id for d in self.departments])
            )
        return tuple(c for c in self.contracts if c.department == department)

    def contract(self, name: str) -> Contract:
        """The contract of `department.dataset`. Raises UsageError for an unknown one, ContractError for an unusable one."""
        for contract in self.contracts:
            if contract.name == name:
                return contract
        for unusable in self.unusable:
            if unusable.name == name:
                raise unusable.fault()
        raise UsageError(f"no dataset '{name}'", hint=nearest(name, [c.name for c in self.contracts]))

    def only(self, name: str) -> "Catalog":
        """The catalogue with the contract of `department.dataset` alone. Raises as `contract` does."""
        return replace(self, contracts=(self.contract(name),), unusable=())

    def file(self, contract: Contract) -> Path:
        """Where the contract stands."""
        return self.path / "contracts" / contract.department / f"{contract.dataset}.yml"

    @property
    def layers(self) -> Path:
        """The folder of the city's own boundaries."""
        return self.path / "standards" / "layers"


def departments(catalog: Path | None = None) -> tuple[Department, ...]:
    """The register alone: all a DAG file may read. Raises ContractError with every mistake."""
    path = (catalog or Settings.from_environment().catalog) / "departments.yml"
    mistakes: list[str] = []
    found = tuple(_departments(path, mistakes))
    _raise(mistakes)
    return found


def load(catalog: Path) -> Catalog:
    """The whole catalogue at `catalog`. Raises ContractError with every mistake in every file, one a line."""
    mistakes: list[str] = []
    found = _load(catalog, mistakes)
    _raise([*mistakes, *(mistake for unusable in found.unusable for mistake in unusable.mistakes)])
    return found


def load_usable(catalog: Path) -> Catalog:
    """The catalogue with the contracts that have no mistakes, and the others by name: one can't stop a city's night.

    Raises ContractError when the register, a standard or the name of a folder is wrong.
    """
    return _usable(catalog, _content(catalog))


@lru_cache(1)
def _usable(catalog: Path, content: str) -> Catalog:
    """Parsing takes 0.3 s for 750 contracts, and a process may run a step for each of many departments."""
    mistakes: list[str] = []
    found = _load(catalog, mistakes)
    _raise(mistakes)
    return found


def _content(catalog: Path) -> str:
    """A hash of all names in a catalogue, and of what stands in its YAML files."""
    digest = hashlib.sha256()
    for path in sorted([*catalog.glob("*.yml"), *catalog.glob("standards/*"), *catalog.glob("contracts/*/*")]):
        digest.update(str(path).encode(errors="surrogateescape") + b"\0")
        if path.suffix == ".yml":
            with suppress(OSError):  # said when it is read
                digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _load(catalog: Path, mistakes: list[str]) -> Catalog:
    register = tuple(_departments(catalog / "departments.yml", mistakes))
    standards = {s.name: s for s in _standards(catalog / "standards", mistakes)}
    read, unusable = _contracts(catalog / "contracts", {d.id for d in register}, standards, mistakes)
    loose = _loose_ends(catalog, read, unusable)
    unusable += [Unusable(c.department, c.dataset, tuple(loose[c.name])) for c in read if c.name in loose]
    contracts = tuple(contract for contract in read if contract.name not in loose)
    return Catalog(catalog, register, contracts, standards, tuple(unusable))


def read_contract(path: Path, standards: dict[str, Standard]) -> Contract:
    """One contract from a file outside the catalogue.

    Department and dataset are its folder's and its own name, `unnamed` where those aren't identifiers.
    """
    mistakes: list[str] = []
    folder, name = (text if re.fullmatch(IDENTIFIER, text) else "unnamed" for text in (path.parent.name, path.stem))
    contract = _contract(path, standards, mistakes, {"department": folder, "dataset": name})
    _raise(mistakes)
    assert contract is not None
    return contract


@cache
def standards_of(catalog: Path) -> dict[str, Standard]:
    """The column standards alone."""
    mistakes: list[str] = []
    found = {s.name: s for s in _standards(catalog / "standards", mistakes)}
    _raise(mistakes)
    return found


def _raise(mistakes: list[str]) -> None:
    if mistakes:
        count = f"{len(mistakes)} mistake{'s' if len(mistakes) > 1 else ''}"
        raise ContractError(f"{count} in the catalogue\n  " + "\n  ".join(mistakes), hint="mend the lines named above")


def _departments(path: Path, mistakes: list[str]) -> list[Department]:
    document = read_document(path, mistakes)
    if document is None:
        return []
    rows = document.content.get("departments") if isinstance(document.content, dict) else None
    if not isinstance(rows, list):
        mistakes.append(f"{path}:1: a list 'departments' is expected")
        return []
    found = []
    for place, row in enumerate(rows):
        if department := _valid(Department, row, document, ("departments", place), mistakes):
            found.append(department)
    for twice in sorted({d.id for d in found if [x.id for x in found].count(d.id) > 1}):
        mistakes.append(f"{path}: department '{twice}' stands there twice")
    return found


def _standards(folder: Path, mistakes: list[str]) -> list[Standard]:
    found = []
    for path in sorted(folder.glob("*.yml")):
        document = read_document(path, mistakes)
        if document and isinstance(document.content, dict):
            standard = _valid(Standard, {"name": path.stem, **document.content}, document, (), mistakes)
            if standard and standard.codes and not (folder / standard.codes).exists():
                mistakes.append(f"{path}:{document.line(('codes',))}: no file {standard.codes} beside it")
            found += [standard] if standard else []
    return found


def _contracts(
    folder: Path, known: set[str], standards: dict[str, Standard], mistakes: list[str]
) -> tuple[list[Contract], list[Unusable]]:
    found, unusable = [], []
    for path in sorted(folder.glob("*/*.yml")):
        if path.parent.name not in known:
            mistakes.append(
                f"{path}: no department '{path.parent.name}' in departments.yml; {nearest(path.parent.name, known)}"
            )
        own: list[str] = []
        contract = _contract(path, standards, own, {"department": path.parent.name, "dataset": path.stem})
        if contract and not own:
            found.append(contract)
        else:
            unusable.append(Unusable(path.parent.name, path.stem, tuple(own)))
    return found, unusable


def _contract(path: Path, standards: dict[str, Standard], mistakes: list[str], told: dict[str, str]) -> Contract | None:
    """The contract in a file. `told`: the keys that the file's place says and the file doesn't."""
    document = read_document(path, mistakes)
    if document is None:
        return None
    if not isinstance(document.content, dict):
        mistakes.append(f"{path}:1: keys like 'title:' and 'columns:' are expected")
        return None
    for key in told.keys() & document.content.keys():
        mistakes.append(f"{path}:{document.line((key,))}: {key}: unknown key; the path of the file says it")
    contract = _valid(Contract, document.content | told, document, (), mistakes)
    if contract is None:
        return None
    for name, column in contract.columns.items():
        if column.standard and column.standard not in standards:
            line = document.line(("columns", name, "standard"))
            mistakes.append(f"{path}:{line}: no standard '{column.standard}'; {nearest(column.standard, standards)}")
    columns = {name: _classed(column, standards) for name, column in contract.columns.items()}
    return contract.model_copy(update={"columns": columns})


def _classed(column: Column, standards: dict[str, Standard]) -> Column:
    """The column with the class of its standard where it has none of its own: a plate is sensitive wherever it stands."""
    if "class_" in column.model_fields_set or column.standard not in standards:
        return column
    return column.model_copy(update={"class_": standards[column.standard].class_})


def _loose_ends(catalog: Path, contracts: list[Contract], unusable: list[Unusable]) -> dict[str, list[str]]:
    """By contract, its references to columns that no contract declares; what an unusable one declares isn't known."""
    columns = {f"{c.name}.{column}" for c in contracts for column in c.columns}
    unknown = {contract.name for contract in unusable}
    mistakes: dict[str, list[str]] = {}
    for contract in contracts:
        where = catalog / "contracts" / contract.department / f"{contract.dataset}.yml"
        for name, column in contract.columns.items():
            asked = column.references
            if asked and asked not in columns and asked.rpartition(".")[0] not in unknown:
                place = ("columns", name, "references")
                mistakes.setdefault(contract.name, []).append(f"{located(where, place)}: {_no_column(asked, columns)}")
    return mistakes


def _no_column(name: str, columns: set[str]) -> str:
    return f"no column '{name}'; {nearest(name, columns)}"


def _valid(kind: type[Kind], content: Any, document: Document, at: Place, mistakes: list[str]) -> Kind | None:
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        for fault in error.errors(include_url=False):
            place = fault["loc"]
            if place[:1] == ("source",) and place[1:2] and place[1] in KINDS:
                place = (*place[:1], *place[2:])  # pydantic names the kind of source it tried; people don't write that
            key = ".".join(str(part) for part in place) or "(whole file)"
            mistakes.append(f"{document.path}:{document.line((*at, *place))}: {key}: {_explain(kind, place, fault)}")
    return None


def _explain(kind: type[BaseModel], place: Place, fault: Any) -> str:
    if fault["type"] == "extra_forbidden":
        tried = KINDS.get(str(fault["loc"][1])) if fault["loc"][0] == "source" else None
        names = [f.alias or n for n, f in _model_at(tried or kind, place[1 if tried else 0 : -1]).model_fields.items()]
        return f"unknown key; {nearest(str(place[-1]), set(names) - {'department', 'dataset'})}"
    message = str(fault["msg"]).removeprefix("Value error, ")
    if fault["type"] == "literal_error":
        return f"'{fault['input']}' is not one of {fault['ctx']['expected']}"
    return message[0].lower() + message[1:]


def _model_at(kind: type[BaseModel], place: tuple[str | int, ...]) -> type[BaseModel]:
    """The record that holds the keys at `place`; names of columns and numbers of items lead nowhere further."""
    for part in place:
        fields = {field.alias or name: field for name, field in kind.model_fields.items()}
        if str(part) in fields:
            kind = next(_records(fields[str(part)].annotation), kind)
    return kind


def _records(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _records(inner)


def nearest(name: str, names: Iterable[str]) -> str:
    """What to say beside a name nobody knows: the likeliest of the valid names, or the first dozen of them."""
    names = list(names)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f"did you mean '{close[0]}'?" if close else f"known: {', '.join(sorted(names)[:12])}"
