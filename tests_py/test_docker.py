"""Archives that a real Docker engine wrote, and ours in a real Docker engine.

A dockerd of the test's own, on a socket and data folder of its own; needs root and Debian's docker.io.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import holdfast
from holdfast import plugin_archive, waiting

from peers import free_port

CI = os.environ.get("CI") == "true"


def _missing() -> str | None:
    if os.geteuid() != 0:
        return "needs root"
    wanting = [tool for tool in ("dockerd", "docker", "containerd") if shutil.which(tool) is None]
    return f"needs {', '.join(wanting)}: apt-get install docker.io" if wanting else None


pytestmark = pytest.mark.skipif(_missing() is not None and not CI, reason=_missing() or "")


class Docker:
    """A Docker engine that is nobody else's."""

    def __init__(self, folder: Path, network: str = "--bridge=none") -> None:
        self.host = f"unix://{folder}/docker.sock"
        self._folder = folder
        options = ["--iptables=false", "--ip6tables=false", network, "--storage-driver=vfs"]
        places = [
            f"--data-root={folder}/data",
            f"--exec-root={folder}/exec",
            f"--pidfile={folder}/pid",
            "-H",
            self.host,
        ]
        self._command = ["dockerd", *options, *places]
        self._log = (folder / "log").open("w")
        self._begin()

    def _begin(self) -> None:
        self._process = subprocess.Popen(self._command, stdout=self._log, stderr=self._log)
        waiting.until(lambda: self._process.poll() is not None or self._answers(), 60)
        if not self._answers():
            said = (self._folder / "log").read_text()[-2000:]
            self.stop()
            pytest.fail(f"dockerd does not start:\n{said}")

    def _answers(self) -> bool:
        return self.run("version", check=False).returncode == 0

    def run(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        command = ["docker", "-H", self.host, *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=300, check=check)

    def restart_after(self, act: Callable[[], None]) -> None:
        """End it, do something, and start it again."""
        self._end()
        act()
        self._begin()

    def _end(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self._process.kill()

    def stop(self) -> None:
        self._end()
        self._log.close()
        mounts = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
        for mount in reversed(mounts):
            if mount.startswith(f"{self._folder}/"):
                subprocess.run(["umount", "--lazy", mount], check=True, timeout=30)
        shutil.rmtree(self._folder)


@pytest.fixture(scope="module")
def docker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Docker]:
    if (why := _missing()) is not None:
        pytest.fail(f"CI must not skip this: {why}")
    engine = Docker(tmp_path_factory.mktemp("docker"))
    yield engine
    engine.stop()


def imported(docker: Docker, folder: Path, name: str, size: int) -> Path:
    """A `docker save` archive of an image that holds `size` bytes nobody can compress."""
    content, root, saved = folder / "content", folder / "root.tar", folder / "saved.tar"
    with content.open("wb") as file:
        for _ in range(size >> 20):
            file.write(os.urandom(1 << 20))
    with tarfile.open(root, "w") as made:
        made.add(content, "content")
    content.unlink()
    docker.run("import", "--change", 'CMD ["/bin/sh"]', str(root), name)
    root.unlink()
    docker.run("save", "-o", str(saved), name)
    return saved


def test_docker_loads_and_runs_the_test_container(docker: Docker, archive: Path, device: holdfast.Device) -> None:
    assert "cntrsrv_image:latest" in docker.run("load", "-i", str(archive)).stdout
    loaded = docker.run("image", "inspect", "--format", "{{.Id}}", "cntrsrv_image:latest").stdout.strip()
    assert loaded == holdfast.Archive.open(archive).images[0].id
    port = free_port()
    words = (
        "run",
        "-d",
        "--network",
        "host",
        "--name",
        "cntrsrv",
        "cntrsrv_image:latest",
        "./cntrsrv",
        "--port",
        str(port),
    )
    docker.run(*words)
    device.expect_answer(port, host="127.0.0.1", within=10)
    assert "listening" in docker.run("logs", "cntrsrv").stdout
    docker.run("stop", "cntrsrv")
    state = docker.run("inspect", "--format", "{{.State.ExitCode}}", "cntrsrv").stdout.strip()
    assert state == "0", "it did not end at SIGTERM: 137 is the SIGKILL that comes after it"


def test_docker_runs_the_test_plugin(docker: Docker, tmp_path: Path) -> None:
    plugin_archive.write_archive(tmp_path / "plugin.tar")
    folder = tmp_path / "plugin"
    with tarfile.open(tmp_path / "plugin.tar") as packed:
        packed.extractall(folder / "rootfs")  # as a device does
    (folder / "config.json").write_text(plugin_archive.CONFIG)
    docker.run("plugin", "create", "holdfast/cntrsrv", str(folder))
    try:
        docker.run("plugin", "enable", "holdfast/cntrsrv")
        listed = docker.run("plugin", "ls", "--format", "{{.Name}} {{.Enabled}}").stdout
        assert "holdfast/cntrsrv:latest true" in listed
        docker.run("plugin", "disable", "holdfast/cntrsrv")
    finally:
        docker.run("plugin", "rm", "--force", "holdfast/cntrsrv")


@pytest.mark.parametrize(("name", "megabytes"), [("small:v1", 4), ("large:v1", 1100)])
def test_a_docker_save_archive_goes_through(
    name: str, megabytes: int, docker: Docker, device: holdfast.Device, tmp_path: Path
) -> None:
    saved = imported(docker, tmp_path, name, megabytes << 20)
    identity = docker.run("image", "inspect", "--format", "{{.Id}}", name).stdout.strip()
    shown = holdfast.Archive.open(saved)
    assert shown.images[0].id == identity
    assert shown.images[0].names == (name,)
    assert shown.images[0].platform == "linux/amd64"
    assert sum(layer.size for layer in shown.images[0].layers) > megabytes << 20
    image = device.containerz.deploy(saved)
    device.containerz.expect_image(image, watch=0)
    saved.unlink()


def test_docker_reads_a_retagged_archive(
    docker: Docker, archive: Path, device: holdfast.Device, tmp_path: Path
) -> None:
    docker.run("load", "-i", str(archive))
    saved = tmp_path / "saved.tar"
    docker.run("save", "-o", str(saved), "cntrsrv_image:latest")
    image = device.containerz.deploy(saved, retag="renamed:v2")
    assert {(row.name, row.tag) for row in device.containerz.images()} == {("renamed", "v2")}
    assert image.id == holdfast.Archive.open(saved).images[0].id
