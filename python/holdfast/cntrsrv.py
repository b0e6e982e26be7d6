"""The test container's archive, made from the executable that the wheel brings."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from holdfast import _core
from holdfast.exceptions import ImageError

_TARGETS = {"linux/amd64": "x86_64-unknown-linux-gnu", "linux/arm64": "aarch64-unknown-linux-gnu"}


def executable(platform: str) -> Path:
    """Where the wheel keeps `cntrsrv` for a platform; `ImageError` where it has none."""
    return native_executable("cntrsrv", platform)


def native_executable(name: str, platform: str) -> Path:
    """Where the wheel keeps an executable for a platform; `ImageError` where it has none."""
    if platform not in _TARGETS:
        raise ImageError(f"there is no {name} for {platform!r}", hint=f"one of: {', '.join(_TARGETS)}")
    path = Path(__file__).parent / "_bin" / f"{name}-{platform.replace('/', '-')}"
    if not path.is_file():
        raise ImageError(
            f"this installation has no {name} for {platform}",
            hint=f"`rustup target add {_TARGETS[platform]}`, a linker for it, and install holdfast from source again",
        )
    return path


def write_archive(
    path: str | os.PathLike[str],
    *,
    name: str = "cntrsrv_image",
    tag: str = "latest",
    platform: str | None = None,
    labels: Mapping[str, str] | None = None,
    environment: Mapping[str, str] | None = None,
) -> None:
    """Write the test container's archive, which `docker load` takes and gNOI Containerz deploys.

    `platform` is this machine's own if none is given. `labels` and `environment` (of its containers) change the
    image's id. Raises `ImageError`.
    """
    chosen = platform or _core.own_platform()
    _core.cntrsrv_archive(
        path,
        executable(chosen),
        name=name,
        tag=tag,
        platform=chosen,
        labels=dict(labels or {}),
        environment=dict(environment or {}),
    )
