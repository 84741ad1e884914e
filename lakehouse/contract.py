"""The typed record of one dataset's contract: shape only. `expectations.catalog` reads it from YAML."""

import hashlib
import re
from datetime import date, datetime, time, timedelta
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from lakehouse.declared import Duration, Identifier, Record
from lakehouse.instants import alternatives
from lakehouse.settings import ZONE
from lakehouse.source import HttpSource, Source

Type = Literal["string", "integer", "double", "decimal", "boolean", "date", "timestamp"]
Level = Literal["error", "warn"]
Drift = Literal["evolve", "quarantine", "discard_value", "freeze"]
Index = Literal["key", "space", "space_time", "track"]

ROLES: dict[str, frozenset[str]] = {
    "fix": frozenset({"vehicle", "at", "point"}),
    "firm": frozenset({"uscc", "name", "address", "phone", "status"}),
    "person": frozenset({"id", "name", "phone"}),
    "place": frozenset({"name", "address", "point"}),
    "vehicle": frozenset({"plate", "owner"}),
}
"""What a dataset can describe, and the slots of each role. A slot names a column, or `point` for the contract's point."""

_FREQUENCY_DAYS = {"day": 1, "week": 7, "month": 30, "quarter": 90, "year": 365}


def _bound(kind: Type, given: float | str) -> float:
    """A bound as a number that orders it: instants as people write them, wall-clock time where they have no offset."""
    if kind in ("date", "timestamp"):
        moment = datetime.fromisoformat(str(given))
        return (moment if moment.tzinfo else moment.replace(tzinfo=ZONE)).timestamp()
    if isinstance(given, str):
        raise ValueError(f"between: '{given}' is not a number")
    return given


class Column(Record):
    """One declared column. `from` is its name as sent; every rule given here is a check."""

    type: Type
    from_: str | None = Field(None, alias="from")
    title: str | None = None
    required: bool = False
    unique: bool = False
    standard: str | None = None
    class_: Literal["public", "internal", "sensitive"] = Field("internal", alias="class")
    format: str | None = None
    zone: str | None = None
    between: tuple[float | str, float | str] | None = None
    in_: tuple[str, ...] | None = Field(None, alias="in")
    pattern: str | None = None
    length: tuple[int, int] | None = None
    references: str | None = Field(None, pattern=r"^[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*$")
    level: Level | None = None

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, pattern: str | None) -> str | None:
        if pattern is not None:
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"'{pattern}' is not a regular expression: {error}") from error
        return pattern

    @field_validator("format")
    @classmethod
    def _known_letters(cls, form: str | None) -> str | None:
        if form is not None:
            alternatives(form)
        return form

    @model_validator(mode="after")
    def _format_fits_type(self) -> Self:
        if self.format and self.type not in ("date", "timestamp"):
            raise ValueError("'format' is for date and timestamp columns")
        if self.zone and self.type != "timestamp":
            raise ValueError("'zone' is for timestamp columns")
        if self.type in ("boolean", "string") and self.between:
            raise ValueError("'between' is for numbers, dates and timestamps")
        if self.type not in ("string", "integer") and self.in_:
            raise ValueError("'in' is for strings and integers")
        for name in ("length", "pattern", "standard"):
            if self.type != "string" and getattr(self, name) is not None:
                raise ValueError(f"'{name}' is for strings")
        return self

    @model_validator(mode="after")
    def _bounds_in_order(self) -> Self:
        if self.length and not 0 <= self.length[0] <= self.length[1]:
            raise ValueError(f"length: {list(self.length)} isn't [least, most]")
        if self.between:
            low, high = (_bound(self.type, given) for given in self.between)
            if low > high:
                raise ValueError(f"between: {list(self.between)} isn't [lowest, highest]")
        return self


