"""One tree of errors. Each says what is wrong, where, and what to do next."""

from unicodedata import category


class CitylakeError(Exception):
    """Root of everything Citylake raises on purpose.

    `what` is the fault in one clause, `where` the file, table or dataset it concerns, `hint` the next thing to do.
    `transient` tells the scheduler whether trying again may help.
    """

    transient = False

    def __init__(self, what: str, *, where: str = "", hint: str = "") -> None:
        super().__init__(what, where, hint)
        self.what, self.where, self.hint = what, where, hint

    def __str__(self) -> str:
        line = f"{self.where}: {self.what}" if self.where else self.what
        return f"{line}; {self.hint}" if self.hint else line

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.what, self.where, self.hint)


def in_one_line(text: str) -> str:
    """The text with line breaks and other characters that steer rather than show written as Python writes them."""
    return "".join(repr(char)[1:-1] if category(char) in ("Cc", "Cs", "Zl", "Zp") else char for char in text)


def _rebuild(kind: type[CitylakeError], what: str, where: str, hint: str) -> CitylakeError:
    return kind(what, where=where, hint=hint)


class ContractError(CitylakeError):
    """A contract, the register or a standard is wrong. `what` may hold several mistakes, one a line."""


class NotDelivered(CitylakeError):
    """Nothing has arrived for the dataset and day. Expected to mend itself when the department delivers."""


class SourceUnavailable(CitylakeError):
    """The source can't be reached just now (closed port, time-out, HTTP 5xx or 429)."""

    transient = True


class SourceRefused(CitylakeError):
    """The source answered no: HTTP 4xx, wrong credentials, unknown table."""


class DeliveryUnreadable(CitylakeError):
    """The bytes arrived but are not what the contract says: format, encoding, header, limits. What is said of them is one
    line, whatever they hold."""

    def __init__(self, what: str, *, where: str = "", hint: str = "") -> None:
        super().__init__(in_one_line(what), where=where, hint=hint)


class LakeError(CitylakeError):
    """The lake itself can't do it: disk full, not writable, damaged table, lock held."""


class EngineLost(LakeError):
    """The Spark engine has ended in the middle of the work, or can't be reached."""

    transient = True


class TablesUnreachable(LakeError):
    """The server the tables lie on doesn't answer just now."""

    transient = True


class WrongEngine(LakeError):
    """A table was asked to be written by an engine that doesn't own it."""


class SliceRefused(CitylakeError):
    """A `fail:` rule of the contract is broken: the slice isn't served, the last good one stays."""


class EnvironmentFault(CitylakeError):
    """JDK, JARs, versions or settings are not as Citylake needs them."""


class UsageError(CitylakeError):
    """The command was asked for something that doesn't exist."""
