"""What the scenarios stand on: a lab for each, and what becomes of its verdict."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from holdfast import _core, storage
from holdfast.exceptions import HoldfastError
from holdfast.pytest_plugin import options
from holdfast.results import Unchecked
from holdfast.storage import provider as providers
from holdfast.storage import rights, standing
from holdfast.storage.account import Limits
from holdfast.storage.fleet import Cluster
from holdfast.storage.offer import Offer
from holdfast.storage.provider import ProviderFile
from holdfast.storage.provider.introduction import introduce
from holdfast.storage.report import ScenarioOutcome, scenario_of
from holdfast.storage.scenario import Scenario

# On the emulated tier calls take milliseconds.
EMULATED = Limits(deadline=4.0, call=2.0, pause=1.5, settle=1.0, enough=10, refusal=2.0, leave=30.0)
# In other ways they may take longer: a call is put off, or slow.
OTHERWISE = replace(EMULATED, deadline=20.0, call=15.0, settle=5.0)
# On real plugins, mounts and networks; the deadlines are those of the scenarios' table, in seconds.
REAL = Limits(deadline=300.0, call=10.0, pause=3.0, settle=10.0, enough=10)
# An engine tries for half a minute to reach a plugin that is down, and a Swarm takes its time to notice.
ENGINES = replace(REAL, call=35.0, settle=30.0)
# A kubelet mounts, and its controllers attach, each by looking from time to time: there is enough to wait for. It puts
# off what failed for two minutes at most.
KUBERNETES = replace(REAL, call=90.0, settle=150.0, enough=5, refusal=20.0)
# Kubernetes moves a volume by itself after six minutes, and those begin when the node is known to be lost.
MOVES_BY_ITSELF = 900.0
# Its parts come up one after the other.
KUBERNETES_START = 180.0
# For all questions about the rights in a cluster together.
RIGHTS = 30.0
# Commands reach hosts over a network.
HOSTS = replace(ENGINES, call=60.0)
# From one write of a task to the next, in seconds: with an engine a scenario takes longer, and no volume may be full.
PACE = {"own": 0.005, "kubernetes": 0.02}
PACE_OF_ENGINES = 0.05
# What could not be cleaned up is shown, and no more of it than this.
SHOWN = 5
DEADLINES = {"T2": 60.0, "T4": 120.0, "T6": 60.0}


@pytest.fixture
def torpedo(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Scenario]:
    """The lab of one scenario."""
    name = scenario_of(request.node)
    given = options.value(request.config, "provider")
    made = _emulated(request.config, name, tmp_path) if given is None else _real(request.config, given, name)
    with made as scenario:
        request.node.stash[ScenarioOutcome.KEY] = ScenarioOutcome(scenario)
        yield scenario
        troubles = scenario.leave()
        more = len(troubles) - SHOWN
        for trouble in [*troubles[:SHOWN], *([f"and {more} more that could not be done"] if more > 0 else [])]:
            warnings.warn(pytest.PytestWarning(f"{name}: clean-up: {trouble}"), stacklevel=1)


@contextmanager
def _emulated(config: pytest.Config, name: str, folder: Path) -> Iterator[Scenario]:
    failpoints = dict(text.split("=", 1) for text in options.value(config, "torpedo-failpoint") or ())
    seed = int(options.value(config, "torpedo-seed") or 0)
    face = options.value(config, "torpedo-face") or "process"
    served = None if face == "process" else (face, folder)
    personalities = options.value(config, "torpedo-personality") or ()
    timings = dict(options.deadline(text) for text in options.value(config, "torpedo-timing") or ())
    if personalities:
        timings.setdefault("pace", PACE_OF_ENGINES / 2)  # no volume may be full before a slow scenario ends
    try:
        lab = storage.emulated(
            failpoints=failpoints,
            seed=seed,
            served=served,
            timings=timings,
            personalities=personalities,
            calls={"default": OTHERWISE.call / 3, **_calls(config)},
        )
    except HoldfastError as error:
        raise pytest.fail.Exception(f"{error}", pytrace=False) from None
    try:
        scenario = Scenario(lab, name, _limits(config, name, OTHERWISE if personalities else EMULATED))
        if face == "docker":
            scenario.offer.accesses = frozenset(("SINGLE_NODE_WRITER",))
            scenario.offer.filesystems = frozenset()
        yield scenario
    finally:
        lab.close()


@contextmanager
def _real(config: pytest.Config, given: str, name: str) -> Iterator[Scenario]:
    try:
        provider = providers.read(given, runner=options.value(config, "torpedo-runner"))
    except HoldfastError as error:
        raise pytest.fail.Exception(f"{error}", pytrace=False) from None
    lacking = provider.lacks()
    if lacking:
        pytest.skip("; ".join(lacking))
    if provider.cluster is not None:
        _need_rights(provider, provider.cluster, name)
    with _nodes(config, provider) as (lab, folder):
        limits = _patience(config, provider)
        if provider.runner != "kubernetes":  # whose controllers take a minute to see what they did not do themselves
            limits = replace(limits, deadline=DEADLINES.get(name, limits.deadline))
        scenario = Scenario(lab, name, _limits(config, name, limits))
        scenario.folder = folder
        scenario.offer = Offer(
            filesystems=provider.filesystems,
            accesses=_accesses(provider),
            knows_parameters=False,
            refuses_unknown_parameters=provider.refuses_unknown_parameters,
            parameters=provider.parameters,
            most_volumes=_most_volumes(provider, scenario, folder),
            mount_flags=provider.mount_flags,
            filesystem_options=provider.filesystem_options,
            minimum=max(scenario.offer.minimum, provider.minimum or 0),
            sizes=provider.sizes,
        )
        scenario.runner = provider.runner_and_how
        # its tasks are pods: one that is there is not begun again, and nodes and controllers take their time for each
        scenario.at_once = scenario.mounts_once = provider.runner == "kubernetes"
        scenario.ends_at_hand_over = provider.workload == "deployment"  # a new template is a rollout
        _list_unchecked(provider, scenario)
        if provider.mount_group is not None:
            scenario.can("MountGroup", "mount_group")
        if provider.cluster is not None and not options.typed(config, "torpedo-allow-disruption"):
            scenario.forbidden = "would harm nodes of the cluster: say --torpedo-allow-disruption on the command line"
        if provider.cluster is not None and provider.cluster.tester is None:
            scenario.deaf = "tasks tell by their pods' logs, and a lost node's cannot be read: give lab: tester"
        if provider.cluster is not None:
            scenario.plugin_unseen = "a plugin in a pod is reached by its kubelet alone"
        if not provider.is_here:
            what = "containers" if provider.cluster is None else "pods"
            scenario.unseen = Unchecked(f"what stays mounted on the {provider.lab}", f"only its {what} are looked at")
        yield scenario


def _need_rights(provider: ProviderFile, cluster: Cluster, name: str) -> None:
    """Skip where the cluster does not allow what a scenario does. Whether it can be reached is seen by then."""
    with suppress(HoldfastError):
        allowed = _allowed(cluster.kubeconfig, cluster.context, cluster.agents)
        lacking = [str(right) for right in rights.lacking(allowed, name, provider.workload or "pod", cluster.agents)]
        if lacking:
            pytest.skip(f"the cluster does not allow to {'; to '.join(lacking)} (holdfast provider manifest)")


@functools.cache
def _allowed(kubeconfig: str, context: str | None, agents: bool) -> dict[tuple[str, str, str], bool]:
    """Which rights there are, as the API says: asked once."""
    from holdfast import _core

    asked = rights.asked(agents)
    _, _, allowed = _core.storage_cluster_allows(kubeconfig, context, asked, timeout=RIGHTS)
    return dict(zip(asked, allowed, strict=True))


def _list_unchecked(provider: ProviderFile, scenario: Scenario) -> None:
    """What of the provider no scenario here looks at."""
    for mode in sorted(provider.access_modes - scenario.offer.accesses):
        scenario.unchecked(f"volumes for {mode}", "Kubernetes has no such access mode")
    for capability in scenario.provider.unasked if scenario.name == "T1" else ():
        scenario.unchecked(capability, "no scenario asks for what it says that it can do")


def _accesses(provider: ProviderFile) -> frozenset[str]:
    """What a volume may be asked for; under Kubernetes nobody reads on one node alone."""
    if provider.runner != "kubernetes":
        return provider.access_modes
    return provider.access_modes - {"SINGLE_NODE_READER_ONLY"} or frozenset(("SINGLE_NODE_WRITER",))


def _most_volumes(provider: ProviderFile, scenario: Scenario, folder: str) -> dict[str, int]:
    """How many volumes the plugin on each node says that it takes; a node that does not say is not there."""
    if provider.cluster is not None:
        return scenario.lab.most_volumes(timeout=scenario.limits.call)
    if provider.kind != "csi":
        return {}
    if provider.hosts is None:
        sockets = {node: f"unix://{folder}/{node}/plugin.sock" for node in scenario.nodes}
    else:
        sockets = dict(provider.hosts.sockets)
    most = {}
    for node, socket in sockets.items():
        with suppress(HoldfastError):  # what it was asked before it answered; why not now is for the scenario to find
            most[node] = introduce(socket, provider.mask, timeout=scenario.limits.call).max_volumes
    return {node: number for node, number in most.items() if number}


@contextmanager
def _nodes(config: pytest.Config, provider: ProviderFile) -> Iterator[tuple[_core.StorageLab, str]]:
    """The hosts of a provider file, or a lab of namespaces that is gone after that, and its folder."""
    given = options.value(config, "torpedo-start")
    usual = KUBERNETES_START if provider.runner == "kubernetes" else 30.0
    start = provider.calls.get("start", usual) if given is None else options.deadline(f"start={given}")[1]
    calls = _calls(config)
    if provider.cluster is not None:
        try:
            lab = storage.cluster(provider, timeout=start)
        except HoldfastError as error:
            raise pytest.fail.Exception(f"the cluster is not ready: {error}", pytrace=False) from None
        try:
            yield lab, ""
        finally:
            _end(lab)
        return
    if provider.hosts is not None:
        try:
            lab = storage.hosts(provider, timeout=start, calls=calls)
        except HoldfastError as error:
            raise pytest.fail.Exception(f"the hosts are not ready: {error}", pytrace=False) from None
        yield lab, ""
        return
    pace = PACE.get(provider.runner, PACE_OF_ENGINES)
    with ExitStack() as stack:
        try:
            longer = f"--torpedo-start {2 * start:g}s"
            stands = standing.stand(provider, pace=pace, start=start, calls=calls, longer=longer)
            made = stack.enter_context(stands)
        except HoldfastError as error:
            raise pytest.fail.Exception(str(error), pytrace=False) from None
        yield made.lab, str(made.folder)


def _end(lab: _core.StorageLab) -> None:
    try:
        lab.close()
    except HoldfastError as error:
        again = "`holdfast lab clean --kubeconfig FILE` tries again"
        warnings.warn(pytest.PytestWarning(f"clean-up of the cluster: {error}; {again}"), stacklevel=1)


def _calls(config: pytest.Config) -> dict[str, float]:
    """How long calls to a CSI driver may take, by RPC."""
    given = options.value(config, "torpedo-call") or ()
    return dict(options.deadline(text, "torpedo-call", "CreateVolume=12s") for text in given)


def _patience(config: pytest.Config, provider: ProviderFile) -> Limits:
    """How long calls may take: by who mounts, and who schedules."""
    if provider.hosts is not None:
        limits = HOSTS
    elif provider.runner == "kubernetes":
        limits = replace(KUBERNETES, deadline=MOVES_BY_ITSELF) if provider.recovery == "wait" else KUBERNETES
    elif provider.runner == "own" or (provider.runner, provider.kind) == ("docker", "csi"):
        limits = REAL
    else:
        limits = ENGINES
    calls = {"default": storage.default_call(provider), **provider.calls, **_calls(config)}
    calls.pop("start", None)
    # a task takes three calls and more of CSI's until it runs, and two of Docker's that may take long
    many = 3 if provider.kind == "csi" else 2
    return replace(
        limits,
        call=max(limits.call, many * max(calls.values())),
        # where others call the driver, what they undo takes its calls too
        settle=limits.settle if provider.runner == "own" else max(limits.settle, many * max(calls.values())),
    )


def _limits(config: pytest.Config, name: str, limits: Limits) -> Limits:
    for text in options.value(config, "torpedo-deadline") or ():
        scenario, seconds = options.deadline(text)
        if scenario.upper() == name:
            limits = replace(limits, deadline=seconds)
        elif scenario == "leave":
            limits = replace(limits, leave=seconds)
    return limits
