"""Holds wheels of a release to what they promise: `nox -s dist` runs it on what it made.

python tests_py/wheels.py WHEEL...    # a row for each; what is wrong, and exit code 1
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import struct
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
# In MB, somewhat more than they have: the core has two thirds, six executables all but the rest, for nothing is
# downloaded at run time. 12 was the aim; what is in the way is in RELEASING.md.
LARGEST = 15.0
EXECUTABLES = ("cntrsrv", "cni-bridge-fp", "ledger")
# Each platform that executables are for, and its machine as ELF calls it.
PLATFORMS = {"linux-amd64": 62, "linux-arm64": 183}
MACHINES = {"x86_64": 62, "aarch64": 183}
BESIDE = ("licenses/LICENSE", "licenses/THIRD-PARTY-LICENSES", "sboms/holdfast.cyclonedx.json")
TAG = re.compile(r"(?P<libc>manylinux|musllinux)_(?P<major>\d+)_(?P<minor>\d+)_(?P<machine>\w+)")


@dataclass(frozen=True)
class Elf:
    """What the header of an executable or a shared library says."""

    machine: int
    interpreted: bool  # it names the loader that starts it, so it is not static

    @classmethod
    def read(cls, held: bytes) -> Elf | None:
        """None where it is no ELF file of 64 bits with the low byte first."""
        if held[:6] != b"\x7fELF\x02\x01":
            return None
        (machine,) = struct.unpack_from("<H", held, 18)
        (table,) = struct.unpack_from("<Q", held, 32)
        size, count = struct.unpack_from("<HH", held, 54)
        kinds = [struct.unpack_from("<I", held, table + size * index)[0] for index in range(count)]
        return cls(machine, interpreted=3 in kinds)


def tags(wheel: Path) -> list[str]:
    """The platforms that its name gives: `manylinux_2_17_x86_64`, …"""
    return wheel.stem.rsplit("-", 1)[1].split(".")


def problems(wheel: Path, places: list[str]) -> list[str]:
    """What is wrong with what is inside; `places` are folders of the building machine that nothing may name."""
    found = []
    machine = next((machine for name, machine in MACHINES.items() if tags(wheel)[0].endswith(name)), None)
    if "-cp310-abi3-" not in wheel.name:
        found.append("it is not for the stable interface of Python 3.10")
    with zipfile.ZipFile(wheel) as archive:
        held = {each.filename: (archive.read(each), each.external_attr >> 16) for each in archive.infolist()}
    found += [
        f"{name}-{platform}: {why}"
        for platform, machine_there in PLATFORMS.items()
        for name in EXECUTABLES
        for why in wrong_executable(held.get(f"holdfast/_bin/{name}-{platform}"), machine_there)
    ]
    core = held.get("holdfast/_core.abi3.so", (b"", 0))[0]
    if not core or ("linux" in wheel.name and getattr(Elf.read(core), "machine", None) != machine):
        found.append("holdfast/_core.abi3.so is not there, or is of another machine")
    for ending in BESIDE:
        if not any(name.endswith(f".dist-info/{ending}") for name in held):
            found.append(f"there is no {ending}")
    if "holdfast/py.typed" not in held:
        found.append("there is no holdfast/py.typed")
    found += [f"{name} names {place}" for place in places for name, (text, _) in held.items() if place.encode() in text]
    size = wheel.stat().st_size / 1e6
    if size > LARGEST:
        found.append(f"it has {size:.1f} MB, and may have {LARGEST}")
    return found


def wrong_executable(entry: tuple[bytes, int] | None, machine: int) -> list[str]:
    """What is wrong with it, as it lies in the wheel with its mode."""
    if entry is None:
        return ["missing"]
    elf = Elf.read(entry[0])
    if elf is None or elf.machine != machine:
        return ["of another machine"]
    static = [] if not elf.interpreted else ["not static"]
    return static if entry[1] & 0o111 == 0o111 else [*static, "not executable"]


def audited(wheel: Path) -> tuple[str, list[str]]:
    """The oldest platform that auditwheel finds it runs on, and what is wrong with that."""
    with tempfile.TemporaryDirectory() as nowhere:  # what this machine has of the same names says nothing
        line = ["auditwheel", "show", "--json", "--ldpaths", nowhere, str(wheel)]
        shown = subprocess.run(line, capture_output=True, text=True, check=False)
    if shown.returncode != 0:
        return "-", [f"auditwheel: {shown.stderr.strip()[-500:]}"]
    said = json.loads(shown.stdout)
    # musl's own name for itself, which its loader has no file for; auditwheel knows Alpine's name for it alone
    only_musl = any(tag.startswith("musllinux") for tag in tags(wheel)) and set(said["external_libs"]) == {"libc.so"}
    found = str(said["sym_tag"] if only_musl else said["overall_tag"])
    right = any(runs_on(found, promised) for promised in tags(wheel))
    return found, [] if right else [f"auditwheel says {found}, which its name does not"]


def outside_the_stable_interface(wheel: Path) -> list[str]:
    """What abi3audit finds that Python 3.10's stable interface does not have."""
    shown = subprocess.run(["abi3audit", "--strict", str(wheel)], capture_output=True, text=True, check=False)
    return [f"abi3audit: {(shown.stdout + shown.stderr).strip()[-500:]}"] if shown.returncode != 0 else []


def runs_on(needed: str, promised: str) -> bool:
    """Whether what needs one platform runs on all that the other stands for."""
    needs, has = (TAG.fullmatch(tag) for tag in (needed, promised))
    if needs is None or has is None or needs["libc"] != has["libc"] or needs["machine"] != has["machine"]:
        return False
    return (int(needs["major"]), int(needs["minor"])) <= (int(has["major"]), int(has["minor"]))


def places() -> list[str]:
    """Folders of this machine that are no business of who installs a wheel."""
    cargo = os.environ.get("CARGO_HOME", str(Path.home() / ".cargo"))
    target = os.environ.get("CARGO_TARGET_DIR", str(ROOT / "target"))
    return list(dict.fromkeys([str(ROOT), cargo, target]))


def main() -> int:
    """Print a row for each, and what is wrong."""
    wrong = 0
    print("| wheel | MB | auditwheel | SHA-256 |", "|---|---|---|---|", sep="\n")
    for wheel in map(Path, sys.argv[1:]):
        needed, found = audited(wheel) if "linux" in wheel.name else ("-", [])
        found += problems(wheel, places()) + outside_the_stable_interface(wheel)
        digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
        print(f"| {wheel.name} | {wheel.stat().st_size / 1e6:.2f} | {needed} | {digest} |")
        for why in found:
            print(f"{wheel.name}: {why}", file=sys.stderr)
        wrong += len(found)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
