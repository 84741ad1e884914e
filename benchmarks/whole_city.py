"""The full-scale sample without its sensors, 750 deliveries of 75 units: pull to checked silver in one process.

    python -m benchmarks.whole_city [--folder /tmp/citylake-city]

Prints seconds per step. The whole night with Airflow on the same lake, afterwards:

    CITYLAKE_HOME=/tmp/citylake-city CITYLAKE_CATALOG=/tmp/citylake-city/catalog python -m dags.embedded 2026-03-02

It finds what is loaded and cleaned; to time it from the start, remove all but `inbox` and `catalog` first.
"""

import argparse
import os
import shutil
import time
from pathlib import Path

from samples import full


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("/tmp/citylake-city"))
    folder = parser.parse_args().folder
    shutil.rmtree(folder, ignore_errors=True)
    os.environ |= {"CITYLAKE_HOME": str(folder), "CITYLAKE_CATALOG": str(full.deliver(folder, readings=0))}
    started = time.monotonic()
    from jobs.run import run

    for step in ("bring", "clean"):
        begun = time.monotonic()
        for number in range(1, full.UNITS + 1):
            run(step, full.DAY, f"unit_{number:02d}")
        print(f"{step}: {time.monotonic() - begun:.1f} s", flush=True)
    print(f"{full.UNITS * 10} deliveries of {full.ROWS:,} rows: {time.monotonic() - started:.1f} s, imports included")


if __name__ == "__main__":
    main()
