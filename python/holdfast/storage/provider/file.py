"""A provider file as it was read."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING

from holdfast import visible
from holdfast.exceptions import InvalidArgumentError
from holdfast.storage import concealed, fleet, kubernetes

if TYPE_CHECKING:
    from holdfast import _core

# What the runners but our own need on this machine.
_ENGINE_TOOLS = ("dockerd", "containerd", "runc")
# For the version to be told, in seconds.
VERSION = 30.0
# Of what is printed with it, so much is read, in bytes.
_KEPT = 4096


@dataclass(frozen=True, repr=False)
class ProviderFile:
    """A provider, checked.

    Commands are lines for a shell, with {socket}, {node}, {folder}, {control}, {storage} in them. Where there are
    `hosts`, a plugin runs there already, and their engines call it `driver`. Sizes are bytes, times seconds.
    """

    path: str
    kind: str
    # What it names is relative to this.
    folder: Path = Path()
    start: str = ""
    driver: str = ""
    # Docker's protocol tells neither; the version is what this command prints first.
    name: str = ""
    version_command: str = ""
    server: str | None = None
    environment: Mapping[str, str] = field(default_factory=concealed.Secrets)
    ready: str | None = None
    # Of a Docker volume plugin that serves elsewhere.
    socket: str | None = None
    # One controller for all nodes: how it is started, or where it is.
    controller_start: str | None = None
    controller_socket: str | None = None
    parameters: dict[str, str] = field(default_factory=dict)
    refuses_unknown_parameters: bool = False
    minimum: int | None = None
    sizes: tuple[int, ...] = ()
    # By RPC, `default` and `start`.
    calls: Mapping[str, float] = field(default_factory=dict)
    mount_flags: tuple[str, ...] = ()
    # By file system.
    filesystem_options: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    # A group's number.
    mount_group: int | None = None
    topology: bool = True
    fencing: str = "none"
    # Whether other nodes have a Docker plugin's volumes too; None where its own word counts.
    shared: bool | None = None
    filesystems: frozenset[str] = frozenset()
    access_modes: frozenset[str] = frozenset(("SINGLE_NODE_WRITER",))
    # Never shown, and neither is what else of the file is secret. Those for each kind of call (`keys.SECRET_CALLS`)
    # where it has its own, else `secrets`.
    secrets: dict[str, str] = field(default_factory=concealed.Secrets)
    call_secrets: Mapping[str, dict[str, str]] = field(default_factory=dict)
    mask: _core.Mask | None = None
    tools: tuple[str, ...] = ()
    runner: str = "own"
    # Of a Kubernetes: what is done for tasks whose node is lost.
    # None: what is right for one that is powered off, or is not.
    recovery: str | None = None
    # What makes the pods of tasks.
    workload: str | None = None
    # Of a Swarm of hosts; the address of an engine that manages it.
    manager: str | None = None
    nodes: int = 3
    hosts: fleet.Hosts | None = None
    cluster: fleet.Cluster | None = None

    def __repr__(self) -> str:
        return f"ProviderFile({self.path!r}, {self.kind}, runner {self.runner})"  # commands may have secrets in them

    def hide(self, text: str) -> str:
        """The same text without what of the file is secret."""
        return text if self.mask is None else self.mask.hide(text)

    def line(self, command: str | None) -> str | None:
        """A command as a shell line that is run in the file's folder, wherever that shell begins."""
        return None if command is None else f"cd {shlex.quote(str(self.folder))} || exit; {command}"

    @property
    def runner_and_how(self) -> str:
        """The runner in words; of a Kubernetes with what makes the pods, and what is done for those of a lost node."""
        if self.runner != "kubernetes":
            return self.runner
        recovery = self.recovery or "taint after a power cut, else force"
        return f"kubernetes (workload: {self.workload or 'pod'}; recovery: {recovery})"

    @property
    def is_here(self) -> bool:
        """Whether its nodes are made of this machine."""
        return self.hosts is None and self.cluster is None

    @property
    def lab(self) -> str:
        """The kind of its lab: `namespaces`, `hosts` or `cluster`."""
        return "namespaces" if self.is_here else "cluster" if self.hosts is None else "hosts"

    def version(self) -> str:
        """What its version command prints first; empty where there is none.

        Raises `InvalidArgumentError` where it fails, or does not end in `VERSION` seconds.
        """
        if not self.version_command:
            return ""
        try:
            printed = _printed(self.version_command, self.folder, {**os.environ, **self.environment})
        except (OSError, ValueError) as error:
            raise InvalidArgumentError(self.hide(f"provider: version: {error}")) from None
        return (self.hide(printed).splitlines() or [""])[0]

    def lacks(self) -> list[str]:
        """Why it cannot run here, a line each; empty where it can."""
        from holdfast import _core

        lab = _core.storage_lab_lacks() if self.is_here else None
        lacking = [why for why in (lab,) if why is not None]
        engines = _ENGINE_TOOLS if self.runner in ("docker", "swarm") and self.hosts is None else ()
        if self.runner == "kubernetes" and self.is_here:
            lacking += [why for why in (kubernetes.lacks(),) if why is not None]
        tools = (*self.tools, *engines)
        return lacking + [f"{tool} is missing: install it" for tool in tools if shutil.which(tool) is None]


def _printed(line: str, folder: Path, environment: Mapping[str, str]) -> str:
    """What a shell line prints that ends well and soon: `ValueError` says why else. What it leaves running is ended."""
    with tempfile.TemporaryFile() as printed, tempfile.TemporaryFile() as complaint:
        process = subprocess.Popen(  # noqa: S603
            ["sh", "-c", line],  # noqa: S607
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=printed,
            stderr=complaint,
            start_new_session=True,
        )
        try:
            code = process.wait(VERSION)
        except subprocess.TimeoutExpired:
            raise ValueError(f"no end in {VERSION:g} s") from None
        finally:
            with suppress(ProcessLookupError):  # it left nobody
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        if code != 0:
            how = f"exit code {code}" if code > 0 else f"signal {-code}"
            raise ValueError(visible.lines(f"{how}: {_first(complaint)}".strip(": \n")))
        return _first(printed)


def _first(file: IO[bytes]) -> str:
    file.seek(0)
    held = file.read(_KEPT)
    # whole lines alone: half a secret is not known for one
    return (held if len(held) < _KEPT else held.rpartition(b"\n")[0]).decode(errors="replace")
