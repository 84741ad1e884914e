"""A program of its own: writes one layer of a geographic file as an Arrow stream.

GDAL parses what departments send in C++, so it runs apart, within a memory limit, and with the drivers of four formats
only: others would follow what a file says to other files and addresses. Arguments: path, layer (its name, number or a
pattern; null for the only one). Columns are called by their position, texts are bytes as stored; the schema's `layer` says
in JSON what they are.
"""

import json
import os
import sys

from lakehouse.program import begin, chosen, fail

_READ = {"ESRI Shapefile", "GPKG", "LIBKML"}
_NOT_READ = (
    "MEM", "PCIDSK", "PDS4", "VICAR", "PDF", "MBTiles", "EEDA", "OGCAPI", "GDALG", "MapInfo File", "LVBAG", "S57", "DGN",
    "OGR_VRT", "CSV", "GML", "GPX", "KML", "GeoJSON", "GeoJSONSeq", "ESRIJSON", "TopoJSON", "OGR_GMT", "SQLite", "WAsP",
    "OpenFileGDB", "DXF", "FlatGeobuf", "GeoRSS", "VFK", "PGDUMP", "OSM", "GPSBabel", "OGR_PDS", "WFS", "OAPIF", "EDIGEO",
    "Idrisi", "ODS", "XLSX", "Elasticsearch", "Carto", "AmigoCloud", "SXF", "Selafin", "JML", "PLSCENES", "CSW", "VDV", "MVT",
    "NGW", "MapML", "GTFS", "PMTiles", "JSONFG", "MiraMonVector", "ADBC", "AVCBin", "AVCE00", "AIVector", "HTTP",
)  # fmt: skip
_DATABASE = ".gpkg"
_AT_ONCE = 5_000


def main(path: str, wanted: str | int | None) -> None:
    # read once, when the libraries are loaded; the pool Arrow prefers reserves half of the memory the program may take
    os.environ |= {"GDAL_SKIP": ",".join(_NOT_READ), "ARROW_DEFAULT_MEMORY_POOL": "system"}
    for slow in ("pandas", "shapely"):  # looked for, but not needed
        sys.modules[slow] = None  # type: ignore[assignment]
    import pyogrio

    if others := pyogrio.list_drivers().keys() - _READ:
        fail(f"this version of GDAL has drivers nobody has judged: {', '.join(sorted(others))}")
    if path.endswith(_DATABASE):
        _refuse_damaged(path)
    try:
        _write(path, _layer(path, wanted))
    except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError, pyogrio.errors.FeatureError) as error:
        fail(f"it can't be read: {str(error).partition(';')[0].replace(path, 'the file')}")


def _refuse_damaged(path: str) -> None:
    """GDAL stops at the first damaged page and says nothing of the rows behind it."""
    import sqlite3

    try:
        with sqlite3.connect(f"file:{path}?immutable=1", uri=True) as database:
            (answer,) = database.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.DatabaseError as error:
        answer = str(error)
    if answer != "ok":
        fail(f"the database is damaged: {answer.splitlines()[-1]}")


def _layer(path: str, wanted: str | int | None) -> str:
    import pyogrio

    layers = [str(name) for name, _ in pyogrio.list_layers(path)]
    if wanted is None and len(layers) != 1:
        fail(f"it has {len(layers)} layers, 'sheet' must say which: {', '.join(layers[:10])}")
    try:
        return chosen(layers, 1 if wanted is None else wanted, "layer")
    except LookupError as error:
        fail(str(error.args[0]))


def _write(path: str, layer: str) -> None:
    import pyarrow as pa
    from pyogrio.raw import open_arrow

    numbered = path.endswith(_DATABASE)  # only there is the feature's number a column that somebody gave
    raw = path.endswith((".shp", ".dbf"))
    how = {"ENCODING": ""} if raw else {"IMMUTABLE": "YES"} if numbered else {}
    with open_arrow(
        path, layer, use_pyarrow=True, batch_size=_AT_ONCE, return_fids=numbered, datetime_as_string=True, **how
    ) as (meta, reader):
        # Names that aren't UTF-8 come as if they were Latin-1.
        names = [str(name) for name in meta["fields"]]
        names = [name.encode("latin-1" if raw else "utf-8").hex() for name in names]
        # A schema with such names can't be looked at: columns are reached by position.
        kinds = [reader.schema.field(position).type for position in range(len(reader.schema))]
        texts = [pa.types.is_string(kind) for kind in kinds]
        kinds = [pa.binary() if text else kind for kind, text in zip(kinds, texts, strict=True)]
        fields = [pa.field(str(position), kind) for position, kind in enumerate(kinds)]
        about = {
            "names": names,
            "texts": texts[numbered : numbered + len(names)],
            "crs": meta["crs"],
            "fid": meta["fid_column"] if numbered else None,
            "geometry": meta["geometry_type"] is not None,
        }
        schema = pa.schema(fields, {"layer": json.dumps(about)})
        with pa.ipc.new_stream(sys.stdout.buffer, schema) as stream:
            for batch in reader:
                columns = batch.to_struct_array().flatten()
                columns = [column.cast(kind) for column, kind in zip(columns, kinds, strict=True)]
                stream.write_batch(pa.RecordBatch.from_arrays(columns, schema=schema))


if __name__ == "__main__":
    main(*begin())
