"""Which traces are our pods', on a host where others too make interfaces, leases, rules and namespaces meanwhile."""

from __future__ import annotations

import hashlib
import ipaddress
import re
import threading
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol, TypeAlias

from holdfast.cni.namespace import NetworkNamespace

TraceKind: TypeAlias = Literal["interface", "lease", "rule", "namespace", "process"]
ALL_KINDS: frozenset[TraceKind] = frozenset(("interface", "lease", "rule", "namespace", "process"))

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Link: TypeAlias = Mapping[str, Any]

# A container's id, as containerd, CRI-O, Docker and Podman write it.
_ID = re.compile(r"\b[0-9a-f]{64}\b")
# Of a hash or an id, so many hexadecimal digits in an interface's name are no chance; Linux has room for 15 characters.
_DIGITS = 7
# Of the hash in a chain's name; iptables has room for 28 characters, and "CNI-DN-" takes 7 of them.
_DIGITS_OF_A_CHAIN = 20
_JUMP = re.compile(r" -(?:j|g) (\S+)")
_BRACKETED = re.compile(r"\[([0-9A-Fa-f:.]+)\](?::\d+)?")


class Rule(NamedTuple):
    """A line of iptables-save: of which tool and table; `-A CHAIN …` or `:CHAIN`."""

    tool: str
    table: str
    line: str

    @property
    def chain(self) -> tuple[str, str, str]:
        """The chain that it is in, or declares."""
        word = self.line.split()[0 if self.line.startswith(":") else 1]
        return self.tool, self.table, word.removeprefix(":")

    @property
    def target(self) -> tuple[str, str, str] | None:
        """The chain that it jumps to."""
        found = _JUMP.search(self.line)
        return (self.tool, self.table, found[1]) if found and not self.line.startswith(":") else None

    def addresses(self) -> Iterator[Address]:
        """The addresses that it names, with a port or without; networks are none."""
        for word in re.split(r"[\s,]", self.line):
            bracketed = _BRACKETED.fullmatch(word)
            bare = bracketed[1] if bracketed else word.partition(":")[0] if word.count(".") == 3 else word
            with suppress(ValueError):
                found = ipaddress.ip_interface(bare)
                if found.network.prefixlen == found.max_prefixlen:
                    yield found.ip


class Claim(Protocol):
    """Says of what there is on a host what counts; of other `kinds` all does."""

    @property
    def kinds(self) -> frozenset[TraceKind]:
        """What it speaks of."""

    def interfaces(self, links: Sequence[Link]) -> set[str]:
        """The names of those interfaces of a host that count."""

    def lease(self, words: str) -> bool:
        """Whether a lease with that text counts."""

    def rules(self, rules: Sequence[Rule]) -> set[Rule]:
        """The rules and chains of a host that count."""

    def namespaces(self, folder: Path) -> set[str]:
        """The names of the network namespaces that count, in a runtime's folder or elsewhere."""

    def process(self, environment: Mapping[str, str]) -> bool:
        """Whether a plugin's process with that environment counts."""


