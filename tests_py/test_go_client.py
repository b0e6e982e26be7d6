"""A client in Go reads the status of an error that comes before the first message of a stream."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

import holdfast

SOURCES = Path(__file__).parent / "go_client"
# An RPC, a request that is refused (hexadecimal), and the status of the refusal.
REFUSED = (
    ("/gnoi.containerz.Containerz/Log", "0a066e6f626f6479", "NotFound"),  # of a container called nobody
    ("/gnoi.containerz.Containerz/ListImage", "1a080a06636f6c6f7572", "Unknown"),  # by a filter that is none
    ("/gnoi.containerz.Containerz/ListContainer", "1a080a06636f6c6f7572", "Unknown"),
    ("/gnoi.containerz.Containerz/ListVolume", "0a080a06636f6c6f7572", "Unknown"),
    ("/gnoi.containerz.Containerz/Deploy", "120178", "Unavailable"),  # content first
    ("/gnmi.gNMI/Subscribe", "0a024001", "Unimplemented"),  # in an encoding that is not served
    ("/gnoi.containerz.Containerz/NoSuchRpc", "", "Unimplemented"),
)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built without the network: of what is in Go's module cache."""
    go = shutil.which("go")
    if go is None:
        pytest.skip("Go is not installed: a client in Go cannot be built")
    program = tmp_path_factory.mktemp("go") / "client"
    environment = {**os.environ, "GOFLAGS": "-mod=readonly", "GOPROXY": "off"}
    built = subprocess.run(
        [go, "build", "-o", str(program), "."],
        cwd=SOURCES,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    if "GOPROXY=off" in built.stderr:
        pytest.skip(f"grpc-go is not in Go's module cache: `go mod download` in {SOURCES}")
    assert built.returncode == 0, built.stderr
    return program


def test_a_client_in_go_reads_each_status(client: Path) -> None:
    with holdfast.emulator(quirks=["filters-rejected"]) as chassis:
        words = [f"{path}={request}" for path, request, _ in REFUSED]
        done = subprocess.run(
            [client, chassis.address, *words], capture_output=True, text=True, timeout=120, check=False
        )
    assert done.returncode == 0, done.stderr
    ends = [line.partition(": ")[0] for line in done.stdout.splitlines()]
    assert ends == [f"{path} {status}" for path, _, status in REFUSED], done.stdout
