"""Qualifying storage for stateful containers: a lab of nodes, a provider on them, and what is judged of it."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from holdfast.exceptions import InvalidArgumentError
from holdfast.storage import kubernetes

if TYPE_CHECKING:
    from holdfast import _core
    from holdfast.storage.provider import ProviderFile

# Of the emulated provider, in seconds.
TIMINGS = {"pace": 0.002, "sync": 0.0002, "attach": 0.01, "patience": 3.0}
# How long an RPC of CSI may take, with all its attempts, where nothing else is said; in seconds.
CALL = 60.0
# How long one of Docker's volume plugin protocol may take, in seconds: engines wait so long until a volume is made or
# mounted.
PLUGIN_CALL = 120.0
# The calls of CSI that sidecars make.
_OF_SIDECARS = ("CreateVolume", "DeleteVolume", "ControllerPublishVolume", "ControllerUnpublishVolume")
EMULATED_NODES = ("node1", "node2", "node3")


def emulated(
    *,
    nodes: Sequence[str] = EMULATED_NODES,
    failpoints: Mapping[str, str] | None = None,
    seed: int = 0,
    timings: Mapping[str, float] | None = None,
    served: tuple[str, str | os.PathLike[str]] | None = None,
    personalities: Sequence[str] = (),
    calls: Mapping[str, float] | None = None,
) -> _core.StorageLab:
    """The emulated provider on emulated nodes, all of it in this process.

    `failpoints` are its defects (`holdfast failpoints --provider storage`). `timings` are seconds: `pace` is from one
    write of a task to the next, `sync` and `attach` what those take, `patience` how long a node waits for its storage
    network.
    `served` is a face, csi or docker, and an existing, empty folder: the plugins serve it on sockets there, and are
    reached by them. `personalities` are healthy ways in which it differs (`_core.storage_personalities()`), and `calls`
    how long an RPC of CSI may take, or `default`, in seconds. Raises `InvalidArgumentError` for a name that does not
    exist.
    """
    from holdfast import _core

    armed = list((failpoints or {}).items())
    return _core.storage_emulated(
        nodes=list(nodes),
        run=secrets.randbits(128),
        seed=seed,
        failpoints=armed,
        served=served,
        personalities=list(personalities),
        limits=dict(calls or {}),
        **{**TIMINGS, **(timings or {})},
    )


def hosts(
    provider: ProviderFile, *, pace: float = 0.05, timeout: float = 30.0, calls: Mapping[str, float] | None = None
) -> _core.StorageLab:
    """The hosts that a provider file names, with the plugins that they have.

    What runs there is in containers with the label holdfast.task. `pace` is from one write of a task to the next,
    `timeout` for all engines to answer, `calls` how long an RPC of CSI may take, or `default`; in seconds. Raises a
    `HoldfastError` that says what did not come about.
    """
    from holdfast import _core

    if provider.hosts is None:
        raise InvalidArgumentError(f"{provider.path} names no hosts", hint="lab: {kind: hosts, …}")
    nodes = provider.hosts.nodes
    return _core.storage_hosts(
        {
            **_given(provider, pace, timeout, calls),
            "sockets": dict(provider.hosts.sockets),
            "folder": provider.hosts.folder,
            "driver": provider.driver,
            "addresses": {name: host.address for name, host in nodes.items()},
            "engines": {name: host.engine for name, host in nodes.items()},
            "commands": {name: provider.line(command) for name, command in provider.hosts.commands.items()},
            "tester": provider.hosts.tester,
            "manager": provider.manager,
        }
    )


def cluster(provider: ProviderFile, *, pace: float = 0.05, timeout: float = 180.0) -> _core.StorageLab:
    """The Kubernetes that a provider file names, with the volumes of its StorageClass.

    What runs there is in a namespace of the run with the label holdfast.dev/run; `close` removes that, and undoes what
    was done to nodes. `pace` is from one write of a task to the next, `timeout` for the cluster to answer; in seconds.
    Raises a `HoldfastError` that says what did not come about.
    """
    from holdfast import _core, journal, ledger, scratch

    named = provider.cluster
    if named is None:
        raise InvalidArgumentError(f"{provider.path} names no cluster", hint="lab: {kind: cluster, …}")
    return _core.storage_cluster(
        {
            "kubeconfig": named.kubeconfig,
            "context": named.context,
            "nodes": list(named.nodes),
            "selector": named.selector,
            "storage_class": named.storage_class,
            "image": named.image,
            "tester": named.tester,
            "agents": named.agents,
            "plugin_socket": named.plugin_socket,
            "storage_network": named.storage_network,
            "heals_after": named.heals_after,
            "commands": {name: provider.line(command) for name, command in named.commands.items()},
            "recovery": provider.recovery,
            "workload": provider.workload,
            "fences": provider.fencing != "none",
            "shared": provider.shared,
            "version": provider.version(),
            "ledger": ledger.executable(),
            "machine": journal.machine(),
            "process": scratch.this_process(),
            "run": secrets.randbits(128),
            "pace": pace,
            "timeout": timeout,
            "mask": provider.mask,
        }
    )


def lab(
    provider: ProviderFile,
    folder: str | os.PathLike[str],
    *,
    pace: float = 0.005,
    timeout: float = 30.0,
    calls: Mapping[str, float] | None = None,
) -> _core.StorageLab:
    """A lab of namespaces on this machine, with a provider's plugin on each node. Linux, as root.

    `folder` is an empty one of its own; everything of the lab is in it. `pace` is from one write of a task to the
    next, `timeout` for all plugins to answer, `calls` how long an RPC of CSI may take, or `default`; in seconds. Raises
    a `HoldfastError` that says what did not come about; what the plugins printed is in `FOLDER/NODE/log`.
    """
    from holdfast import _core

    return _core.storage_lab(
        {
            **_given(provider, pace, timeout, calls),
            "folder": os.fspath(folder),
            "nodes": provider.nodes,
            "server": provider.line(provider.server),
            "plugin": provider.line(provider.start),
            "runner": provider.runner,
            "environment": provider.environment,
            "ready": provider.line(provider.ready),
            "socket": provider.socket,
            "controller_start": provider.line(provider.controller_start),
            "kubernetes": _kubernetes(provider, calls) if provider.runner == "kubernetes" else None,
        }
    )


def _kubernetes(provider: ProviderFile, calls: Mapping[str, float] | None) -> dict[str, Any]:
    """Of what a Kubernetes on the nodes is made, and what is done for tasks whose node is lost. Who makes and attaches
    volumes there has one limit for all its calls, as the sidecars of CSI have: the longest of theirs.
    """
    executables = kubernetes.find()
    if executables is None:
        raise InvalidArgumentError(kubernetes.lacks() or "there is no Kubernetes here")
    asked = _call_limits(provider, calls)
    return {
        "executable": os.fspath(executables.kubernetes),
        "pause": os.fspath(executables.pause),
        "call": max(asked.get(name, asked["default"]) for name in _OF_SIDECARS),
        "recovery": provider.recovery,
        "workload": provider.workload,
    }


def default_call(provider: ProviderFile) -> float:
    """How long a call may take where nothing else is said, in seconds."""
    return CALL if provider.kind == "csi" else PLUGIN_CALL


def _call_limits(provider: ProviderFile, calls: Mapping[str, float] | None) -> dict[str, float]:
    """How long each call may take, and `default`, in seconds: what is said for this run goes before the file."""
    return {"default": default_call(provider), **provider.calls, **(calls or {})}


def _given(provider: ProviderFile, pace: float, timeout: float, calls: Mapping[str, float] | None) -> dict[str, Any]:
    """What a lab of either kind is told of its provider; sizes are bytes, times seconds."""
    from holdfast import ledger

    return {
        "kind": provider.kind,
        "name": provider.name,
        "version": provider.version(),
        "fences": provider.fencing != "none",
        "shared": provider.shared,
        "secrets": provider.secrets,
        "call_secrets": provider.call_secrets,
        "mask": provider.mask,
        "controller_socket": provider.controller_socket,
        "calls": _call_limits(provider, calls),
        "mount_flags": provider.mount_flags,
        "filesystem_options": provider.filesystem_options,
        "mount_group": "" if provider.mount_group is None else str(provider.mount_group),
        "topology": provider.topology,
        "ledger": ledger.executable(),
        "run": secrets.randbits(128),
        "pace": pace,
        "timeout": timeout,
    }
