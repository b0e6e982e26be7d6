"""A Kubernetes of the user's own as the lab: here the one of `holdfast lab up kubernetes`, reached as any other is."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from clusters import Cluster, made, processes

from holdfast import storage
from holdfast.exceptions import HoldfastError, InvalidArgumentError, LabError
from holdfast.storage import provider, rights

from conftest import RunSuite, isolated, wait_until


def test_a_manifest_grants_what_is_asked_for_and_nothing_else() -> None:
    _, role, binding = yaml.safe_load_all(rights.manifest("lab/tester"))
    granted = {
        (group, resource, verb)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    assert granted == set(rights.asked())
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "tester", "namespace": "lab"}]
    assert "*" not in rights.manifest("lab/tester")


def test_only_agents_of_ours_may_run_commands_in_pods() -> None:
    assert "pods/exec" not in rights.manifest("lab/tester")
    assert "pods/exec" in rights.manifest("lab/tester", agents=True)
    assert set(rights.asked(agents=True)) - set(rights.asked()) == {
        ("", "pods/exec", "get"),
        ("", "pods/exec", "create"),
        ("apps", "daemonsets", "create"),
    }


def test_a_missing_right_says_what_cannot_be_done() -> None:
    allowed = dict.fromkeys(rights.asked(), True)
    assert not list(rights.missing(allowed))
    allowed["", "pods/eviction", "create"] = allowed["", "pods", "delete"] = False
    assert [(str(right), what) for right, what in rights.missing(allowed)] == [
        ("delete pods", "nothing runs"),
        ("create pods/eviction", "without it T24 cannot end well"),
    ]
    assert [str(right) for right in rights.lacking(allowed, "T24")] == ["delete pods"]  # of the other the lab asks
    allowed["", "pods", "delete"] = True
    allowed["apps", "statefulsets", "patch"] = allowed["apps", "daemonsets", "create"] = False
    assert not list(rights.lacking(allowed, "T1"))
    for scenario, workload, agents in (("T25", "pod", False), ("T1", "statefulset", False)):
        (right,) = rights.lacking(allowed, scenario, workload, agents)
        assert str(right) == "patch statefulsets.apps"
    of_agents = {**dict.fromkeys(rights.asked(agents=True), True), ("apps", "daemonsets", "create"): False}
    assert [str(right) for right in rights.lacking(of_agents, "T1", agents=True)] == ["create daemonsets.apps"]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (
            "provider: {kind: docker-plugin}\nlab: {kind: cluster, storage_class: a}\n",
            "kind: cluster is for CSI drivers",
        ),
        ("provider: {kind: csi}\nlab: {kind: cluster}\n", "lab has no key 'storage_class'"),
        ("provider: {kind: csi, start: x}\nlab: {kind: cluster, storage_class: a}\n", "in a cluster it runs already"),
        ("provider: {kind: csi, mount_flags: [ro]}\nlab: {kind: cluster, storage_class: a}\n", "its StorageClass"),
        ("provider: {kind: csi}\nlab: {kind: cluster, storage_class: a, nodes: [b]}\n", "nodes"),
        ("provider: {kind: csi}\nlab: {kind: cluster, storage_class: a, nodes: [b, c], selector: d}\n", "one of them"),
        ("provider: {kind: csi}\nrunner: {kind: docker}\nlab: {kind: cluster, storage_class: a}\n", "runner docker"),
        ("provider: {kind: csi, start: x, scope: local}\n", "a CSI driver has none"),
        (
            "provider: {kind: csi}\nlab: {kind: cluster, storage_class: a, heals_after: 60s}\n",
            "heals_after is for node_access: daemonset",
        ),
    ],
)
def test_what_a_file_may_not_say_of_it(tmp_path: Path, more: str, said: str) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_text(more, encoding="utf-8")
    with pytest.raises(InvalidArgumentError) as refused:
        provider.read(str(file))
    assert said in f"{refused.value.message} {refused.value.hint}"


def test_kubectl_s_kubeconfig_is_the_usual_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("provider: {kind: csi}\nlab: {kind: cluster, storage_class: fast}\n", encoding="utf-8")
    monkeypatch.setenv("KUBECONFIG", "/there/config:/elsewhere")
    read = provider.read(str(file))
    assert (read.runner, read.lab, read.lacks()) == ("kubernetes", "cluster", [])
    assert read.cluster is not None
    assert (read.cluster.kubeconfig, read.cluster.selector) == ("/there/config:/elsewhere", "")
    file.write_text(
        "provider: {kind: csi}\nlab: {kind: cluster, storage_class: fast, kubeconfig: ./own, nodes: [a, b]}\n",
        encoding="utf-8",
    )
    read = provider.read(str(file))
    assert read.cluster is not None
    assert (read.cluster.kubeconfig, read.cluster.selector) == (str(tmp_path / "own"), None)


def test_a_kubeconfig_that_leads_nowhere_is_named(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("provider: {kind: csi}\nlab: {kind: cluster, storage_class: a, kubeconfig: ./missing}\n", "utf-8")
    with pytest.raises(InvalidArgumentError, match="missing"):
        storage.cluster(provider.read(str(file)), timeout=5)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with made(tmp_path_factory.mktemp("cluster")) as standing_cluster:
        yield standing_cluster


def _with_rights(cluster: Cluster, account: str, without: str = "") -> Path:
    """A kubeconfig of an account that has the rights of the manifest, but for those on a resource."""
    for held in yaml.safe_load_all(rights.manifest(f"default/{account}")):
        kind = held["kind"].lower() + "s"
        group = "/api/v1/namespaces/default" if kind == "serviceaccounts" else "/apis/rbac.authorization.k8s.io/v1"
        if kind != "serviceaccounts":
            held["metadata"]["name"] = account
        if kind == "clusterroles":
            held["rules"] = [rule for rule in held["rules"] if without not in rule["resources"]]
        if kind == "clusterrolebindings":
            held["roleRef"]["name"] = account
        cluster.ask("POST", f"{group}/{kind}", held)
    asked = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    token = cluster.ask("POST", f"/api/v1/namespaces/default/serviceaccounts/{account}/token", asked)["status"]["token"]
    own = yaml.safe_load(cluster.kubeconfig.read_text(encoding="utf-8"))
    own["users"][0]["user"] = {"token": token}
    kubeconfig = cluster.folder / f"{account}.kubeconfig"
    kubeconfig.write_text(yaml.safe_dump(own), encoding="utf-8")
    return kubeconfig


def test_without_a_right_nothing_runs_and_the_verb_is_told(cluster: Cluster, run_suite: RunSuite) -> None:
    file = cluster.provider(kubeconfig=_with_rights(cluster, "poor", without="configmaps")).path
    run = run_suite("-k", "torpedo_1_ or torpedo_25_", "--provider", str(file), "-rs")
    assert {case.outcome for case in run.cases.values()} == {"skipped"}, run.output
    assert "the cluster does not allow to create configmaps" in run.output
    assert not cluster.namespaces()


def test_a_task_tells_by_its_log_and_nothing_is_left(cluster: Cluster) -> None:
    """With the rights of the manifest, and no more."""
    kubeconfig = _with_rights(cluster, "holdfast")
    lab = storage.cluster(cluster.provider(kubeconfig=kubeconfig))
    try:
        first, second = lab.nodes()[:2]
        assert lab.provider().name == "nbd.storage.holdfast"
        assert lab.lacks("drain") is None
        assert "kill_plugin" in (lab.lacks("kill_plugin") or "")
        with pytest.raises(LabError, match=r"another run has node1, node2.* since .*: holdfast-"):
            storage.cluster(cluster.provider(kubeconfig=kubeconfig), timeout=5)
        volume = lab.create(first, "data", 64 << 20, filesystem="ext4", timeout=60)
        task = lab.run(volume, first, timeout=60)
        task.wait_acknowledged(20, timeout=60)
        task.stop(timeout=60)
        lab.release(task, timeout=60)
        seen = lab.verify(volume, second, timeout=90)
        assert (seen.findings, seen.filesystem) == ((), "ext4")
        assert seen.acknowledged >= 20
        assert seen.bytes is not None
        assert (48 << 20) < seen.bytes <= (64 << 20)
        assert len(cluster.namespaces()) == 1
    finally:
        lab.close()
    assert not cluster.namespaces()
    assert not cluster.ask("GET", "/api/v1/persistentvolumes")["items"]
    classes = cluster.ask("GET", "/apis/storage.k8s.io/v1/storageclasses")["items"]
    assert [each["metadata"]["name"] for each in classes] == ["holdfast"]


def _as(user: dict[str, Any], cluster: Cluster, folder: Path) -> Path:
    """A kubeconfig of the same cluster with other credentials."""
    own = yaml.safe_load(cluster.kubeconfig.read_text(encoding="utf-8"))
    own["users"][0]["user"] = user
    file = folder / "other.kubeconfig"
    file.write_text(yaml.safe_dump(own), encoding="utf-8")
    return file


def _program(words: str) -> dict[str, Any]:
    """Credentials that a program gives."""
    return {
        "exec": {
            "apiVersion": "client.authentication.k8s.io/v1",
            "command": "sh",
            "args": ["-c", words],
            "interactiveMode": "IfAvailable",
        }
    }


@pytest.mark.parametrize(
    ("user", "said"),
    [
        ({"token": "hunter2"}, "have expired: log in again"),
        (_program("echo hunter2 >&2; exit 1"), "failed: run it by hand"),
        (_program("echo hunter2"), "failed: run it by hand"),
        (_program("exec sleep 60"), "did not come in time"),
    ],
)
def test_credentials_that_do_not_hold_are_told_without_what_is_in_them(
    user: dict[str, Any], said: str, cluster: Cluster, tmp_path: Path
) -> None:
    with pytest.raises(HoldfastError) as refused:
        storage.cluster(cluster.provider(kubeconfig=_as(user, cluster, tmp_path)), timeout=5)
    told = f"{refused.value} {refused.value!r} {refused.value.hint}"
    assert said in told
    assert "hunter2" not in told


def test_what_administrators_do_not_allow_is_the_labs_trouble(cluster: Cluster) -> None:
    """Here by a quota: the driver has nothing to do with it."""
    lab = storage.cluster(cluster.provider())
    try:
        node = lab.nodes()[0]
        volume = lab.create(node, "data", 64 << 20, filesystem="ext4", timeout=60)
        (namespace,) = cluster.namespaces()
        quotas = f"/api/v1/namespaces/{namespace}/resourcequotas"
        named = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "few"}}
        cluster.ask("POST", quotas, {**named, "spec": {"hard": {"pods": "0"}}})
        wait_until(lambda: cluster.ask("GET", f"{quotas}/few")["status"].get("hard"), what="a quota that holds")
        with pytest.raises(LabError, match="exceeded quota: few"):
            lab.run(volume, node, timeout=60)
        cluster.ask("DELETE", f"{quotas}/few")
        lab.run(volume, node, timeout=60).stop(timeout=60)
    finally:
        lab.close()
    assert not cluster.namespaces()


def test_what_a_killed_run_left_is_found_and_undone(cluster: Cluster, tmp_path: Path) -> None:
    """A run that is under way is left alone."""
    file = cluster.provider().path
    script = f"""
