"""Trying a provider file before a run: what it names is looked for, and its plugin is started on one node and asked.

Nothing is left: the node is one of a lab of its own, and no volume is made.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import socket as sockets
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from holdfast import visible
from holdfast.exceptions import HoldfastError
from holdfast.storage import fleet, rights
from holdfast.storage.provider.file import ProviderFile
from holdfast.storage.provider.introduction import Introduction, introduce

# What a shell does itself, or before another command that is not looked for.
_SHELL = frozenset((
    ".", ":", "[", "alias", "case", "cd", "command", "echo", "eval", "export", "for", "if", "readonly", "set",
    "shift", "source", "test", "trap", "true", "false", "ulimit", "umask", "unset", "until", "wait", "while", "{", "(",
    "!",
))  # fmt: skip
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=")
# For a plugin to answer at first, in seconds.
_START = 30.0
# For a host or its engine to take a connection, in seconds.
_CONNECT = 5.0


@dataclass(frozen=True)
class Tried:
    """One thing that was tried: `ok` is None where it could not be, and `why` says why, or what was seen."""

    what: str
    ok: bool | None
    why: str

    def __str__(self) -> str:
        word = {True: "ok", False: "wrong", None: "not tried"}[self.ok]
        return visible.lines(f"{word}: {self.what}: {self.why}")


@dataclass
class Trial:
    """What came of it all; `capabilities` are the lab's words, None where the plugin was not asked."""

    tried: list[Tried] = field(default_factory=list)
    plugin: Introduction | None = None
    capabilities: frozenset[str] | None = None
    # Why it cannot be qualified at all, as it says itself.
    lacks: str = ""

    @property
    def is_good(self) -> bool:
        """Whether nothing that was tried is wrong."""
        return all(each.ok is not False for each in self.tried)


def try_out(provider: ProviderFile, *, start: bool = True, timeout: float | None = None) -> Trial:
    """Try a provider file; `start` is whether its plugin is started, `timeout` how long that may take, in seconds.

    Without a timeout it is as long as the file's `calls: start`, or 30 s.
    """
    trial = Trial(list(_looked_for(provider)))
    lacking = provider.lacks()
    trial.tried += [Tried("this machine", False, why) for why in lacking]
    if provider.cluster is not None:
        trial.tried += _cluster(provider.cluster)
        trial.capabilities = frozenset(
            word
            for word, there in {"Fence": provider.fencing != "none", "Local": provider.shared is False}.items()
            if there
        )
    elif provider.hosts is not None:
        trial.tried += _hosts(provider, trial)
    elif not start:
        trial.tried.append(Tried("the plugin", None, "--no-start"))
    elif lacking or not trial.is_good:
        trial.tried.append(Tried("the plugin", None, "it is not started before the rest is right"))
    else:
        _on_one_node(provider, trial, timeout or provider.calls.get("start", _START))
    return trial


def _looked_for(provider: ProviderFile) -> Iterator[Tried]:
    commands = {
        "provider: start": provider.start,
        "provider: server": provider.server,
        "provider: ready": provider.ready,
        "provider: controller: start": provider.controller_start,
        "provider: version": provider.version_command,
    }
    outside = provider.hosts or provider.cluster
    faults = outside.commands if outside is not None else {}
    commands |= {f"faults: {name}": command for name, command in faults.items()}
    for what, command in commands.items():
        if command:
            yield look_for(what, command, provider.folder)
    if provider.controller_socket:
        yield _socket("provider: controller: socket", provider.controller_socket)


def look_for(what: str, command: str, folder: Path) -> Tried:
    """Whether the first program of a shell line is there and may be run."""
    word = first_word(command)
    if word is None or word in _SHELL:
        return Tried(what, None, "its first word is the shell's own")
    if any(each in word for each in "${}`*"):
        return Tried(what, None, f"{word} is known once it runs")
    if "/" not in word:
        found = shutil.which(word)
        return Tried(what, bool(found), found or f"there is no program {word} in PATH: install it, or give its path")
    wrong = _no_program(folder / word)
    return Tried(what, wrong is None, wrong or str(folder / word))


def _no_program(path: Path) -> str | None:
    try:
        is_file = stat.S_ISREG(path.stat().st_mode)
    except OSError as error:
        return f"{path}: {error.strerror}: what begins with ./ is beside the provider file"
    if not is_file:
        return f"{path} is no file"
    return None if os.access(path, os.X_OK) else f"{path} may not be run: chmod +x {path}"


def first_word(command: str) -> str | None:
    """The first program that a shell line names; None where it cannot be told."""
    lexer = shlex.shlex(command, posix=True, punctuation_chars=True)
    lexer.wordchars += "{}$`:@%+,!^"
    try:
        for word in lexer:
            if not _ASSIGNMENT.match(word) and word not in ("exec", "env", "nice", "nohup"):
                return word
    except ValueError:
        pass  # a quote that is not closed: the shell says so
    return None


