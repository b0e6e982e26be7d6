"""What would run with a provider, before anything is touched."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from holdfast.choices import StorageFault
from holdfast.storage.harm import RECOVERS, VARIANTS, Variant
from holdfast.storage.offer import not_asked_of_claims
from holdfast.storage.provider import ProviderFile
from holdfast.storage.report import NAMES
from holdfast.storage.scenario import SILENCES_LOGS

_RUNTIME = ("T9", "T10")
_FENCING = ("T7", "T8", "T25")
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


def faults_of(name: str, provider: ProviderFile, chosen: Collection[StorageFault] = ()) -> tuple[StorageFault, ...]:
    """What a scenario does to nodes, as far as the file allows it; of variants that were `chosen`, what those do."""
    variants = [each for each in VARIANTS.get(name, ()) if not chosen or set(chosen) & set(each)]
    able = [each for each in variants if _lacks(provider, [each]) is None]
    return tuple(dict.fromkeys(fault for variant in able for fault in variant))


def made_of(provider: ProviderFile, runs: Collection[str]) -> Iterator[str]:
    """What scenarios make, change and remove in a user's cluster, beside the harm that they do to nodes."""
    cluster = provider.cluster
    if cluster is None:
        return
    workloads = {"deployment": "Deployments, ", "statefulset": "StatefulSets, "}.get(provider.workload or "", "")
    if "T25" in runs and not workloads:
        workloads = "StatefulSets, "
    yield f"makes a namespace, with claims, {workloads}pods and config maps in it"
    yield f"makes StorageClasses like {cluster.storage_class}, for other file systems and parameters"
    if cluster.agents:
        yield "makes a DaemonSet, whose privileged pods harm their nodes"
    if "T24" in runs:
        yield "cordons the node that is drained, in T24"
    recovering = [name for name in RECOVERS if name in runs]
    tainting = [name for name in recovering if name == "T5"] if provider.recovery != "force" else []
    forcing = [name for name in recovering if name not in tainting]
    if recovering:
        yield f"removes its own pods on the lost node by force, in {', '.join(recovering)}"
    if tainting and provider.recovery != "wait":
        yield f"gives the lost node the taint out-of-service, in {', '.join(tainting)}: every pod there ends"
    if forcing and provider.recovery not in ("wait", "taint"):
        yield f"removes the VolumeAttachments of its own volumes to the lost node, in {', '.join(forcing)}"


def _lacking(provider: ProviderFile, name: str) -> str | None:
    """What the file says against a scenario."""
    if name in _FENCING and provider.fencing == "none":
        return "the provider does not fence (fencing: none)"
    if (unable := _runner_cannot(provider.runner, name)) is not None:
        return unable
    return _lacks(provider, VARIANTS.get(name, ()))


def _lacks(provider: ProviderFile, variants: Sequence[Variant]) -> str | None:
    """Why none of these can be had."""
    does = {fault for variant in variants for fault in variant}
    hears_logs_alone = provider.cluster is not None and provider.cluster.tester is None
    if hears_logs_alone and not does.isdisjoint(SILENCES_LOGS):
        return "tasks tell by their pods' logs, which nobody can read meanwhile: give lab: tester"
    outside = provider.hosts or provider.cluster
    if does == {"kill_server"} and (outside is None or not provider.server):
        return "the provider has no server that could be restarted here"
    return None if outside is None else outside.lacks(*variants)


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
