"""A containerd: one that somebody brings, or a private one with its own root, state, socket and network namespace."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from holdfast import _core, cntrsrv, waiting
from holdfast.cni.namespace import NetworkNamespace
from holdfast.exceptions import HoldfastError

PAUSE = ("localhost/holdfast/pause", "1")
# From its start until it answers, in seconds.
START = 60.0
# Where libcni keeps what ADD answered.
_RESULTS = Path("/var/lib/cni/results")
# struct ucred: process, user and group.
_CREDENTIALS = struct.Struct("iII")

_CONFIGURATION = """\
version = 2
root = "{folder}/root"
state = "{folder}/state"
[grpc]
  address = "{folder}/containerd.sock"
[ttrpc]
  address = "{folder}/containerd.sock.ttrpc"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{image}"
  disable_apparmor = true
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "native"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{plugins}"
    conf_dir = "{configurations}"
"""


class GivenContainerd:
    """A containerd that somebody brings, by its CRI socket. It is asked for pods, and left as it is."""

    def __init__(self, at: Path) -> None:
        self.socket = at
        self.runtime = _core.container_runtime(at)
        # Where it keeps the network namespaces of its pods, as it calls that folder.
        self.namespaces = Path("/run/netns")

    def host(self) -> NetworkNamespace:
        """The network namespace that it runs in, and its plugins. Raises `HoldfastError`, also where nobody tells."""
        made = NetworkNamespace("containerd's")
        made.path = Path(f"/proc/{self._pid()}/ns/net")
        return made

    def place(self, path: str | os.PathLike[str]) -> Path:
        """Where this process finds what is called `path` where the containerd is. Raises `HoldfastError`."""
        pid = self._pid()
        try:
            same = Path(f"/proc/{pid}/ns/mnt").stat().st_ino == Path("/proc/self/ns/mnt").stat().st_ino
        except OSError as error:
            raise HoldfastError(f"the containerd at {self.socket}: {error}") from None
        return Path(path) if same else Path(f"/proc/{pid}/root{os.fspath(path)}")

    def result(self, network: str, pod: str, interface: str = "eth0") -> Mapping[str, Any]:
        """What ADD answered for a pod, by its id, as libcni keeps it until DEL; empty where it does not."""
        try:
            held = json.loads(self.place(_RESULTS / f"{network}-{pod}-{interface}").read_bytes())
        except (OSError, ValueError):
            return {}
        found = held.get("result") if isinstance(held, dict) else None
        return found if isinstance(found, dict) else {}

    def _pid(self) -> int:
        """The process that listens at its socket: the kernel tells whoever is connected."""
        if sys.platform != "linux":
            raise HoldfastError(f"the containerd at {self.socket}: containers and their networks need Linux")
        with socket.socket(socket.AF_UNIX) as asked:
            asked.settimeout(10)
            try:
                asked.connect(str(self.socket))
                told = asked.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
            except OSError as error:
                raise HoldfastError(f"the containerd at {self.socket}: {error}") from None
        pid = int(_CREDENTIALS.unpack(told)[0])
        if pid == 0:
            raise HoldfastError(
                f"the containerd at {self.socket} is in no process namespace that is seen here, nor is its network",
                hint="run it where containerd's processes are seen (a container: with the host's process namespace)",
            )
        return pid

    def pods(self) -> Mapping[str, str]:
        """The ids of its pods, by name."""
        return {name: pod for pod, name, _, _ in self.runtime.pods(timeout=10)}


class Containerd(GivenContainerd):
    """A private containerd, for pods without containers. `plugins` and `configurations` are its CNI folders."""

    def __init__(self, folder: Path, host: NetworkNamespace, plugins: Path, configurations: Path) -> None:
        super().__init__(folder / "containerd.sock")
        self.folder = folder
        self.namespaces = folder / "state" / "io.containerd.grpc.v1.cri" / "netns"
        self._host = host
        self._process: subprocess.Popen[bytes] | None = None
        image = ":".join(PAUSE)
        text = _CONFIGURATION.format(folder=folder, image=image, plugins=plugins, configurations=configurations)
        (folder / "config.toml").write_text(text, encoding="utf-8")

    def start(self) -> None:
        """Start it, or start it again, and wait until it answers. Raises `HoldfastError`."""
        command = self._host.command(["containerd", "--config", str(self.folder / "config.toml")])
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        process = self._process
        waiting.until(lambda: self._answers() or process.poll() is not None, START)
        if not self._answers():
            tail = (self.folder / "log").read_text(errors="replace")[-2000:]
            raise HoldfastError(f"containerd does not start:\n{tail}")

    def _answers(self) -> bool:
        try:
            self.runtime.version(timeout=2)
        except HoldfastError:
            return False
        return True

    def bring_pause_image(self) -> None:
        """Give it an image that pods can be made of: no registry is asked."""
        archive = self.folder / "pause.tar"
        cntrsrv.write_archive(archive, name=PAUSE[0], tag=PAUSE[1])
        words = ["ctr", "--address", str(self.socket), "--namespace", "k8s.io", "images", "import", str(archive)]
        done = subprocess.run(words, capture_output=True, text=True, timeout=START, check=False)
        if done.returncode != 0:
            raise HoldfastError(f"the pause image cannot be imported: {done.stderr.strip()}")

    def kill(self) -> None:
        """End it as a crash does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(timeout=20)

    def stop(self) -> None:
        """End it and all that it started, and remove its folder."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(timeout=20)
        for pid in self._shims():
            os.kill(pid, signal.SIGKILL)
        for mount in reversed(_mounts_below(self.folder)):
            subprocess.run(["umount", "--lazy", mount], check=False, timeout=20)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _shims(self) -> list[int]:
        """What outlives it: shims name its socket on their command line, and what they started is below them."""
        shims = set()
        parents: dict[int, int] = {}
        for folder in Path("/proc").iterdir():
            if not folder.name.isdigit():
                continue
            try:
                words = (folder / "cmdline").read_bytes()
                stat = (folder / "stat").read_text()
            except OSError:
                continue
            parents[int(folder.name)] = int(stat.rpartition(")")[2].split()[1])
            if b"containerd-shim" in words and str(self.socket).encode() in words:
                shims.add(int(folder.name))
        return [pid for pid, parent in parents.items() if pid in shims or parent in shims]


def _mounts_below(folder: Path) -> list[str]:
    mounts = (line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines())
    return [mount for mount in mounts if mount.startswith(f"{folder}/")]
