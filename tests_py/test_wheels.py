"""What `nox -s dist` holds wheels to fails each wheel that breaks one promise."""

from __future__ import annotations

import base64
import hashlib
import json
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from renamed import renamed
from wheels import (
    EXECUTABLES,
    LARGEST,
    MACHINES,
    PLATFORMS,
    audited,
    outside_the_stable_interface,
    problems,
    runs_on,
)

NAME = "holdfast-0.1.0-cp310-abi3-manylinux_2_17_x86_64.manylinux2014_x86_64.whl"
MUSL = "holdfast-0.1.0-cp310-abi3-musllinux_1_2_x86_64.whl"
# Each file of a wheel, with its mode.
Contents = dict[str, tuple[bytes, int]]


def elf(machine: int, *kinds: int) -> bytes:
    """A header with entries of these kinds in its table of segments."""
    ident = b"\x7fELF\x02\x01\x01" + bytes(9)
    header = struct.pack("<HHIQQQIHHHHHH", 2, machine, 1, 0, 64, 0, 0, 64, 56, len(kinds), 0, 0, 0)
    return ident + header + b"".join(struct.pack("<I52x", kind) for kind in kinds)


def contents() -> Contents:
    held = {
        f"holdfast/_bin/{name}-{platform}": (elf(machine, 1, 7), 0o755)
        for platform, machine in PLATFORMS.items()
        for name in EXECUTABLES
    }
    beside = ("licenses/LICENSE", "licenses/THIRD-PARTY-LICENSES", "sboms/holdfast.cyclonedx.json")
    held |= {f"holdfast-0.1.0.dist-info/{name}": (b"text", 0o644) for name in beside}
    held["holdfast/_core.abi3.so"] = (elf(MACHINES["x86_64"], 1, 2), 0o755)
    held["holdfast/py.typed"] = (b"", 0o644)
    return held


def written(folder: Path, held: Contents, name: str = NAME) -> Path:
    with zipfile.ZipFile(folder / name, "w") as archive:
        for path, (text, mode) in held.items():
            entry = zipfile.ZipInfo(path)
            entry.external_attr = (0o100000 | mode) << 16
            archive.writestr(entry, text)
    return folder / name


def test_a_whole_wheel_has_no_problem(tmp_path: Path) -> None:
    assert problems(written(tmp_path, contents()), ["/home/somebody"]) == []


def without(path: str) -> Callable[[Contents], object]:
    return lambda held: held.pop(path)


def replaced(path: str, text: bytes, mode: int = 0o755) -> Callable[[Contents], object]:
    return lambda held: held.update({path: (text, mode)})


LEDGER = "holdfast/_bin/ledger-linux-arm64"
ARM, X86 = MACHINES["aarch64"], MACHINES["x86_64"]


@pytest.mark.parametrize(
    ("break_it", "said"),
    [
        (without(LEDGER), "ledger-linux-arm64: missing"),
        (replaced(LEDGER, elf(X86, 1)), "ledger-linux-arm64: of another machine"),
        (replaced(LEDGER, b"#!/bin/sh\n"), "ledger-linux-arm64: of another machine"),
        (replaced(LEDGER, elf(ARM, 1, 3, 2)), "ledger-linux-arm64: not static"),
        (replaced(LEDGER, elf(ARM, 1), 0o644), "ledger-linux-arm64: not executable"),
        (without("holdfast/_core.abi3.so"), "holdfast/_core.abi3.so is not there, or is of another machine"),
        (replaced("holdfast/_core.abi3.so", elf(ARM, 1)), "_core.abi3.so is not there, or is of another machine"),
        (without("holdfast/py.typed"), "there is no holdfast/py.typed"),
        (without("holdfast-0.1.0.dist-info/licenses/THIRD-PARTY-LICENSES"), "there is no licenses/THIRD-PARTY"),
        (without("holdfast-0.1.0.dist-info/sboms/holdfast.cyclonedx.json"), "there is no sboms/holdfast.cyclone"),
        (replaced("holdfast/x.py", b"'/home/somebody/x.rs'"), "holdfast/x.py names /home/somebody"),
        (replaced("holdfast/large", bytes(int(LARGEST * 1e6))), f"MB, and may have {LARGEST}"),
    ],
)
def test_a_broken_promise_is_named(break_it: Callable[[Contents], object], said: str, tmp_path: Path) -> None:
    held = contents()
    break_it(held)
    (found,) = problems(written(tmp_path, held), ["/home/somebody"])
    assert said in found


def test_a_wheel_for_one_python_is_not_for_the_stable_interface(tmp_path: Path) -> None:
    (found,) = problems(written(tmp_path, contents(), NAME.replace("cp310-abi3", "cp311-cp311")), [])
    assert found == "it is not for the stable interface of Python 3.10"


