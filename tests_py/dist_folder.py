"""Keeps the folder of what a release uploads: `nox -s dist` runs it before and after it makes something.

python tests_py/dist_folder.py forget FOLDER         # removes what is of another version or another name
python tests_py/dist_folder.py note NAME FILE OUT    # writes what FILE, the part NAME, was built with to OUT
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import subprocess
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
# What decides on a wheel's bytes, and how each says its version.
TOOLS = (
    ("rustc", "--version", "--verbose"),
    ("cargo", "--version"),
    (sys.executable, "-m", "ziglang", "version"),
    ("cargo-zigbuild", "--version"),
    ("maturin", "--version"),
)


def current(root: Path = ROOT) -> tuple[str, str]:
    """The distribution's name, as file names have it, and its version."""
    metadata = (root / "pyproject.toml").read_text(encoding="utf-8")
    cargo = (root / "Cargo.toml").read_text(encoding="utf-8")
    (name,) = re.findall(r'^\[project\]\nname = "(.+)"$', metadata, re.MULTILINE)
    (version,) = re.findall(r'^\[workspace\.package\]\nversion = "(.+)"$', cargo, re.MULTILINE)
    return re.sub(r"[-_.]+", "_", name).lower(), version


def forget(folder: Path, name: str, version: str) -> list[str]:
    """Remove the wheels and sources of others, and return their names."""
    own = (f"{name}-{version}-", f"{name}-{version}.tar.gz")
    packed = [file for kind in ("*.whl", "*.tar.gz") for file in sorted(folder.glob(kind))]
    others = [file for file in packed if not file.name.startswith(own)]
    for file in others:
        file.unlink()
    return [file.name for file in others]


def note(part: str, file: Path) -> Iterator[str]:
    """The lines from which the same bytes can be made again."""
    yield f"part: {part} (nox -s dist -- {part})"
    yield f"file: {file.name}"
    yield f"sha256: {hashlib.sha256(file.read_bytes()).hexdigest()}"
    yield f"commit: {said('git', '-C', str(ROOT), 'describe', '--always', '--abbrev=40', '--dirty')}"
    yield f"SOURCE_DATE_EPOCH: {os.environ.get('SOURCE_DATE_EPOCH', 'not set')}"
    yield f"machine: {platform.platform()}"
    yield f"python: {platform.python_version()}, zlib {zlib.ZLIB_RUNTIME_VERSION}"
    for tool in TOOLS:
        yield f"{Path(tool[0]).name if tool[0] != sys.executable else 'zig'}: {said(*tool)}"


def said(*command: str) -> str:
    """What a program says of itself, in one line."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "not there"
    return "; ".join(done.stdout.split("\n")).strip("; ")


def main(words: list[str]) -> int:
    """As the head of this file says."""
    if words[:1] == ["forget"]:
        for name in forget(Path(words[1]), *current()):
            print(f"{name}: of another version or name, removed")
        return 0
    _, part, file, out = words
    text = "".join(f"{line}\n" for line in note(part, Path(file)))
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    Path(out).write_text(text, encoding="utf-8")
    print(text, end="")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
