"""One of several named things in a file: a sheet, a layer, a table."""

from collections.abc import Sequence
from fnmatch import fnmatchcase


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
