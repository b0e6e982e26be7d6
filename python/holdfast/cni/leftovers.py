"""What a network leaves on a host: interfaces, leases, rules of iptables, namespaces, processes."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from holdfast.cni.namespace import OWN, NetworkNamespace
from holdfast.cni.plugin import NAME

# host-local's own, which stay.
_BOOKKEEPING = ("last_reserved_ip", "lock")


TraceKind: TypeAlias = Literal["interface", "lease", "rule", "namespace", "process"]


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


def look(host: NetworkNamespace | None, leases: Path, namespaces: Path, plugins: str) -> Traces:
    """Look at `host` (None: where this process is), a folder of leases, and a runtime's folder of network namespaces.

    Processes are those of `cni-bridge-fp` whose CNI_PATH begins with `plugins`. Bridges stay, so they do not count.
    """
    return Traces(
        interfaces=_interfaces(host),
        leases=_files(leases),
        rules=_rules(host),
        namespaces=_namespaces(namespaces),
        processes=frozenset(f"{pid} {NAME}" for pid in plugin_processes(plugins)),
    )


def _interfaces(host: NetworkNamespace | None) -> frozenset[str]:
    links = (host or _Here()).links()
    kinds = {link["ifname"]: link.get("linkinfo", {}).get("info_kind") for link in links}
    return frozenset(name for name, kind in kinds.items() if kind != "bridge" and name != "lo")


def _namespaces(folder: Path) -> frozenset[str]:
    names = [entry.name for entry in folder.iterdir()] if folder.is_dir() else []
    return frozenset(name for name in names if not name.startswith(OWN))


def _files(folder: Path) -> frozenset[str]:
    found = (file for file in folder.rglob("*") if file.is_file())
    return frozenset(str(file.relative_to(folder)) for file in found if not file.name.startswith(_BOOKKEEPING))


def _rules(host: NetworkNamespace | None) -> frozenset[str]:
    """Rules and chains of plugins in all tables; of those that are there several times, each."""
    rules: Counter[str] = Counter()
    for tool in ("iptables-save", "ip6tables-save"):
        table = ""
        for line in (host or _Here()).run([tool]).splitlines() if shutil.which(tool) else ():
            if line.startswith("*"):
                table = line[1:]
            elif line.startswith("-A"):
                rules[f"{tool}: {table}: {line}"] += 1
            elif line.startswith(":CNI"):
                rules[f"{tool}: {table}: {line.split()[0]}"] += 1
    return frozenset(f"{rule} ({at})" if at > 1 else rule for rule, held in rules.items() for at in range(1, held + 1))


def plugin_processes(plugins: str) -> list[int]:
    """The process ids of `cni-bridge-fp` whose CNI_PATH begins with `plugins`."""
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            name = (folder / "comm").read_text().strip()
            environment = (folder / "environ").read_bytes().split(b"\0") if name == NAME else []
        except OSError:  # it ended meanwhile
            continue
        if any(held.startswith(f"CNI_PATH={plugins}".encode()) for held in environment):
            found.append(int(folder.name))
    return found


class _Here(NetworkNamespace):
    """The namespace that this process is in."""

    def __init__(self) -> None:
        super().__init__("self")

    def command(self, words: Sequence[str]) -> list[str]:
        return list(words)
