"""Writes THIRD-PARTY-LICENSES, which every wheel carries: what of others is inside, its licences, and their texts.

python docs/licences.py            # writes it, from Cargo.lock and the sources that cargo keeps
python docs/licences.py --check    # says what differs, and exits with 1
"""

from __future__ import annotations

import difflib
import json
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
WRITTEN = ROOT / "THIRD-PARTY-LICENSES"
TEXTS = Path(__file__).parent / "licences"
# What wheels are made for: what only another system needs is in none of them.
TARGETS = (
    "x86_64-unknown-linux-gnu",
    "aarch64-unknown-linux-gnu",
    "x86_64-unknown-linux-musl",
    "aarch64-unknown-linux-musl",
    "x86_64-apple-darwin",
    "aarch64-apple-darwin",
)
# Beside the crates: what it is, where it is, its licence, and the files of docs/licences that hold the texts.
BESIDE = (
    ("Rust's standard library", "in all that is compiled", "MIT OR Apache-2.0", ("rust-MIT.txt",)),
    (
        "the GNU C library",
        "in the executables of what is installed from the sources on *-linux-gnu (build.rs links them statically, with "
        "the library of the machine that builds), and of no wheel of a release; holdfast's sources and `nox -s wheel` "
        "link them anew with another",
        "LGPL-2.1-or-later",
        ("LGPL-2.1.txt",),
    ),
    ("musl", "in the executables of a release's wheels, and what is built for *-linux-musl", "MIT", ("musl.txt",)),
)
NAMES = re.compile(r"^(licen[sc]e|copying|copyright|notice|unlicense)", re.IGNORECASE)
HEAD = """What of others is inside holdfast's wheels
==========================================

Written by docs/licences.py from Cargo.lock. Where a licence says OR, holdfast takes MIT where that is offered, and
Apache-2.0 otherwise (its text is in LICENSE); the other texts stand here too. Of crates that make code when holdfast is
built, some are listed that leave nothing of themselves in it. Texts that crates share stand once.

"""


def metadata(target: str) -> dict[str, Any]:
    """What cargo knows of the packages of the wheel for one target."""
    graph = ("--no-default-features", "--features", "wheel", "--filter-platform", target)
    command = ["cargo", "metadata", "--locked", "--format-version", "1", *graph]
    found: dict[str, Any] = json.loads(subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout)
    return found


def linked(found: dict[str, Any]) -> set[str]:
    """The ids of all packages that the root needs to run, itself aside: none of tests or of building."""
    nodes = {node["id"]: node for node in found["resolve"]["nodes"]}
    seen: set[str] = set()
    waiting = [found["resolve"]["root"]]
    while waiting:
        package = waiting.pop()
        if package not in seen:
            seen.add(package)
            needed = nodes[package]["deps"]
            waiting += [each["pkg"] for each in needed if any(kind["kind"] is None for kind in each["dep_kinds"])]
    return seen


def crates() -> list[dict[str, Any]]:
    """The packages of others that are inside the wheel of any target, by name and version."""
    packages: dict[str, dict[str, Any]] = {}
    for target in TARGETS:
        found = metadata(target)
        inside = linked(found)
        packages |= {each["id"]: each for each in found["packages"] if each["id"] in inside and each["source"]}
    return sorted(packages.values(), key=lambda each: (each["name"], each["version"]))


def texts(package: dict[str, Any]) -> Iterator[str]:
    """What the package's folder holds of licences and notices, with the ends of lines as they are here."""
    folder = Path(package["manifest_path"]).parent
    for file in sorted(folder.iterdir()):
        if NAMES.match(file.name) and file.is_file() and file.suffix not in {".rs", ".py", ".html"}:
            yield tidy(file.read_text(encoding="utf-8", errors="replace"))


def authors(package: dict[str, Any]) -> str:
    """Their names, without addresses."""
    return ", ".join(re.sub(r" *<[^>]*>", "", author) for author in package["authors"]) or "its contributors"


def tidy(text: str) -> str:
    """Without blanks at the ends of lines, and without empty lines around it."""
    return "\n".join(line.rstrip() for line in text.splitlines()).strip("\n")


def page() -> str:
    """The whole file."""
    users: dict[str, list[str]] = defaultdict(list)  # of each text
    kept: dict[str, str] = {}  # the first form of it, by the words alone
    lines = [HEAD.rstrip("\n"), ""]
    for name, where, licence, files in BESIDE:
        lines.append(f"- {name}, {where}: {licence}")
        for file in files:
            text = tidy((TEXTS / file).read_text(encoding="utf-8"))
            users[kept.setdefault(" ".join(text.split()), text)].append(name)
    for package in crates():
        name = f"{package['name']} {package['version']}"
        licence = str(package["license"]).replace(" / ", " OR ").replace("/", " OR ")
        found = list(texts(package))
        by = f"; no text in its package, by {authors(package)}" if not found else ""
        lines.append(f"- {name}: {licence}{by}")
        for text in found:
            users[kept.setdefault(" ".join(text.split()), text)].append(name)
    for text, names in users.items():
        lines += ["", "=" * 100, *wrapped(f"Of {', '.join(dict.fromkeys(names))}:"), "", text]
    return "\n".join([*lines, ""])


def wrapped(text: str) -> list[str]:
    """Its words in lines of less than 100 characters."""
    lines = [""]
    for word in text.split(" "):
        if lines[-1] and len(lines[-1]) + len(word) >= 100:
            lines.append(word)
        else:
            lines[-1] = f"{lines[-1]} {word}".strip()
    return lines


def main() -> int:
    """Write or check."""
    text = page()
    if "--check" not in sys.argv[1:]:
        WRITTEN.write_text(text, encoding="utf-8")
        return 0
    there = WRITTEN.read_text(encoding="utf-8") if WRITTEN.exists() else ""
    if text == there:
        return 0
    changes = difflib.unified_diff(there.splitlines(), text.splitlines(), "is", "would be", lineterm="", n=0)
    print(*[line for line in changes if line[1:].startswith("- ")][:40], sep="\n")
    print(f"{WRITTEN.name} is not what Cargo.lock asks for: python docs/licences.py writes it", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
