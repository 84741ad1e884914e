"""What the readers' programs share: those that `formats.apart` runs in processes of their own. Light to import."""

import json
import resource
import sys
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any, NoReturn

REASON = 2
"""The exit code that says: the reason is on standard error."""


def begin() -> list[Any]:
    """The program's arguments; from here on it may take and write no more bytes than the last two of them say."""
    *given, memory, written = json.loads(sys.argv[1])
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_FSIZE, (written, written))
    return given


def write(line: list[Any]) -> None:
    """One line of JSON on standard output."""
    sys.stdout.buffer.write(json.dumps(line, ensure_ascii=False).encode() + b"\n")


def fail(reason: str) -> NoReturn:
    """Ends the program with a reason for people."""
    print(reason, file=sys.stderr)
    sys.exit(REASON)


def chosen(names: Sequence[str], wanted: str | int, thing: str) -> str:
    """The name that is `wanted`, that has this number from 1, or that alone fits a pattern with `*` and `?`.

    Raises LookupError, in words for people, unless exactly one is meant.
    """
    if isinstance(wanted, int):
        if wanted > len(names):
            raise LookupError(f"no {thing} {wanted} among {len(names)} (a name of digits needs quotes)")
        return names[wanted - 1]
    if wanted in names:
        return wanted
    fitting = [name for name in names if fnmatchcase(name, wanted)]
    if len(fitting) != 1:
        listed = ", ".join((fitting or names)[:10])
        raise LookupError(f"{f'{len(fitting)} {thing}s fit' if fitting else f'no {thing}'} '{wanted}' among {listed}")
    return fitting[0]
