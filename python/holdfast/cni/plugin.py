"""`cni-bridge-fp`, the plugin that the wheel brings."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from holdfast.cntrsrv import native_executable
from holdfast.exceptions import InvalidArgumentError

NAME = "cni-bridge-fp"


def path() -> Path:
    """Where the wheel keeps the plugin for this machine. Raises `ImageError` where it has none."""
    from holdfast import _core

    return native_executable(NAME, _core.own_platform())


def install(folder: str | os.PathLike[str]) -> Path:
    """Put the plugin into a CNI bin folder, whole or not at all, and say where it lies."""
    target = Path(folder)
    if not target.is_dir():
        raise InvalidArgumentError(f"{target} is no folder", hint="name a CNI bin folder, such as /opt/cni/bin")
    source = path()
    try:
        with tempfile.NamedTemporaryFile(dir=target, prefix=f".{NAME}.", delete=False) as draft:
            shutil.copyfile(source, draft.name)
        Path(draft.name).chmod(0o755)
        Path(draft.name).replace(target / NAME)
    except OSError as error:
        raise InvalidArgumentError(f"{target}: {error.strerror}", hint="may this user write there?") from None
    return target / NAME


def is_supported() -> bool:
    """Whether this system runs CNI plugins at all."""
    return sys.platform == "linux"


@dataclass(frozen=True)
class Running:
    """A process of the plugin, and the environment that a runtime gave it: CNI_CONTAINERID, CNI_ARGS and others."""

    pid: int
    environment: Mapping[str, str]


def running(folder: str = "") -> list[Running]:
    """Its processes on this machine, whose CNI_PATH begins with `folder`, whoever runs them."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            if (entry / "comm").read_text().strip() != NAME:
                continue
            held = (entry / "environ").read_bytes().decode(errors="replace").split("\0")
        except OSError:  # it ended meanwhile
            continue
        environment = dict(each.partition("=")[::2] for each in held)
        if environment.get("CNI_PATH", "").startswith(folder):
            found.append(Running(int(entry.name), environment))
    return found
