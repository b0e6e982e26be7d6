"""A Kubernetes in the lab: where its executables come from, and what a provider file may say of it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from holdfast import _core
from holdfast.exceptions import ExpectationFailed, InvalidArgumentError, LabError, SchedulerError
from holdfast.storage import kubernetes, provider, standing
from holdfast.storage.report import ScenarioOutcome

from peers import command, command_apart

SOURCES = Path(__file__).parent.parent / "kubernetes"


def executable(path: Path, text: str = "#!/bin/sh\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)
    return path


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without any of it."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return tmp_path


def test_what_is_on_the_path_goes_before_what_was_built(nowhere: Path) -> None:
    assert kubernetes.find() is None
    assert "nox -s kubernetes_build" in (kubernetes.lacks() or "")
    for name in (kubernetes.EXECUTABLE, kubernetes.PAUSE):
        executable(kubernetes.cache() / "1.2.3-go1-abc" / name)
    (kubernetes.cache() / "newest").write_text("1.2.3-go1-abc", encoding="utf-8")
    built = kubernetes.find()
    assert built is not None
    assert built.kubernetes == kubernetes.cache() / "1.2.3-go1-abc" / kubernetes.EXECUTABLE
    assert kubernetes.lacks() == "etcd is missing: install Debian's etcd-server"
    own = executable(nowhere / "bin" / kubernetes.EXECUTABLE)
    executable(nowhere / "bin" / kubernetes.PAUSE)
    assert kubernetes.find() == kubernetes.Executables(own, nowhere / "bin" / kubernetes.PAUSE)


GO = """#!/bin/sh
if [ "$1" = env ]; then echo go9.9; exit; fi
for each; do last=$each; done
while [ "$1" != -o ]; do shift; done
echo "built of $last" > "$2"
echo . >> {count}
"""


def test_it_is_built_once_for_each_of_its_sources(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    count = nowhere / "count"
    executable(nowhere / "bin" / "go", GO.format(count=count))
    monkeypatch.setenv("PATH", f"{nowhere / 'bin'}{os.pathsep}/usr/bin{os.pathsep}/bin")
    sources = nowhere / "sources"
    sources.mkdir()
    module = "module x\n\ngo 1.26.0\n\nrequire (\n\tk8s.io/kubernetes v1.37.2\n)\n"
    (sources / "go.mod").write_text(module, encoding="utf-8")
    (sources / "go.sum").write_text("", encoding="utf-8")
    made = kubernetes.build(sources)
    assert made == kubernetes.build(sources) == kubernetes.find()
    assert made.kubernetes.parent.name.startswith("1.37.2-go9.9-")
    assert made.pause.read_text(encoding="utf-8") == "built of ./pause\n"
    assert count.read_text(encoding="utf-8").count(".") == 2
    (sources / "main.go").write_text("package main\n", encoding="utf-8")
    changed = kubernetes.build(sources)
    assert changed != made
    (sources / "package").mkdir()
    (sources / "package" / "own_test.go").write_text("package own\n", encoding="utf-8")
    assert kubernetes.build(sources) == changed, "what only tests it is in none of them"
    (sources / "package" / "own.go").write_text("package own\n", encoding="utf-8")
    assert kubernetes.build(sources) != changed


def test_without_go_nothing_is_built(nowhere: Path) -> None:
    with pytest.raises(InvalidArgumentError) as refused:
        kubernetes.build(SOURCES)
    assert "install Go 1.26.0" in (refused.value.hint or "")


def test_the_module_names_the_version_that_is_built() -> None:
    assert kubernetes.kubernetes_version(SOURCES).startswith("1.37.")


HOSTS = """
provider: {kind: csi, sockets: "unix:///x"}
runner: {kind: kubernetes}
lab:
  kind: hosts
  tester: 127.0.0.1
  nodes: {a: {address: a, engine: "unix:///a"}, b: {address: b, engine: "unix:///b"}}
