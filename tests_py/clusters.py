"""A Kubernetes of the user's own, for tests: the one of `holdfast lab up kubernetes`, reached as any other is."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import ssl
import subprocess
import tarfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from holdfast.storage import kubernetes, provider, standing

IMAGE = "holdfast.test/shell:1"
# What an agent's script uses, beside the shell.
AGENT_TOOLS = (
    "awk", "cat", "date", "grep", "ls", "nsenter", "readlink", "rm", "setsid", "sleep", "sort", "stat",
)  # fmt: skip


@dataclass(frozen=True)
class Cluster:
    """One that stands, with an image on its nodes that has a shell."""

    lab: standing.Standing
    folder: Path

    @property
    def kubeconfig(self) -> Path:
        assert self.lab.lab.kubeconfig is not None
        return Path(self.lab.lab.kubeconfig)

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Its API, as its administrator."""
        found = yaml.safe_load(self.kubeconfig.read_text(encoding="utf-8"))
        cluster, user = found["clusters"][0]["cluster"], found["users"][0]["user"]
        authority = cluster.get("certificate-authority-data")
        context = ssl.create_default_context(
            cadata=None if authority is None else base64.b64decode(authority).decode(),
            cafile=cluster.get("certificate-authority"),
        )
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        request = urllib.request.Request(
            cluster["server"] + path,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {user['token']}", "Content-Type": kind},
            method=method,
        )
        with urllib.request.urlopen(request, context=context, timeout=10) as answer:
            return dict(json.load(answer))

    def provider(self, more: str = "", kubeconfig: Path | None = None, about: str = "") -> provider.ProviderFile:
        """Its file. `more` is what the lab has beside, `about` what the provider has."""
        file = self.folder / "mine.yaml"
        file.write_text(
            f"provider: {{kind: csi, filesystems: [ext4]{about}}}\n"
            f"lab: {{kind: cluster, kubeconfig: {kubeconfig or self.kubeconfig}, storage_class: holdfast, "
            f"image: {IMAGE}{more}}}\n",
            encoding="utf-8",
        )
        return provider.read(str(file))

    def namespaces(self) -> set[str]:
        """Those of runs, beside the one that the lab itself is."""
        listed = self.ask("GET", "/api/v1/namespaces")["items"]
        labels = {each["metadata"]["name"]: each["metadata"].get("labels", {}) for each in listed}
        return {name for name, held in labels.items() if held.get("holdfast.dev/machine")}


def shell_image(file: Path) -> None:
    """An image with busybox, as `docker save` writes it."""
    layer = io.BytesIO()
    busybox = Path("/usr/bin/busybox").read_bytes()
    with tarfile.open(fileobj=layer, mode="w") as archive:
        for folder in ("bin", "tmp", "volume", "packed", "holdfast"):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(entry)
        entry = tarfile.TarInfo("bin/busybox")
        entry.size, entry.mode = len(busybox), 0o755
        archive.addfile(entry, io.BytesIO(busybox))
        for name in ("sh", "gzip", "chmod", "tail", *AGENT_TOOLS):
            entry = tarfile.TarInfo(f"bin/{name}")
            entry.type, entry.linkname = tarfile.SYMTYPE, "busybox"
            archive.addfile(entry)
    digest = hashlib.sha256(layer.getvalue()).hexdigest()
    configuration = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Cmd": ["sh"], "Env": ["PATH=/bin"]},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
        }
    ).encode()
    name = f"{hashlib.sha256(configuration).hexdigest()}.json"
    manifest = json.dumps([{"Config": name, "RepoTags": [IMAGE], "Layers": ["layer.tar"]}]).encode()
    with tarfile.open(file, "w") as archive:
        for path, held in (("layer.tar", layer.getvalue()), (name, configuration), ("manifest.json", manifest)):
            entry = tarfile.TarInfo(path)
            entry.size = len(held)
            archive.addfile(entry, io.BytesIO(held))


@contextmanager
def made(folder: Path) -> Iterator[Cluster]:
    """One that stands as long as this; skips where this machine has none."""
    why = kubernetes.lacks()
    if why is not None or not Path("/usr/bin/busybox").is_file():
        pytest.skip(why or "busybox is missing: install Debian's busybox-static")
    shell_image(folder / "shell.tar")
    with standing.stand(standing.readable("nbd", "kubernetes"), start=180) as lab:
        for node in lab.lab.nodes():
            inside = next(iter(processes(f"{lab.folder}/{node}/worker/containerd.toml")))
            into = ["ctr", "-a", "/run/containerd/containerd.sock", "-n", "k8s.io", "images", "import"]
            command = ["nsenter", "-t", inside, "-m", *into, str(folder / "shell.tar")]
            subprocess.run(command, check=True, capture_output=True)
        yield Cluster(lab, folder)


def processes(word: str) -> Iterator[str]:
    """The ids of the processes that have a word on their command line."""
    for process in Path("/proc").iterdir():
        with suppress(OSError):  # it has ended meanwhile
            if process.name.isdigit() and word in (process / "cmdline").read_text(errors="replace"):
                yield process.name
