"""The Java libraries Spark needs beside those pyspark ships: pinned, checked, kept in a folder of the project's own.

No run needs the network: they are fetched once at set-up (`python -m lakehouse.engine.jars`) by the Ivy that pyspark
ships, without what they would drag in (pyspark has it already, in versions that fit each other).
"""

import hashlib
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from xml.sax.saxutils import quoteattr

from tenacity import retry, retry_if_exception_type, stop_after_attempt, wait_exponential

from lakehouse.errors import CitylakeError, EnvironmentFault, SourceUnavailable

LIST = Path(__file__).with_name("jars.txt")
COMMAND = "python -m lakehouse.engine.jars"


@dataclass(frozen=True)
class Jar:
    """One line of the list: Maven coordinates and the sha256 of the file they must bring."""

    group: str
    artifact: str
    version: str
    sha256: str

    @classmethod
    def of(cls, coordinates: str, sha256: str) -> "Jar":
        """The jar at `group:artifact:version`."""
        group, artifact, version = coordinates.split(":")
        return cls(group, artifact, version, sha256)

    @property
    def name(self) -> str:
        return f"{self.artifact}-{self.version}.jar"


def listed() -> list[Jar]:
    """The JARs of `jars.txt`, in its order."""
    lines = [line.split() for line in LIST.read_text().splitlines() if line and not line.startswith("#")]
    return [Jar.of(coordinates, sha256) for coordinates, sha256 in lines]


def folder() -> Path:
    """Where the JARs are kept: `CITYLAKE_JARS`, else `.jars` of the checkout, else (installed) the user's cache."""
    if chosen := os.environ.get("CITYLAKE_JARS"):
        return Path(chosen).absolute()
    checkout = Path(__file__).parents[2]
    if (checkout / "setup.py").exists():
        return checkout / ".jars"
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "citylake" / "jars"


def jar_paths() -> list[Path]:
    """The JARs' files for Spark's class path, and those in the folder `drivers` beside them: JDBC drivers of databases that
    aren't on the list. Raises EnvironmentFault when a listed one isn't there."""
    paths = [folder() / jar.name for jar in listed()]
    if missing := [path.name for path in paths if not path.exists()]:
        raise EnvironmentFault(f"JARs missing: {', '.join(missing)}", where=str(folder()), hint=f"run: {COMMAND}")
    return [*paths, *sorted((folder() / "drivers").glob("*.jar"))]


def damaged() -> list[str]:
    """The names of the JARs that are there and aren't the listed files."""
    return [jar.name for jar in listed() if (folder() / jar.name).exists() and not _is_whole(folder() / jar.name, jar)]


def fetch() -> list[Path]:
    """Bring what is missing or damaged, each file whole and with its listed sha256 or not at all; returns all paths.

    Raises SourceUnavailable when they can't be had after three tries, EnvironmentFault when a file is not the listed
    one or Java or pyspark is missing.
    """
    kept = folder()
    kept.mkdir(parents=True, exist_ok=True)
    wanted = [jar for jar in listed() if not _is_whole(kept / jar.name, jar)]
    if wanted:
        with TemporaryDirectory(dir=kept, prefix=".fetching-") as staging:
            _retrieve(wanted, Path(staging))
            for jar in wanted:
                if not _is_whole(Path(staging) / jar.name, jar):
                    raise EnvironmentFault(
                        "what was brought is not the listed file (sha256 differs)",
                        where=jar.name,
                        hint=f"run {COMMAND} again; if it stays, ask who serves this library to you",
                    )
                os.replace(Path(staging) / jar.name, kept / jar.name)
    return jar_paths()


def _is_whole(path: Path, jar: Jar) -> bool:
    if not path.exists():
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == jar.sha256


@retry(
    retry=retry_if_exception_type(SourceUnavailable),
    stop=stop_after_attempt(3),
    wait=wait_exponential(max=10),
    reraise=True,
)
def _retrieve(wanted: list[Jar], staging: Path) -> None:
    recipe = staging / "ivy.xml"
    recipe.write_text(_recipe(wanted))
    pattern = f"{staging}/[artifact]-[revision].[ext]"
    ivy = [java(), "-cp", str(_ivy()), "org.apache.ivy.Main", "-ivy", str(recipe), "-cache", str(staging / "cache")]
    run = subprocess.run(
        [*ivy, "-retrieve", pattern, "-types", "jar", "bundle", "-overwriteMode", "always"],
        capture_output=True,
        text=True,
        check=False,
    )
    if run.returncode or not all((staging / jar.name).exists() for jar in wanted):
        said = [line.strip() for line in run.stdout.splitlines() + run.stderr.splitlines() if line.strip()]
        raise SourceUnavailable(
            f"JARs can't be fetched: {' | '.join(said[-3:])}",
            hint=f"check the network and run {COMMAND} again, or put the files into {folder()}",
        )


def _recipe(wanted: list[Jar]) -> str:
    dependencies = "".join(
        f"<dependency org={quoteattr(jar.group)} name={quoteattr(jar.artifact)} rev={quoteattr(jar.version)}"
        ' transitive="false"/>'
        for jar in wanted
    )
    info = '<info organisation="citylake" module="jars"/>'
    return f'<ivy-module version="2.0">{info}<dependencies>{dependencies}</dependencies></ivy-module>'


def java() -> str:
    """The Java that runs, as Spark picks it: `JAVA_HOME`'s, else the path's. Raises EnvironmentFault without one."""
    home = os.environ.get("JAVA_HOME")
    found = shutil.which("java", path=f"{home}/bin" if home else None)
    if found is None:
        raise EnvironmentFault("Java is missing", hint="run: make setup (or install a JDK 17 or 21, or set JAVA_HOME)")
    return found


def _ivy() -> Path:
    spec = find_spec("pyspark")
    jars = [] if spec is None or spec.origin is None else sorted(Path(spec.origin).parent.glob("jars/ivy-*.jar"))
    if not jars:
        raise EnvironmentFault("pyspark with its own JARs is missing", hint="install Citylake with its requirements")
    return jars[-1]


if __name__ == "__main__":
    try:
        fetch()
    except CitylakeError as error:
        sys.exit(f"citylake: {error}")
