"""`nox -s providers`: docs/providers.md stays true: the providers that are listed there get the verdicts written there.

`nox -s providers -- write` writes the page anew. Real plugins, mounts, networks and engines: Linux, as root.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from holdfast.storage.provider import read
from holdfast.storage.report import NAMES

from storage_detection import run

WORKERS = 2
WITHIN = 1200.0  # seconds
PAGE = Path(__file__).parent.parent / "docs" / "providers.md"
# Whom: the provider's name, and who runs the tasks.
LISTED = (
    ("nbd", "swarm"),
    ("rclone", "swarm"),
    ("rclone", "docker"),
    ("nbd", "docker"),
    ("rclone-strict", "docker"),
    ("nbd", "own"),
    ("rclone", "own"),
    ("rclone-strict", "own"),
)
HEAD = """# Qualified providers

What was run here, with the table as `--torpedo-report` writes it; `nox -s providers`, which CI runs, holds the verdicts
true. Send yours as a pull request: the table, and the provider file.
"""


def qualify(name: str, runner: str) -> tuple[str, dict[str, str]]:
    """A provider's section of the page, and its verdicts."""
    with tempfile.TemporaryDirectory(prefix="holdfast-providers-") as folder:
        words = ["--provider", name, "--torpedo-runner", runner, "--torpedo-report", folder]
        output = run(*words, within=WITHIN).output
        table, data = Path(folder) / "torpedo.md", Path(folder) / "torpedo.json"
        if not data.exists():
            raise SystemExit(output)
        rows = json.loads(data.read_text(encoding="utf-8"))["scenarios"]
        titles = [f"{NAMES[row['torpedo']]}{' (' + row['variant'] + ')' if row['variant'] else ''}" for row in rows]
        verdicts = {f"{row['torpedo']} {title}": row["verdict"] for row, title in zip(rows, titles, strict=True)}
        return table.read_text(encoding="utf-8"), verdicts


def verdicts_of(section: str) -> dict[str, str]:
    """What a section of the page says of each scenario."""
    cells = [[cell.strip() for cell in row.split("|")] for row in section.splitlines() if row.startswith("| T")]
    return {title: verdict for _, title, verdict, *_ in cells}


def main() -> int:
    lacking = {why for name, runner in LISTED for why in read(name, runner=runner).lacks()}
    if lacking:
        print(f"NOT RUN: {'; '.join(sorted(lacking))}")
        return 1 if os.environ.get("CI") else 0
    with ThreadPoolExecutor(WORKERS) as pool:
        found = list(pool.map(lambda each: qualify(*each), LISTED))
    if sys.argv[1:] == ["write"]:
        PAGE.write_text("\n".join([HEAD, *(section for section, _ in sorted(found))]), encoding="utf-8")
        return 0
    listed = {section.splitlines()[0]: verdicts_of(section) for section in PAGE.read_text("utf-8").split("\n## ")[1:]}
    wrong = 0
    for section, verdicts in found:
        title = section.splitlines()[0].removeprefix("## ")
        if listed.get(title) == verdicts:
            print(f"{title}: as listed")
        else:
            wrong += 1
            print(f"{title}: listed as {listed.get(title)}, and got {verdicts}\n{section}")
    print(f"{len(found) - wrong} passed, {wrong} failed")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
