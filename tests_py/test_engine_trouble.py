"""A Docker engine under the emulated device that is absent, too old, full, or goes away: said, and nothing lost."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingMixIn, UnixStreamServer
from typing import Any

import pytest

import holdfast
from holdfast.exceptions import InvalidArgumentError, LabError, ResourceExhausted, Timeout, Unavailable

import engines
from conftest import isolated, wait_until
from peers import free_port
from test_docker import CI, Docker

needs_engine = pytest.mark.skipif(engines.lacks() is not None and not CI, reason=engines.lacks() or "")

VERSION = {"Version": "28.0.0", "ApiVersion": "1.48", "MinAPIVersion": "1.24", "Os": "linux", "Arch": "amd64"}
# What an engine answers with which an image can be loaded, and nothing else is there.
AN_ENGINE = {
    "/version": (200, VERSION),
    "/info": (200, {"SecurityOptions": ["name=seccomp,profile=default"]}),
    "/containers/json": (200, []),
    "/images/json": (200, []),
    "/volumes": (200, {"Volumes": []}),
    "/images/load": (200, {"stream": "Loaded"}),
    "/json": (200, {"Id": "sha256:0"}),  # of any image
}


@contextmanager
def scripted(folder: Path, answers: Mapping[str, Any]) -> Iterator[str]:
    """What answers as an engine does: each path's end with a status and JSON. Its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            while self.headers.get("Transfer-Encoding") == "chunked":  # who leaves a body unread resets the connection
                size = int(self.rfile.readline(), 16)
                self.rfile.read(size + len("\r\n"))
                if size == 0:
                    break
            path = self.path.partition("?")[0]
            found = next((answer for end, answer in answers.items() if path.endswith(end)), (404, {"message": path}))
            status, document = found
            body = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_DELETE = do_GET  # noqa: N815

        def address_string(self) -> str:
            return "unix"

        def log_message(self, *_words: object) -> None:
            pass

    class Server(ThreadingMixIn, UnixStreamServer):
        daemon_threads = True

    path = folder / "engine.sock"
    with Server(str(path), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"unix://{path}"
        finally:
            server.shutdown()
            thread.join(timeout=10)


def trouble(address: str) -> LabError:
    with pytest.raises(LabError) as caught:
        holdfast.emulator(runtime="docker", engine=address)
    return caught.value


def test_no_engine_is_said_with_where_it_was_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    address = f"unix://{tmp_path}/none.sock"
    error = trouble(address)
    assert address in error.message
    assert "No such file" in error.message
    assert "--engine" in (error.hint or "")
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/of-the-environment.sock")
    with pytest.raises(LabError, match="of-the-environment"):
        holdfast.emulator(runtime="docker")


def test_a_dead_engines_socket_is_said(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(tmp_path / "dead.sock"))
    error = trouble(f"unix://{tmp_path}/dead.sock")
    assert "refused" in error.message


def test_an_engine_elsewhere_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError, match=r"tcp://192\.0\.2\.1:2375"):
        holdfast.emulator(runtime="docker", engine="tcp://192.0.2.1:2375")


def test_what_is_no_engine_is_said(tmp_path: Path) -> None:
    with scripted(tmp_path, {}) as address:
        assert "no Docker engine that can be used" in trouble(address).message


def test_an_old_engine_is_told_with_what_is_needed(tmp_path: Path) -> None:
    old = {**VERSION, "Version": "18.09.1", "ApiVersion": "1.39"}
    with scripted(tmp_path, {"/version": (200, old)}) as address:
        error = trouble(address)
    assert all(word in error.message for word in ("18.09.1", "1.39", "1.41"))
    assert "20.10" in (error.hint or "")


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")
def test_an_engine_that_this_user_may_not_open_is_told_with_what_to_do() -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as folder, scripted(Path(folder), {}) as address:
        Path(folder).chmod(0o755)
        Path(address.removeprefix("unix://")).chmod(0o600)
        words = ["setpriv", "--reuid=65534", "--clear-groups", sys.executable, "-m", "holdfast.cli", "emulate"]
        done = subprocess.run(
            [*words, "--runtime", "docker", "--engine", address],
            env=isolated(Path(folder), {}),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode != 0
    assert "Permission denied" in done.stderr
    assert "usermod -aG docker" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_rootless_engine_has_no_host_network_of_this_machine(tmp_path: Path, archive: Path) -> None:
    answers = {**AN_ENGINE, "/info": (200, {"SecurityOptions": ["name=seccomp,profile=default", "name=rootless"]})}
    with (
        scripted(tmp_path, answers) as address,
        holdfast.emulator(runtime="docker", engine=address) as chassis,
        holdfast.connect(chassis.address, insecure=True) as dut,
    ):
        image = dut.containerz.deploy(archive, progress=False)
        with pytest.raises(Unavailable, match="rootless"):
            dut.containerz.start("app", image=image, network="host")


def test_an_engine_without_a_bridge_publishes_no_port_and_says_so(tmp_path: Path, archive: Path) -> None:
    answers = {**AN_ENGINE, "/networks": (200, [])}
    with (
        scripted(tmp_path, answers) as address,
        holdfast.emulator(runtime="docker", engine=address) as chassis,
        holdfast.connect(chassis.address, insecure=True) as dut,
    ):
        image = dut.containerz.deploy(archive, progress=False)
        with pytest.raises(Unavailable, match=r"has no bridge .* the network host"):
            dut.containerz.start("app", image=image, ports={60061: free_port()})


def test_a_runtime_that_there_is_not_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="emulated or docker"):
        holdfast.emulator(runtime="podman")  # type: ignore[arg-type]