class Ours:
    """What is known of our pods; a trace that leads to none of them is somebody else's.

    It is learned while they live: what stays when a pod's network namespace is gone can be asked for it no more.
    `network` is the name of theirs, `kinds` what others make on the host too. May be used by several threads.
    """

    def __init__(self, network: str, kinds: Collection[TraceKind] = ALL_KINDS) -> None:
        self.network = network
        self._kinds = frozenset(kinds)
        self._lock = threading.RLock()
        self._names: frozenset[str] = frozenset()
        self._ids: frozenset[str] = frozenset()
        self._namespaces: frozenset[Path] = frozenset()
        self._addresses: frozenset[Address] = frozenset()
        # By index, name and hardware address: each of the two may change while the index stays.
        self._links: dict[int, tuple[str, str]] = {}
        self._chains: frozenset[tuple[str, str, str]] = frozenset()
        # Of which kinds a pod may have left something that does not lead to it.
        self.unknown: frozenset[TraceKind] = frozenset()
        # Why something was not looked at; empty where all was.
        self.unseen = ""

    @property
    def kinds(self) -> frozenset[TraceKind]:
        """What others make on the host too."""
        return self._kinds

    @property
    def ids(self) -> frozenset[str]:
        """The ids of our pods, as far as they are known."""
        return self._ids

    @property
    def names(self) -> frozenset[str]:
        """The names of our pods."""
        return self._names

    def pod(self, name: str, *ids: str) -> None:
        """A pod is ours: by its name, and the ids that it has had."""
        with self._lock:
            self._names |= {name}
            self._ids |= {each for each in ids if each}

    def in_namespace(self, path: Path) -> None:
        """A pod of ours has that network namespace."""
        with self._lock:
            self._namespaces |= {path}

    def failed(self, name: str, words: str, seen: bool) -> None:
        """A pod's ADD failed, with an error in those words; `seen`: its network namespace was, meanwhile.

        containerd's and CRI-O's errors name the id. What the plugins made before they failed, nobody tells.
        """
        ids = _ID.findall(words)
        with self._lock:
            self.pod(name, *ids)
            lost: set[TraceKind] = {"interface"}
            if not ids and not seen:
                lost |= {"lease", "rule"}
            if not seen:
                lost |= {"namespace"}
            self.unknown |= lost & self._kinds

    def saw(self, namespace: NetworkNamespace, host: NetworkNamespace) -> bool:
        """Look at a pod's network namespace, and at what it is connected to on the host. Raises `HoldfastError`.

        Whether the other end of each veth of its was on that host.
        """
        inside = namespace.links()
        addresses = {
            ipaddress.ip_interface(address).ip
            for link in inside
            if link["ifname"] != "lo"
            for address in namespace.addresses(link["ifname"])
        }
        outside = host.links()
        ends = [link for link in inside if _kind(link) == "veth" and "link_netnsid" in link]
        others = [_other_end(link, outside) for link in ends]
        with self._lock:
            self._addresses |= addresses
            self._take(link for link in others if link is not None)
        return None not in others

    def told(self, result: Mapping[str, Any], host: NetworkNamespace) -> None:
        """ADD answered so: the interfaces that it names on the host are ours, and its addresses.

        Raises `HoldfastError`.
        """
        names = {each.get("name") for each in result.get("interfaces") or () if not each.get("sandbox")}
        links = [link for link in host.links() if link["ifname"] in names] if names else []
        with self._lock:
            self._take(links)
            for each in result.get("ips") or ():
                with suppress(ValueError, KeyError):
                    self._addresses |= {ipaddress.ip_interface(each["address"]).ip}

    def _take(self, links: Iterable[Link]) -> None:
        self._links.update({link["ifindex"]: (link["ifname"], link.get("address", "")) for link in links})

    def interfaces(self, links: Sequence[Link]) -> set[str]:
        """Those that are or were a pod's, are called after one, or stand on such a one."""
        with self._lock:
            found = {link["ifname"]: link for link in links if self._is_known(link) or self._is_called_after(link)}
            while more := [link for link in links if link.get("link") in found and link["ifname"] not in found]:
                found |= {link["ifname"]: link for link in more}
            self._take(found.values())
        return set(found)

    def _is_known(self, link: Link) -> bool:
        known = self._links.get(link["ifindex"])
        return known is not None and (
            link["ifname"] == known[0] or (bool(known[1]) and link.get("address") == known[1])
        )

    def _is_called_after(self, link: Link) -> bool:
        called = [link["ifname"], link.get("ifalias", ""), *link.get("altnames", ())]
        whole = any(mark in name for name in called for mark in self._names | self._ids)
        return whole or any(each[:_DIGITS] in link["ifname"] for each in self._long_ids()) or self._is_hashed(link)

    def _is_hashed(self, link: Link) -> bool:
        """Whether its name ends in the hash of network and id, as those of the bandwidth plugin do."""
        name = link["ifname"]
        return any(
            hashed.startswith(name[at:]) for hashed in self._hashes() for at in range(1, len(name) - _DIGITS + 1)
        )

    def _long_ids(self) -> list[str]:
        return [each for each in self._ids if _ID.fullmatch(each)]

    def _hashes(self) -> list[str]:
        """SHA-512 of the network's name and the id: what portmap, bridge and bandwidth call their things after."""
        return [hashlib.sha512(f"{self.network}{each}".encode()).hexdigest() for each in self._ids]

    def lease(self, words: str) -> bool:
        """Whether it names a pod's id, as host-local's do."""
        return any(each in words for each in self._ids)

    def rules(self, rules: Sequence[Rule]) -> set[Rule]:
        """Those that name a pod, its hash or its address; the chains that only such ones jump to, with their rules."""
        with self._lock:
            marks = [*self._ids, *self._names, *(hashed[:_DIGITS_OF_A_CHAIN] for hashed in self._hashes())]
            found = {rule for rule in rules if self._is_marked(rule, marks)}
            while True:
                foreign = {rule.target for rule in rules if rule not in found}
                targets = {rule.target for rule in found if rule.target is not None} - foreign
                self._chains |= {target for target in targets if target is not None}
                more = {rule for rule in rules if rule.chain in self._chains} - found
                if not more:
                    return found
                found |= more

    def _is_marked(self, rule: Rule, marks: Sequence[str]) -> bool:
        if any(mark in rule.line for mark in marks):
            return True
        # An address may be another pod's meanwhile, and a plugin's rule then names that one.
        named = set(_ID.findall(rule.line))
        return not named and any(address in self._addresses for address in rule.addresses())

    def namespaces(self, folder: Path) -> set[str]:  # noqa: ARG002 # wherever they are
        """Those of our pods, wherever they are."""
        return {path.name for path in self._namespaces if path.exists()}

    def process(self, environment: Mapping[str, str]) -> bool:
        """Whether a runtime asked it for a pod of ours."""
        said = environment.get("CNI_ARGS", "").split(";")
        names = any(f"K8S_POD_NAME={name}" in said for name in self._names)
        return names or environment.get("CNI_CONTAINERID", "") in self._ids | self._names