class Arrival(Record):
    """When a delivery is due: `by` (wall clock, Asia/Shanghai) on the delivery day, plus `grace`; one that stays away is looked
    for again until `look_back` after its day."""

    every: Literal["day", "week", "month", "quarter", "year"] = "day"
    by: time = time(8, 0)
    grace: Duration = timedelta(0)
    look_back: Duration = timedelta(days=7)
    weekday: int = Field(1, ge=1, le=7)

    @field_validator("by", mode="before")
    @classmethod
    def _clock(cls, value: object) -> object:
        # YAML 1.1 reads an unquoted 05:00 as a base-60 number
        return f"{value // 60:02d}:{value % 60:02d}" if isinstance(value, int) else value

    @property
    def days(self) -> int:
        """The length of the period in days, the row of the freshness table."""
        return _FREQUENCY_DAYS[self.every]

    def expected_on(self, day: date) -> bool:
        """Whether a delivery is expected on `day`: every day, on `weekday`, or on the first of the period's month."""
        first = day.day == 1
        return {
            "day": True,
            "week": day.isoweekday() == self.weekday,
            "month": first,
            "quarter": first and day.month in (1, 4, 7, 10),
            "year": first and day.month == 1,
        }[self.every]

    def due(self, day: date) -> datetime:
        """The instant after which the delivery of `day` is late."""
        return datetime.combine(day, self.by, ZONE) + self.grace


class DriftModes(Record):
    """What happens to a column nobody declared, and to an optional value that doesn't fit its type."""

    columns: Drift = "discard_value"
    types: Literal["quarantine", "discard_value", "freeze"] = "discard_value"


class Point(Record):
    """The two columns that make a position, and the coordinate system they are in."""

    x: Identifier
    y: Identifier
    crs: Literal["wgs84", "cgcs2000", "gcj02", "bd09"] = "wgs84"


class Movement(Record):
    """How the stays and trips of the vehicles of a `fix` are told from its fixes. Defaults are those for hazardous goods.

    The anchor method of Li et al. (2008) with 100 m, 5 min and a gap of 15 min, as trackintel has them; 35 m/s is the upper
    end of what is taken for a lorry's speed, 10 min the usual gap between two segments.
    """

    radius_m: float = Field(100, gt=0, le=50_000)
    minutes: float = Field(5, ge=0)
    gap_minutes: float = Field(15, gt=0)
    leave: Literal["inside", "outside"] = "inside"
    rejoin_minutes: float = Field(5, ge=0)
    trip_gap_minutes: float = Field(10, gt=0)
    max_speed_mps: float | None = Field(35, gt=0)
    box: tuple[float, float, float, float] = (-180, -90, 180, 90)
    late_days: int = Field(35, ge=1)

    @model_validator(mode="after")
    def _nested(self) -> Self:
        if not max(self.minutes, self.rejoin_minutes) <= self.trip_gap_minutes <= self.gap_minutes:
            raise ValueError("minutes and rejoin_minutes <= trip_gap_minutes <= gap_minutes doesn't hold")
        if not (self.box[0] < self.box[2] and self.box[1] < self.box[3]):
            raise ValueError(f"box: {list(self.box)} isn't [west, south, east, north]")
        return self


class Limits(Record):
    """What one delivery may cost before it is refused."""

    bytes: int = Field(20_000_000_000, gt=0)
    rows: int = Field(500_000_000, gt=0)
    columns: int = Field(2_000, gt=0)
    row_bytes: int = Field(4_000_000, gt=0)
    pages: int = Field(100_000, gt=0)
    seconds: int = Field(3_600, gt=0)


class Expectation(Record):
    """One item under `expect:` or `gx:`: the check's name and its arguments."""

    check: str
    args: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _from_item(cls, item: object) -> object:
        if isinstance(item, str):
            return {"check": item}
        if isinstance(item, dict) and len(item) == 1 and "check" not in item:
            name, args = next(iter(item.items()))
            if not isinstance(args, dict | None):
                raise ValueError(f"'{name}' takes arguments by name, like {{{name}: {{...}}}}")
            return {"check": name, "args": args or {}}
        if isinstance(item, dict) and "check" not in item:
            raise ValueError("one check an item, like - row_count: {min: 1}")
        return item


class Expectations(Record):
    """Rules of the slice: a broken `fail` keeps the slice from being served, a broken `warn` only scores."""

    fail: tuple[Expectation, ...] = ()
    warn: tuple[Expectation, ...] = ()