@needs_engine
def test_an_engine_without_space_says_so_and_keeps_what_it_had(tmp_path: Path, archive: Path) -> None:
    with engines.bridged("full", megabytes=40) as engine:
        _full(engine, archive, tmp_path)


def _full(engine: Docker, archive: Path, tmp_path: Path) -> None:
    large = engines.shell_image(tmp_path / "large.tar", "large:v1", "echo large", filler=60 << 20)
    with (
        holdfast.emulator(runtime="docker", engine=engine.host) as chassis,
        holdfast.connect(chassis.address, insecure=True) as dut,
    ):
        image = dut.containerz.deploy(archive, progress=False)
        dut.containerz.start("app", image=image, ports={60061: free_port()})
        with pytest.raises(ResourceExhausted, match="no space left on device"):
            dut.containerz.deploy(large, progress=False)
        assert [f"{row.name}:{row.tag}" for row in dut.containerz.images()] == [f"{image.name}:latest"]
        dut.containerz.expect_container("app")


@needs_engine
def test_an_engine_that_goes_away_is_told_and_nothing_is_lost(archive: Path) -> None:
    with (
        engines.bridged("away") as engine,
        holdfast.emulator(runtime="docker", engine=engine.host) as chassis,
        holdfast.connect(chassis.address, insecure=True) as dut,
    ):
        image = dut.containerz.deploy(archive, progress=False)
        dut.containerz.start("app", image=image, ports={60061: free_port()})
        engine.restart_after(lambda: _while_away(dut))
        wait_until(lambda: _is_listed(dut), what="the engine's answer")
        dut.containerz.expect_container("app")  # the engine started it again by its policy
        dut.containerz.create_volume("kept")
        dut.switchover()  # what the standby could not get meanwhile, it has by now
        dut.containerz.expect_container("app")


def _while_away(dut: holdfast.Device) -> None:
    with pytest.raises((Unavailable, Timeout), match="does not answer"):
        dut.containerz.containers(timeout=2)
    with pytest.raises(Unavailable, match="does not answer"):
        dut.containerz.create_volume("lost", timeout=5)
    assert not dut.containerz.volumes(), "what could not be made is not listed"


def _is_listed(dut: holdfast.Device) -> bool:
    try:
        return bool(dut.containerz.containers(timeout=2))
    except (Unavailable, Timeout):
        return False


FILLS = """
if [ -e /data/kept ]; then echo found; else busybox dd if=/dev/zero of=/data/kept bs=1M count=30; echo wrote; fi
trap 'exit 0' TERM
while :; do sleep 1; done
"""


@needs_engine
def test_a_volume_that_cannot_be_copied_is_given_to_no_container_as_an_empty_one(tmp_path: Path) -> None:
    """Else the author of an image would be told that it lost its data."""
    image = engines.shell_image(tmp_path / "fills.tar", "fills:v1", FILLS)
    with (
        engines.bridged("half", megabytes=56) as engine,
        holdfast.emulator(runtime="docker", engine=engine.host) as chassis,
        holdfast.connect(chassis.address, insecure=True) as dut,
    ):
        dut.containerz.deploy(image, progress=False)
        dut.containerz.create_volume("data")
        dut.containerz.start("app", image="fills:v1", volumes={"data": "/data"})
        wait_until(lambda: "wrote" in _log(dut), 60, what="the data")
        dut.switchover()
        assert not dut.containerz.container("app").running
        with pytest.raises(Unavailable, match=r"volume data could not be copied .* no space left on device"):
            dut.containerz.start("again", image="fills:v1", volumes={"data": "/data"}, timeout=30)
        dut.switchover()
        dut.containerz.expect_container("app")
        wait_until(lambda: "found" in _log(dut), 60, what="the data where it was")


def _log(dut: holdfast.Device) -> str:
    return "".join(dut.containerz.logs("app"))
