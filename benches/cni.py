"""`cni-bridge-fp` against `/bin/true` and against Debian's `bridge`, in the same run."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from holdfast.cni import FailpointFile, NetworkNamespace, plugin

BRIDGE = Path("/usr/lib/cni/bridge")


def start_times(rounds: int = 300) -> tuple[float, float, float]:
    """Seconds from start to the end of VERSION: the plugin, `/bin/true`, `bridge`; medians."""
    environment = {"CNI_COMMAND": "VERSION"}

    def version(executable: Path) -> float:
        begin = time.perf_counter()
        subprocess.run([executable], env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True)
        return time.perf_counter() - begin

    ours, true, bridge = _interleaved(
        rounds, lambda: version(plugin.path()), lambda: version(Path("/bin/true")), lambda: version(BRIDGE)
    )
    return ours, true, bridge


def add_times(folder: Path, rounds: int = 80) -> tuple[float, float, float]:
    """Seconds of ADD by bridge alone, and what the plugin adds to it without and with a failpoint that counts.

    Medians; of the differences within each round, since a machine's noise is larger than they are.
    """
    name = f"hf-bench-{uuid.uuid4().hex[:8]}"
    failpoints = FailpointFile(folder / "failpoints.json")
    failpoints.write(cmdAdd="100000*off")
    with NetworkNamespace.create(name) as host, NetworkNamespace.create(f"{name}-pod") as pod:

        def add(executable: Path, **more: Any) -> float:
            begin = time.perf_counter()
            _ask("ADD", executable, folder, host, pod, more)
            took = time.perf_counter() - begin
            _ask("DEL", executable, folder, host, pod, more)
            return took

        met = {"runtimeConfig": {"io.kubernetes.cri.pod-annotations": failpoints.annotations}}
        works: tuple[Callable[[], float], ...] = (
            lambda: add(BRIDGE),
            lambda: add(plugin.path()),
            lambda: add(plugin.path(), **met),
        )
        taken = [[work() for work in works] for _ in range(rounds)]
    return (
        statistics.median(alone for alone, _, _ in taken),
        statistics.median(through - alone for alone, through, _ in taken),
        statistics.median(counting - alone for alone, _, counting in taken),
    )


def _ask(
    command: str,
    executable: Path,
    folder: Path,
    host: NetworkNamespace,
    pod: NetworkNamespace,
    more: Mapping[str, Any],
) -> None:
    addresses = {"type": "host-local", "dataDir": str(folder / "leases"), "subnet": "10.88.61.0/24"}
    config = {"cniVersion": "1.0.0", "name": "bench", "type": "bridge", "bridge": "hfb0", "ipam": addresses, **more}
    environment = {
        "CNI_COMMAND": command,
        "CNI_CONTAINERID": "bench",
        "CNI_NETNS": str(pod.path),
        "CNI_IFNAME": "eth0",
        "CNI_PATH": str(BRIDGE.parent),
        "PATH": os.environ["PATH"],
    }
    words = host.command([str(executable)])
    stdin = json.dumps(config).encode()
    subprocess.run(words, input=stdin, env=environment, stdout=subprocess.DEVNULL, check=True, timeout=60)


def _interleaved(rounds: int, *works: Callable[[], float]) -> list[float]:
    """The median of each, a round of all at a time."""
    taken = [[work() for work in works] for _ in range(rounds)]
    return [statistics.median(times) for times in zip(*taken, strict=True)]
