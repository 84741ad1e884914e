"""The closed list of ways a date or time may be written in a contract's `format:`.

A format is a pattern of the letters below (as in java.time) or one of the words; several are joined by ` | `.
"""

import re

WORDS = ("iso", "epoch_s", "epoch_ms", "excel")
"""`iso`: ISO 8601 (years 1000 to 9999, hours to 23), offset honoured · `epoch_s`, `epoch_ms`: since 1970 in UTC ·
`excel`: days since 1899-12-30 (ECMA-376)."""

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
