"""`nox -s providers`: docs/providers.md stays true: the providers that are listed there get the verdicts written there.

`-- write` writes the tables anew, `-- NAME` or `-- NAME/RUNNER` takes some alone, with `write` too; `-- sample`,
which is what CI runs, takes those of today: others each day, and all within a week. `compare FOLDER` holds a report of
a run, be it of some scenarios alone, against the page. Real plugins, mounts, networks and
engines: Linux, as root.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path

from holdfast.storage.provider import read
from holdfast.storage.report import NAMES

from storage_detection import run

WORKERS = 2
WITHIN = 2400.0  # seconds
PAGE = Path(__file__).parent.parent / "docs" / "providers.md"
# Whom: the provider's name, and who runs the tasks.
LISTED = (
    ("nbd", "kubernetes"),
    ("nbd", "swarm"),
    ("rclone", "swarm"),
    ("rclone", "docker"),
    ("nbd", "docker"),
    ("rclone-strict", "docker"),
    ("nbd", "own"),
    ("rclone", "own"),
    ("rclone-strict", "own"),
    ("wolphin", "own"),
    ("easyfuse", "own"),
    ("buttervolume", "own"),
)
# What CI does not sample: the tables of nbd, and those under a Swarm, take longer than its five minutes.
UNSAMPLED = tuple(each for each in LISTED if each[0] == "nbd" or each[1] == "swarm")
# Of drivers that no registry has which CI reaches, or that want what it does not install: their sections stay.
BY_HAND = ("hostpath.csi.k8s.io ", "org.democratic-csi.local-hostpath ", "pyvolume ")
# Drivers that nobody here wrote, from PyPI, in the versions that the tables are of; examples/providers has their files.
DRIVERS = {
    "wolphin": (("wolphin-driver==0.0.4", "flask==3.1.3", "gunicorn==27.0.1"),),
    "easyfuse": (("docker-volume-easyfuse==0.2.1", "aiohttp==3.14.5"),),
    "buttervolume": (("buttervolume==3.13",),),
    "pyvolume": (("flask==3.1.3", "plumbum==2.0.2", "kazoo==2.11.0"), ("--no-deps", "pyvolume==0.1.2")),
}
EXAMPLES = Path(__file__).parent.parent / "examples" / "providers"
# How many of them CI qualifies in a run.
SAMPLE = 2


def file_of(name: str) -> str:
    """What `--provider` takes: a name of the wheel's; of a driver a copy of its file, with the driver beside it."""
    if name not in DRIVERS:
        return name
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "holdfast-drivers"
    folder.mkdir(parents=True, exist_ok=True)
    known = folder / name / "installed"
    if not known.exists() or known.read_text(encoding="utf-8") != str(DRIVERS[name]):
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder / name)], check=True)
        for packages in DRIVERS[name]:
            subprocess.run([str(folder / name / "bin" / "pip"), "install", "--quiet", *packages], check=True)
        known.write_text(str(DRIVERS[name]), encoding="utf-8")
    return str(shutil.copy(EXAMPLES / f"{name}.yaml", folder))


def qualify(name: str, runner: str) -> tuple[str, dict[str, str]]:
    """A provider's section of the page, and its verdicts."""
    with tempfile.TemporaryDirectory(prefix="holdfast-providers-") as folder:
        words = ["--provider", file_of(name), "--torpedo-runner", runner, "--torpedo-report", folder]
        words += ["-n", str(WORKERS)] if runner == "kubernetes" else []  # each scenario has a cluster of its own
        output = run(*words, within=WITHIN).output
        if not (Path(folder) / "torpedo.json").exists():
            raise SystemExit(output)
        return reported(Path(folder))


def reported(folder: Path) -> tuple[str, dict[str, str]]:
    """The section that a run reported into a folder, and its verdicts."""
    rows = json.loads((folder / "torpedo.json").read_text(encoding="utf-8"))["scenarios"]
    titles = [f"{NAMES[row['torpedo']]}{' (' + row['variant'] + ')' if row['variant'] else ''}" for row in rows]
    verdicts = {f"{row['torpedo']} {title}": row["verdict"] for row, title in zip(rows, titles, strict=True)}
    return (folder / "torpedo.md").read_text(encoding="utf-8"), verdicts


def verdicts_of(section: str) -> dict[str, str]:
    """What a section of the page says of each scenario."""
    cells = [[cell.strip() for cell in row.split("|")] for row in section.splitlines() if row.startswith("| T")]
    return {title: verdict for _, title, verdict, *_ in cells}


def tables_of(page: str) -> dict[str, dict[str, str]]:
    """What the page says of each scenario, by the titles of its sections."""
    return {section.splitlines()[0]: verdicts_of(section) for section in page.split("\n## ")[1:]}


def sample(day: date) -> tuple[tuple[str, str], ...]:
    """Those of a day: the next two each day, so that none waits longer than a week."""
    current = [each for each in LISTED if each not in UNSAMPLED]
    first = day.toordinal() * SAMPLE % len(current)
    return (*current, *current)[first : first + SAMPLE]


def differences(page: str, section: str, verdicts: dict[str, str]) -> list[str]:
    """Where the verdicts of a run, be it of some scenarios alone, are others than the page's of the same section."""
    title = section.splitlines()[0].removeprefix("## ")
    listed = tables_of(page).get(title, {})
    got = {row: verdict for row, verdict in verdicts.items() if listed.get(row) != verdict}
    return [f"{title}, {row}: listed as {listed.get(row)}, and got {verdict}" for row, verdict in got.items()]


def compare(folder: Path) -> int:
    try:
        section, verdicts = reported(folder)
    except (OSError, ValueError) as error:
        print(f"{folder} holds no report of Torpedo: {error}\n  try: pytest -k torpedo --torpedo-report {folder}")
        return 2
    if not verdicts:
        print(f"{folder} holds a report of no scenario: nothing was compared")
        return 2
    found = differences(PAGE.read_text("utf-8"), section, verdicts)
    print("\n".join(found) or f"{', '.join(row.split()[0] for row in verdicts)}: as listed")
    return 1 if found else 0


def main(words: Sequence[str]) -> int:
    if words and words[0] == "compare":
        return compare(Path(words[1]))
    named = tuple(each for each in LISTED if {each[0], "/".join(each)} & set(words))
    chosen = sample(date.today()) if "sample" in words else named or LISTED  # noqa: DTZ011 - whichever day it is here
    if "sample" in words:
        names = ", ".join(" under ".join(each) for each in chosen)
        print(
            f"SAMPLED: {len(chosen)} of {len(LISTED)} tables, those of today: {names}. All: nox -s providers",
            flush=True,
        )
    lacking = {why for name, runner in chosen for why in read(file_of(name), runner=runner).lacks()}
    if lacking:
        print(f"NOT RUN: {'; '.join(sorted(lacking))}")
        return 1 if os.environ.get("CI") else 0
    with ThreadPoolExecutor(WORKERS) as pool:
        found = list(pool.map(lambda each: qualify(*each), chosen))
    page = PAGE.read_text("utf-8")
    if "write" in words:
        head, *before = page.split("\n## ")
        titled = {section.splitlines()[0]: f"## {section}" for section in before}
        kept = {title: each for title, each in titled.items() if chosen != LISTED or title.startswith(BY_HAND)}
        kept |= {section.splitlines()[0].removeprefix("## "): section for section, _ in found}
        sections = (section.rstrip("\n") + "\n" for _, section in sorted(kept.items()))
        PAGE.write_text("\n".join([head, *sections]), encoding="utf-8")
        return 0
    listed = tables_of(page)
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
    sys.exit(main(sys.argv[1:]))
