"""Runs of other frameworks' own runners, against emulated devices of the tests' own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import holdfast

EXAMPLES = Path(__file__).parent.parent / "examples"

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def chassis() -> Iterator[holdfast.Emulator]:
    """An emulated device."""
    with holdfast.emulator() as emulated:
        yield emulated


@pytest.fixture
def example(tmp_path: Path) -> Callable[[str], Path]:
    """A copy of an example's folder, to be changed and run in."""
    return lambda name: Path(shutil.copytree(EXAMPLES / name, tmp_path / name))


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run a command of this environment in a folder."""

    def go(*command: str, folder: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("HOLDFAST_", "PYTEST_"))}
        tools = f"{Path(sys.executable).parent}{os.pathsep}{kept.get('PATH', '')}"
        return subprocess.run(
            command,
            cwd=folder or tmp_path,
            env={**kept, "PATH": tools, "XDG_STATE_HOME": str(tmp_path / "state"), **environment},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    return go


def put(file: Path, *pairs: tuple[str, str]) -> None:
    """Replace texts in a file; each must be there."""
    text = file.read_text()
    for old, new in pairs:
        assert old in text, old
        text = text.replace(old, new)
    file.write_text(text)


def shown_frames(error: BaseException) -> str:
    """What `pytest --showlocals` would show of holdfast's own frames."""
    ours = str(Path(holdfast.__file__).parent)
    frames = (frame for frame, _ in traceback.walk_tb(error.__traceback__))
    return "\n".join(repr(frame.f_locals) for frame in frames if frame.f_code.co_filename.startswith(ours))
