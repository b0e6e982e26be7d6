"""Builds image archives as the tools that people use write them, and as broken as people send them."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import json
import lzma
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

Files = dict[str, bytes]

OCI = "application/vnd.oci.image."
INDEX, MANIFEST, CONFIG = f"{OCI}index.v1+json", f"{OCI}manifest.v1+json", f"{OCI}config.v1+json"
CONTAINERD_NAME, REF_NAME = "io.containerd.image.name", "org.opencontainers.image.ref.name"


def _zstd(content: bytes) -> bytes:
    if shutil.which("zstd") is None:
        pytest.skip("needs zstd: apt-get install zstd")
    return subprocess.run(["zstd", "-q", "-c"], input=content, capture_output=True, check=True).stdout


# By the ending of a file's name.
PACKINGS: dict[str, Callable[[bytes], bytes]] = {
    "tar": bytes,
    "tar.gz": lambda content: gzip.compress(content, mtime=0),
    "tar.bz2": bz2.compress,
    "tar.xz": lzma.compress,
    "tar.zst": _zstd,
}
_LAYER_TYPES = {"tar": "", "tar.gz": "+gzip", "tar.zst": "+zstd"}


def digest(content: bytes) -> str:
    """SHA-256 as images write it."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def bare(content: bytes) -> str:
    """The same in hexadecimal alone."""
    return hashlib.sha256(content).hexdigest()


def dump(document: object) -> bytes:
    """As compact JSON."""
    return json.dumps(document, separators=(",", ":")).encode()


def tar(files: Mapping[str, bytes] | Iterable[tuple[str, bytes]], *, form: int = tarfile.USTAR_FORMAT) -> bytes:
    """A tar of these files, in their order."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as made:
        for name, content in files.items() if isinstance(files, Mapping) else files:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            made.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def layer(text: str) -> bytes:
    """A layer with one file."""
    return tar({"file": text.encode()})


@dataclass
class Image:
    """An image; `layers` are unpacked, and `packings` say how each is stored."""

    layers: Sequence[bytes] = field(default_factory=lambda: (layer("one"), layer("two")))
    packings: Sequence[str] = ()
    os: str = "linux"
    architecture: str = "amd64"
    variant: str = ""
    more: Mapping[str, Any] = field(default_factory=dict)

    @property
    def config(self) -> bytes:
        """Its configuration."""
        platform = {"os": self.os, "architecture": self.architecture}
        return dump(
            platform
            | ({"variant": self.variant} if self.variant else {})
            | {"config": {"Cmd": ["/app"], "Labels": {"made": "by hand"}, "Env": ["A=b"]}}
            | {"rootfs": {"type": "layers", "diff_ids": [digest(each) for each in self.layers]}}
            | self.more
        )

    @property
    def id(self) -> str:
        """The configuration's digest."""
        return digest(self.config)

    @property
    def platform(self) -> dict[str, str]:
        """As descriptors write it."""
        platform = {"os": self.os, "architecture": self.architecture}
        return platform | ({"variant": self.variant} if self.variant else {})

    def packed(self) -> list[tuple[str, bytes]]:
        """The layers as they are stored, each with its packing."""
        packings = self.packings or ["tar"] * len(self.layers)
        return [(packing, PACKINGS[packing](each)) for packing, each in zip(packings, self.layers, strict=True)]

    @property
    def manifest(self) -> bytes:
        """Its OCI manifest."""
        layers = [descriptor(each, f"{OCI}layer.v1.tar{_LAYER_TYPES[packing]}") for packing, each in self.packed()]
        config = descriptor(self.config, CONFIG)
        return dump({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers})

    @property
    def blobs(self) -> Files:
        """All of it, as an OCI layout stores it."""
        return blobs(self.config, *(each for _, each in self.packed()), self.manifest)


def blobs(*contents: bytes) -> Files:
    """Contents as an OCI layout stores them."""
    return {f"blobs/sha256/{bare(each)}": each for each in contents}


def descriptor(content: bytes, media_type: str, **more: Any) -> dict[str, Any]:
    """What points to a blob."""
    return {"mediaType": media_type, "digest": digest(content), "size": len(content)} | more


