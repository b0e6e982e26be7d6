"""The Kubernetes of a lab: where its executables are, and how they are made.

They are built once, by `nox -s kubernetes_build` or `python -m holdfast.storage.kubernetes SOURCES`, from the Go module
proxy, and kept outside of any checkout: in $XDG_CACHE_HOME/holdfast, by what they are made of. What is on the PATH goes
before.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from holdfast.exceptions import InvalidArgumentError

# What the executables are called.
EXECUTABLE = "holdfast-kubernetes"
PAUSE = "holdfast-pause"
# What a lab with a Kubernetes needs on this machine beside them, and Debian's package of each.
TOOLS = {
    "etcd": "etcd-server",
    "containerd": "containerd",
    "ctr": "containerd",
    "runc": "runc",
    "iptables": "iptables",
}
_NOTE = "newest"


@dataclass(frozen=True)
class Executables:
    """Where they are: the cluster's parts, and what holds a pod's namespaces."""

    kubernetes: Path
    pause: Path


def cache() -> Path:
    """The folder that they are kept in, one folder for each build."""
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(home) / "holdfast" / "kubernetes"


def find() -> Executables | None:
    """Those on the PATH, else those that were built last; None where there are none."""
    found = shutil.which(EXECUTABLE), shutil.which(PAUSE)
    if found[0] is not None and found[1] is not None:
        return Executables(Path(found[0]), Path(found[1]))
    note = cache() / _NOTE
    folder = cache() / note.read_text(encoding="utf-8").strip() if note.is_file() else None
    if folder is None or not all((folder / name).is_file() for name in (EXECUTABLE, PAUSE)):
        return None
    return Executables(folder / EXECUTABLE, folder / PAUSE)


def lacks() -> str | None:
    """Why there can be no Kubernetes in a lab here; None where there can."""
    if find() is None:
        return f"{EXECUTABLE} is missing: build it once with `nox -s kubernetes_build` (Go, 13 minutes of CPU, 3 GB)"
    missing = next((tool for tool in TOOLS if shutil.which(tool) is None), None)
    return None if missing is None else f"{missing} is missing: install Debian's {TOOLS[missing]}"


def build(sources: Path) -> Executables:
    """Build them of the Go module in `sources`, unless that was done; `InvalidArgumentError` where it cannot be."""
    go = shutil.which("go")
    if go is None:
        raise InvalidArgumentError("go is missing", hint=f"install Go {_go_version(sources)} or newer")
    folder = cache() / _name(sources, go)
    made = Executables(folder / EXECUTABLE, folder / PAUSE)
    if not (made.kubernetes.is_file() and made.pause.is_file()):
        folder.mkdir(parents=True, exist_ok=True)
        _compile(go, sources, ".", made.kubernetes)
        _compile(go, sources, "./pause", made.pause)
    (cache() / _NOTE).write_text(folder.name, encoding="utf-8")
    return made


def _compile(go: str, sources: Path, package: str, executable: Path) -> None:
    version = kubernetes_version(sources)
    variable = "k8s.io/component-base/version"
    major, minor, _ = version.split(".", 2)
    flags = (
        f"-s -w -X {variable}.gitVersion=v{version} -X {variable}.gitMajor={major} -X {variable}.gitMinor={minor} "
        f"-X {variable}.gitTreeState=clean"
    )
    unfinished = executable.with_suffix(f".{os.getpid()}.part")
    command = [go, "build", "-trimpath", "-mod=readonly", "-ldflags", flags, "-o", str(unfinished), package]
    done = subprocess.run(command, cwd=sources, env={**os.environ, "CGO_ENABLED": "0"}, check=False)  # noqa: S603
    if done.returncode:
        raise InvalidArgumentError(f"{' '.join(command[:2])} of {sources} ended with {done.returncode}")
    unfinished.replace(executable)  # at once: another build may be under way


def kubernetes_version(sources: Path) -> str:
    """The version of Kubernetes that a module asks for."""
    return _required(sources, "k8s.io/kubernetes v")


def _go_version(sources: Path) -> str:
    return _required(sources, "go ")


def _required(sources: Path, prefix: str) -> str:
    lines = (line.strip() for line in (sources / "go.mod").read_text(encoding="utf-8").splitlines())
    return next(line.removeprefix(prefix).split()[0] for line in lines if line.startswith(prefix))


def _name(sources: Path, go: str) -> str:
    """By the versions and the sources: whatever changes makes another."""
    version = subprocess.run(  # noqa: S603
        [go, "env", "GOVERSION"], capture_output=True, text=True, check=True, cwd=sources
    ).stdout.strip()
    digest = hashlib.sha256()
    code = (file for file in sources.glob("**/*.go") if not file.stem.endswith("_test"))
    for file in sorted((*code, sources / "go.mod", sources / "go.sum")):
        digest.update(file.relative_to(sources).as_posix().encode() + b"\0" + file.read_bytes() + b"\0")
    return f"{kubernetes_version(sources)}-{version}-{digest.hexdigest()[:12]}"


if __name__ == "__main__":
    print(build(Path(sys.argv[1])).kubernetes)  # noqa: T201
