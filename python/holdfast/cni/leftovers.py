"""What a network leaves on a host: interfaces, leases, rules of iptables, namespaces, processes."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from holdfast.cni.namespace import OWN, NetworkNamespace
from holdfast.cni.ours import Claim, Rule, TraceKind, names_in
from holdfast.cni.plugin import NAME, running

# host-local's own, which stay.
_BOOKKEEPING = ("last_reserved_ip", "lock")
# The longest lease that is read, in bytes: a container's id and an interface.
_LONGEST = 4096


@dataclass(frozen=True)
class Trace:
    """Something that a network left; as text a line."""

    kind: TraceKind
    what: str

    def __str__(self) -> str:
        return f"{self.kind} {self.what}"


@dataclass(frozen=True)
class Traces:
    """What there is at one moment; each a set of descriptions."""

    interfaces: frozenset[str]
    leases: frozenset[str]
    rules: frozenset[str]
    namespaces: frozenset[str]
    processes: frozenset[str]

    def since(self, before: Traces) -> list[Trace]:
        """What is there now and was not before."""
        old = before._by_kind()
        return [Trace(kind, what) for kind, there in self._by_kind().items() for what in sorted(there - old[kind])]

    def _by_kind(self) -> dict[TraceKind, frozenset[str]]:
        return {
            "interface": self.interfaces,
            "lease": self.leases,
            "rule": self.rules,
            "namespace": self.namespaces,
            "process": self.processes,
        }


def look(
    host: NetworkNamespace | None, leases: Path, namespaces: Path, plugins: str, claim: Claim | None = None
) -> Traces:
    """Look at `host` (None: where this process is), a folder of leases, and a runtime's folder of network namespaces.

    Processes are those of `cni-bridge-fp` whose CNI_PATH begins with `plugins`. Bridges stay, so they do not count.
    With a `claim`, of the kinds that it speaks of only what it says counts; without, all does.
    """
    at = host or _Here()
    claims = dict.fromkeys(claim.kinds, claim) if claim is not None else {}
    return Traces(
        interfaces=_interfaces(at, claims.get("interface")),
        leases=_leases(leases, claims.get("lease")),
        rules=_rules(at, claims.get("rule")),
        namespaces=_namespaces(namespaces, claims.get("namespace")),
        processes=_processes(plugins, claims.get("process")),
    )


def _interfaces(host: NetworkNamespace, claim: Claim | None) -> frozenset[str]:
    links = host.links()
    kinds = {link["ifname"]: link.get("linkinfo", {}).get("info_kind") for link in links}
    counts = kinds.keys() if claim is None else claim.interfaces(links)
    return frozenset(name for name in counts if kinds[name] != "bridge" and name != "lo")


def _namespaces(folder: Path, claim: Claim | None) -> frozenset[str]:
    names = names_in(folder) if claim is None else claim.namespaces(folder)
    return frozenset(name for name in names if not name.startswith(OWN))


def _leases(folder: Path, claim: Claim | None) -> frozenset[str]:
    """By file, and whose each is: another may have had the address before."""
    found = set()
    for file in folder.rglob("*"):
        if file.name.startswith(_BOOKKEEPING) or not file.is_file():
            continue
        try:
            with file.open("rb") as opened:
                words = opened.read(_LONGEST).decode(errors="replace")
        except OSError:  # it was given back meanwhile
            continue
        if claim is None or claim.lease(words):
            whose = " ".join(words.split()[:1])
            found.add(f"{file.relative_to(folder)} of {whose}" if whose else str(file.relative_to(folder)))
    return frozenset(found)


def _rules(host: NetworkNamespace, claim: Claim | None) -> frozenset[str]:
    """Rules and chains that somebody made, in all tables; of those that are there several times, each."""
    there = saved_rules(host)
    counts = Counter(there)
    counted = counts if claim is None else claim.rules(there)
    return frozenset(
        f"{rule.tool}: {rule.table}: {rule.line}" + (f" ({at})" if at > 1 else "")
        for rule in counted
        for at in range(1, counts[rule] + 1)
    )


def saved_rules(host: NetworkNamespace) -> list[Rule]:
    """All rules and chains of iptables and ip6tables, as far as these are installed. Raises `HoldfastError`."""
    return list(_saved(host))


def _saved(host: NetworkNamespace) -> Iterator[Rule]:
    for tool in ("iptables-save", "ip6tables-save"):
        table = ""
        for line in host.run([tool]).splitlines() if shutil.which(tool) else ():
            if line.startswith("*"):
                table = line[1:]
            elif line.startswith("-A"):
                yield Rule(tool, table, line)
            elif line.startswith(":") and line.split()[1] == "-":  # a table's own have a policy, and are nobody's
                yield Rule(tool, table, line.split()[0])


def _processes(plugins: str, claim: Claim | None) -> frozenset[str]:
    counts = (each for each in running(plugins) if claim is None or claim.process(each.environment))
    return frozenset(f"{each.pid} {NAME}" for each in counts)


class _Here(NetworkNamespace):
    """The namespace that this process is in."""

    def __init__(self) -> None:
        super().__init__("self")

    def command(self, words: Sequence[str]) -> list[str]:
        return list(words)
