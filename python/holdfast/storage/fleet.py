"""Hosts of the user's own, as a provider file names them: an address and an engine each, and commands that do harm."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from holdfast.exceptions import InvalidArgumentError

# What a lab of hosts may say, beside its kind.
KEYS = ("tester", "nodes", "folder")
NODE_KEYS = ("address", "engine")
# A command that does harm, and the one that undoes it: without that, it is not done.
UNDO = {
    "power_off": "power_on",
    "cut": "heal",
    "cut_storage": "heal_storage",
    "cut_control": "heal_control",
    "stop_plugin": "start_plugin",
    "kill_plugin": "start_plugin",
    "hang_plugin": "start_plugin",
    "kill_server": "start_server",
    "kill_runtime": "start_runtime",
    "live_restore_on": "live_restore_off",
}
COMMANDS = tuple(dict.fromkeys((*UNDO, *UNDO.values())))
# What a cluster's nodes have beside that.
UNDO_OF_KUBERNETES = {
    "kill_kubelet": "start_kubelet",
    "kill_api_server": "start_api_server",
    "kill_etcd": "start_etcd",
}
# What an agent of ours on a cluster's nodes does, and undoes or waits for.
OF_AGENTS = ("cut", "stop_plugin", "kill_plugin", "hang_plugin", "kill_kubelet", "kill_runtime", "live_restore_on")
OF_KUBERNETES = tuple(dict.fromkeys((*UNDO_OF_KUBERNETES, *UNDO_OF_KUBERNETES.values())))


@dataclass(frozen=True, repr=False)
class Host:
    """A host: the address that stands for {address} in commands, and its engine, unix:///PATH or tcp://HOST:PORT."""

    address: str
    engine: str

    def __repr__(self) -> str:
        return f"Host({self.address!r})"  # an engine's address may have a password in it


@dataclass(frozen=True, repr=False)
class Hosts:
    """Hosts by name, which a Swarm must know them by; `tester` is the address of this machine that they reach.

    `sockets` are those of a CSI driver, as this machine reaches them; it mounts in `folder` on each host.
    """

    tester: str
    nodes: Mapping[str, Host]
    folder: str
    sockets: Mapping[str, str]
    commands: Mapping[str, str] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"Hosts({', '.join(self.nodes)})"  # commands may have secrets in them

    def lacks(self, *variants: Sequence[str]) -> str | None:
        """Why none of these can be had, each of which is faults that follow on each other, by the commands that are
        missing; None where one can.
        """
        return lacking(self.commands, variants)


@dataclass(frozen=True, repr=False)
class Cluster:
    """A Kubernetes of the user's: the nodes by name, or by labels, and the class whose volumes are qualified."""

    kubeconfig: str
    context: str | None
    storage_class: str
    nodes: tuple[str, ...]
    selector: str | None
    image: str
    tester: str | None
    commands: Mapping[str, str] = field(default_factory=dict)
    # Whether agents of ours may harm the nodes; where the plugin serves on each, `{driver}` being its name; the network
    # that volumes are on; and after how many seconds harm heals by itself.
    agents: bool = False
    plugin_socket: str = "/var/lib/kubelet/plugins/{driver}/csi.sock"
    storage_network: str | None = None
    heals_after: float = 180.0

    def __repr__(self) -> str:
        return f"Cluster({self.storage_class!r})"  # commands may have secrets in them

    def lacks(self, *variants: Sequence[str]) -> str | None:
        """As `Hosts.lacks`; a drain is the API's, and agents do some."""
        by_agents = (*OF_AGENTS, *(("cut_storage",) if self.storage_network else ())) if self.agents else ()
        by_others = ("drain", *by_agents)
        return lacking(self.commands, [[each for each in faults if each not in by_others] for faults in variants])


def lacking(commands: Mapping[str, str], variants: Sequence[Sequence[str]]) -> str | None:
    """Why none of these can be had, each of which is faults that follow on each other, by the commands that are
    missing; None where one can.
    """

    def missing_of(faults: Sequence[str]) -> str | None:
        return next((name for fault in faults for name in _needed(fault) if name not in commands), None)

    missing = [missing_of(faults) for faults in variants]
    if not missing or None in missing:
        return None
    return f"the provider file has no command faults: {' or '.join(dict.fromkeys(filter(None, missing)))}"


def _needed(fault: str) -> tuple[str, ...]:
    """The commands that a fault takes. What is undone by nobody is a setting, which may be as it shall be."""
    undo = {**UNDO, **UNDO_OF_KUBERNETES}.get(fault)
    return () if undo is None else (fault, undo)


def check(lab: Mapping[str, Any], commands: Mapping[str, str], sockets: str) -> Hosts:
    """Read a lab of hosts; `InvalidArgumentError` says what is wrong.

    `sockets` is where a CSI driver's plugin on each serves, with {address} or {node} in it; else empty.
    """
    tester = str(lab.get("tester", ""))
    try:
        ipaddress.ip_address(tester)
    except ValueError:
        raise InvalidArgumentError(
            f"lab: tester: {tester!r} is no address", hint="give this machine's, as the hosts reach it: 192.0.2.9"
        ) from None
    nodes = lab.get("nodes")
    if not isinstance(nodes, dict) or len(nodes) < 2:
        raise InvalidArgumentError("lab: nodes must be two hosts or more, by name", hint="every failover takes two")
    folder = str(lab.get("folder", "/var/lib/holdfast"))
    if not folder.startswith("/"):
        raise InvalidArgumentError(f"lab: folder: {folder!r}", hint="give a whole path on the hosts")
    hosts = {str(name): _host(str(name), held) for name, held in nodes.items()}
    return Hosts(tester, hosts, folder, {name: _socket(sockets, name, host) for name, host in hosts.items()}, commands)


def _socket(sockets: str, name: str, host: Host) -> str:
    socket = sockets.replace("{address}", host.address).replace("{node}", name)
    if socket and not socket.startswith(("unix:///", "tcp://")):
        raise InvalidArgumentError(f"provider: sockets: {socket!r}", hint="unix:///PATH or tcp://HOST:PORT")
    return socket


def _host(name: str, held: Any) -> Host:
    if not isinstance(held, dict) or set(held) != set(NODE_KEYS):
        raise InvalidArgumentError(f"lab: nodes: {name} must have an address and an engine, and nothing else")
    address, engine = (str(held[key]) for key in NODE_KEYS)
    engine = engine.replace("{address}", address).replace("{node}", name)
    if not engine.startswith(("unix:///", "tcp://")):
        raise InvalidArgumentError(f"lab: nodes: {name}: engine: {engine!r}", hint="unix:///PATH or tcp://HOST:PORT")
    return Host(address, engine)