def named(image: Image, *names: str, **more: Any) -> list[dict[str, Any]]:
    """A descriptor for each name, as containerd writes them."""
    notes = [{CONTAINERD_NAME: name, REF_NAME: name.rpartition(":")[2]} for name in names]
    return [descriptor(image.manifest, MANIFEST, annotations=each, **more) for each in notes]


def index(*descriptors: Mapping[str, Any]) -> bytes:
    """An index of these."""
    return dump({"schemaVersion": 2, "mediaType": INDEX, "manifests": list(descriptors)})


def layout(top: Iterable[Mapping[str, Any]], *parts: Image | Mapping[str, bytes]) -> Files:
    """An OCI layout with `top` in its `index.json`."""
    files: Files = {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}', "index.json": index(*top)}
    for part in parts:
        files |= part.blobs if isinstance(part, Image) else part
    return files


def saved(image: Image, *names: str, config: str = "{hex}.json", layers: str = "{hex}.{packing}") -> Files:
    """A docker-archive; `config` and `layers` are how its files are called, by their content."""
    files = {config.format(hex=bare(image.config)): image.config}
    stored = [(layers.format(hex=bare(each), packing=packing), each) for packing, each in image.packed()]
    listed = {"Config": next(iter(files)), "RepoTags": list(names), "Layers": [name for name, _ in stored]}
    return files | dict(stored) | {"manifest.json": dump([listed])}


def edit(files: Files, name: str, change: Callable[[Any], Any]) -> Files:
    """With one JSON file changed; `change` alters what it is given, or returns another."""
    document = json.loads(files[name])
    changed = change(document)
    return files | {name: dump(document if changed is None else changed)}


def signature(of: bytes) -> tuple[dict[str, Any], Files]:
    """As `cosign save` puts it into an index: the shape of an image, with layers of its own type."""
    config = dump({"architecture": "", "os": "", "config": {}, "rootfs": {"type": "layers", "diff_ids": [digest(of)]}})
    payload = dump({"critical": {"image": {"docker-manifest-digest": digest(of)}}})
    layers = [descriptor(payload, "application/vnd.dev.cosign.simplesigning.v1+json")]
    manifest = dump({"schemaVersion": 2, "config": descriptor(config, CONFIG), "layers": layers})
    notes = {"kind": "dev.cosignproject.cosign/sigs", REF_NAME: f"sha256-{bare(of)}.sig"}
    return descriptor(manifest, MANIFEST, annotations=notes), blobs(config, payload, manifest)


def attestation(of: bytes) -> tuple[dict[str, Any], Files]:
    """As BuildKit puts it beside a platform's image."""
    statement = dump({"_type": "https://in-toto.io/Statement/v0.1"})
    config = dump({"architecture": "unknown", "os": "unknown", "rootfs": {"type": "layers", "diff_ids": []}})
    layers = [descriptor(statement, "application/vnd.in-toto+json")]
    manifest = dump({"schemaVersion": 2, "config": descriptor(config, CONFIG), "layers": layers})
    notes = {"vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": digest(of)}
    unknown = {"os": "unknown", "architecture": "unknown"}
    return descriptor(manifest, MANIFEST, annotations=notes, platform=unknown), blobs(config, statement, manifest)


def artifact(kind: str, *, config: str = f"{OCI}empty.v1+json", **more: Any) -> tuple[dict[str, Any], Files]:
    """Something that is no image, of an artifact type or a type of configuration."""
    content, empty = b"some artifact", b"{}"
    layers = [descriptor(content, f"{kind}.content")]
    manifest = dump({"schemaVersion": 2, "config": descriptor(empty, config), "layers": layers} | more)
    return descriptor(manifest, MANIFEST), blobs(content, empty, manifest)


def write(path: Path, files: Mapping[str, bytes], *, prefix: str = "", form: int = tarfile.USTAR_FORMAT) -> Path:
    """The archive, packed as its name says."""
    packing = path.name.partition(".")[2]
    content = tar([(f"{prefix}{name}", content) for name, content in files.items()], form=form)
    path.write_bytes(PACKINGS[packing](content))
    return path