class Perhaps:
    """What may be our pods' too, where one could not be traced: neither theirs nor known to be somebody else's.

    `others` are the ids of pods that are somebody else's.
    """

    def __init__(self, ours: Ours, others: Collection[str]) -> None:
        self._ours = ours
        self._others = list(others)

    @property
    def kinds(self) -> frozenset[TraceKind]:
        """All: what it does not doubt does not count."""
        return ALL_KINDS

    def _doubts(self, kind: TraceKind) -> bool:
        return kind in self._ours.unknown

    def _names_others(self, words: str) -> bool:
        return any(each in words for each in self._others)

    def interfaces(self, links: Sequence[Link]) -> set[str]:
        """Those whose other end is in no other network namespace that lives: there it would be another container's."""
        if not self._doubts("interface"):
            return set()
        return {link["ifname"] for link in links if "link_netnsid" not in link} - self._ours.interfaces(links)

    def lease(self, words: str) -> bool:
        """One that names no pod of somebody else's."""
        return self._doubts("lease") and not self._names_others(words)

    def rules(self, rules: Sequence[Rule]) -> set[Rule]:
        """What plugins make, and names no pod of somebody else's."""
        if not self._doubts("rule"):
            return set()
        return {rule for rule in rules if "CNI-" in rule.line and not self._names_others(rule.line)}

    def namespaces(self, folder: Path) -> set[str]:
        """Those in the runtime's folder: whose they are, nothing tells."""
        return names_in(folder) if self._doubts("namespace") else set()

    def process(self, environment: Mapping[str, str]) -> bool:  # noqa: ARG002 # whatever it says
        """None: a runtime names the pod to each."""
        return False


def names_in(folder: Path) -> set[str]:
    """What a folder holds; nothing where it is not there."""
    try:
        return {entry.name for entry in folder.iterdir()}
    except OSError:
        return set()


def _kind(link: Link) -> str | None:
    found = link.get("linkinfo", {}).get("info_kind")
    return None if found is None else str(found)


def _other_end(link: Link, outside: Sequence[Link]) -> Link | None:
    """The interface of a host that a pod's veth leads to: each names the other's index."""
    for there in outside:
        if (there["ifindex"], there.get("link_index")) == (link.get("link_index"), link["ifindex"]):
            return there if _kind(there) == "veth" and "link_netnsid" in there else None
    return None
