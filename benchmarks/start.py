"""What a person waits for at the prompt, each in a process of its own: medians and worst of several runs.

python -m benchmarks.start [--runs 5] [--rows 100000]
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
CITYLAKE = [sys.executable, "-c", "from jobs.cli import main; main()"]


def permits(path: Path, rows: int) -> None:
    """A CSV of eight columns with a few of every usual fault."""
    lines = ["permit_no,firm,phone,kind,area_m2,issued_on,lon,lat"]
    for row in range(rows):
        phone = f"138{row:08d}" if row % 500 else "12345"
        area = f"{row % 900 + 0.5}" if row % 700 else "n/a"
        day = f"2025-{row % 12 + 1:02d}-{row % 28 + 1:02d}"
        lines.append(
            f"P{row - (row % 1000 == 999):08d},firm {row % 5000},{phone},new,{area},{day},{120.5 + row % 97 / 100},{32 + row % 53 / 100}"
        )
    path.write_text("\n".join(lines) + "\n", "utf-8")


def seconds(command: list[str], runs: int, home: Path) -> list[float]:
    """Wall seconds of each run; the first, which fills the disk cache, is left out."""
    found = []
    for _ in range(runs + 1):
        started = time.monotonic()
        subprocess.run(
            command,
            cwd=ROOT,
            env=os.environ | {"CITYLAKE_HOME": str(home), "AIRFLOW_HOME": str(home)},
            check=True,
            capture_output=True,
        )
        found.append(time.monotonic() - started)
    return found[1:]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--rows", type=int, default=100_000)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home, file = Path(folder), Path(folder) / "permits.csv"
        permits(file, asked.rows)
        commands = {
            "citylake --help": [*CITYLAKE, "--help"],
            f"citylake check FILE ({asked.rows:,} rows, no contract)": [*CITYLAKE, "check", str(file)],
            "import airflow.sdk": [sys.executable, "-c", "import airflow.sdk"],
            "import airflow.sdk and dags.nightly": [sys.executable, "-c", "import airflow.sdk, dags.nightly"],
        }
        for name, command in commands.items():
            found = seconds(command, asked.runs, home)
            print(f"{name}: median {statistics.median(found):.2f} s, worst {max(found):.2f} s", flush=True)
        inside = "import time, airflow.sdk; t = time.monotonic(); import dags.nightly; print(time.monotonic() - t)"
        added = [
            float(
                subprocess.run(
                    [sys.executable, "-c", inside], cwd=ROOT, check=True, capture_output=True, text=True
                ).stdout.split()[-1]
            )
            for _ in range(asked.runs)
        ]
        print(f"dags.nightly on top of airflow.sdk: median {statistics.median(added):.3f} s, worst {max(added):.3f} s")


if __name__ == "__main__":
    main()
