"""What all declared records share: they are frozen and strict; identifiers and durations are written one way."""

import re
from datetime import timedelta
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

IDENTIFIER = r"^[a-z][a-z0-9_]{0,62}$"
Identifier = Annotated[str, Field(pattern=IDENTIFIER)]

_DURATION = re.compile(r"(\d+)\s*(m|h|d|w)")
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def duration(text: object) -> timedelta:
    """`90m`, `2h`, `3d`, `1w` as a timedelta. Raises ValueError on anything else."""
    if isinstance(text, timedelta):
        return text
    if match := _DURATION.fullmatch(str(text)):
        return timedelta(**{_UNITS[match[2]]: int(match[1])})
    raise ValueError(f"'{text}' is not a duration like 90m, 2h or 3d")


Duration = Annotated[timedelta, BeforeValidator(duration)]


class Record(BaseModel):
    """A frozen record that refuses keys it doesn't know."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Since(Record):
    """Only what is new: rows whose `column` is above the greatest value landed on an earlier day, less `overlap` (a time, or
    a number where the column counts versions)."""

    column: str = Field(min_length=1)
    overlap: Duration | Annotated[int, Field(ge=0)] = 0
