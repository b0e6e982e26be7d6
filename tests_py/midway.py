"""`nox -s midway`: failovers at random moments. 300 histories on healthy devices drawn by seed, each on another, must
pass, which docs/false-alarms.md says then; and each planted defect of the catalogue that a random moment must meet is
caught.

`midway.py 17` goes through seed 17 alone, `midway.py 0-299` through all of them, `midway.py defects` through the
defects.
"""

from __future__ import annotations

import re
import sys
from concurrent.futures import ThreadPoolExecutor

from defects import AT_RANDOM
from detection import run_with
from seeds import AT_RANDOM as HEADING
from seeds import PAGE, draw_midway, go_through, range_of, written
from test_detection import judge

TEXT = """
Written by `nox -s midway` on {date} with holdfast {version} ({machine}): `pytest -k midway_random`, each seed's history
([midway](midway.md)) on another healthy device of those above: timings, quirks, how it is failed over, and operations
that it refuses before or after they are done.

**Seeds {first} to {last}: {runs} runs, 0 failures.**

A seed is gone through again with `python tests_py/midway.py SEED`.
"""
# The row of a case by which both verdicts are good.
PASSED = re.compile(r"^midway at a random moment, seed\d+ +pass +pass ", re.MULTILINE)
# Suites at a time: they wait more than they work.
WORKERS = 6


def defects() -> int:
    """Go through the planted defects; how many are not caught."""
    with ThreadPoolExecutor(max_workers=WORKERS) as pool:
        runs = dict(zip(AT_RANDOM, pool.map(run_with, AT_RANDOM), strict=True))
    wrong = {defect: found for defect, run in runs.items() if (found := judge(defect, run))}
    for defect, found in wrong.items():
        print(f"NOT AS IT MUST BE: {defect.name}: {'; '.join(found)}\n{runs[defect].output}")
    print(f"defects: {len(AT_RANDOM) - len(wrong)} of {len(AT_RANDOM)} caught")
    return len(wrong)


def healthy(seeds: range) -> int:
    """Go through the seeds; how many fail."""
    results, failed = go_through(seeds, draw_midway, WORKERS)
    silent = [seed for seed, (code, _, output) in results.items() if code == 0 and not PASSED.search(output)]
    for seed in silent:
        print(f"seed {seed} is not judged\n{results[seed][2]}")
    wrong = len(failed) + len(silent)
    print(f"healthy: {len(seeds) - wrong} passed, {len(failed)} failed, {len(silent)} not judged")
    if not wrong and len(seeds) >= 300:
        before, _, _ = PAGE.read_text(encoding="utf-8").partition(HEADING)
        part = TEXT.format(**written(), first=seeds[0], last=seeds[-1], runs=len(seeds))
        PAGE.write_text(before + HEADING + part, encoding="utf-8")
    return wrong


def main() -> int:
    """1 where a healthy device fails, gives no verdict, or a defect is not caught."""
    words = sys.argv[1:] or ["0-299", "defects"]
    return 1 if sum([defects() if word == "defects" else healthy(range_of(word)) for word in words]) else 0


if __name__ == "__main__":
    sys.exit(main())
