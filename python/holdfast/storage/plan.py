"""What would run with a provider, before anything is touched."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from holdfast.storage.offer import not_asked_of_claims
from holdfast.storage.provider import ProviderFile
from holdfast.storage.report import NAMES
from holdfast.storage.scenario import SILENCES_LOGS

_RUNTIME = ("T9", "T10")
_FENCING = ("T7", "T8", "T25")
# By scenario: each of these is a variant of it.
_FAULTS = {
    "T3": ("stop_plugin", "kill_plugin", "hang_plugin", "kill_server"),
    "T4": ("kill_plugin",),
    "T5": ("power_off",),
    "T6": ("kill_plugin", "hang_plugin"),
    "T7": ("cut",),
    "T8": ("cut_storage",),
    "T9": ("kill_runtime",),
    "T10": ("live_restore_on",),
    "T21": ("kill_kubelet",),
    "T22": ("kill_kubelet",),
    "T23": ("kill_api_server", "kill_etcd"),
    "T24": ("drain",),
    "T25": ("cut",),
}
# Kubernetes' own, which no other runner has.
OF_KUBERNETES = ("T21", "T22", "T23", "T24", "T25")


# By scenario: what the driver must be able to do, as a lab names it.
_NEEDS = {
    "T7": "Fence",
    "T8": "Fence",
    "T11": "Expand",
    "T12": "Snapshot",
    "T13": "Clone",
    "T14": "Block",
    "T15": "Statistics",
    "T25": "Fence",
}
# How many volumes a node has at a time, where that is not one for each stage of a writer.
_VOLUMES = {"T1": 5, "T2": 1, "T6": 1, "T15": 1}
# What moves a volume to another node.
_MOVES = ("T4", "T5", "T7", "T8", "T21", "T24", "T25")


def plan(
    provider: ProviderFile, capabilities: Collection[str] | None = None, lacks: str = "", most: int = 0
) -> Iterator[tuple[str, str, str]]:
    """Each scenario, its title, and whether it would run.

    `capabilities` are the driver's, as a lab names them; where it was not asked, what it lacks shows when it is. Why it
    cannot be qualified at all is `lacks`. `most` is how many volumes a node takes, 0 where nobody says.
    """
    for name, title in NAMES.items():
        if name in OF_KUBERNETES and provider.runner != "kubernetes":
            continue
        why = lacks or _lacking(provider, name) or _cannot(name, capabilities) or _no_room(name, most)
        if why:
            yield name, title, f"NotRun: {why}"
        elif capabilities is None and name in _NEEDS and name not in _FENCING:
            yield name, title, f"runs, if the driver has the capability {_NEEDS[name]}"
        else:
            yield name, title, "runs"


def faults_of(name: str, provider: ProviderFile) -> tuple[str, ...]:
    """What a scenario does to nodes, by the names of faults."""
    faults = _FAULTS.get(name, ())
    return tuple(fault for fault in faults if fault != "kill_server" or provider.server)


def _lacking(provider: ProviderFile, name: str) -> str | None:
    """What the file says against a scenario."""
    if name in _FENCING and provider.fencing == "none":
        return "the provider does not fence (fencing: none)"
    if (unable := _runner_cannot(provider.runner, name)) is not None:
        return unable
    hears_logs_alone = provider.cluster is not None and provider.cluster.tester is None
    if hears_logs_alone and not set(SILENCES_LOGS).isdisjoint(_FAULTS.get(name, ())):
        return "tasks tell by their pods' logs, which nobody can read meanwhile: give lab: tester"
    outside = provider.hosts or provider.cluster
    return None if outside is None else outside.lacks(*_FAULTS.get(name, ()))


def _runner_cannot(runner: str, name: str) -> str | None:
    """What who runs the tasks has nothing for."""
    if name in _RUNTIME and runner == "own":
        return "holdfast's own runner has no container runtime that could crash"
    if name == "T10" and runner == "swarm":
        return "Swarm refuses live restore"
    if name == "T14" and runner != "own":
        return f"the runner {runner} gives its tasks no devices"
    return not_asked_of_claims(runner, _NEEDS[name]) if name in _NEEDS else None


def _no_room(name: str, most: int) -> str | None:
    """Why a node takes too few volumes for it."""
    needed = _VOLUMES.get(name, 4)
    return f"a node takes {most} volumes at most, and this needs {needed}" if 0 < most < needed else None


def _cannot(name: str, capabilities: Collection[str] | None) -> str | None:
    """What the driver's own word says against it."""
    if capabilities is None:
        return None
    if "Local" in capabilities and name in _MOVES:
        return "its volumes are local"
    needed = _NEEDS.get(name)
    return None if needed is None or needed in capabilities else f"it does not have the capability {needed}"
