"""What befalls a run in a Kubernetes of the user's that is nobody's driver's fault: none of it is a Fail."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.error import URLError

import fronts
import pytest
import yaml
from clusters import Cluster, made

from holdfast import _core, storage
from holdfast.exceptions import HoldfastError, InvalidArgument, InvalidArgumentError, LabError
from holdfast.storage.provider import ProviderFile, read

from conftest import RunSuite, isolated, wait_until

# Of each volume here, in bytes.
SIZE = 64 << 20


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with made(tmp_path_factory.mktemp("cluster")) as standing_cluster:
        yield standing_cluster


@contextmanager
def in_cluster(provider: ProviderFile, pace: float = 0.05) -> Iterator[_core.StorageLab]:
    lab = storage.cluster(provider, pace=pace)
    try:
        yield lab
    finally:
        lab.close()


def label(cluster: Cluster, namespace: str, **labels: str) -> None:
    cluster.ask("PATCH", f"/api/v1/namespaces/{namespace}", {"metadata": {"labels": labels}})


def clean(cluster: Cluster, folder: Path, seconds: float = 5) -> subprocess.CompletedProcess[str]:
    """`holdfast lab clean --yes`, which waits so many seconds for each run to go."""
    words = ["lab", "clean", "--kubeconfig", str(cluster.kubeconfig), "--yes", "--timeout", str(seconds)]
    command = [sys.executable, "-m", "holdfast.cli", *words]
    return subprocess.run(command, capture_output=True, text=True, env=isolated(folder, {}), check=False)


# What befalls the lab, or what somebody else does.


def test_a_part_of_the_lab_that_ends_by_itself_is_the_labs_trouble(tmp_path: Path) -> None:
    with made(tmp_path) as own:
        lab = own.lab.lab
        assert lab.trouble() is None
        scheduler = f"kube-scheduler --kubeconfig={own.lab.folder}"
        subprocess.run(["pkill", "-KILL", "-f", "--", scheduler], check=True)
        wait_until(lambda: lab.trouble() is not None, what="the end of the scheduler")
        assert "server/scheduler of the lab ended by itself: " in str(lab.trouble())


@pytest.mark.parametrize("workload", ["pod", "statefulset", "deployment"])
def test_a_pod_that_somebody_else_deletes_is_no_driver_s_fault(workload: str, cluster: Cluster) -> None:
    """Also where the cluster makes another in its place, and after harm to the node that ends no pod."""
    more = (
        f"}}\nfaults: {{kill_plugin: 'true', start_plugin: 'true'}}\nrunner: {{kind: kubernetes, workload: {workload}"
    )
    with in_cluster(cluster.provider(more)) as lab:
        node = lab.nodes()[0]
        volume = lab.create(node, "data", SIZE, filesystem="ext4", timeout=60)
        task = lab.run(volume, node, timeout=60)
        lab.inflict(node, "kill_plugin", timeout=30)
        lab.inflict(node, "start_plugin", timeout=30)
        assert lab.trouble() is None
        (namespace,) = cluster.namespaces()
        pods = f"/api/v1/namespaces/{namespace}/pods"
        (pod,) = [each["metadata"]["name"] for each in cluster.ask("GET", pods)["items"]]
        cluster.ask("DELETE", f"{pods}/{pod}")
        assert f"somebody else deleted the pod of {task.name} on {node}" in str(lab.trouble())
        with suppress(HoldfastError):
            task.stop(kill=True, timeout=60)
        lab.release(task, timeout=60)
        assert lab.trouble() is None, "what the run removes itself is nobody's trouble"


def test_a_node_that_no_task_is_on_is_nobodys_trouble(cluster: Cluster) -> None:
    below = cluster.lab.lab
    with in_cluster(cluster.provider()) as lab:
        node, unused = lab.nodes()[:2]
        task = lab.run(lab.create(node, "data", SIZE, filesystem="ext4", timeout=60), node, timeout=60)
        below.inflict(unused, "kill_kubelet", timeout=30)
        try:
            wait_until(lambda: not is_ready(cluster, unused), 60, "a node that is not Ready")
            assert lab.trouble() is None
            with suppress(HoldfastError):
                lab.run(task.volume, unused, timeout=3)
            assert f"the node {unused} is not Ready" in str(lab.trouble()), "it was wanted by now"
        finally:
            below.inflict(unused, "start_kubelet", timeout=30)
            wait_until(lambda: is_ready(cluster, unused), 60, "a node that is Ready")
        task.stop(kill=True, timeout=60)


def is_ready(cluster: Cluster, node: str) -> bool:
    conditions = cluster.ask("GET", f"/api/v1/nodes/{node}")["status"]["conditions"]
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def test_a_control_plane_is_left_alone_where_not_all_of_it_can_be_harmed(
    cluster: Cluster, run_suite: RunSuite, tmp_path: Path
) -> None:
    """T23 kills the API server first, and etcd after it."""
    touched = tmp_path / "touched"
    faults = f"faults: {{kill_api_server: 'touch {touched}', start_api_server: 'true'}}"
    file = cluster.provider(f", tester: 127.0.0.1}}\n{faults}\nrunner: {{kind: kubernetes").path
    run = run_suite("-k", "torpedo_23_", "--provider", str(file), "--torpedo-allow-disruption", "-rs")
    assert {case.outcome for case in run.cases.values()} == {"skipped"}, run.output
    assert "no command faults: kill_etcd" in run.output
    assert not touched.exists()


# What administrators do not allow.


@pytest.mark.parametrize("workload", ["pod", "statefulset", "deployment"])
def test_pods_that_are_not_allowed_are_the_labs_trouble_whatever_makes_them(workload: str, cluster: Cluster) -> None:
    with in_cluster(cluster.provider(f"}}\nrunner: {{kind: kubernetes, workload: {workload}")) as lab:
        node = lab.nodes()[0]
        volume = lab.create(node, "data", SIZE, filesystem="ext4", timeout=60)
        (namespace,) = cluster.namespaces()
        enforced = "pod-security.kubernetes.io/enforce"
        label(cluster, namespace, **{enforced: "restricted"})
        with pytest.raises(LabError, match='violates PodSecurity "restricted'):
            lab.run(volume, node, timeout=8)
        label(cluster, namespace, **{enforced: "baseline"})
        quotas = f"/api/v1/namespaces/{namespace}/resourcequotas"
        few = {
            "apiVersion": "v1",
            "kind": "ResourceQuota",
            "metadata": {"name": "few"},
            "spec": {"hard": {"pods": "0"}},
        }
        cluster.ask("POST", quotas, few)
        wait_until(lambda: cluster.ask("GET", f"{quotas}/few")["status"].get("hard"), what="a quota that holds")
        with pytest.raises(LabError, match="exceeded quota: few"):
            lab.run(volume, node, timeout=8)
        cluster.ask("DELETE", f"{quotas}/few")
        lab.run(volume, node, timeout=60).stop(timeout=60)


POLICY = {
    "apiVersion": "admissionregistration.k8s.io/v1",
    "kind": "ValidatingAdmissionPolicy",
    "metadata": {"name": "no-privileged"},
    "spec": {
        "failurePolicy": "Fail",
        "matchConstraints": {
            "resourceRules": [
                {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
            ]
        },
        "validations": [
            {
                "expression": "!object.spec.containers.exists(c, c.?securityContext.?privileged.orValue(false))",
                "message": "unable to validate against any security context constraint",
            }
        ],
    },
}
BINDING = {
    "apiVersion": "admissionregistration.k8s.io/v1",
    "kind": "ValidatingAdmissionPolicyBinding",
    "metadata": {"name": "no-privileged"},
    "spec": {"policyName": "no-privileged", "validationActions": ["Deny"]},
}


@contextmanager
def no_privileged_pods(cluster: Cluster) -> Iterator[None]:
    """As OpenShift's constraints have it: who asks for a privileged pod is refused."""
    policies = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolic"
    pod: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "privileged"},
        "spec": {"containers": [{"name": "a", "image": "a", "securityContext": {"privileged": True}}]},
    }

    def holds() -> bool:
        try:
            cluster.ask("POST", "/api/v1/namespaces/default/pods?dryRun=All", pod)
        except URLError as refused:
            return getattr(refused, "code", 0) == 422
        return False

    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}
    with suppress(URLError):  # it is there
        cluster.ask("POST", "/api/v1/namespaces/default/serviceaccounts", account)
    cluster.ask("POST", f"{policies}ies", POLICY)
    cluster.ask("POST", f"{policies}ybindings", BINDING)
    try:
        wait_until(holds, 30, "a policy that holds")
        yield
    finally:
        cluster.ask("DELETE", f"{policies}ybindings/no-privileged")
        cluster.ask("DELETE", f"{policies}ies/no-privileged")
        wait_until(lambda: not holds(), 30, "a policy that is gone")


