"""The closed list of ways a date or time may be written in a contract's `format:`.

A format is a pattern of the letters below (as in java.time) or one of the words; several are joined by ` | `.
"""

import re
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

WORDS = ("iso", "epoch_s", "epoch_ms", "excel", "excel_1904")
"""`iso`: ISO 8601 (years 1000 to 9999, hours to 23), offset honoured · `epoch_s`, `epoch_ms`: since 1970 in UTC ·
`excel`: days since 1899-12-30, `excel_1904`: since 1904-01-01, as workbooks with either date system count (ECMA-376)."""

_TOKENS = {
    "yyyy": (r"[1-9]\d{3}", "%Y"),
    "yy": (r"\d{2}", "%y"),
    "MM": (r"\d{2}", "%m"),
    "M": (r"\d{1,2}", "%m"),
    "dd": (r"\d{2}", "%d"),
    "d": (r"\d{1,2}", "%d"),
    "HH": (r"([01]\d|2[0-3])", "%H"),
    "H": (r"\d{1,2}", "%H"),
    "hh": (r"\d{2}", "%I"),
    "h": (r"\d{1,2}", "%I"),
    "mm": (r"\d{2}", "%M"),
    "ss": (r"\d{2}", "%S"),
    "SSS": (r"\d{3}", "%g"),
    "a": (r"[AaPp][Mm]", "%p"),
}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY_0 = {"excel": datetime(1899, 12, 30), "excel_1904": datetime(1904, 1, 1)}
_RUNS = re.compile(r"([A-Za-z])\1*|[^A-Za-z]")


def alternatives(text: str) -> tuple[str, ...]:
    """The single formats of a contract's `format:`. Raises ValueError for a letter that isn't in the list, and without a year."""
    formats = tuple(part.strip() for part in text.split("|"))
    for one in formats:
        translated(one)
    return formats


def translated(one: str) -> tuple[str, str]:
    """An anchored RE2 pattern and the strptime format of one format; words come back as they are."""
    if one in WORDS:
        return "", one
    expression, strptime = "", ""
    for token in (run[0] for run in _RUNS.finditer(one.replace("'T'", "T"))):
        if token in _TOKENS:
            expression += _TOKENS[token][0]
            strptime += _TOKENS[token][1]
        elif token.isascii() and token.isalpha() and token != "T":
            raise ValueError(
                f"'{token}' in format '{one}' isn't known (letters: {' '.join(_TOKENS)}; words: {' '.join(WORDS)})"
            )
        else:
            expression += re.escape(token)
            strptime += token.replace("%", "%%")
    if "%Y" not in strptime and "%y" not in strptime:
        raise ValueError(f"format '{one}' has no year")
    return f"^{expression}$", strptime


def is_fixed_width(text: str) -> bool:
    """Whether equal instants are always written alike: one format, every field at its full width."""
    formats = alternatives(text)
    return (
        len(formats) == 1 and formats[0] not in WORDS and not re.search(r"(?<![A-Za-z])[MdHha](?![A-Za-z])", formats[0])
    )


def read(text: str, form: str, zone: ZoneInfo) -> datetime | None:
    """The instant (UTC) that a text means, wall-clock time in `zone` unless it has an offset; None if it fits no format."""
    for one in alternatives(form):
        with suppress(ValueError, OverflowError):
            at = _read(text.strip(), one)
            return (at if at.tzinfo else at.replace(tzinfo=zone)).astimezone(UTC)
    return None


def _read(text: str, one: str) -> datetime:
    match one:
        case "iso":
            return datetime.fromisoformat(text)
        case "epoch_s" | "epoch_ms":
            return _EPOCH + timedelta(seconds=float(text)) / (1000 if one == "epoch_ms" else 1)
        case "excel" | "excel_1904":
            return _DAY_0[one] + timedelta(days=float(text))
    expression, strptime = translated(one)
    if not re.match(expression, text):
        raise ValueError("another format")
    return datetime.strptime(text, strptime.replace("%g", "%f"))


def written(at: datetime, one: str, zone: ZoneInfo) -> str:
    """An instant in one format, as wall-clock time in `zone`."""
    local = at.astimezone(zone)
    match one:
        case "iso":
            return local.isoformat(timespec="milliseconds" if local.microsecond else "seconds")
        case "epoch_s":
            return str(int(at.timestamp()))
        case "epoch_ms":
            return str(int(at.timestamp() * 1000))
        case "excel" | "excel_1904":
            return str((local.replace(tzinfo=None) - _DAY_0[one]) / timedelta(days=1))
    text = ""
    for token in (run[0] for run in _RUNS.finditer(one.replace("'T'", "T"))):
        if token == "SSS":
            text += f"{local.microsecond // 1000:03}"
        elif token in _TOKENS:
            text += local.strftime(_TOKENS[token][1] if len(token) > 1 or token == "a" else f"%-{_TOKENS[token][1][1]}")
        else:
            text += token
    return text


def resolution(one: str) -> timedelta:
    """The least time between two instants that one format tells apart."""
    for mark, least in (
        ("SSS", 0.001),
        ("epoch_ms", 0.001),
        ("ss", 1),
        ("epoch_s", 1),
        ("iso", 1),
        ("mm", 60),
        ("H", 3600),
    ):
        if mark in one:
            return timedelta(seconds=least)
    return timedelta(days=1)
