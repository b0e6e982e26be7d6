"""T1 to T10 on a cluster of the user's, whose nodes agents of ours harm, and whose power a command switches."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from clusters import Cluster, made, processes

from holdfast import waiting
from holdfast.exceptions import HoldfastError

from conftest import RunSuite

# What does not pass here, and why.
OTHERWISE = {
    "test_torpedo_3_plugin_down[kill_server]": ({"NotRun"}, "kill_server"),
    # somebody starts it again, sooner or later, and whether it was down a kubelet alone sees
    "test_torpedo_6_create_with_plugin_down[kill_plugin]": (
        {"Inconclusive", "Pass"},
        "a plugin in a pod is reached by its kubelet alone",
    ),
    # the tester is on none of the lab's networks
    "test_torpedo_9_runtime_crash": ({"NotRun"}, "give lab: tester"),
    "test_torpedo_10_runtime_crash_live_restore": ({"NotRun"}, "give lab: tester"),
}
# How soon a plugin that has ended is started again, in seconds: a kubelet does that for one in a DaemonSet.
RESTART = 1.0


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """With somebody who starts plugins again."""
    with made(tmp_path_factory.mktemp("cluster")) as standing_cluster, _supervised(standing_cluster):
        yield standing_cluster


@contextmanager
def _supervised(cluster: Cluster) -> Iterator[None]:
    lab, over = cluster.lab.lab, threading.Event()

    def watch() -> None:
        while not over.wait(RESTART):
            for node in lab.nodes():
                # that it is waited for, and what its registrar serves, have the socket on their command lines too
                if not any(processes(f"--endpoint\0unix://{cluster.lab.folder}/{node}/plugin.sock")):
                    with suppress(HoldfastError):  # the node is off
                        lab.inflict(node, "start_plugin", timeout=30)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(timeout=60)


@pytest.fixture(scope="module")
def power(cluster: Cluster) -> Iterator[str]:
    """The address of what switches a node's power, as a power distribution unit does: `/NODE/power_off`."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            _, node, fault = self.path.split("/")
            assert fault in ("power_off", "power_on")
            cluster.lab.lab.inflict(node, fault, timeout=60)
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_words: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join(timeout=60)


@pytest.fixture(scope="module")
def provider_file(cluster: Cluster, power: str) -> Path:
    socket = f"{cluster.lab.folder}/{{node}}/plugin.sock"
    agents = f", node_access: daemonset, plugin_socket: '{socket}', storage_network: 10.78.0.0/24"
    by_power = ", ".join(
        f"{fault}: 'curl -fsS -X POST {power}/{{node}}/{fault}'" for fault in ("power_off", "power_on")
    )
    return Path(cluster.provider(f"{agents}}}\nfaults: {{{by_power}", about=", fencing: driver").path)


@pytest.mark.parametrize("number", range(1, 11))
def test_a_scenario_is_judged(number: int, cluster: Cluster, provider_file: Path, run_suite: RunSuite) -> None:
    words = ("-k", f"torpedo_{number}_", "--provider", str(provider_file), "--torpedo-allow-disruption")
    run = run_suite(*words, "-rs")
    assert run.cases
    for name, case in run.cases.items():
        verdicts, words_of_it = OTHERWISE.get(name, ({"Pass"}, ""))
        assert case.properties["verdict"] in verdicts, run.output
        assert words_of_it in run.output
    assert waiting.until(lambda: not cluster.namespaces(), 30)
