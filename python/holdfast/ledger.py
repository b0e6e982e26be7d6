"""The ledger's executable, which the wheel brings: static, so that any container image can carry it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from holdfast import _core
from holdfast.cntrsrv import native_executable


def executable(platform: str | None = None) -> Path:
    """Where the wheel keeps it, for this machine if no platform is given; `ImageError` where it has none."""
    return native_executable("ledger", platform or _core.own_platform())


def run(arguments: Sequence[str]) -> None:
    """Become it, with these arguments (docs/ledger.md)."""
    path = executable()
    os.execv(path, [str(path), *arguments])  # noqa: S606


if __name__ == "__main__":
    print(executable())  # noqa: T201
