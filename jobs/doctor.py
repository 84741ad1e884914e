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
from lakehouse.engine import jars
from lakehouse.errors import CitylakeError
from lakehouse.settings import Settings, connection_uri

_JAVA = (17, 21)


def examine(settings: Settings) -> Iterator[Finding]:
    """Everything, in the order in which it should be mended."""
    yield _python()
    yield from _packages()
    yield _java()
    yield _jars()
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
    try:
        return Finding("JARs", "fine", f"{len(jars.jar_paths())} in {jars.folder()}")
    except CitylakeError as error:
        return Finding("JARs", "broken", error.what, f"{sys.executable} -m lakehouse.engine.jars")


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
