"""Bytes of a text file as UTF-8, whatever encoding its department writes."""

import codecs
import re
from collections.abc import Iterator
from typing import BinaryIO

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
    return f"{encoding}-be" if likely(head) == f"{encoding}-be" else f"{encoding}-le"


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
    if wide := _wide(sample, 1 / 3):
        return wide
    whole_lines = sample[: sample.rfind(b"\n") + 1] or sample
    if len(whole_lines.translate(None, _ASCII)) < _TELLING:
        return "ascii"
    if is_utf8(whole_lines):
        return "utf-8"
    if wide := _wide(sample, 1 / 50):
        return wide
    return next((name for name in ("gb18030", "big5") if _reads_as_chinese(whole_lines, name)), "latin-1")


def _wide(sample: bytes, share: float) -> str | None:
    """UTF-16 by its ASCII, at least that share of the text: delimiters and line ends have their zero byte on one side. So
    do a few other characters, like 一, on the other."""
    even, odd = sample[::2], sample[1::2]
    for zeros, others, name in ((odd, even, "utf-16-le"), (even, odd, "utf-16-be")):
        if zeros.count(0) > share * len(zeros) and zeros.count(0) > 2 * others.count(0):
            return name
    return None


def _reads_as_chinese(data: bytes, name: str) -> bool:
    try:
        foreign = [char for char in data.decode(name) if ord(char) > 0x7F]
    except UnicodeDecodeError:
        return False
    chinese = sum("\u3000" <= char <= "\u303f" or "\u4e00" <= char <= "\u9fff" or char > "\uff00" for char in foreign)
    return chinese * 5 >= len(foreign) * 4
