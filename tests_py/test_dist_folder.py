"""What a release uploads is of one version, and says what it was built with."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from dist_folder import current, forget, main


def files(folder: Path) -> set[str]:
    return {file.name for file in folder.iterdir()}


def test_nothing_of_another_version_or_name_stays(tmp_path: Path) -> None:
    kept = {"holdfast_dut-0.1.0-cp310-abi3-musllinux_1_2_x86_64.whl", "holdfast_dut-0.1.0.tar.gz", "notes.txt"}
    others = {
        "holdfast_dut-0.0.9-cp310-abi3-musllinux_1_2_x86_64.whl",
        "holdfast_dut-0.1.0rc1-cp310-abi3-musllinux_1_2_x86_64.whl",
        "holdfast_dut-0.1.0.post1.tar.gz",
        "holdfast-0.1.0-cp310-abi3-musllinux_1_2_x86_64.whl",
        "holdfast-0.1.0.tar.gz",
    }
    for name in kept | others:
        (tmp_path / name).touch()
    assert set(forget(tmp_path, "holdfast_dut", "0.1.0")) == others
    assert files(tmp_path) == kept


def test_the_name_is_as_files_have_it(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "Holdfast.dut-kit"\n')
    (tmp_path / "Cargo.toml").write_text('[workspace.package]\nversion = "0.2.0"\n')
    assert current(tmp_path) == ("holdfast_dut_kit", "0.2.0")


def test_a_wheel_says_what_it_was_built_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1764500000")
    wheel, out = tmp_path / "holdfast-0.1.0.whl", tmp_path / "built-with" / "macos.txt"
    wheel.write_bytes(b"packed")
    assert main(["note", "macos", str(wheel), str(out)]) == 0
    lines = dict(line.split(": ", 1) for line in out.read_text().splitlines())
    assert lines["sha256"] == hashlib.sha256(b"packed").hexdigest()
    assert lines["SOURCE_DATE_EPOCH"] == "1764500000"
    assert {"commit", "rustc", "cargo", "zig", "maturin", "python"} <= set(lines)