def _socket(what: str, address: str) -> Tried:
    try:
        if address.startswith("unix://"):
            path = address.removeprefix("unix://")
            if not stat.S_ISSOCK(Path(path).stat().st_mode):
                return Tried(what, False, f"{path} is no socket")
            with sockets.socket(sockets.AF_UNIX) as tried:
                tried.settimeout(_CONNECT)
                tried.connect(path)
        else:
            host, _, port = address.removeprefix("tcp://").rpartition(":")
            sockets.create_connection((host.strip("[]"), int(port)), _CONNECT).close()
    except (OSError, ValueError) as error:
        return Tried(what, False, f"{address}: {getattr(error, 'strerror', None) or error}")
    return Tried(what, True, f"{address} takes connections")


def _hosts(provider: ProviderFile, trial: Trial) -> Iterator[Tried]:
    """Each engine, and each socket of a CSI driver; faults are not done."""
    assert provider.hosts is not None
    for name, host in provider.hosts.nodes.items():
        yield _socket(f"the engine of {name}", host.engine)
    for name, address in provider.hosts.sockets.items():
        if address:
            found, why = _asked(address, provider)
            if found is not None:
                trial.plugin = trial.plugin or found
                own = found.capabilities(fences=provider.fencing != "none")
                # what all of them have
                trial.capabilities = own if trial.capabilities is None else trial.capabilities & own
            yield Tried(f"the plugin on {name}", found is not None, why)
    if provider.kind != "csi":  # no call of Docker's protocol is for more
        words = {"Fence": provider.fencing != "none", "Local": provider.shared is False}
        trial.capabilities = frozenset(word for word, there in words.items() if there)
    elif provider.controller_socket and (answered := _asked(provider.controller_socket, provider)[0]) is not None:
        more = answered.capabilities(fences=provider.fencing != "none")
        trial.capabilities = more if trial.capabilities is None else trial.capabilities | more
    yield Tried("the faults", None, "their commands do harm")


def _cluster(cluster: fleet.Cluster) -> Iterator[Tried]:
    """Its API, its nodes and class, and each right that a run needs; faults are not done."""
    from holdfast import _core

    reached = (cluster.kubeconfig, cluster.context)
    asked = rights.asked(cluster.agents)
    try:
        version, address, allowed = _core.storage_cluster_allows(*reached, asked)
        yield Tried("the cluster", True, f"Kubernetes {version} at {address}")
    except HoldfastError as error:
        yield Tried("the cluster", False, str(error))
        return
    for right, what in rights.missing(dict(zip(asked, allowed, strict=True)), cluster.agents):
        yield Tried(f"the right to {right}", False if not right.needed_for else None, what)
    try:
        nodes, provisioner = _core.storage_cluster_members(
            *reached, list(cluster.nodes), cluster.selector, cluster.storage_class
        )
        yield Tried("the nodes", True, ", ".join(nodes))
        yield Tried(f"the StorageClass {cluster.storage_class}", True, f"its volumes are made by {provisioner}")
    except HoldfastError as error:
        yield Tried("the nodes and the StorageClass", False, str(error))
    yield Tried("the faults", None, "their commands do harm")


def _asked(address: str, provider: ProviderFile) -> tuple[Introduction | None, str]:
    try:
        found = introduce(address, provider.mask)
    except HoldfastError as error:
        return None, provider.hide(str(error))
    if found.protocol != provider.kind:
        return None, f"it speaks {found.protocol}, and the file says kind: {provider.kind}"
    return found, "it answers"


def _on_one_node(provider: ProviderFile, trial: Trial, timeout: float) -> None:
    from holdfast import storage
    from holdfast.storage import leftovers, logs

    folder = leftovers.make()
    lab = None
    try:
        # engines and other nodes are not asked anything
        lab = storage.lab(replace(provider, runner="own", nodes=1), folder, timeout=timeout)
        found = lab.provider()
        trial.capabilities, trial.lacks = frozenset(found.capabilities), visible.line(found.lacks)
        trial.tried.append(Tried("the plugin on one node", True, "it starts and answers"))
        if provider.socket is None:
            trial.plugin, why = _asked(f"unix://{folder}/node1/plugin.sock", provider)
            if trial.plugin is None:
                trial.tried.append(Tried("the plugin on one node", False, why))
    except HoldfastError as error:
        failure = provider.hide(str(error)).replace(str(folder), "…")
        printed = logs.tails(folder, provider.hide)
        trial.tried.append(Tried("the plugin on one node", False, "\n".join(filter(None, (failure, printed)))))
    finally:
        if lab is not None:
            lab.close()
        leftovers.remove(folder)
