"""A container engine's plugin as an archive: the test container's executable, which then serves a plugin's socket."""

from __future__ import annotations

import io
import json
import os
import tarfile
from pathlib import Path
from typing import Any

from holdfast import _core, cntrsrv
from holdfast.exceptions import ImageError

SOCKET = "cntrsrv.sock"

_CONFIG: dict[str, Any] = {
    "description": "holdfast's test plugin: it does nothing, and says so",
    "documentation": "docs/cntr1.md of holdfast",
    "entrypoint": ["/cntrsrv", "--plugin-socket", f"/run/docker/plugins/{SOCKET}"],
    "interface": {"types": ["holdfast.cntrsrv/1.0"], "socket": SOCKET},
    "network": {"type": ""},
    "workdir": "/",
    "linux": {"capabilities": []},
    "mounts": [],
    "env": [],
    "args": {"name": "", "description": "", "value": [], "settable": []},
}
# What StartPlugin takes as its configuration: Docker's plugin config version 1, as JSON.
CONFIG = json.dumps(_CONFIG, sort_keys=True)


def write_archive(path: str | os.PathLike[str], *, platform: str | None = None) -> None:
    """Write the archive as gNOI Containerz deploys it: the plugin's root file system, without a folder around it.

    The configuration (`CONFIG`) is not in it: StartPlugin brings that. `docker plugin create` wants both in a folder,
    as `config.json` and `rootfs/`. `platform` is this machine's own if none is given. The same input gives the same
    bytes. Raises `ImageError`.
    """
    executable = cntrsrv.executable(platform or _core.own_platform())
    try:
        with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as archive:
            for folder in ("run", "run/docker", "run/docker/plugins"):
                _add_folder(archive, folder)
            _add(archive, "cntrsrv", executable.read_bytes(), 0o755)
    except OSError as error:
        raise ImageError(f"{Path(path)}: {error}", hint="choose a folder that exists and can be written") from None


def _add(archive: tarfile.TarFile, name: str, content: bytes, mode: int) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), mode
    archive.addfile(entry, io.BytesIO(content))


def _add_folder(archive: tarfile.TarFile, name: str) -> None:
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode = tarfile.DIRTYPE, 0o755
    archive.addfile(entry)
