"""Whether this machine has what a night needs: each finding with the command that mends it."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version

from jobs import health
from jobs.health import Finding
from lakehouse.engine import jars, server
from lakehouse.errors import CitylakeError
from lakehouse.settings import Settings, connection_uri

_JAVA = (17, 21)
_TWINS = {"delta-spark_": "delta-spark", "sedona-spark-": "apache-sedona"}
"""Which JARs (by the start of their names) must have the version of which Python package."""


def examine(settings: Settings) -> Iterator[Finding]:
    """Everything, in the order in which it should be mended."""
    yield _python()
    yield from _packages()
    yield _java()
    yield _jars()
    yield _engine(settings)
    yield from health.lake(settings)
    yield health.clocks(settings)
    yield from _catalogue(settings)


def _python() -> Finding:
    said = f"{sys.version_info.major}.{sys.version_info.minor}.{sys.version_info.micro}"
    if (3, 11) <= sys.version_info[:2] < (3, 13):
        return Finding("Python", "fine", said)
    return Finding("Python", "broken", f"{said}, needed is 3.11 or 3.12", "install it, remove .venv, then: make setup")


def _packages() -> Iterator[Finding]:
    from packaging.requirements import Requirement

    try:
        wanted = [Requirement(line) for line in requires("citylake") or []]
    except PackageNotFoundError:
        yield Finding("packages", "broken", "citylake itself isn't installed", "make setup, or: pip install .")
        return
    wrong = []
    for each in wanted:
        if each.marker is None or each.marker.evaluate({"extra": ""}):
            found = _installed(each.name)
            if found is None or not each.specifier.contains(found, prereleases=True):
                wrong.append(f"{each.name} {found or 'missing'} (needed {each.specifier or 'any'})")
    if wrong:
        yield Finding("packages", "broken", ", ".join(wrong), "make setup, or: pip install .")
    else:
        yield Finding("packages", "fine", f"{len(wanted)} as required")


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _java() -> Finding:
    home = os.environ.get("JAVA_HOME")
    program = shutil.which("java", path=f"{home}/bin" if home else None)
    mend = "apt-get install openjdk-17-jre-headless, or set JAVA_HOME to a JDK 17 or 21"
    if program is None:
        return Finding("Java", "broken", "missing" + (f" in JAVA_HOME {home}" if home else ""), mend)
    said = subprocess.run([program, "-version"], capture_output=True, text=True, check=False).stderr
    number = re.search(r'version "(\d+)', said)
    if number and int(number[1]) in _JAVA:
        return Finding("Java", "fine", said.splitlines()[0])
    return Finding("Java", "broken", f"{said.splitlines()[0] if said else program}, needed is 17 or 21", mend)


def _jars() -> Finding:
    mend = f"{sys.executable} -m lakehouse.engine.jars"
    try:
        count = len(jars.jar_paths())
    except CitylakeError as error:
        return Finding("JARs", "broken", error.what, mend)
    if damaged := jars.damaged():
        return Finding("JARs", "broken", f"not as listed (sha256 differs): {', '.join(damaged)}", mend)
    for jar in jars.listed():
        package = next((ours for start, ours in _TWINS.items() if jar.artifact.startswith(start)), None)
        if package and (found := _installed(package)) != jar.version:
            said = f"{jar.name} belongs to {package} {jar.version}, installed is {found or 'none'}"
            return Finding("JARs", "broken", said, "make setup, or: pip install .")
    return Finding("JARs", "fine", f"{count} in {jars.folder()}")


def _engine(settings: Settings) -> Finding:
    """The Spark engine, where one runs: whether it answers, and whether it runs today's code."""
    if settings.spark.startswith("sc://"):
        from lakehouse.engine.connect import connected

        try:
            with connected(settings):
                return Finding("Spark engine", "fine", f"{settings.spark} can be reached")
        except CitylakeError as error:
            return Finding("Spark engine", "broken", error.what, "start it, or unset CITYLAKE_SPARK")
    found = server.found(settings.home) if settings.home.exists() else None
    if found is None:
        return Finding("Spark engine", "fine", "not running; the first step that needs it starts it")
    who = f"process {found.pid or found.keeper} since {found.started_at}"
    if found.port and not found.answers():
        return Finding("Spark engine", "broken", f"{who} holds the lake's engine and doesn't answer", server.STOP)
    if not found.fits():
        said = f"{who} runs Citylake {found.code} with Spark {found.spark}, not what is installed now"
        return Finding("Spark engine", "broken", said, server.STOP)
    return Finding("Spark engine", "fine", f"{who}, {found.memory_mb} MB")


def _catalogue(settings: Settings) -> Iterator[Finding]:
    from expectations.catalog import load
    from expectations.verify import verify

    try:
        catalog = load(settings.catalog)
        verify(catalog)
    except CitylakeError as error:
        yield Finding("catalogue", "broken", error.what, "citylake contract check, then mend the lines it names")
        return
    counts = f"{len(catalog.contracts)} contracts of {len(catalog.departments)} departments"
    yield Finding("catalogue", "fine", f"{counts} in {settings.catalog}")
    for name in sorted({c for contract in catalog.contracts if (c := getattr(contract.source, "connection", None))}):
        users = [c.name for c in catalog.contracts if getattr(c.source, "connection", None) == name]
        try:
            connection_uri(name)
            yield Finding(f"connection {name}", "fine", f"set, for {len(users)} datasets")
        except CitylakeError as error:
            yield Finding(
                f"connection {name}", "note", f"not set, {len(users)} datasets can't be asked for", error.hint
            )
