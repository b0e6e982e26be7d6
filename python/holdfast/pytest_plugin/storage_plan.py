"""`--torpedo-plan`: which of the chosen scenarios would run with a provider, and what they do to which nodes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import pytest

from holdfast.choices import StorageFault
from holdfast.pytest_plugin import options
from holdfast.pytest_plugin.plan import line_writer
from holdfast.storage.plan import faults_of, made_of, plan
from holdfast.storage.provider import ProviderFile, read

_EMULATED = "the EMULATED provider, in this process: no node is there to harm"


def show(config: pytest.Config, items: Sequence[pytest.Item]) -> None:
    """Print the plan. Nothing is asked of anybody: what a driver cannot do shows when it runs, or by `holdfast provider
    check`.
    """
    write = line_writer(config)
    chosen = _chosen(items)
    given = options.value(config, "provider")
    if not given:
        write(f"plan for {_EMULATED}: {', '.join(sorted(chosen, key=_number)) or 'no scenario'}")
    else:
        provider = read(given, runner=options.value(config, "torpedo-runner"))
        for line in _lines(provider, chosen, allowed=options.typed(config, "torpedo-allow-disruption")):
            write(line)
    write("nothing was done: leave out --torpedo-plan to run the scenarios")


def _chosen(items: Sequence[pytest.Item]) -> dict[str, set[StorageFault]]:
    """The scenarios, each with the faults of those of its variants that are chosen; none, where it has no variants."""
    chosen: dict[str, set[StorageFault]] = {}
    for item in items:
        if (mark := item.get_closest_marker("torpedo")) is not None:
            parameters = item.callspec.params if hasattr(item, "callspec") else {}
            chosen.setdefault(mark.args[0], set()).update({parameters["fault"]} if "fault" in parameters else ())
    return chosen


def _number(scenario: str) -> int:
    return int(scenario[1:])


def _lines(provider: ProviderFile, chosen: Mapping[str, set[StorageFault]], *, allowed: bool) -> Iterator[str]:
    yield f"plan for {provider.path}, runner {provider.runner_and_how}, on {_where(provider)}:"
    asks = provider.cluster is not None and not allowed
    runs = []
    for name, title, verdict in plan(provider):
        if name not in chosen:
            continue
        harm = faults_of(name, provider, chosen[name]) if verdict.startswith("runs") else ()
        consent = " if --torpedo-allow-disruption is said" if asks and harm else ""
        does = f"; it does {', '.join(harm)}" if harm else ""
        yield f"  {name:<4} {title:<30} {verdict}{consent}{does}"
        if verdict.startswith("runs"):
            runs.append(name)
    beside = list(made_of(provider, runs)) if runs else []
    if beside:
        yield "beside that, in the cluster, a run (what it made and changed is taken back at its end):"
        yield from (f"  {line}" for line in beside)


def _where(provider: ProviderFile) -> str:
    """The nodes, in words."""
    cluster, hosts = provider.cluster, provider.hosts
    if cluster is not None:
        fit = "that are Ready, get pods and have the driver"
        which = f"all nodes with {cluster.selector} {fit}" if cluster.selector else f"all nodes {fit}"
        named = f"the nodes {', '.join(cluster.nodes)}" if cluster.nodes else which
        return f"the cluster of {cluster.kubeconfig}, which is not this machine, {named}"
    if hosts is not None:
        return f"the hosts {', '.join(hosts.nodes)}, which are not this machine"
    return f"{provider.nodes} nodes in namespaces of this machine, which harm nobody else"
