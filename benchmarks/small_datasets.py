"""Many small datasets, delivery to checked silver, in one process: seconds per dataset, amortised.

    python -m benchmarks.small_datasets [--datasets 200] [--rows 1000] [--engine embedded] [--folder /tmp/citylake-small]

With `--engine spark` the engine is up and its workers are warm before the clock starts; CITYLAKE_THREADS says how many
datasets are under way at a time.
"""

import argparse
import os
import random
import shutil
import time
from contextlib import ExitStack
from datetime import date
from pathlib import Path

from benchmarks.gps_spark import warm
from lakehouse.settings import Settings

ROOT = Path(__file__).parent.parent
DAY = date(2026, 3, 2)
CONTRACT = """
title: permits {number}
kind: government
sharing: unconditional
source: {{type: file, uri: "{{inbox}}/office/permits_{number:03d}/{{day}}/*.csv"}}
load: snapshot
key: [permit_no]
columns:
  permit_no: {{type: string, required: true, pattern: "P[0-9]{{8}}"}}
  firm: {{type: string, required: true, standard: uscc}}
  phone: {{type: string, standard: phone, class: sensitive}}
  kind: {{type: string, in: [new, renewed, revoked]}}
  area_m2: {{type: double, between: [0, 100000]}}
  issued_on: {{type: date}}
  valid_to: {{type: date}}
  changed_at: {{type: timestamp, format: "yyyy-MM-dd HH:mm:ss"}}
expect:
  fail: [{{row_count: {{min: 1}}}}]
  warn: [{{compare: {{left: issued_on, op: "<=", right: valid_to}}}}]
"""
ALPHABET = "0123456789ABCDEFGHJKLMNPQRTUWXY"


def uscc(rng: random.Random) -> str:
    body = "91320600" + "".join(rng.choice(ALPHABET) for _ in range(9))
    return body + ALPHABET[-sum(ALPHABET.index(c) * pow(3, i, 31) for i, c in enumerate(body)) % 31]


def generate(folder: Path, datasets: int, rows: int) -> None:
    """`datasets` contracts of eight columns, each with one CSV of `rows` rows."""
    rng = random.Random(7)
    contracts = folder / "catalog/contracts/office"
    contracts.mkdir(parents=True)
    (folder / "catalog/departments.yml").write_text("departments:\n  - {id: office, zh: 办, en: Office}\n")
    shutil.copytree(ROOT / "expectations/standards", folder / "catalog/standards")
    for number in range(datasets):
        (contracts / f"permits_{number:03d}.yml").write_text(CONTRACT.format(number=number))
        inbox = folder / f"lake/inbox/office/permits_{number:03d}/{DAY}"
        inbox.mkdir(parents=True)
        lines = ["permit_no,firm,phone,kind,area_m2,issued_on,valid_to,changed_at"]
        for row in range(rows):
            issued = f"2025-{rng.randint(1, 12):02d}-{rng.randint(1, 28):02d}"
            lines.append(
                f"P{row:08d},{uscc(rng)},1380000{rng.randint(0, 9999):04d},{rng.choice(['new', 'renewed', 'revoked'])},"
                f"{rng.uniform(1, 9000):.1f},{issued},2027-01-01,{issued} 10:00:{rng.randint(0, 59):02d}"
            )
        (inbox / "permits.csv").write_text("\n".join(lines) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--datasets", type=int, default=200)
    parser.add_argument("--rows", type=int, default=1_000)
    parser.add_argument("--folder", type=Path, default=Path("/tmp/citylake-small"))
    parser.add_argument("--engine", choices=("embedded", "spark"), default="embedded")
    asked = parser.parse_args()
    shutil.rmtree(asked.folder, ignore_errors=True)
    generate(asked.folder, asked.datasets, asked.rows)
    os.environ |= {
        "CITYLAKE_HOME": str(asked.folder / "lake"),
        "CITYLAKE_CATALOG": str(asked.folder / "catalog"),
        "CITYLAKE_ENGINE": asked.engine,
    }
    with ExitStack() as stack:
        if asked.engine == "spark":
            from lakehouse.engine.spark import each, session

            settings = Settings.from_environment()
            stack.enter_context(session(settings))
            list(each(settings, warm, [1, 2, 3, 4]))
        nights(asked)


def nights(asked: argparse.Namespace) -> None:
    """Bring and clean all datasets; prints seconds."""
    started, cpu = time.monotonic(), time.process_time()
    from jobs.run import run

    for step in ("bring", "clean"):
        begun = time.monotonic()
        run(step, DAY, "office")
        print(f"{step}: {time.monotonic() - begun:.2f} s")
    seconds = time.monotonic() - started
    print(
        f"{asked.datasets} datasets x {asked.rows} rows: {seconds:.1f} s = {seconds / asked.datasets:.3f} s each, imports included; "
        f"{time.process_time() - cpu:.1f} CPU s"
    )


if __name__ == "__main__":
    main()
