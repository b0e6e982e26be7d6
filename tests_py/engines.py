"""A Docker engine of the tests' own whose containers publish ports, and images that people could have built."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from archives import Image, saved, write
from test_docker import Docker

BUSYBOX = "/usr/bin/busybox"


def lacks() -> str | None:
    """What is missing for an engine; None where nothing is."""
    if os.geteuid() != 0:
        return "needs root"
    tools = [tool for tool in ("dockerd", "docker", "containerd", "ip") if shutil.which(tool) is None]
    return f"needs {', '.join(tools)}: apt-get install docker.io iproute2" if tools else None


@contextmanager
def bridged(purpose: str, megabytes: int = 1024) -> Iterator[Docker]:
    """An engine with a bridge of its own, and so much memory for its files: a disk that others write to would make it
    as slow as they like. Its folder is a short one, as the path of a socket must be.
    """
    folder = Path(tempfile.mkdtemp(prefix="hf-"))
    number = os.getpid() % 10000
    bridge = f"hf-{purpose}-{number}"
    size = f"size={megabytes}m"
    subprocess.run(["mount", "-t", "tmpfs", "-o", size, "none", str(folder)], check=True, timeout=30)
    try:
        subprocess.run(["ip", "link", "add", bridge, "type", "bridge"], check=True, timeout=30)
        address = f"10.213.{number % 250}.1/24"
        subprocess.run(["ip", "address", "add", address, "dev", bridge], check=True, timeout=30)
        inside = folder / "e"
        inside.mkdir()
        engine = Docker(inside, network=f"--bridge={bridge}")
        try:
            yield engine
        finally:
            engine.stop()
    finally:
        subprocess.run(["ip", "link", "delete", bridge], check=False, timeout=30)
        subprocess.run(["umount", "--lazy", str(folder)], check=True, timeout=30)
        folder.rmdir()


def shell_image(path: Path, name: str, script: str, filler: int = 0, **config: object) -> Path:
    """The archive of an image that runs a script by busybox, whose `/data` belongs to user 1000 alone.

    `filler` is how many more bytes it has.
    """
    if not Path(BUSYBOX).exists():
        pytest.skip("needs a static busybox: apt-get install busybox-static")
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as layer:
        for name_of, mode, owner in (("bin", 0o755, 0), ("data", 0o700, 1000), ("scratch", 0o777, 0)):
            place = tarfile.TarInfo(name_of)
            place.type, place.mode, place.uid, place.gid = tarfile.DIRTYPE, mode, owner, owner
            layer.addfile(place)
        layer.add(BUSYBOX, "bin/busybox")
        for tool in ("sh", "cat", "sleep", "echo", "id", "stat", "mkdir", "chmod", "ls"):
            link = tarfile.TarInfo(f"bin/{tool}")
            link.type, link.linkname = tarfile.SYMTYPE, "/bin/busybox"
            layer.addfile(link)
        content = script.encode()
        entry = tarfile.TarInfo("start.sh")
        entry.size, entry.mode = len(content), 0o755
        layer.addfile(entry, io.BytesIO(content))
        if filler:
            entry = tarfile.TarInfo("filler")
            entry.size = filler
            layer.addfile(entry, io.BytesIO(bytes(filler)))
    inside = {"Cmd": ["/bin/sh", "/start.sh"], "Env": ["PATH=/bin"], **config}
    return write(path, saved(Image(layers=(made.getvalue(),), more={"config": inside}), name))
