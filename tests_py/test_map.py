"""The maps of the house agree with it: rooms and imports in CONTRIBUTING, modules in src/lib.rs, counts in the docs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from defects import CATALOGUE
from storage_defects import CATALOGUE as STORAGE_CATALOGUE

ROOT = Path(__file__).parent.parent
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
LIBRARY = (ROOT / "src" / "lib.rs").read_text(encoding="utf-8")
# The crates beneath src/, by the names that src/lib.rs gives them.
CRATES = {"dial": "net", "error": "net", "serve": "net", "waiting": "net", "cntr": "cntrsrv"}
# Folders that are a room's own, or built.
NO_ROOMS = {"_bin", "__pycache__"}


def rows(heading: str) -> list[list[str]]:
    """The rows of the table with that first line, by cells."""
    table = CONTRIBUTING.partition(heading)[2].partition("\n\n")[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.strip().splitlines()[1:]]


ROOMS = [path.rstrip("/") for cells in rows("| room | what it is |\n") for path in re.findall(r"`([^`]+/)`", cells[0])]
IMPORTS = {
    room: set() if imports == "none" else set(imports.split(", "))
    for names, imports in rows("| room | imports |\n")
    for room in re.findall(r"`([^`]+)`", names)
}


def test_every_room_is_on_the_map_and_there() -> None:
    assert [room for room in ROOMS if not (ROOT / room).is_dir()] == []
    folders = [
        path.relative_to(ROOT).as_posix()
        for parent in ("src", "crates", "python/holdfast")
        for path in (ROOT / parent).iterdir()
        if path.is_dir() and path.name not in NO_ROOMS
    ]
    assert sorted(set(folders) - set(ROOMS)) == []


def imported(room: str) -> set[str]:
    folder = ROOT / room
    if room.startswith("crates/"):
        manifest = (folder / "Cargo.toml").read_text(encoding="utf-8")
        own = manifest.partition("[dependencies]\n")[2].partition("\n[")[0]
        return set(re.findall(r"^holdfast-(\w+)", own, re.MULTILINE))
    sources = "\n".join(file.read_text(encoding="utf-8") for file in folder.rglob("*.rs"))
    named = {CRATES.get(name, name) for name in re.findall(r"\bcrate::(\w+)", sources)}
    return named - {folder.name}


@pytest.mark.parametrize("room", IMPORTS)
def test_a_room_imports_what_the_map_says(room: str) -> None:
    assert imported(room) == IMPORTS[room]


def test_the_map_of_imports_has_every_room_of_rust() -> None:
    rust = {room for room in ROOMS if room.startswith(("src/", "crates/"))}
    assert rust - set(IMPORTS) == {"src/python"}


@pytest.mark.parametrize("crate", ["failpoint", "ledger", "cni"])
def test_a_room_that_may_not_know_tokio_does_not(crate: str) -> None:
    manifest = (ROOT / "crates" / crate / "Cargo.toml").read_text(encoding="utf-8")
    own = manifest.partition("[dependencies]\n")[2].partition("\n[")[0]
    assert re.findall(r"^(?:tokio|tonic)\b.*", own, re.MULTILINE) == []


def test_the_map_of_modules_has_every_module() -> None:
    mapped = [
        name for line in re.findall(r"^//! - (.*?):", LIBRARY, re.MULTILINE) for name in re.findall(r"`(\w+)`", line)
    ]
    used = re.findall(r"^pub use [\w:]+?(?:(?: as |::)(\w+)|::\{([\w, ]+)\});", LIBRARY, re.MULTILINE)
    there = [name for one, several in used for name in (several.split(", ") if several else [one])]
    there += re.findall(r"^(?:pub )?mod (\w+);", LIBRARY, re.MULTILINE)
    assert sorted(mapped) == sorted(there)


@pytest.mark.parametrize(
    ("page", "pattern", "count"),
    [
        ("README.md", r"(\d+) planted bugs", len(CATALOGUE)),
        ("docs/index.md", r"(\d+) planted bugs", len(CATALOGUE)),
        ("README.md", r"(\d+) defects of a device", len(CATALOGUE)),
        ("README.md", r"(\d+) (?:defects )?of a storage provider", len(STORAGE_CATALOGUE)),
        ("docs/detection.md", r"\*\*(\d+) of \d+ caught", len(CATALOGUE)),
        ("docs/detection.md", r"\*\*\d+ of (\d+) caught", len(CATALOGUE)),
        ("docs/storage-detection.md", r"\*\*\d+ of (\d+) caught", len(STORAGE_CATALOGUE)),
    ],
)
def test_the_docs_count_the_defects_as_the_catalogues_do(page: str, pattern: str, count: int) -> None:
    found = re.findall(pattern, (ROOT / page).read_text(encoding="utf-8"))
    assert [int(number) for number in found] == [count], f"{page}: run nox -s detection or nox -s storage_detection"


def test_the_changelog_counts_the_defects_of_what_is_not_released() -> None:
    unreleased = re.split(r"^## ", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), flags=re.MULTILINE)[1]
    assert set(re.findall(r"(\d+) defects, each", unreleased)) <= {str(len(CATALOGUE))}
