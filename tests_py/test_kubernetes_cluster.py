"""A Kubernetes of the user's own as the lab: here the one of `holdfast lab up kubernetes`, reached as any other is."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import ssl
import subprocess
import sys
import tarfile
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from holdfast import storage
from holdfast.exceptions import InvalidArgumentError
from holdfast.storage import kubernetes, provider, rights, standing

from conftest import isolated, wait_until

IMAGE = "holdfast.test/shell:1"


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


def test_a_missing_right_says_what_cannot_be_done() -> None:
    allowed = dict.fromkeys(rights.asked(), True)
    assert not list(rights.missing(allowed))
    allowed["", "pods/eviction", "create"] = allowed["", "pods", "delete"] = False
    assert [(str(right), what) for right, what in rights.missing(allowed)] == [
        ("delete pods", "nothing runs"),
        ("create pods/eviction", "without it T24 cannot end well"),
    ]


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
    assert (read.cluster.kubeconfig, read.cluster.selector) == ("/there/config", "")
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


@dataclass(frozen=True)
class Cluster:
    """One that stands, with an image on its nodes that has a shell."""

    lab: standing.Standing
    folder: Path

    @property
    def kubeconfig(self) -> Path:
        assert self.lab.lab.kubeconfig is not None
        return Path(self.lab.lab.kubeconfig)

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Its API, as its administrator."""
        found = yaml.safe_load(self.kubeconfig.read_text(encoding="utf-8"))
        cluster, user = found["clusters"][0]["cluster"], found["users"][0]["user"]
        authority = cluster.get("certificate-authority-data")
        context = ssl.create_default_context(
            cadata=None if authority is None else base64.b64decode(authority).decode(),
            cafile=cluster.get("certificate-authority"),
        )
        request = urllib.request.Request(
            cluster["server"] + path,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {user['token']}", "Content-Type": "application/json"},
            method=method,
        )
        with urllib.request.urlopen(request, context=context, timeout=10) as answer:
            return dict(json.load(answer))

    def provider(self, more: str = "", kubeconfig: Path | None = None) -> provider.ProviderFile:
        file = self.folder / "mine.yaml"
        file.write_text(
            "provider: {kind: csi, filesystems: [ext4]}\n"
            f"lab: {{kind: cluster, kubeconfig: {kubeconfig or self.kubeconfig}, storage_class: holdfast, "
            f"image: {IMAGE}{more}}}\n",
            encoding="utf-8",
        )
        return provider.read(str(file))

    def namespaces(self) -> set[str]:
        """Those of runs, beside the one that the lab itself is."""
        listed = self.ask("GET", "/api/v1/namespaces")["items"]
        labels = {each["metadata"]["name"]: each["metadata"].get("labels", {}) for each in listed}
        return {name for name, held in labels.items() if held.get("holdfast.dev/machine")}


def shell_image(file: Path) -> None:
    """An image with busybox, as `docker save` writes it."""
    layer = io.BytesIO()
    busybox = Path("/usr/bin/busybox").read_bytes()
    with tarfile.open(fileobj=layer, mode="w") as archive:
        for folder in ("bin", "tmp", "volume", "packed", "holdfast"):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(entry)
        entry = tarfile.TarInfo("bin/busybox")
        entry.size, entry.mode = len(busybox), 0o755
        archive.addfile(entry, io.BytesIO(busybox))
        for name in ("sh", "gzip", "chmod", "tail"):
            entry = tarfile.TarInfo(f"bin/{name}")
            entry.type, entry.linkname = tarfile.SYMTYPE, "busybox"
            archive.addfile(entry)
    digest = hashlib.sha256(layer.getvalue()).hexdigest()
    configuration = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Cmd": ["sh"], "Env": ["PATH=/bin"]},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
        }
    ).encode()
    name = f"{hashlib.sha256(configuration).hexdigest()}.json"
    manifest = json.dumps([{"Config": name, "RepoTags": [IMAGE], "Layers": ["layer.tar"]}]).encode()
    with tarfile.open(file, "w") as archive:
        for path, held in (("layer.tar", layer.getvalue()), (name, configuration), ("manifest.json", manifest)):
            entry = tarfile.TarInfo(path)
            entry.size = len(held)
            archive.addfile(entry, io.BytesIO(held))


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    why = kubernetes.lacks()
    if why is not None or not Path("/usr/bin/busybox").is_file():
        pytest.skip(why or "busybox is missing: install Debian's busybox-static")
    folder = tmp_path_factory.mktemp("cluster")
    shell_image(folder / "shell.tar")
    with standing.stand(standing.readable("nbd", "kubernetes"), start=180) as lab:
        for node in lab.lab.nodes():
            inside = next(iter(_processes(f"{lab.folder}/{node}/worker/containerd.toml")))
            into = ["ctr", "-a", "/run/containerd/containerd.sock", "-n", "k8s.io", "images", "import"]
            command = ["nsenter", "-t", inside, "-m", *into, str(folder / "shell.tar")]
            subprocess.run(command, check=True, capture_output=True)
        yield Cluster(lab, folder)


def _processes(word: str) -> Iterator[str]:
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and word in (process / "cmdline").read_text(errors="replace"):
            yield process.name


def test_a_task_tells_by_its_log_and_nothing_is_left(cluster: Cluster) -> None:
    """With the rights of the manifest, and no more."""
    for held in yaml.safe_load_all(rights.manifest("default/holdfast")):
        kind = held["kind"].lower() + "s"
        group = "/api/v1/namespaces/default" if kind == "serviceaccounts" else "/apis/rbac.authorization.k8s.io/v1"
        cluster.ask("POST", f"{group}/{kind}", held)
    asked = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    token = cluster.ask("POST", "/api/v1/namespaces/default/serviceaccounts/holdfast/token", asked)["status"]["token"]
    own = yaml.safe_load(cluster.kubeconfig.read_text(encoding="utf-8"))
    own["users"][0]["user"] = {"token": token}
    kubeconfig = cluster.folder / "holdfast.kubeconfig"
    kubeconfig.write_text(yaml.safe_dump(own), encoding="utf-8")

    lab = storage.cluster(cluster.provider(kubeconfig=kubeconfig))
    try:
        first, second = lab.nodes()[:2]
        assert lab.provider().name == "nbd.storage.holdfast"
        assert lab.lacks("drain") is None
        assert "kill_plugin" in (lab.lacks("kill_plugin") or "")
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
