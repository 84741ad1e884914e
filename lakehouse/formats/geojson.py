"""GeoJSON: the properties of every feature as sent, its geometry as well-known text."""

import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import msgspec
import numpy as np
import shapely

from lakehouse.contract import Contract
from lakehouse.formats import geometry, json, objects
from lakehouse.formats.reading import Reading
from lakehouse.source import Dialect

_CODE = re.compile(r"(EPSG|OGC):[\d.]*:?(\w+)$")
_AT_ONCE = 1_000
_NULL = msgspec.Raw(b"null")

Fields = dict[str, msgspec.Raw]


class _Feature(msgspec.Struct, tag="Feature", tag_field="type"):
    properties: Fields | None = None
    geometry: msgspec.Raw = _NULL
    id: msgspec.Raw = _NULL


_FEATURE = msgspec.json.Decoder(_Feature)


def read(path: Path, contract: Contract, source: Dialect) -> Reading:
    """The features of a collection, numbered from 1; one that can't be read, its geometry included, is unparsable.

    Columns are the properties, `id` of features that have one, `geometry` and what `geometry.columns` adds. Raises
    DeliveryUnreadable like a JSON document, and where the file contradicts `point.crs`.
    """
    where = f"{contract.name} {path.name}"
    document = json.opened(path, source, where)
    crs = _crs(document)
    geometry.refuse_other_crs(crs, contract, where)
    names = geometry.columns(contract)

    def found() -> Iterator[tuple[int, objects.Text | objects.Fault]]:
        features = enumerate(json.records(document, "features", contract.limits.row_bytes, where), 1)
        while some := list(islice(features, _AT_ONCE)):
            yield from zip((row for row, _ in some), _rows([text for _, text in some], crs, names), strict=True)

    return objects.reading(found, contract, where)


def _rows(texts: list[bytes], crs: str, names: list[str]) -> Iterator[objects.Text | objects.Fault]:
    """Features as objects: their properties, and geometry under the given names."""
    features = [_feature(text) for text in texts]
    sent = [
        None if isinstance(feature, str) or feature.geometry == _NULL else bytes(feature.geometry)
        for feature in features
    ]
    shapes = shapely.from_geojson(np.array([*sent, None], object)[:-1], on_invalid="ignore")
    placed = [column.to_pylist() for column in geometry.texts(shapes, crs, names)]
    for position, (text, feature) in enumerate(zip(texts, features, strict=True)):
        if isinstance(feature, str):
            yield objects.Fault(feature, text)
        elif sent[position] and shapes[position] is None:
            yield objects.Fault(geometry.UNREADABLE, text)
        else:
            fields: dict[str, object] = {**(feature.properties or {})}
            if feature.id != _NULL:
                fields.setdefault("id", feature.id)
            if twice := fields.keys() & set(names):
                yield objects.Fault(f"it has two values called '{min(twice)}'", text)
            else:
                yield msgspec.json.encode(
                    fields | {name: column[position] for name, column in zip(names, placed, strict=True)}
                )


def _feature(text: bytes) -> _Feature | str:
    """The feature, or why it is none."""
    try:
        return _FEATURE.decode(text)
    except objects.REASONS as error:
        return f"not a feature: {error}"


def _crs(document: json.Document) -> str:
    """The code of the coordinate system; without a member `crs` longitude and latitude of WGS-84 (RFC 7946)."""
    said = json.member(document, "crs")
    name = str((said.get("properties") or {}).get("name")) if isinstance(said, dict) else "OGC:CRS84"
    code = _CODE.search(name.upper())
    return f"{code[1]}:{code[2]}" if code else name