def program(folder: Path, name: str, does: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The only one of that name that is found; it has its arguments from what it is asked for in a release."""
    (folder / name).write_text(f"#!/bin/sh\n{does}\n")
    (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


@pytest.mark.parametrize(("code", "said"), [(0, []), (1, ["abi3audit: _PyObject_New is not in it"])])
def test_what_abi3audit_refuses_is_refused(
    code: int, said: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    does = f'test -f "$2" || exit 7; echo "_PyObject_New is not in it"; exit {code}'
    program(tmp_path, "abi3audit", does, monkeypatch)
    assert outside_the_stable_interface(written(tmp_path, contents())) == said


@pytest.mark.parametrize(
    ("name", "libraries", "found"),
    [
        (MUSL, ["libc.so"], ("musllinux_1_2_x86_64", [])),
        (
            MUSL,
            ["libc.so", "libgcc_s.so.1"],
            ("linux_x86_64", ["auditwheel says linux_x86_64, which its name does not"]),
        ),
        (NAME, ["libc.so"], ("linux_x86_64", ["auditwheel says linux_x86_64, which its name does not"])),
    ],
)
def test_musl_is_what_calls_itself_libc_so(
    name: str, libraries: list[str], found: tuple[str, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """auditwheel knows it by the name that Alpine gives it alone, and takes a file of glibc's for it."""
    said = {"overall_tag": "linux_x86_64", "sym_tag": "musllinux_1_2_x86_64", "external_libs": dict.fromkeys(libraries)}
    nowhere = 'test "$3" = --ldpaths && test -z "$(ls -A "$4")" && test -f "$5" || exit 7'
    program(tmp_path, "auditwheel", f"{nowhere}; echo '{json.dumps(said)}'", monkeypatch)
    assert audited(written(tmp_path, contents(), name)) == found


SBOM = "holdfast-0.1.0.dist-info/sboms/holdfast.cyclonedx.json"


def built(folder: Path, where: str) -> Path:
    """A wheel with a bill of materials as maturin writes it in a folder."""
    folder.mkdir()
    held = contents() | {SBOM: (f'"path+file://{where}/crates/net#0.1.0"'.encode(), 0o644)}
    record = "".join(f"{name},sha256={digest(text)},{len(text)}\n" for name, (text, _) in held.items())
    record += "holdfast-0.1.0.dist-info/RECORD,,\n"
    return written(folder, held | {"holdfast-0.1.0.dist-info/RECORD": (record.encode(), 0o644)})


def digest(text: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text).digest()).rstrip(b"=").decode()


def test_two_folders_make_one_wheel(tmp_path: Path) -> None:
    one, two = built(tmp_path / "one", "/home/somebody/x"), built(tmp_path / "two", "/srv/y")
    assert problems(one, ["/home/somebody/x"]) == [f"{SBOM} names /home/somebody/x"]
    with zipfile.ZipFile(one) as archive:
        before = {
            each.filename: (archive.read(each), each.external_attr, each.date_time) for each in archive.infolist()
        }
    renamed(one, Path("/home/somebody/x"))
    renamed(two, Path("/srv/y"))
    assert one.read_bytes() == two.read_bytes()
    assert problems(one, ["/home/somebody/x"]) == []
    with zipfile.ZipFile(one) as archive:
        after = {each.filename: (archive.read(each), each.external_attr, each.date_time) for each in archive.infolist()}
    assert list(after) == list(before)
    assert {name for name in after if after[name] != before[name]} == {SBOM, "holdfast-0.1.0.dist-info/RECORD"}
    rows = dict(line.split(",", 1) for line in after["holdfast-0.1.0.dist-info/RECORD"][0].decode().splitlines())
    assert set(rows) == set(after)
    assert rows.pop("holdfast-0.1.0.dist-info/RECORD") == ","
    assert rows == {name: f"sha256={digest(after[name][0])},{len(after[name][0])}" for name in rows}


def test_a_wheel_for_macos_has_the_executables_of_devices(tmp_path: Path) -> None:
    """A test on a device begins with an image, which is made of them."""
    name = "holdfast-0.1.0-cp310-abi3-macosx_11_0_arm64.whl"
    held = contents() | {"holdfast/_core.abi3.so": (b"\xcf\xfa\xed\xfe", 0o755)}
    assert problems(written(tmp_path, held, name), []) == []
    del held[LEDGER]
    assert problems(written(tmp_path, held, name), []) == ["ledger-linux-arm64: missing"]


@pytest.mark.parametrize(
    ("needed", "promised", "runs"),
    [
        ("manylinux_2_17_x86_64", "manylinux_2_17_x86_64", True),
        ("manylinux_2_5_x86_64", "manylinux_2_17_x86_64", True),
        ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", False),
        ("manylinux_2_17_aarch64", "manylinux_2_17_x86_64", False),
        ("musllinux_1_1_x86_64", "musllinux_1_2_x86_64", True),
        ("musllinux_1_2_x86_64", "manylinux_2_17_x86_64", False),
        ("linux_x86_64", "manylinux_2_17_x86_64", False),
    ],
)
def test_what_needs_a_newer_system_than_its_name_says_is_refused(needed: str, promised: str, runs: bool) -> None:
    assert runs_on(needed, promised) == runs
