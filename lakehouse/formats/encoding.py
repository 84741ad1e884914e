"""Bytes of a text file as UTF-8, whatever encoding its department writes."""

import codecs
import re
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np
import pyarrow as pa

from lakehouse.errors import ContractError

_BOM = codecs.BOM_UTF8
_WIDER = {"gbk": "gb18030", "gb2312": "gb18030", "utf-8-sig": "utf-8"}
_KEEP = "citylake-keep"
_KEPT = re.compile("[\udc00-\udcff]")
_ASCII = bytes(range(0x80))
_MARKS = {"utf-16": (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE), "utf-32": (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)}
_MARK = 4
"""Bytes of the longest mark."""
_LF = 10
_TELLING = 6
"""Bytes above ASCII that must agree before they speak for an encoding: two characters in UTF-8, three in GB18030."""


def _keep(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return "".join(chr(0xDC00 + byte) for byte in error.object[error.start : error.end]), error.end


codecs.register_error(_KEEP, _keep)


def codec(encoding: str, where: str) -> str:
    """Python's name of a declared encoding; GBK and GB2312 are read as GB18030, which holds both.

    Raises ContractError when there is no such text encoding.
    """
    try:
        "".encode(encoding)
        name = codecs.lookup(encoding).name
    except (LookupError, ValueError) as error:
        raise ContractError(
            f"encoding '{encoding}' is unknown", where=where, hint="use utf-8, gb18030, utf-16 or latin-1"
        ) from error
    return _WIDER.get(name, name)


def utf8(stream: BinaryIO, encoding: str, size: int) -> Iterator[bytes]:
    """The stream as UTF-8 in chunks of about `size` bytes, without a byte order mark.

    A byte that isn't valid in `encoding` becomes a lone surrogate, which is no valid UTF-8 either: so exactly the
    record that holds it fails, and `readable` can still show the byte.
    """
    chunks = _raw(stream, size) if encoding == "utf-8" else _decoded(stream, encoding, size)
    for first in chunks:
        yield first.removeprefix(_BOM)
        break
    yield from chunks


def _raw(stream: BinaryIO, size: int) -> Iterator[bytes]:
    while chunk := stream.read(size):
        yield chunk


def _decoded(stream: BinaryIO, encoding: str, size: int) -> Iterator[bytes]:
    decoder = None
    while chunk := stream.read(max(size, _MARK)):
        decoder = decoder or codecs.getincrementaldecoder(_with_order(encoding, chunk))(_KEEP)
        yield decoder.decode(chunk).encode("utf-8", "surrogatepass")
    if decoder and (rest := decoder.decode(b"", final=True)):
        yield rest.encode("utf-8", "surrogatepass")


def _with_order(encoding: str, head: bytes) -> str:
    """UTF-16 or UTF-32 in one of its two orders where no mark says it, that of Windows in doubt."""
    if encoding not in _MARKS or head.startswith(_MARKS[encoding]):
        return encoding
    big = encoding == "utf-16" and (_wide(head) or _wide_lines(head)) == "utf-16-be"
    return f"{encoding}-be" if big else f"{encoding}-le"


def is_utf8(data: bytes) -> bool:
    """Whether the bytes are valid UTF-8. Arrow looks at them faster than Python, and beside other threads."""
    if data.isascii():
        return True
    try:
        pa.array([data], pa.binary()).cast(pa.string())
    except pa.ArrowInvalid:
        return False
    return True


def readable(data: bytes) -> str:
    """Text for people: what is UTF-8 as it is, every other byte as sent, written \\xNN."""
    try:
        text = data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        text = data.decode("utf-8", _KEEP)
    shown = _KEPT.sub(lambda kept: f"\\x{ord(kept[0]) - 0xDC00:02x}", text)
    return shown.encode("utf-8", "backslashreplace").decode()


def contradicts(likely: str, declared: str) -> bool:
    """Whether a file that is likely in one encoding can't be meant in the declared one."""
    if likely.startswith("utf-16"):
        return not declared.startswith("utf-16")
    return likely == "utf-8" and declared != "utf-8"


def likely(sample: bytes) -> str:
    """The encoding a file is probably in: utf-16 by its mark or zero bytes, else by what decodes; ascii if few tell."""
    if sample.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if wide := _wide(sample):
        return wide
    whole_lines = sample[: sample.rfind(b"\n") + 1] or sample
    if len(whole_lines.translate(None, _ASCII)) < _TELLING:
        return "ascii"
    if is_utf8(whole_lines):
        return "utf-8"
    if wide := _wide_lines(sample):
        return wide
    return next((name for name in ("gb18030", "big5") if _reads_as_chinese(whole_lines, name)), "latin-1")


def _wide(sample: bytes) -> str | None:
    """UTF-16 by its ASCII, if that is a third of it: its zero bytes are on one side."""
    even, odd = sample[::2], sample[1::2]
    sides = ((odd, even, "utf-16-le"), (even, odd, "utf-16-be"))
    return next((name for high, low, name in sides if high.count(0) * 3 > len(high) and 0 not in low), None)


def _wide_lines(sample: bytes) -> str | None:
    """UTF-16 by the ends of its lines, where characters like 一 have zero bytes on the other side."""
    pairs = np.frombuffer(sample[: len(sample) // 2 * 2], "<u2")
    ends = {"utf-16-le": int((pairs == _LF).sum()), "utf-16-be": int((pairs == _LF << 8).sum())}
    return next((name for name, count in ends.items() if count * 2 > sample.count(_LF)), None)


def _reads_as_chinese(data: bytes, name: str) -> bool:
    try:
        foreign = [char for char in data.decode(name) if ord(char) > 0x7F]
    except UnicodeDecodeError:
        return False
    chinese = sum("\u3000" <= char <= "\u303f" or "\u4e00" <= char <= "\u9fff" or char > "\uff00" for char in foreign)
    return chinese * 5 >= len(foreign) * 4
