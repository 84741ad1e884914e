"""What the command offers, and the one place where errors become a line and an exit code."""

import logging
import os
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder

import typer

from jobs.cli import (
    books,
    check,
    contract,
    engine,
    exchange,
    export,
    lake,
    night,
    quarantine,
    reach,
    rebuild,
    sample,
    sites,
    stays,
    versions,
)
from lakehouse.errors import CitylakeError, ContractError, EnvironmentFault, LakeError, UsageError

OK, GATE, USAGE, ENVIRONMENT, STOPPED = 0, 1, 2, 3, 130
"""Fine; a gate that was asked for failed; wrong usage or contract; something here is missing; Ctrl-C."""

app = typer.Typer(
    name="citylake",
    help="A city's data lake: departments deliver, Citylake keeps, cleans and grades it, night by night.",
    epilog="The lake is in CITYLAKE_HOME (default ./lake). Try it: citylake sample deliver, then citylake status.",
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for group in (lake, night, books, export, check, rebuild, versions, stays, sites, reach):
    group.enter(app)
app.add_typer(quarantine.app, name="quarantine")
app.add_typer(contract.app, name="contract")
app.add_typer(engine.app, name="engine")
app.add_typer(exchange.app, name="exchange")
app.add_typer(sample.app, name="sample")


def main() -> None:
    """Run the command line and leave with its exit code."""
    if not os.environ.get("CITYLAKE_DEBUG"):
        logging.getLogger().setLevel(logging.CRITICAL)  # what libraries say of Ctrl-C; our own log is structlog's
    if sys.argv[1:2] == ["check"] and "--gx" not in sys.argv:  # Great Expectations needs pandas
        sys.meta_path.insert(0, _WithoutUnused())
    try:
        sys.exit(call(sys.argv[1:]))
    finally:
        if used := sys.modules.get("lakehouse.engine.server"):
            used.end_started()


class _WithoutUnused(MetaPathFinder):
    """Saves a second: pyarrow loads pandas to ask whether a list is one of its own, numba SciPy to ask whether it is there."""

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> None:
        if fullname in ("pandas", "scipy"):
            raise ModuleNotFoundError("left out", name=fullname)


def call(args: Sequence[str]) -> int:
    """Run one command line and give its exit code. Errors go to stderr: one line, with CITYLAKE_DEBUG a traceback."""
    try:
        code = app(list(args) or ["--help"], prog_name="citylake", standalone_mode=False) or OK
        sys.stdout.flush()
    except typer.TyperException as error:
        if error.format_message():  # a group without a command has shown its help
            _say(_usage(error))
        return USAGE
    except BrokenPipeError:  # whoever reads our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except Exception as error:
        if os.environ.get("CITYLAKE_DEBUG"):
            raise
        _say(_line(error))
        return _code(error)
    if code == STOPPED:
        _say("stopped; run the same command again")
    return code


def _say(line: str) -> None:
    print(f"citylake: {line}", file=sys.stderr)


def _usage(error: typer.TyperException) -> str:
    context = getattr(error, "ctx", None)
    path = context.command_path if context else "citylake"
    return f"{error.format_message().rstrip('.')}; see {path} --help"


def _line(error: Exception) -> str:
    if isinstance(error, CitylakeError):
        return str(error)
    return f"{type(error).__name__} in Citylake itself; run it again with CITYLAKE_DEBUG=1 and report what it shows"


def _code(error: Exception) -> int:
    match error:
        case UsageError() | ContractError():
            return USAGE
        case EnvironmentFault() | LakeError():
            return ENVIRONMENT
        case CitylakeError():
            return GATE
        case _:
            return ENVIRONMENT
