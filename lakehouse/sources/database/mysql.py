"""A MySQL or MariaDB table or view, by PyMySQL without its conversions: every value as the server prints it."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from urllib.parse import parse_qs, unquote, urlsplit

import numpy as np
import pyarrow as pa
import pymysql
from pymysql.constants import CR, ER, FIELD_TYPE
from pymysql.converters import encoders
from pymysql.cursors import SSCursor

from lakehouse.source import TableSource
from lakehouse.sources.database import tables
from lakehouse.sources.database.query import CONNECT_S, Condition, Query, Trouble, Value, batches
from lakehouse.sources.received import Asked, Received

_OFFSET = "+08:00"
"""Of Asia/Shanghai since 1991; servers know an offset without their table of zones."""

_NO_PASSWORD = 1698
"""ER_ACCESS_DENIED_NO_PASSWORD_ERROR: a log-in that the operating system, not a password, vouches for."""

_KILLED = 1927
"""MariaDB's ER_CONNECTION_KILLED. https://mariadb.com/kb/en/mariadb-error-codes/"""

_TROUBLES: dict[int, Trouble] = {
    ER.ACCESS_DENIED_ERROR: "login",
    ER.DBACCESS_DENIED_ERROR: "login",
    _NO_PASSWORD: "login",
    ER.NO_SUCH_TABLE: "table",
    ER.BAD_DB_ERROR: "table",
    ER.NO_DB_ERROR: "table",
    ER.TABLEACCESS_DENIED_ERROR: "right",
    ER.COLUMNACCESS_DENIED_ERROR: "right",
    ER.CON_COUNT_ERROR: "busy",
    ER.TOO_MANY_USER_CONNECTIONS: "busy",
    ER.USER_LIMIT_REACHED: "busy",
    ER.SERVER_SHUTDOWN: "busy",
    ER.LOCK_WAIT_TIMEOUT: "busy",
    ER.LOCK_DEADLOCK: "busy",
    ER.QUERY_INTERRUPTED: "broken",
    _KILLED: "broken",
    ER.QUERY_TIMEOUT: "slow",
    ER.STATEMENT_TIMEOUT: "slow",
    CR.CR_CONN_HOST_ERROR: "down",
    CR.CR_CONNECTION_ERROR: "down",
    CR.CR_UNKNOWN_HOST: "down",
    CR.CR_SERVER_GONE_ERROR: "broken",
    CR.CR_SERVER_LOST: "broken",
}


def fetch(asked: Asked, source: TableSource) -> Iterator[Received]:
    """The day's rows, as `tables.fetch`: TIMESTAMP with the offset of Asia/Shanghai, DATETIME as it is, FLOAT as the shortest
    text that is read as the same again; bytes, bits and geometries (SRID and WKB) hexadecimal; a BOOLEAN is 1 or 0 there."""
    yield from tables.fetch(asked, source, _read, ("mysql", "mariadb"))


def _read(query: Query) -> Iterator[pa.RecordBatch]:
    with _refusals(query), closing(_connection(query)) as connection:
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT * FROM {query.table(_quoted)} LIMIT 0", ())
            kinds = {name: kind for name, kind, *_ in cursor.description}
        columns = query.checked(list(kinds))
        selected = (_selected(name, kinds[name]) for name in columns)
        floats = [kinds[name] == FIELD_TYPE.FLOAT for name in columns]
        with _streaming(connection) as cursor:
            cursor.execute(query.select(selected, _quoted, _compared), list(map(_value, query.conditions)))
            yield from batches(columns, (list(map(_text, row, floats)) for row in cursor))


def _connection(query: Query) -> "pymysql.Connection[SSCursor]":
    address = urlsplit(query.uri)
    options = {name: values[-1] for name, values in parse_qs(address.query).items()}
    with _refusals(query, lost="down"):
        connection = pymysql.connect(
            host=address.hostname or "localhost",
            port=address.port or 3306,
            user=unquote(address.username or ""),
            password=unquote(address.password or ""),
            database=unquote(address.path[1:]) or None,
            unix_socket=options.get("unix_socket"),
            ssl_ca=options.get("ssl_ca"),
            charset="utf8mb4",
            conv=dict(encoders),  # decodes nothing
            connect_timeout=CONNECT_S,
            read_timeout=CONNECT_S,
            write_timeout=query.seconds,
        )
    connection._read_timeout = query.seconds  # a server may take as long for an answer, not for its greeting
    limit = "max_statement_time = %s" if "MariaDB" in connection.get_server_info() else "max_execution_time = %s * 1000"
    with connection.cursor() as cursor:
        cursor.execute(f"SET time_zone = '{_OFFSET}', net_write_timeout = %s", (query.seconds,))
        cursor.execute(f"SET {limit}", (query.seconds,))
        cursor.execute("START TRANSACTION READ ONLY")
    return connection


@contextmanager
def _streaming(connection: "pymysql.Connection[SSCursor]") -> Iterator[SSCursor]:
    cursor = connection.cursor(SSCursor)
    try:
        yield cursor
    finally:
        if result := cursor._result:
            result.unbuffered_active = False  # else it would read what is left of the table before it lets go


def _compared(condition: Condition) -> str:
    return f"{_quoted(condition.column)} {condition.sign} %s"


def _value(condition: Condition) -> Value:
    """A moment as the session's clock showed it: literals of MariaDB have no offset."""
    value = condition.value
    return value.replace(tzinfo=None) if isinstance(value, datetime) else value


def _selected(name: str, kind: int) -> str:
    column = _quoted(name)
    if kind == FIELD_TYPE.TIMESTAMP:
        return f"CONCAT({column}, '{_OFFSET}')"
    return f"{column} + 0e0" if kind == FIELD_TYPE.FLOAT else column  # as FLOAT it prints six digits


def _text(value: str | bytes | None, is_float: bool) -> str | None:
    if is_float and value is not None:
        return str(np.float32(value))
    return value.hex() if isinstance(value, bytes) else value


def _quoted(name: str) -> str:
    """A name in a query that takes arguments, where a percent sign is doubled."""
    return "`" + name.replace("`", "``").replace("%", "%%") + "`"


@contextmanager
def _refusals(query: Query, lost: Trouble = "broken") -> Iterator[None]:
    """Errors of the driver as ours; `lost` says what it is when the server ends the connection."""
    try:
        yield
    except pymysql.Error as error:
        code = error.args[0] if error.args and isinstance(error.args[0], int) else 0
        trouble = _TROUBLES.get(code, "query")
        if trouble == "broken" == lost:
            raise query.broken_off() from None
        raise query.failed(lost if trouble == "broken" else trouble, f"error {code}") from None
