"""GeoJSON: the properties of every feature as sent, its geometry as well-known text."""

import re
from pathlib import Path

import msgspec
import numpy as np
import shapely

from lakehouse.contract import Contract
from lakehouse.formats import geometry, json, objects
from lakehouse.formats.reading import Reading
from lakehouse.source import Dialect

_CODE = re.compile(r"(EPSG|OGC):[\d.]*:?(\w+)$")
_NONE = msgspec.Raw(b"null")


class _Feature(msgspec.Struct, tag="Feature", tag_field="type"):
    properties: msgspec.Raw = _NONE
    geometry: msgspec.Raw = _NONE
    id: msgspec.Raw = _NONE


_FEATURES = msgspec.json.Decoder(_Feature)


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

    def taken(text: objects.Text, opened: frozenset[str]) -> dict[str, str | None]:
        try:
            feature = _FEATURES.decode(text)
            shapes = shapely.from_geojson(np.array([None if feature.geometry == _NONE else bytes(feature.geometry)]))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise objects.NotAnObject(f"not a feature: {error}") from error
        except shapely.errors.GEOSException as error:
            raise objects.NotAnObject(geometry.UNREADABLE) from error
        values = {} if feature.properties == _NONE else objects.fields(feature.properties, opened)
        if feature.id != _NONE and "id" not in values:
            values |= objects.fields(b'{"id":' + bytes(feature.id) + b"}")
        if twice := values.keys() & set(names):
            raise objects.NotAnObject(f"it has two values called '{min(twice)}'")
        return values | {
            name: column[0].as_py() for name, column in zip(names, geometry.texts(shapes, crs, names), strict=True)
        }

    found = lambda: enumerate(json.records(document, "features", contract.limits.row_bytes, where), 1)  # noqa: E731
    return objects.reading(found, contract, where, taken)


def _crs(document: json.Document) -> str:
    """The code of the coordinate system; without a member `crs` longitude and latitude of WGS-84 (RFC 7946)."""
    said = json.member(document, "crs")
    name = str((said.get("properties") or {}).get("name")) if isinstance(said, dict) else "OGC:CRS84"
    code = _CODE.search(name.upper())
    return f"{code[1]}:{code[2]}" if code else name