def test_agents_that_nobody_may_have_lack_every_fault_and_the_rest_runs(cluster: Cluster) -> None:
    more = f", node_access: daemonset, plugin_socket: '{cluster.lab.folder}/{{node}}/plugin.sock'"
    with no_privileged_pods(cluster), in_cluster(cluster.provider(more)) as lab:
        for fault in ("cut", "kill_plugin", "kill_runtime"):
            why = lab.lacks(fault)
            assert "unable to validate against any security context constraint" in (why or ""), fault
        assert lab.lacks("drain") is None
        lab.create(lab.nodes()[0], "data", SIZE, timeout=60)


def test_a_node_without_a_process_called_kubelet_lacks_its_death(cluster: Cluster) -> None:
    """The lab's kubelets are all of one executable, as k3s is one for all."""
    with in_cluster(cluster.provider(", node_access: daemonset")) as lab:
        why = lab.lacks("kill_kubelet") or ""
        assert "no process on node1 is called kubelet" in why
        assert "faults: kill_kubelet and start_kubelet" in why
        assert lab.lacks("kill_runtime") is None


# What does not go.


def test_a_namespace_that_hangs_is_named_with_what_holds_it_and_found_later(cluster: Cluster, tmp_path: Path) -> None:
    """Nobody's finalizer is removed."""
    provider = cluster.provider()
    script = f"""
from holdfast import storage
from holdfast.exceptions import LabError
from holdfast.storage import provider
lab = storage.cluster(provider.read({provider.path!r}))
lab.create(lab.nodes()[0], "data", {SIZE}, filesystem="ext4", timeout=60)
print("made", flush=True)
input()
try:
    lab.close(timeout=15)
except LabError as error:
    print(error.message, flush=True)
"""
    command = [sys.executable, "-c", script]
    run = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=isolated(tmp_path, {})
    )
    maps = ""
    try:
        assert run.stdout is not None
        assert run.stdout.readline() == "made\n"
        (namespace,) = cluster.namespaces()
        held = {"name": "held", "finalizers": ["example.com/forever"]}
        maps = f"/api/v1/namespaces/{namespace}/configmaps"
        cluster.ask("POST", maps, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": held})
        told = run.communicate("\n", timeout=60)[0]
        assert f"stayed: the namespace {namespace}" in told
        assert "example.com/forever" in told
        # who comes next is told whose nodes they are
        with pytest.raises(LabError, match=rf"another run has .*{namespace}"):
            storage.cluster(provider, timeout=1)
        again = clean(cluster, tmp_path)
        assert again.returncode != 0
        assert "example.com/forever" in again.stderr
        assert cluster.ask("GET", f"{maps}/held")["metadata"]["finalizers"] == ["example.com/forever"]
    finally:
        run.kill()
        run.communicate()
        cluster.ask("PATCH", f"{maps}/held", {"metadata": {"finalizers": None}})
        done = clean(cluster, tmp_path, seconds=90)  # a cluster looks less and less often
    assert done.returncode == 0, done.stderr
    assert not cluster.namespaces()
    classes = cluster.ask("GET", "/apis/storage.k8s.io/v1/storageclasses")["items"]
    assert [each["metadata"]["name"] for each in classes] == ["holdfast"]


def test_a_pod_that_somebodys_finalizer_keeps_is_no_driver_s_fault(cluster: Cluster) -> None:
    with in_cluster(cluster.provider()) as lab:
        node = lab.nodes()[0]
        task = lab.run(lab.create(node, "data", SIZE, timeout=60), node, timeout=60)
        (namespace,) = cluster.namespaces()
        pod = f"/api/v1/namespaces/{namespace}/pods/{task.name}"
        cluster.ask("PATCH", pod, {"metadata": {"finalizers": ["example.com/forever"]}})
        try:
            with pytest.raises(LabError, match=r"finalizer keeps it: example\.com/forever"):
                task.stop(timeout=20)
        finally:
            cluster.ask("PATCH", pod, {"metadata": {"finalizers": None}})


# The API is away.


@contextmanager
def without_api(cluster: Cluster, seconds: float) -> Iterator[None]:
    """It is away, and comes back after so long, or once what is done meanwhile is over."""
    server, over = cluster.lab.lab, threading.Event()
    server.inflict("node1", "kill_api_server", timeout=30)

    def bring_back() -> None:
        over.wait(seconds)
        server.inflict("node1", "start_api_server", timeout=30)

    thread = threading.Thread(target=bring_back)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(timeout=60)


def test_a_run_goes_on_when_the_api_is_back(cluster: Cluster) -> None:
    """What is asked for while it is away comes to be, and what a task tells meanwhile is heard."""
    with in_cluster(cluster.provider()) as lab:
        first, second = lab.nodes()[:2]
        task = lab.run(lab.create(first, "data", SIZE, filesystem="ext4", timeout=60), first, timeout=60)
        with without_api(cluster, 3):
            other = lab.create(first, "other", SIZE, filesystem="ext4", timeout=120)
        task.wait_acknowledged(task.acknowledged + 10, timeout=60)
        task.stop(timeout=60)
        assert task.failed is None
        lab.release(task, timeout=60)
        seen = lab.verify(task.volume, second, timeout=90)
        assert seen.findings == ()
        assert seen.acknowledged >= 20
        assert other.bytes


def test_an_api_that_does_not_come_back_is_the_labs_trouble_and_what_is_left_is_found(
    cluster: Cluster, tmp_path: Path
) -> None:
    lab = storage.cluster(cluster.provider())
    server = cluster.lab.lab
    node = lab.nodes()[0]
    volume = lab.create(node, "data", SIZE, timeout=60)
    server.inflict(node, "kill_api_server", timeout=30)
    try:
        with pytest.raises(LabError):
            lab.run(volume, node, timeout=3)
        assert "API server" in (lab.trouble(timeout=3) or "")
        with pytest.raises(LabError):
            lab.close(timeout=3)
    finally:
        server.inflict(node, "start_api_server", timeout=30)
    wait_until(lambda: has_namespaces(cluster), 60, "the API is back")
    lab.close()  # again, as `holdfast lab clean` does once this process is no more
    assert not cluster.namespaces()


def has_namespaces(cluster: Cluster) -> bool:
    with suppress(URLError, OSError):
        return bool(cluster.namespaces())
    return False


# Others are there too.


def test_two_runs_at_once_touch_nothing_of_each_other(cluster: Cluster, tmp_path: Path) -> None:
    def on(*nodes: str) -> ProviderFile:
        whole = cluster.provider()
        assert whole.cluster is not None
        return replace(whole, cluster=replace(whole.cluster, nodes=nodes, selector=None))

    with in_cluster(on("node1")) as first:
        mine = first.create("node1", "data", SIZE, filesystem="ext4", timeout=60)
        task = first.run(mine, "node1", timeout=60)
        with in_cluster(on("node2", "node3")) as second:
            theirs = second.create("node2", "data", SIZE, filesystem="ext4", timeout=60)
            other = second.run(theirs, "node2", timeout=60)
            other.wait_acknowledged(10, timeout=60)
            assert [volume.name for volume in second.volumes("node2")] == ["data"]
            assert not second.leftovers([], timeout=30)
            told = clean(cluster, tmp_path).stdout
            assert told.count("left alone: it may be under way") == 2, told
            assert told.count("the lab that this Kubernetes is") == 1, told
            other.stop(timeout=60)
            assert not second.verify(theirs, "node3", timeout=90).findings
        assert len(cluster.namespaces()) == 1
        assert len(cluster.ask("GET", "/api/v1/persistentvolumes")["items"]) == 1
        task.wait_acknowledged(task.acknowledged + 10, timeout=60)
        task.stop(timeout=60)
        assert not first.verify(mine, "node1", timeout=90).findings
    assert not cluster.namespaces()


def test_a_kubeconfig_of_another_cluster_is_told_at_once(cluster: Cluster, tmp_path: Path) -> None:
    other = yaml.safe_load(cluster.kubeconfig.read_text(encoding="utf-8"))
    other["clusters"][0]["cluster"].pop("certificate-authority-data", None)
    other["clusters"][0]["cluster"]["certificate-authority"] = str(fronts.made(tmp_path, "other", authority=True).pem)
    file = tmp_path / "other.kubeconfig"
    file.write_text(yaml.safe_dump(other), encoding="utf-8")
    with pytest.raises(InvalidArgumentError, match="certificate") as refused:
        storage.cluster(cluster.provider(kubeconfig=file), timeout=600)
    assert "another cluster" in (refused.value.hint or "")


def test_a_class_of_another_cluster_is_told_with_those_there_are(cluster: Cluster) -> None:
    whole = cluster.provider()
    assert whole.cluster is not None
    elsewhere = replace(whole, cluster=replace(whole.cluster, storage_class="elsewhere"))
    with pytest.raises(HoldfastError, match="there is no StorageClass") as refused:
        storage.cluster(elsewhere, timeout=30)
    assert "one of: holdfast" in (refused.value.hint or "")
    assert not cluster.namespaces()


# What a node takes.


def test_a_node_takes_as_many_volumes_as_its_kubelet_says(cluster: Cluster, run_suite: RunSuite) -> None:
    path = "/apis/storage.k8s.io/v1/csinodes/node1"
    drivers = cluster.ask("GET", path)["spec"]["drivers"]

    def allow(count: int | None) -> None:
        allocatable = {} if count is None else {"allocatable": {"count": count}}
        cluster.ask("PATCH", path, {"spec": {"drivers": [{**each, **allocatable} for each in drivers]}})

    with in_cluster(cluster.provider()) as lab:
        assert lab.most_volumes(timeout=30) == {}
    allow(3)
    try:
        run = run_suite("-k", "torpedo_1_", "--provider", str(cluster.provider().path), "-rs")
        ((_, case),) = run.cases.items()
        assert case.properties["verdict"] == "NotRun", run.output
        assert "a node takes 3 volumes at most, and this needs 4" in run.output
    finally:
        allow(None)
    assert not cluster.namespaces()


# What a class says.


def test_a_driver_is_asked_for_what_its_class_has_made_for_the_first_pod_alone(
    cluster: Cluster, run_suite: RunSuite
) -> None:
    """`WaitForFirstConsumer` of a driver without a topology: what it refuses, and what it makes, is its word."""
    classes = "/apis/storage.k8s.io/v1/storageclasses"
    usual = cluster.ask("GET", f"{classes}/holdfast")
    late = {key: usual[key] for key in ("apiVersion", "kind", "provisioner", "reclaimPolicy")}
    late |= {"metadata": {"name": "late"}, "volumeBindingMode": "WaitForFirstConsumer"}
    cluster.ask("POST", classes, late)
    try:
        whole = cluster.provider(about=", refuses_unknown_parameters: true")
        file = Path(whole.path)
        file.write_text(file.read_text("utf-8").replace("storage_class: holdfast", "storage_class: late"), "utf-8")
        with in_cluster(read(str(file))) as lab:
            node = lab.nodes()[0]
            with pytest.raises(InvalidArgument):
                lab.create(node, "nonsense", SIZE, filesystem="ext4", parameters={"nonsense": "yes"}, timeout=30)
            lab.create(node, "data", SIZE, filesystem="ext4", timeout=60)
            assert len(cluster.ask("GET", "/api/v1/persistentvolumes")["items"]) == 1
        run = run_suite("-k", "torpedo_1_", "--provider", str(file), "-rs")
        ((_, case),) = run.cases.items()
        assert case.properties["verdict"] == "Pass", run.output
    finally:
        cluster.ask("DELETE", f"{classes}/late")