class Operations(Record):
    """How changes say what was done: the column `op` as sent, and its words, in any case, for each operation."""

    op: str = "_op"
    insert: tuple[str, ...] = ("i", "c", "r", "insert")
    update: tuple[str, ...] = ("u", "update")
    delete: tuple[str, ...] = ("d", "delete")

    @property
    def words(self) -> dict[str, tuple[str, ...]]:
        """The operations as the lake writes them, `I`, `U` and `D`, each with its words in lower case."""
        sent = {"I": self.insert, "U": self.update, "D": self.delete}
        return {operation: tuple(word.lower() for word in words) for operation, words in sent.items()}

    @model_validator(mode="after")
    def _said_once(self) -> Self:
        every = [word for words in self.words.values() for word in words]
        if twice := sorted({word for word in every if every.count(word) > 1}):
            raise ValueError(f"'{twice[0]}' stands for two operations")
        return self


class Contract(Record):
    """One dataset of one department."""

    department: Identifier
    dataset: Identifier
    title: str
    description: str | None = None
    kind: Literal["government", "accepted", "sensing", "internet"]
    sharing: Literal["unconditional", "conditional", "withheld"]
    basis: str | None = None
    source: Source
    load: Literal["snapshot", "append", "upsert", "cdc"]
    order: Identifier | None = None
    cdc: Operations | None = None
    arrives: Arrival = Arrival()
    drift: DriftModes = DriftModes()
    key: tuple[Identifier, ...] = ()
    columns: dict[Identifier, Column] = Field(min_length=1)
    ignore: tuple[str, ...] = ()
    point: Point | None = None
    index: Index | None = None
    describes: dict[str, dict[str, str]] = Field(default_factory=dict)
    movement: Movement = Movement()
    expect: Expectations = Expectations()
    gx: tuple[Expectation, ...] = ()
    limits: Limits = Limits()
    keep: Duration | None = None
    engine: Literal["auto", "embedded", "spark"] | None = None

    @property
    def name(self) -> str:
        """`department.dataset`, as people write it."""
        return f"{self.department}.{self.dataset}"

    @property
    def table(self) -> str:
        """`department__dataset`, as tables are called in every layer."""
        return f"{self.department}__{self.dataset}"

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that change when anything declared changes but what no row of the dataset depends on."""
        apart = {"engine", "keep", "movement"}
        return hashlib.sha256(self.model_dump_json(by_alias=True, exclude=apart).encode()).hexdigest()[:16]

    @property
    def operations(self) -> Operations | None:
        """How its changes say what was done; None where deliveries aren't changes."""
        return (self.cdc or Operations()) if self.load == "cdc" else None

    @property
    def rank(self) -> tuple[str, ...]:
        """The columns of silver that say which of two rows of a key is newer, the weightiest first.

        Empty where silver isn't the newest row of every key. Of changes with equal `order` the later row of the later
        delivery is newer; an upserted row stays until its `order` is surpassed.
        """
        if self.order is None:
            return ()
        arrival = ("_day", "_received_at", "_source_file", "_source_row") if self.load == "cdc" else ()
        return (self.order, *arrival)

    @property
    def order_by(self) -> Index | None:
        """By what the rows of silver lie together on disk; None as delivered, or as they were merged.

        What `index` says, else what the rows describe: the track of a vehicle, what was where and when, what is where.
        """
        if self.index or self.rank or not self.point:
            return self.index
        if self._timed:
            return "track" if "vehicle" in self.describes["fix"] else "space_time"
        return "space" if "place" in self.describes else None

    @property
    def _timed(self) -> bool:
        at = self.columns.get(self.describes.get("fix", {}).get("at", ""))
        return at is not None and at.type == "timestamp"

    @property
    def placing(self) -> tuple[str, ...]:
        """The columns without which a row can't be placed: the key and, of changes, their order."""
        return tuple(dict.fromkeys((*self.key, *([self.order] if self.order and self.load == "cdc" else []))))

    def sent_name(self, column: str) -> str:
        """The name under which the department sends `column`."""
        return self.columns[column].from_ or column

    def sent_before(self, column: str) -> str | None:
        """Where a change without an `after.<name>` has the value of a `key` column: `before.<name>`.

        None for what isn't sent so. Debezium and GoldenGate write deletes like this, Debezium also below `payload`.
        """
        path = self.sent_name(column).split(".")
        if self.load != "cdc" or column not in self.key or "after" not in path[:-1]:
            return None
        image = path.index("after")
        return ".".join([*path[:image], "before", *path[image + 1 :]])

    @property
    def sent_names(self) -> list[str]:
        """Every name the department sends that is read, in the contract's order."""
        before = (self.sent_before(column) for column in self.key)
        op = [self.operations.op] if self.operations else []
        return list(dict.fromkeys([*map(self.sent_name, self.columns), *filter(None, before), *op]))

    def rejects(self, column: str) -> bool:
        """Whether a row is quarantined when `column` breaks `required` or its type."""
        declared = self.columns[column]
        if declared.level:
            return declared.level == "error"
        return declared.required or column in self.placing

    @model_validator(mode="after")
    def _hangs_together(self) -> Self:
        mistakes = [*self._unknown_columns(), *self._broken_rules()]
        if mistakes:
            raise ValueError("; ".join(mistakes))
        return self

    def _unknown_columns(self) -> list[str]:
        used = [("key", name) for name in self.key]
        used += [("order", self.order)] if self.order else []
        used += [("point", name) for name in (self.point.x, self.point.y)] if self.point else []
        for role, slots in self.describes.items():
            used += [(f"describes.{role}", name) for name in slots.values() if name != "point"]
        return [f"{where}: no column '{name}'" for where, name in used if name not in self.columns]

    def _index_misfits(self) -> list[str]:
        if self.index and self.load in ("upsert", "cdc"):
            return [f"index: silver of load '{self.load}' lies as its rows were merged"]
        point, at = ("'point'", bool(self.point)), ("a timestamp as 'describes.fix.at'", self._timed)
        vehicle = ("'describes.fix.vehicle'", "vehicle" in self.describes.get("fix", {}))
        needs = {
            "key": [("'key'", bool(self.key))],
            "space": [point],
            "space_time": [point, at],
            "track": [vehicle, at],
        }
        return [
            f"index: '{self.index}' needs {name}"
            for name, there in needs[self.index or "key"]
            if self.index and not there
        ]

    def _broken_rules(self) -> list[str]:
        mistakes = []
        if self.sharing != "unconditional" and not self.basis:
            mistakes.append(f"basis: sharing '{self.sharing}' needs the rule it rests on")
        if self.load in ("upsert", "cdc") and not (self.order and self.key):
            mistakes.append(f"load: {self.load} needs 'key' and 'order' (an older row never replaces a newer)")
        if self.order and self.load not in ("upsert", "cdc"):
            mistakes.append("order: only load 'upsert' and 'cdc' compare versions of a row")
        if self.cdc and self.load != "cdc":
            mistakes.append("cdc: only load 'cdc' has operations")
        if getattr(self.source, "changes", False) and not (
            self.load == "cdc" and self.order in self.columns and self.sent_name(self.order) == "_seen_at"
        ):
            mistakes.append("source.changes: needs load 'cdc' and as 'order' a timestamp column with 'from: _seen_at'")
        if getattr(self.source, "since", None) and self.load == "snapshot":
            mistakes.append("source.since: a snapshot holds everything, not what is new")
        mistakes += self._index_misfits()
        if self.rank:
            lenient = [name for name in self.placing if name in self.columns and self.columns[name].level == "warn"]
            mistakes += [f"columns.{name}.level: a row without its place can't be merged" for name in lenient]
        for role, slots in self.describes.items():
            known = ROLES.get(role)
            if known is None:
                mistakes.append(f"describes: no role '{role}' (known: {', '.join(sorted(ROLES))})")
            else:
                mistakes += [f"describes.{role}: no slot '{slot}'" for slot in slots if slot not in known]
            if "point" in slots.values() and not self.point:
                mistakes.append(f"describes.{role}: the contract declares no point")
        sent = [self.sent_name(name) for name in self.columns]
        if isinstance(self.source, HttpSource) and (since := self.source.since):
            kind = next((c.type for name, c in self.columns.items() if self.sent_name(name) == since.column), None)
            mistakes += [f"source.since.{fault}"] if (fault := since.misfit(kind)) else []
        mistakes += [
            f"columns: '{name}' is sent to two columns" for name in sorted({n for n in sent if sent.count(n) > 1})
        ]
        if self.operations and self.operations.op in sent:
            mistakes.append(f"cdc.op: '{self.operations.op}' is also a column; silver has it as `_op`")
        mistakes += [f"ignore: '{name}' is also a column" for name in self.ignore if name in self.sent_names]
        return mistakes
