"""How far an API has been read: the greatest value of a column in what has landed before, and in the day's answers."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from lakehouse.api import ApiSince
from lakehouse.formats.objects import Text
from lakehouse.formats.pages import scalar
from lakehouse.instants import read
from lakehouse.settings import ZONE, clock
from lakehouse.sources.api.asking import Values, instant
from lakehouse.sources.received import Asked

Mark = int | datetime | str


class Reach:
    """How far the column of `since` has been read, as number, instant or text, whatever the contract says it is.

    Values that don't fit its type don't count, nor do instants later than now: one wrong year would hide all that comes.
    """

    def __init__(self, asked: Asked, since: ApiSince) -> None:
        contract = asked.contract
        sent = {contract.sent_name(name): column for name, column in contract.columns.items()}
        self._since, self._column = since, sent[since.column]
        self._now = clock()
        known = asked.marks.get(since.column)
        self._mark = self._greatest = None if known is None else self._known(known)

    def asked(self) -> Values:
        """What to say to the API, the same all day: the mark before the day, less the overlap."""
        since, mark = self._since, self._mark
        if mark is None:
            return {since.param: since.start} if since.start is not None else {}
        if isinstance(mark, datetime):
            return {since.param: instant(mark - (since.overlap or timedelta(0)), since)}  # type: ignore[operator]
        return {since.param: mark - since.overlap if isinstance(mark, int) else mark}  # type: ignore[operator]

    def note(self, records: Iterable[Text]) -> None:
        """Takes in what the records say."""
        for record in records:
            text = scalar(record, self._since.column)
            value = self._value(text) if text else None
            if value is not None and (self._greatest is None or value > self._greatest):  # type: ignore[operator]
                self._greatest = value

    def marks(self) -> Mapping[str, str]:
        """The greatest value so far, for the manifest."""
        if self._greatest is None:
            return {}
        text = self._greatest.isoformat() if isinstance(self._greatest, datetime) else str(self._greatest)
        return {self._since.column: text}

    def _value(self, text: str) -> Mark | None:
        match self._column.type:
            case "integer":
                return int(text) if text.lstrip("-").isdecimal() else None
            case "timestamp" | "date":
                at = read(text, self._column.format or "iso", ZoneInfo(self._column.zone or ZONE.key))
                return at if at and at <= self._now else None
        return text

    def _known(self, text: str) -> Mark | None:
        """A mark of the manifest; none where it was made when the column was of another type."""
        with suppress(ValueError):
            match self._column.type:
                case "integer":
                    return int(text)
                case "timestamp" | "date":
                    at = datetime.fromisoformat(text)
                    return at if at.tzinfo else None
                case _:
                    return text
        return None
