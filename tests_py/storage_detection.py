"""`nox -s storage_detection`: every storage defect against the scenarios, and docs/storage-detection.md.

`nox -s storage_detection -- seeds` runs the healthy provider with drawn timings instead: no scenario may fail.
`seeds 17` and `seeds 100-199` take some of them.
"""

from __future__ import annotations

import os
import platform
import random
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from pathlib import Path

from holdfast import _core
from holdfast._version import __version__

from conftest import SuiteRun, read_report
from storage_defects import CATALOGUE, Defect
from test_torpedo import verdicts, wrong

WORKERS = 3
# Those wait more than they work.
HEALTHY_WORKERS = 6
SEEDS = 200
SCENARIOS = 15
PAGE = Path(__file__).parent.parent / "docs" / "storage-detection.md"
HEAD = """# What the Torpedo scenarios catch

Written by `nox -s storage_detection` on {date} with holdfast {version} ({machine}): each defect of the catalogue
(`tests_py/storage_defects.py`) is planted in the emulated provider, and all scenarios are run. A defect counts as
caught where the scenarios it belongs to fail, the first of them with the right reason.

**{caught} of {all} caught.** {seeds}

| defect | belongs to | failed | reason given |
|---|---|---|---|
"""


def run(*options: str, within: float = 300) -> SuiteRun:
    """All scenarios, in a process and a folder of their own, within seconds."""
    with tempfile.TemporaryDirectory(prefix="holdfast-detection-") as folder:
        report = Path(folder) / "report.xml"
        words = ["-m", "pytest", "-p", "no:cacheprovider", "-k", "torpedo", f"--junitxml={report}", *options]
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("HOLDFAST_", "PYTEST_"))}
        done = subprocess.run(
            [sys.executable, *words],
            cwd=folder,
            env={**kept, "XDG_STATE_HOME": folder},
            capture_output=True,
            text=True,
            timeout=within,
            check=False,
        )
        return SuiteRun(done.returncode, done.stdout + done.stderr, read_report(report))


def planted(defect: Defect) -> SuiteRun:
    return run(*defect.options)


def healthy(seed: int) -> list[str]:
    """What failed with the timings that a seed draws."""
    draw = random.Random(seed)
    timings = {"sync": draw.uniform(0, 0.003), "attach": draw.uniform(0, 0.05), "pace": draw.uniform(0.0005, 0.01)}
    face, ways = draw.choice(["process", "csi", "csi", "docker"]), []
    if face == "csi":
        # in a healthy way of its own, or in none
        name = draw.choice(["", *(name for name, _ in _core.storage_personalities())])
        ways = [f"--torpedo-personality={name}"] if name else []
    if ways:
        timings["pace"] += 0.02  # no volume may be full before a slow scenario ends
    options = [*(f"--torpedo-timing={name}={seconds:.6f}" for name, seconds in timings.items()), *ways]
    found = verdicts(run(*options, "--torpedo-face", face))
    bad = [(name, told) for name, all_told in found.items() for told in all_told if told[0] not in ("Pass", "NotRun")]
    return [f"seed {seed}: {name}: {verdict}: {reason}" for name, (verdict, reason) in bad] or (
        [] if len(found) == SCENARIOS else [f"seed {seed}: {len(found)} scenarios ran"]
    )


def row(defect: Defect, found: SuiteRun) -> str:
    told = verdicts(found)
    failed = sorted(
        (name for name, each in told.items() if any(v == "Fail" for v, _ in each)), key=lambda n: int(n[1:])
    )
    reasons = [why for _, why in told.get(defect.scenarios[0], []) if re.search(defect.reason, why)]
    reason = reasons[0].replace("|", "\\|")[:150] if reasons else "not caught"
    return f"| {defect.name} | {', '.join(defect.scenarios)} | {', '.join(failed)} | {reason} |\n"


def _seeds(words: list[str]) -> range:
    """Those that are named, `seeds 17` or `seeds 100-199`; else all."""
    named = next((word for word in words if word[0].isdigit()), f"0-{SEEDS - 1}")
    first, _, last = named.partition("-")
    return range(int(first), int(last or first) + 1)


def main() -> int:
    seeds = "seeds" in sys.argv[1:]
    with ThreadPoolExecutor(max_workers=HEALTHY_WORKERS if seeds else WORKERS) as pool:
        if seeds:
            drawn = _seeds(sys.argv[1:])
            failed = [line for lines in pool.map(healthy, drawn) for line in lines]
            print(*failed, sep="\n")
            print(f"{len(drawn) - len(failed)} passed, {len(failed)} failed")
            return 1 if failed else 0
        runs = dict(zip(CATALOGUE, pool.map(planted, CATALOGUE), strict=True))
    bad = {defect: found for defect, each in runs.items() if (found := wrong(defect, each))}
    page = HEAD.format(
        date=datetime.now(timezone.utc).date(),
        version=__version__,
        machine=f"Python {platform.python_version()}, {platform.machine()}",
        caught=len(CATALOGUE) - len(bad),
        all=len(CATALOGUE),
        seeds="The healthy provider is run with drawn timings by `nox -s storage_detection -- seeds`.",
    )
    page += "".join(row(defect, each) for defect, each in runs.items())
    for defect, found in bad.items():
        print(f"NOT AS IT MUST BE: {defect.name}: {'; '.join(found)}")
    if not bad:
        PAGE.write_text(page, encoding="utf-8")
    print(f"{len(CATALOGUE) - len(bad)} passed, {len(bad)} failed")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