import sys
from holdfast import storage
from holdfast.storage import provider
lab = storage.cluster(provider.read({file!r}))
node = lab.nodes()[0]
lab.create(node, "data", 64 << 20, filesystem="ext4", timeout=60)
lab.inflict(node, "drain", timeout=60)
print(node, flush=True)
sys.stdin.read()
"""
    environment = isolated(tmp_path, {})
    command = [sys.executable, "-c", script]
    run = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
    try:
        assert run.stdout is not None
        node = run.stdout.readline().strip()
        clean = [sys.executable, "-m", "holdfast.cli", "lab", "clean", "--kubeconfig", str(cluster.kubeconfig), "--yes"]
        told = subprocess.run(clean, capture_output=True, text=True, env=environment, check=True)
        assert "left alone: it is under way" in told.stdout
        assert len(cluster.namespaces()) == 1
    finally:
        run.kill()
        run.communicate()
    assert cluster.ask("GET", f"/api/v1/nodes/{node}")["spec"].get("unschedulable") is True
    subprocess.run(clean, capture_output=True, text=True, env=environment, check=True)
    assert not cluster.namespaces()
    assert cluster.ask("GET", f"/api/v1/nodes/{node}")["spec"].get("unschedulable") is None
    wait_until(lambda: not cluster.ask("GET", "/api/v1/persistentvolumes")["items"], what="no volume is left")


def test_a_node_that_a_killed_run_has_powered_off_is_named_until_it_is_on(cluster: Cluster, tmp_path: Path) -> None:
    """How it is switched on is known to the run's file alone."""
    file = cluster.provider("}\nfaults: {power_off: 'true', power_on: 'true'").path
    script = f"""
import os
from holdfast import storage
from holdfast.storage import provider
lab = storage.cluster(provider.read({file!r}))
node = lab.nodes()[-1]
lab.inflict(node, "power_off", timeout=60)
print(node, flush=True)
os.kill(os.getpid(), 9)
"""
    environment = isolated(tmp_path, {})
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment, check=False)
    node = run.stdout.strip()
    clean = [sys.executable, "-m", "holdfast.cli", "lab", "clean", "--kubeconfig", str(cluster.kubeconfig), "--yes"]
    try:
        cluster.lab.lab.inflict(node, "power_off", timeout=60)
        wait_until(lambda: not _is_ready(cluster, node), 60, "a node that the cluster hears nothing of")
        told = subprocess.run(clean, capture_output=True, text=True, env=environment, check=False)
        assert told.returncode != 0
        assert f"{node} was powered off by this run, and is not Ready" in told.stdout + told.stderr
        assert len(cluster.namespaces()) == 1
    finally:
        cluster.lab.lab.inflict(node, "power_on", timeout=60)
    wait_until(lambda: _is_ready(cluster, node), 60, "a node that is back")
    subprocess.run(clean, capture_output=True, text=True, env=environment, check=True)
    assert not cluster.namespaces()


