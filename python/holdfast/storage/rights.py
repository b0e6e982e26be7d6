"""What a run may have to do in a Kubernetes of the user's: for its administrator, and to be tried before a run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

# What all that a run makes is called in a manifest.
NAME = "holdfast"


@dataclass(frozen=True)
class Right:
    """Verbs on a resource of an API group ("" is the core); `needed_for` are scenarios, all where it is empty."""

    group: str
    resource: str
    verbs: tuple[str, ...]
    needed_for: tuple[str, ...] = ()
    # Asked for where agents of ours are to harm the nodes, and not else.
    of_agents: bool = False
    # Asked for when it is due alone, as which recovery a scenario needs is seen by then.
    when_due: bool = False

    def __str__(self) -> str:
        return f"{', '.join(self.verbs)} {self.resource}{f'.{self.group}' if self.group else ''}"


# Namespaces, nodes, volumes, classes and attachments are no namespace's; the rest is asked for in a namespace that the
# run makes, so that it has to be granted in all.
RIGHTS = (
    Right("", "namespaces", ("get", "list", "create", "patch", "delete")),
    Right("", "nodes", ("get", "list")),
    Right("", "nodes", ("patch",), ("T5", "T24"), when_due=True),
    Right("", "pods", ("get", "list", "create", "delete")),
    Right("", "pods/log", ("get",)),
    Right("", "pods/eviction", ("create",), ("T24",), when_due=True),
    Right("", "configmaps", ("create",)),
    Right("", "events", ("list",)),
    Right("", "persistentvolumeclaims", ("get", "list", "create", "delete")),
    Right("", "persistentvolumes", ("get", "list")),
    Right("storage.k8s.io", "storageclasses", ("get", "list", "create", "delete")),
    Right("storage.k8s.io", "csidrivers", ("get",)),
    Right("storage.k8s.io", "csinodes", ("list",)),
    Right("storage.k8s.io", "volumeattachments", ("get", "list")),
    Right("storage.k8s.io", "volumeattachments", ("delete",), ("T4", "T7", "T8", "T25"), when_due=True),
    Right("apps", "statefulsets", ("get", "create", "patch", "delete"), ("T25", "workload: statefulset")),
    Right("", "pods/exec", ("get", "create"), ("node_access: daemonset",), of_agents=True),
    Right("apps", "daemonsets", ("create",), ("node_access: daemonset",), of_agents=True),
    Right("apps", "deployments", ("get", "create", "patch", "delete"), ("workload: deployment",)),
)


def needed(agents: bool = False) -> tuple[Right, ...]:
    """What a run may have to do; `agents`: with agents of ours on the nodes."""
    return tuple(right for right in RIGHTS if agents or not right.of_agents)


def asked(agents: bool = False) -> list[tuple[str, str, str]]:
    """Group, resource and verb of each: what the API is asked whether it allows it."""
    return [(right.group, right.resource, verb) for right in needed(agents) for verb in right.verbs]


def missing(allowed: dict[tuple[str, str, str], bool], agents: bool = False) -> Iterator[tuple[Right, str]]:
    """Each right of which a verb is not allowed, with what cannot be done without it."""
    for right in needed(agents):
        lacking = [verb for verb in right.verbs if not allowed.get((right.group, right.resource, verb), False)]
        if lacking:
            what = f"without it {', '.join(right.needed_for)} cannot end well" if right.needed_for else "nothing runs"
            yield replace(right, verbs=tuple(lacking)), what


def lacking(
    allowed: dict[tuple[str, str, str], bool], scenario: str, workload: str = "pod", agents: bool = False
) -> Iterator[Right]:
    """Each right without which a scenario, such as `T3`, cannot begin with tasks of such a workload."""
    meant = {scenario, f"workload: {workload}", *(["node_access: daemonset"] if agents else [])}
    for right, _ in missing(allowed, agents):
        if not right.when_due and (not right.needed_for or meant & set(right.needed_for)):
            yield right


def _rule(right: Right) -> str:
    return f'- {{apiGroups: ["{right.group}"], resources: ["{right.resource}"], verbs: [{", ".join(right.verbs)}]}}'


def manifest(account: str, agents: bool = False) -> str:
    """A ClusterRole with all of it, and its binding to a service account, `NAMESPACE/NAME`, as YAML."""
    namespace, _, name = account.partition("/")
    rules = "".join(f"  {_rule(right)}\n" for right in needed(agents))
    return f"""\
# What `pytest -k torpedo` does in a cluster (holdfast, docs/kubernetes.md): kubectl apply -f FILE
apiVersion: v1
kind: ServiceAccount
metadata: {{name: {name}, namespace: {namespace}}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {{name: {NAME}}}
rules:
{rules}---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {{name: {NAME}}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: {NAME}}}
subjects: [{{kind: ServiceAccount, name: {name}, namespace: {namespace}}}]
"""