"""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("provider: {kind: docker-plugin, start: x}\nrunner: {kind: kubernetes}\n", "kubernetes is for CSI drivers"),
        ("provider: {kind: csi, start: x}\nrunner: {kind: kubernetes, recovery: tain}\n", "tain"),
        (HOSTS, "hosts do not go with the runner kubernetes"),
        (
            "provider: {kind: csi, start: x, mount_flags: [noatime]}\nrunner: {kind: kubernetes}\n",
            "provider: mount_flags: the class of the lab's own Kubernetes has none",
        ),
    ],
)
def test_what_a_file_may_not_say_of_it(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(InvalidArgumentError, match=said):
        provider.read(str(file))


class Whole:
    """A lab without trouble."""

    folder = ""

    @property
    def lab(self) -> Whole:
        return self

    def trouble(self) -> None:
        return None


@pytest.mark.parametrize(("cause", "verdict"), [(SchedulerError("held back"), "Fail (scheduler)"), (None, "Fail")])
def test_what_the_scheduler_did_not_do_is_not_the_providers(cause: SchedulerError | None, verdict: str) -> None:
    outcome = ScenarioOutcome(Whole())  # type: ignore[arg-type]
    error = ExpectationFailed("the task does not run on node2 within 120 s")
    error.__cause__ = cause
    outcome.judge(error)
    assert outcome.verdict == verdict


@pytest.mark.parametrize(("options", "there"), [((), False), (("--torpedo-runner", "kubernetes"), True)])
def test_scenarios_of_kubernetes_are_there_for_its_runner_alone(
    options: tuple[str, ...], there: bool, tmp_path: Path
) -> None:
    provider = ("--provider", "nbd") if there else ()
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--collect-only", "-q", "-k", "torpedo"]
    done = subprocess.run([*command, *provider, *options], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert ("test_torpedo_21_kubelet_down_task_ends" in done.stdout) == there, done.stdout
    assert "test_torpedo_10_" in done.stdout


def test_a_lab_does_not_come_up_where_something_is_missing(nowhere: Path) -> None:
    with pytest.raises(InvalidArgumentError, match="nox -s kubernetes_build"):
        standing.readable("nbd", "kubernetes")


@pytest.mark.parametrize(("start", "waited"), [(0.0, True), (60.0, False)])
def test_a_lab_that_had_too_little_time_says_so_and_one_that_failed_says_why(
    start: float, waited: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise LabError("version: connection refused", hint="is this its kubeconfig?")

    monkeypatch.setattr("holdfast.storage.lab", fails)
    with pytest.raises(LabError) as caught, standing.stand(provider.read("nbd"), start=start, longer="--start"):
        raise AssertionError
    said = str(caught.value)
    last = "the lab did not come up within 0 s; what it waited for last: version: connection refused"
    assert (last in said) == waited, said
    assert ("try: give it longer: --start" in said) == waited, said
    assert ("is this its kubeconfig" in said) != waited, said


def silent(folder: Path) -> str:
    """A PATH with parts of a Kubernetes that start and say nothing."""
    for name in (kubernetes.EXECUTABLE, kubernetes.PAUSE):
        executable(folder / name, "#!/bin/sh\nexec sleep 1000\n")
    return f"{folder}{os.pathsep}{os.environ['PATH']}"


@pytest.mark.skipif(_core.storage_lab_lacks() is not None, reason=str(_core.storage_lab_lacks()))
@pytest.mark.skipif(any(shutil.which(tool) is None for tool in kubernetes.TOOLS), reason="needs etcd and containerd")
def test_a_cluster_that_gets_too_little_time_is_told_with_what_it_waited_for(tmp_path: Path) -> None:
    done = command_apart(tmp_path, "lab", "up", "kubernetes", "--start", "3", PATH=silent(tmp_path / "bin"))
    assert done.returncode == 1, done.stderr
    assert "holdfast: the lab did not come up within 3 s; what it waited for last: " in done.stderr
    assert "try: give it longer: --start" in done.stderr
    assert "kubeconfig?" not in done.stderr


@pytest.mark.parametrize("options", [(), ("--yes",), ("--yes", "--from-elsewhere")])
def test_clean_up_of_a_cluster_that_is_a_lab_of_ours_says_what_it_is_and_leaves_it(
    options: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = SimpleNamespace(namespace="holdfast-aa", run="aa" * 16, machine="", process="", since="2026-11-30", nodes=[])
    left = SimpleNamespace(**{**vars(own), "namespace": "holdfast-bb", "run": "bb" * 16, "machine": "m"})
    runs = [own, left]
    ended = []
    monkeypatch.setattr(_core, "storage_cluster_runs", lambda *_, **__: runs)
    monkeypatch.setattr(_core, "storage_cluster_end", lambda _, __, namespace, **___: ended.append(namespace))
    done = command(tmp_path, "lab", "clean", "--kubeconfig", "k", *options)
    first = "holdfast-aa: the lab that this Kubernetes is, since 2026-11-30\n    left alone: it ends with"
    assert done.stdout.startswith(first), done.stdout
    assert "holdfast-bb: run bbbbbbbb of another machine (m)" in done.stdout
    assert ended == (["holdfast-bb"] if len(options) == 2 else [])
    runs.clear()
    done = command(tmp_path, "lab", "clean", "--kubeconfig", "k", *options)
    assert (done.stdout, done.stderr) == ("", "holdfast: no run has left anything in that cluster\n")


def test_a_table_says_what_makes_the_pods_and_what_is_done_for_those_of_a_lost_node(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("provider: {kind: csi, start: ./x}\nrunner: {kind: kubernetes}\n", encoding="utf-8")
    usual = "kubernetes (workload: pod; recovery: taint after a power cut, else force)"
    assert provider.read(str(file)).runner_and_how == usual
    more = "runner: {kind: kubernetes, workload: statefulset, recovery: wait}\n"
    file.write_text(f"provider: {{kind: csi, start: ./x}}\n{more}", encoding="utf-8")
    assert provider.read(str(file)).runner_and_how == "kubernetes (workload: statefulset; recovery: wait)"