def test_a_node_that_cannot_be_cut_off_is_told_before_anything_is_cut(cluster: Cluster) -> None:
    """Nodes have no nft of need: what is there of it on one of them is hidden."""
    lab = storage.cluster(cluster.provider(", node_access: daemonset, storage_network: 10.78.0.0/24"))
    node = lab.nodes()[-1]
    inside = next(iter(processes(f"{cluster.lab.folder}/{node}/worker/containerd.toml")))
    nft = shutil.which("nft", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    assert nft is not None
    within = ["nsenter", "-t", inside, "-m"]
    # umount(8) would look into the /proc of this machine's processes, which is not there
    unmount = "import ctypes, sys; sys.exit(ctypes.CDLL(None).umount2(sys.argv[1].encode(), 0))"
    try:
        assert lab.lacks("cut") is None
        subprocess.run([*within, "mount", "--bind", "/dev/null", nft], check=True)
        try:
            for fault in ("cut", "cut_storage"):
                assert f"{node} has no nft" in (lab.lacks(fault) or ""), fault  # type: ignore[arg-type]
            assert lab.lacks("kill_plugin") is None
        finally:
            subprocess.run([*within, sys.executable, "-c", unmount, nft], check=True)
    finally:
        lab.close()


def test_agents_harm_the_nodes_and_all_of_it_heals_by_itself(cluster: Cluster) -> None:
    socket = f"{cluster.lab.folder}/{{node}}/plugin.sock"
    more = f", node_access: daemonset, plugin_socket: '{socket}', storage_network: 10.78.0.0/24, heals_after: 20s"
    lab = storage.cluster(cluster.provider(more))
    node = lab.nodes()[0]
    try:
        assert lab.lacks("cut") is None
        assert lab.lacks("kill_plugin") is None
        assert lab.lacks("cut_storage") is None
        assert "power_off" in (lab.lacks("power_off") or "")

        def hangs() -> bool:
            """Whether one of the plugin's processes stands still, as the kernel tells it."""
            return any(_state(each) == "T" for each in processes(f"{cluster.lab.folder}/node1/plugin.sock"))

        lab.inflict(node, "hang_plugin", timeout=30)
        assert hangs()
        lab.inflict(node, "start_plugin", timeout=30)
        assert not hangs()
        lab.inflict(node, "hang_plugin", timeout=30)
        wait_until(lambda: not hangs(), 60, "a plugin that goes on by itself")

        assert not _cuts(cluster)
        lab.inflict(node, "cut_storage", timeout=60)
        assert _cuts(cluster)
        lab.inflict(node, "heal", timeout=60)
        assert not _cuts(cluster)

        lab.inflict(node, "cut", timeout=60)
        ready = lambda: _is_ready(cluster, node)  # noqa: E731
        wait_until(lambda: not ready(), 60, "a node that the cluster hears nothing of")
        lab.inflict(node, "heal", timeout=60)
        wait_until(ready, 60, "a node that is back")
    finally:
        lab.close()
    assert not cluster.namespaces()


def test_agents_cut_no_storage_whose_network_is_not_named(cluster: Cluster) -> None:
    lab = storage.cluster(cluster.provider(", node_access: daemonset"))
    try:
        assert "storage_network" in (lab.lacks("cut_storage") or "")
    finally:
        lab.close()


def _cuts(cluster: Cluster) -> list[str]:
    """What a node's packets meet that an agent put there."""
    inside = next(iter(processes(f"{cluster.lab.folder}/node1/worker/containerd.toml")))
    listed = subprocess.run(
        ["nsenter", "-t", inside, "-n", "nft", "list", "tables"], check=True, capture_output=True, text=True
    ).stdout
    return [line for line in listed.splitlines() if "holdfast_cut" in line]


def _state(process: str) -> str:
    with suppress(OSError):  # it has ended meanwhile
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    return ""


def _is_ready(cluster: Cluster, node: str) -> bool:
    conditions = cluster.ask("GET", f"/api/v1/nodes/{node}")["status"]["conditions"]
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def test_a_node_is_harmed_only_where_the_command_line_allows_it(cluster: Cluster, tmp_path: Path) -> None:
    file = cluster.provider().path
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-k", "torpedo_24", "--provider", file, "-rs"]
    run = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=isolated(tmp_path, {}), check=False)
    assert run.returncode == 0, run.stdout
    assert "say --torpedo-allow-disruption on the command line" in run.stdout
    assert not cluster.namespaces()


def test_a_file_is_checked_before_anything_is_made(cluster: Cluster, tmp_path: Path) -> None:
    def checked(more: str = "") -> subprocess.CompletedProcess[str]:
        file = cluster.provider(more).path
        command = [sys.executable, "-m", "holdfast.cli", "provider", "check", file]
        return subprocess.run(command, capture_output=True, text=True, env=isolated(tmp_path, {}), check=False)

    good = checked()
    assert good.returncode == 0, good.stdout + good.stderr
    assert "ok: the nodes: node1, node2, node3" in good.stdout
    assert "ok: the StorageClass holdfast: its volumes are made by nbd.storage.holdfast" in good.stdout
    assert "T5 " in good.stdout
    assert "NotRun: the provider file has no command faults: power_off" in good.stdout
    bad = checked(", nodes: [node1, elsewhere]")
    assert bad.returncode == 1
    assert "there is no node 'elsewhere'" in bad.stdout.replace('"', "'")
    assert not cluster.namespaces()
