"""What goes wrong in a file's bytes after it was written. Functions of bytes; none looks at a contract."""

from collections.abc import Callable

import numpy as np

Random = np.random.Generator
_TOP = 3


def broken_bytes(content: bytes, rng: Random, rows: int) -> bytes:
    """One byte of the last Chinese character of some lines is lost for another."""

    def spoil(line: bytes) -> bytes:
        place = max(place for place, byte in enumerate(line) if byte > 0x7F)
        return line[:place] + b"\xff" + line[place + 1 :]

    return _in_some_lines(content, rng, rows, spoil)


def ragged_lines(content: bytes, rng: Random, rows: int, *, more: str) -> bytes:
    """Some lines have a field too many."""
    return _in_some_lines(content, rng, rows, lambda line: line + more.encode())


def half_line(content: bytes, rng: Random, rows: int) -> bytes:
    """The file ends in the middle of its last line."""
    return content[: -len(content.rstrip(b"\n").rsplit(b"\n", 1)[-1]) // 2 - 1]


def other_delimiter(content: bytes, rng: Random, rows: int, *, old: str, new: str) -> bytes:
    """Every delimiter is another character."""
    return content.replace(old.encode(), new.encode())


def other_encoding(content: bytes, rng: Random, rows: int, *, old: str, new: str) -> bytes:
    """The whole file in another encoding than agreed."""
    return content.decode(old).encode(new)


def emptied(content: bytes, rng: Random, rows: int) -> bytes:
    """No byte at all."""
    return b""


def torn(content: bytes, rng: Random, rows: int) -> bytes:
    """Only the first two thirds have arrived."""
    return content[: len(content) * 2 // 3]


def _in_some_lines(content: bytes, rng: Random, rows: int, change: Callable[[bytes], bytes]) -> bytes:
    """The content with `change` made in some lines, never in the titles and headers on top."""
    lines = content.split(b"\n")
    for place in rng.choice(np.arange(_TOP, len(lines) - 1), rows, replace=False):
        lines[place] = change(lines[place])
    return b"\n".join(lines)


DAMAGES: dict[str, Callable[..., bytes]] = {
    "broken_bytes": broken_bytes,
    "empty_file": emptied,
    "half_json_line": half_line,
    "ragged_lines": ragged_lines,
    "torn_file": torn,
    "wrong_delimiter": other_delimiter,
    "wrong_encoding": other_encoding,
}
"""Kinds that change the written file."""
