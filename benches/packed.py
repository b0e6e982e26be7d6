"""An archive with compressed layers, checked by us and by skopeo with sha256sum."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
import time
from pathlib import Path

_OPEN = """
import sys, time, holdfast
began = time.monotonic()
holdfast.Archive.open(sys.argv[1])
took = time.monotonic() - began
peak = next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM:"))
print(took, peak)
"""


class _Members(io.RawIOBase):
    """A gzip file of many members, which is a file of its own though none was written."""

    def __init__(self, members: list[bytes]) -> None:
        self._members = iter(members)
        self._current = io.BytesIO()

    def read(self, size: int = -1) -> bytes:
        found = bytearray()
        while len(found) < size:
            if not (more := self._current.read(size - len(found))):
                if (member := next(self._members, None)) is None:
                    break
                self._current = io.BytesIO(member)
            found += more
        return bytes(found)


def archive(path: Path, megabytes: int) -> Path:
    """A docker-archive with two gzip layers, of about so many MiB, of which a half can be compressed."""
    content = os.urandom(8 << 20) + os.urandom(8 << 20).hex().encode()
    member = gzip.compress(content, 1)
    count = (megabytes << 20) // 2 // len(member)
    layers = []
    with tarfile.open(path, "w") as made:
        for at in (b"0", b"1"):
            first = gzip.compress(at)
            packed, unpacked = hashlib.sha256(first), hashlib.sha256(at)
            for _ in range(count):
                packed.update(member)
                unpacked.update(content)
            info = tarfile.TarInfo(f"{packed.hexdigest()}.tar.gz")
            info.size = len(first) + count * len(member)
            made.addfile(info, _Members([first, *[member] * count]))
            layers.append((info.name, f"sha256:{unpacked.hexdigest()}"))
        config = {"os": "linux", "architecture": "amd64", "rootfs": {"diff_ids": [diff_id for _, diff_id in layers]}}
        saved = [{"Config": "config.json", "RepoTags": ["bench:v1"], "Layers": [name for name, _ in layers]}]
        for name, document in (("config.json", config), ("manifest.json", saved)):
            text = json.dumps(document).encode()
            info = tarfile.TarInfo(name)
            info.size = len(text)
            made.addfile(info, io.BytesIO(text))
    return path


def opened(path: Path) -> tuple[float, float]:
    """Seconds, and the process's peak memory in MiB."""
    done = subprocess.run([sys.executable, "-c", _OPEN, str(path)], capture_output=True, text=True, check=True)
    took, peak = done.stdout.split()
    return float(took), int(peak) / 1024


def by_others(path: Path) -> float:
    """Seconds that `skopeo inspect` and `sha256sum` take, one after the other."""
    began = time.monotonic()
    subprocess.run(["skopeo", "inspect", f"docker-archive:{path}"], check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["sha256sum", str(path)], check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - began
