"""`nox -s detection`: every defect of the catalogue against the suites, and docs/detection.md with what came of it."""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from pathlib import Path

from holdfast._version import __version__

from conftest import SuiteRun, read_report
from defects import CATALOGUE, Defect
from test_detection import arguments, judge

# Suites at a time: they wait more than they work.
WORKERS = 3
PAGE = Path(__file__).parent.parent / "docs" / "detection.md"
HEAD = """# What is caught

Written by `nox -s detection` on {date} with holdfast {version} ({machine}): each defect of the catalogue
(`tests_py/defects.py`) is planted in the emulated device, and the suites are run. A defect counts as caught where the
cases that must fail do, by the right verdict and with the right reason, and all others pass. At a random
moment one of a case's seeds is enough.

`plain` are the cases as the CNTR plans have them; `depth` is what holdfast looks at beyond it. Seconds are from
when the device was asked to fail over (or the case began) until the failure was known.

**{caught} of {all} caught; {plain} of them by the plain cases.**

| defect | plain | depth | reason given | seconds |
|---|---|---|---|---|
"""


def run_with(defect: Defect) -> SuiteRun:
    """The suite, with the defect planted."""
    with tempfile.TemporaryDirectory(prefix="holdfast-detection-") as folder:
        report = Path(folder) / "report.xml"
        words = ["-m", "pytest", "-p", "no:cacheprovider", f"--junitxml={report}", *arguments(defect)]
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("HOLDFAST_", "PYTEST_"))}
        environment = {
            **kept,
            "XDG_STATE_HOME": folder,
            "HOLDFAST_FAILPOINTS": defect.failpoints,
            **dict(defect.environment),
        }
        done = subprocess.run(
            [sys.executable, *words],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        return SuiteRun(done.returncode, done.stdout + done.stderr, read_report(report))


def row(defect: Defect, run: SuiteRun) -> Iterator[str]:
    """The cells of a defect's row."""
    failed = {number: case.properties for number, case in run.cases.items() if case.outcome == "failure"}
    yield defect.name
    for verdict in ("procedure", "depth"):
        cases = [number.removeprefix("test_") for number, found in failed.items() if found.get(verdict) == "FAIL"]
        yield ", ".join(plan_number(name) for name in cases)
    told = [
        (message, after)
        for found in failed.values()
        for message, after in zip(json.loads(found["failures"]), json.loads(found["known_after"]), strict=True)
        if defect.reason in message
    ]
    message, after = told[0] if told else ("not caught", 0.0)
    yield message.splitlines()[0].partition(": ")[2].replace("|", "\\|")[:160]
    yield f"{after:.1f}"


def plan_number(case: str) -> str:
    """`3.1`, `1.4`, or what the case of a suite without numbers is called."""
    numbered = re.match(r"cntr(\d)_(\d)", case)
    if numbered:
        return f"{numbered[1]}.{numbered[2]}"
    return f"3.{case}" if case.isdigit() else case.replace("_", " ")


def main() -> int:
    """Go through the catalogue, some at a time; 1 where something is not caught. Words choose among the defects."""
    words = [word for word in sys.argv[1:] if not word.startswith("--")]
    chosen = [defect for defect in CATALOGUE if not words or any(word in defect.name for word in words)]
    with ThreadPoolExecutor(max_workers=WORKERS) as pool:
        runs = dict(zip(chosen, pool.map(run_with, chosen), strict=True))
    wrong = {defect: found for defect, run in runs.items() if (found := judge(defect, run))}
    plain = sum(
        defect.verdict == "procedure" and not defect.options[1].startswith(("midway", "author"))
        for defect in CATALOGUE
        if defect not in wrong
    )
    page = HEAD.format(
        date=datetime.now(timezone.utc).date(),
        version=__version__,
        machine=f"Python {platform.python_version()}, {platform.machine()}",
        caught=len(CATALOGUE) - len(wrong),
        all=len(CATALOGUE),
        plain=plain,
    )
    page += "".join(f"| {' | '.join(row(defect, run))} |\n" for defect, run in runs.items())
    for defect, found in wrong.items():
        print(f"NOT AS IT MUST BE: {defect.name}: {'; '.join(found)}")
    if not wrong and not words:
        PAGE.write_text(page, encoding="utf-8")
    print(f"{len(chosen) - len(wrong)} passed, {len(wrong)} failed")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
