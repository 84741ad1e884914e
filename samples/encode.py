"""Tables as the bytes a department would send: its column names, its format, its dialect."""

import io
import json
import re
import zipfile

import openpyxl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pcsv
import pyarrow.parquet as pq

from lakehouse.contract import Contract
from lakehouse.source import FileSource

SUFFIXES = (".csv", ".txt", ".xlsx", ".jsonl", ".parquet")
_MODIFIED = re.compile(rb"(<dcterms:(?:created|modified)[^>]*>)[^<]*")
_LONG_AGO = (2026, 1, 1, 0, 0, 0)


def encode(table: pa.Table, contract: Contract) -> bytes:
    """The file of one delivery. Columns keep their order, declared ones get their sent name. Same table, same bytes."""
    source = contract.source
    assert isinstance(source, FileSource)
    sent = table.rename_columns([sent_name(contract, name) for name in table.column_names])
    match suffix(source):
        case ".csv" | ".txt":
            return _csv(sent, source)
        case ".xlsx":
            return _xlsx(sent, source)
        case ".jsonl":
            return _jsonl(sent)
        case ".parquet":
            return _parquet(sent)
        case unknown:
            raise ValueError(f"{contract.name}: no writer for '{unknown}'")


def suffix(source: FileSource) -> str:
    """How the delivered file's name ends, as the contract's pattern says."""
    return next(ending for ending in SUFFIXES if source.uri.endswith(ending))


def first_row(source: FileSource) -> int:
    """`_source_row` of the first data record."""
    if suffix(source) in (".jsonl", ".parquet"):
        return 1
    return source.skip + (2 if source.header else 1)


def sent_name(contract: Contract, column: str) -> str:
    """The name under which the department sends a column, declared or not."""
    return contract.sent_name(column) if column in contract.columns else column


def records(table: pa.Table) -> list[str]:
    """One JSON object a row, nulls included."""
    return [json.dumps(row, ensure_ascii=False, separators=(",", ":")) for row in table.to_pylist()]


def _csv(table: pa.Table, source: FileSource) -> bytes:
    if source.null:
        table = _marked(table, source.null[0])
    try:
        body = _lines(table, source, "none")
    except pa.ArrowInvalid:  # some text holds a quote, a delimiter or a line break
        body = _lines(table, source, "needed")
    if source.encoding == "utf-8" and source.quote == '"':
        return body
    return body.decode().replace('"', source.quote).encode(source.encoding)


def _lines(table: pa.Table, source: FileSource, quoting: str) -> bytes:
    sink = pa.BufferOutputStream()
    sink.write(_preamble(table, source).encode())
    options = pcsv.WriteOptions(include_header=False, delimiter=source.delimiter_of(source.uri), quoting_style=quoting)
    pcsv.write_csv(table, sink, options)
    return bytes(sink.getvalue())


def _marked(table: pa.Table, null: str) -> pa.Table:
    return pa.table({name: pc.fill_null(table[name].cast(pa.string()), null) for name in table.column_names})


def _preamble(table: pa.Table, source: FileSource) -> str:
    titles = "".join(f"# 南通市数据共享平台导出 {n + 1}\n" for n in range(source.skip))
    return titles + (source.delimiter_of(source.uri).join(table.column_names) + "\n" if source.header else "")


def _jsonl(table: pa.Table) -> bytes:
    return ("\n".join(records(table)) + "\n").encode()


def _parquet(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd")
    return sink.getvalue()


def _xlsx(table: pa.Table, source: FileSource) -> bytes:
    book = openpyxl.Workbook(write_only=True)
    if source.sheet:
        book.create_sheet("说明").append(["本表由业务系统自动导出"])
    sheet = book.create_sheet(str(source.sheet or "Sheet1"))
    for n in range(source.skip):
        sheet.append([f"南通市数据共享平台导出 {n + 1}"])
    sheet.append(table.column_names)
    for row in zip(*(column.to_pylist() for column in table.itercolumns()), strict=True):
        sheet.append(row)
    sink = io.BytesIO()
    book.save(sink)
    return _timeless(sink.getvalue())


def _timeless(archive: bytes) -> bytes:
    """The same workbook without the moment of its making, which openpyxl writes into it."""
    sink = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive)) as old, zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as new:
        for entry in old.infolist():
            content = _MODIFIED.sub(rb"\g<1>2026-01-01T00:00:00Z", old.read(entry))
            new.writestr(zipfile.ZipInfo(entry.filename, _LONG_AGO), content, zipfile.ZIP_DEFLATED)
    return sink.getvalue()
