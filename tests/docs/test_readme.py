"""`Your first dataset` works as the README tells it: its files and its commands, in the order they stand there."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SECTION = (ROOT / "README.md").read_text("utf-8").split("## Your first dataset")[1].split("\n## ")[0]
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", SECTION, re.DOTALL)
COMMANDS = ("mkdir", "citylake")


def block(beginning: str) -> str:
    return next(text for _, text in BLOCKS if text.startswith(beginning))


@pytest.fixture
def told(home: Path, tmp_path: Path) -> str:
    """What the commands say, run by a shell in a folder that has the files."""
    (tmp_path / "expectations").symlink_to(ROOT / "expectations")
    (tmp_path / "leaks.csv").write_text(block("编号"), "utf-8")
    contract = tmp_path / "mycity" / "contracts" / "water" / "leaks.yml"
    shell = [text for kind, text in BLOCKS if not kind and text.startswith(COMMANDS)]
    python = next(text for kind, text in BLOCKS if kind == "python").strip().replace("Lake.open()", "print(Lake.open()")
    (tmp_path / "read.py").write_text(python + ")\n", "utf-8")
    first, *others = shell
    write = f"cat > {contract} <<'END'\n{block('title:')}END\n"
    script = "\n".join(["set -e", "citylake check leaks.csv", first, write, *others, "python read.py"])
    tools = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=tmp_path,
        env=os.environ | {"PATH": tools},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_commands_say_what_the_readme_shows(told: str) -> None:
    shown = [line for line in block("5 rows in").splitlines() if line and line != "..."]
    said = {" ".join(line.split()) for line in told.splitlines()}
    assert [line for line in shown if " ".join(line.split()) not in said] == []
    assert "13*******78" in told
    assert "13912345678" not in told.split("1 contracts of 1 departments")[1]
