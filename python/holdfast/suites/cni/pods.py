"""What the scenarios stand on: a chain, something that runs it as a container runtime does, and a look at the rest."""

from __future__ import annotations

import contextlib
import ipaddress
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from holdfast import waiting
from holdfast.cni import (
    Chain,
    Containerd,
    FailpointFile,
    GivenContainerd,
    NetworkNamespace,
    Trace,
    Traces,
    look,
    plugin,
)
from holdfast.cni.chain import ANNOTATIONS, addresses, read, routes
from holdfast.cni.leftovers import plugin_processes
from holdfast.cni.namespace import OWN
from holdfast.exceptions import CniError, HoldfastError
from holdfast.pytest_plugin import options

PLUGINS = "/opt/cni/bin:/usr/lib/cni"
# How long the rest of a scenario may take to be gone, in seconds.
SETTLED = 10.0
# From one look to the next.
LOOK = 0.02

# What a scenario cannot do without, and what brings it on Debian.
_TOOLS = {"ip": "iproute2", "nsenter": "util-linux", "iptables-save": "iptables"}
_CONTAINERD_TOOLS = {"containerd": "containerd", "ctr": "containerd", "runc": "runc"}


class PodNetwork:
    """The places of one scenario: a host's network namespace, plugins, configuration, failpoints, leases."""

    def __init__(self, config: pytest.Config, folder: Path) -> None:
        self.id = uuid.uuid4().hex[:8]
        self.folder = folder
        self.host = NetworkNamespace.create(f"{OWN}host-{self.id}")
        self.plugins = folder / "bin"
        self.failpoints = FailpointFile(folder / "failpoints.json")
        self.failpoints.write()
        self._bring_plugins(config)
        # Where CNI_PATH begins of the plugins that are this scenario's; a given containerd has its own.
        self.plugin_prefix = str(self.plugins)
        # Whether the chain is the suite's, made of the reference plugins where they usually lie.
        self.is_own = not (options.value(config, "cni-conflist") or options.value(config, "cni-path"))
        self.configuration, self.leases = self._configure(options.value(config, "cni-conflist"))
        self.results = folder / "results"
        self.chain = Chain(self.configuration, [self.plugins], host=self.host, results=self.results)

    def _bring_plugins(self, config: pytest.Config) -> None:
        """One folder with all plugins, and the failpoint plugin among them, where it is not there already."""
        self.plugins.mkdir()
        for given in reversed(_plugin_folders(config)):
            for file in given.iterdir() if given.is_dir() else ():
                (self.plugins / file.name).unlink(missing_ok=True)
                (self.plugins / file.name).symlink_to(file)
        if not (self.plugins / plugin.NAME).exists():
            plugin.install(self.plugins)

    def _configure(self, given: str | None) -> tuple[Path, Path]:
        """The configuration in a folder of its own, as containerd wants it, and where its leases are."""
        folder = self.folder / "net.d"
        folder.mkdir()
        path = folder / "10-holdfast.conflist"
        if given is not None:
            held = read(given)
            path.write_text(json.dumps(held), encoding="utf-8")
            ranges = ((found.get("ipam") or {}).get("dataDir") for found in held["plugins"])
            return path, Path(next((found for found in ranges if found), "/var/lib/cni/networks"))
        path.write_text(json.dumps(self._own_configuration()), encoding="utf-8")
        return path, self.folder / "leases"

    def _own_configuration(self) -> dict[str, Any]:
        ranges = [[{"subnet": "10.88.60.0/24"}], [{"subnet": "fd00:88:60::/64"}]]
        addresses = {
            "type": "host-local",
            "dataDir": str(self.folder / "leases"),
            "ranges": ranges,
            "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}],
        }
        failing_bridge = {
            "type": plugin.NAME,
            "bridge": "hf0",
            "isGateway": True,
            "ipMasq": True,
            "hitLog": str(self.folder / "hits.jsonl"),
            "capabilities": {ANNOTATIONS: True},
            "ipam": addresses,
        }
        return {"cniVersion": "1.0.0", "name": f"holdfast-{self.id}", "plugins": [failing_bridge]}

    def leave(self) -> None:
        """Take everything down."""
        for pid in plugin_processes(self.plugin_prefix) if self.plugin_prefix else ():
            os.kill(pid, signal.SIGKILL)
        self.host.delete()


class Pod(ABC):
    """A pod whose network is made and taken down by a runtime; the failpoints that it meets are the network's."""

    def __init__(self, pod_network: PodNetwork, name: str) -> None:
        self.network = pod_network
        self.name = name
        self.failpoints = pod_network.failpoints

    @abstractmethod
    def add(self, timeout: float = 60) -> None:
        """Make its network. Raises `HoldfastError` where that fails."""

    @abstractmethod
    def delete(self) -> None:
        """Take its network down. Raises `HoldfastError` where that fails."""

    @property
    @abstractmethod
    def namespace(self) -> NetworkNamespace:
        """Where its interface is."""

    @contextlib.contextmanager
    def refused(self, words: str) -> Iterator[None]:
        """What is done inside must fail, with an error that says `words`."""
        said: str | None = None
        try:
            yield
        except HoldfastError as error:
            said = error.message
        assert said is not None, f"it must fail and say {words!r}, and it succeeds"
        assert words in said, f"it fails, but does not say {words!r}: {said}"

    def expect_connected(self) -> None:
        """It has the addresses that ADD told of; in the suite's own chain, of both families."""
        there = self.namespace.addresses("eth0")
        if self.network.is_own:
            assert any("." in address for address in there), f"no IPv4 address: {there}"
            assert any(":" in address for address in there), f"no IPv6 address: {there}"
        result = self.result_of_add()
        if result is None:
            assert there, "eth0 has no address"
            return
        known = {ipaddress.ip_interface(address) for address in there}
        lacks = [address for address in addresses(result) if ipaddress.ip_interface(address) not in known]
        assert not lacks, f"ADD told of {', '.join(lacks)}, and eth0 has {', '.join(there) or 'no address'}"

    def result_of_add(self) -> Mapping[str, Any] | None:
        """What ADD answered; None where the runtime keeps that to itself."""
        return None

    def wait_for_plugin(self) -> int:
        """The process of the plugin that works for this pod, once it waits in ADD's failpoint, whose count is used."""
        found: list[int] = []

        def waits() -> bool:
            found[:] = plugin_processes(self.network.plugin_prefix)
            return bool(found) and self.failpoints.left("cmdAdd").startswith("0*")

        wait_until(waits, "the plugin waits in its failpoint")
        return found[0]


class PodByHand(Pod):
    """A pod that is a network namespace, and a runtime that is this process."""

    def __init__(self, pod_network: PodNetwork, name: str) -> None:
        super().__init__(pod_network, name)
        self._namespace = NetworkNamespace.create(f"{OWN}{name}")

    @property
    def namespace(self) -> NetworkNamespace:
        return self._namespace

    def _options(self, timeout: float = 60) -> dict[str, Any]:
        return {
            "annotations": self.failpoints.annotations,
            "arguments": f"IgnoreUnknown=1;K8S_POD_NAME={self.name}",
            "timeout": timeout,
        }

    def add(self, timeout: float = 60) -> None:
        self.network.chain.add(self.name, self._namespace.path, **self._options(timeout))

    def delete(self) -> None:
        self.network.chain.delete(self.name, self._namespace.path, **self._options())

    def result_of_add(self) -> Mapping[str, Any] | None:
        kept = [each for each in self.network.chain.attachments() if each.container == self.name]
        return kept[0].result if kept else {}

    def check(self) -> None:
        """CHECK, which containerd does not ask for."""
        self.network.chain.check(self.name, self._namespace.path, **self._options())

    def expect_checked(self) -> None:
        """CHECK finds all as ADD left it. Raises `CniError`.

        The reference bridge does not find again a route that was told of without a gateway (but for the default one):
        where it says so of one that is there, that is an expected failure, and nothing of the network's. By its words
        alone: each refusal of its CHECK has the same code (999, a plugin's own trouble), and no field names the route.
        """
        try:
            self.check()
        except CniError as error:
            there = [route for route in routes(self.result_of_add() or {}) if self._has_route(route)]
            amiss = [route for route in there if f"IP:{route.partition('/')[0]} " in error.message]
            if amiss and "Expected Route" in error.message and "GW:<nil>" in error.message:
                pytest.xfail(f"bridge's CHECK does not find the route {amiss[0]}, which is there: {error.message}")
            raise

    def _has_route(self, route: str) -> bool:
        family = "-6" if ":" in route else "-4"
        return bool(self._namespace.run(["ip", family, "route", "show", route]).strip())

    def drift(self) -> str:
        """Take away something that ADD told of, which CHECK must see; what that is. Skips where there is nothing.

        A route if it told of one, the default route first; else an address.
        """
        result = self.result_of_add() or {}
        for route in sorted(routes(result), key=lambda route: not route.endswith("/0")):
            if self._has_route(route):
                self._namespace.run(["ip", "-6" if ":" in route else "-4", "route", "delete", route])
                return f"route {route}"
        for address in addresses(result):
            if address in self._namespace.addresses("eth0"):
                self._namespace.run(["ip", "address", "delete", address, "dev", "eth0"])
                return f"address {address}"
        pytest.skip("the chain's ADD tells of no route and no address: there is nothing that CHECK must miss")

    def add_by_another_runtime(self) -> subprocess.Popen[bytes]:
        """ADD, asked for by a process that can be killed."""
        words = [sys.executable, "-m", "holdfast.cli", "cni", "add", str(self.network.configuration), self.name]
        words += [str(self._namespace.path), "--host", self.network.host.name, "--path", str(self.network.plugins)]
        words += ["--results", str(self.network.results)]
        for key, value in self.failpoints.annotations.items():
            words += ["--annotation", f"{key}={value}"]
        return subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def remove(self) -> None:
        """Take the pod itself away."""
        self._namespace.delete()


class PodOfContainerd(Pod):
    """A pod of a containerd."""

    def __init__(self, pod_network: PodNetwork, name: str, containerd: GivenContainerd) -> None:
        super().__init__(pod_network, name)
        self._containerd = containerd
        self._id: str | None = None

    @property
    def namespace(self) -> NetworkNamespace:
        assert self._id is not None, "containerd has not made it"
        path = self._containerd.runtime.pod_namespace(self._id)
        assert path is not None, "containerd does not tell the pod's network namespace"
        found = NetworkNamespace(Path(path).name)
        found.path = Path(path)
        return found

    def add(self, timeout: float = 60) -> None:
        runtime = self._containerd.runtime
        self._id = runtime.run_pod(self.name, annotations=self.failpoints.annotations, timeout=timeout)

    def delete(self) -> None:
        if self._id is not None:
            self._containerd.runtime.stop_pod(self._id, timeout=60)

    def remove(self) -> None:
        """Stop and remove whatever containerd still calls by this name."""
        pod = self._containerd.pods().get(self.name)
        if pod is not None:
            self._containerd.runtime.stop_pod(pod, timeout=60)
            self._containerd.runtime.remove_pod(pod, timeout=60)


class PodRuntime:
    """Makes pods, and knows what was there before the first."""

    def __init__(self, pod_network: PodNetwork, containerd: GivenContainerd | None) -> None:
        self.network = pod_network
        self.containerd = containerd
        self._host = pod_network.host if containerd is None or isinstance(containerd, Containerd) else None
        self._pods: list[PodByHand | PodOfContainerd] = []
        self._made = 0
        if not pod_network.is_own:
            self._meet()
        self._before = self._look()

    def _meet(self) -> None:
        """Let the network make what all its pods share and none takes away: chains of iptables, a bridge.

        A first pod's ADD and DEL do; what a later one leaves beside that is a pod's.
        """
        with contextlib.suppress(HoldfastError):  # a scenario will meet the same, and say so
            pod = self.pod()
            pod.add()
            pod.delete()
        self.leave()
        self._pods.clear()

    def pod(self) -> PodByHand | PodOfContainerd:
        """Another pod."""
        name = f"{self.network.id}-{self._made}"
        self._made += 1
        made = (
            PodByHand(self.network, name)
            if self.containerd is None
            else PodOfContainerd(self.network, name, self.containerd)
        )
        self._pods.append(made)
        return made

    def need(self, command: str) -> None:
        """Skip where a runtime does not ask this chain for a command, or no plugin of it would be asked."""
        why = self.network.chain.not_asked(command)
        if why is not None:
            pytest.skip(f"{command} is not asked for: {why}")

    def killable_containerd(self) -> Containerd | None:
        """The containerd, where there is one; skips where it is somebody's."""
        if self.containerd is None or isinstance(self.containerd, Containerd):
            return self.containerd
        pytest.skip("a containerd that somebody brings is not killed")

    def _look(self) -> Traces:
        namespaces = self.network.folder / "none" if self.containerd is None else self.containerd.namespaces
        return look(self._host, self.network.leases, namespaces, self.network.plugin_prefix)

    def expect_nothing_left(self, known_defect: str | None = None) -> None:
        """Remove the pods: no interface, lease, NAT rule, namespace or process of theirs is there.

        With a `known_defect` of the reference bridge plugin, NAT rules that it leaves are an expected failure, in the
        suite's own chain; in a chain that somebody brings they are a failure.
        """
        self._expect_gone(self.traces_of_pods, known_defect)  # a namespace takes its interfaces along when it goes
        for pod in self._pods:
            pod.remove()
        self._expect_gone(lambda: self._look().since(self._before), known_defect)

    def _expect_gone(self, look_again: Callable[[], list[Trace]], known_defect: str | None) -> None:
        left: list[Trace] = []

        def gone() -> bool:
            left[:] = look_again()
            return not left

        patience = SETTLED if known_defect is None else 1.0
        with contextlib.suppress(AssertionError):
            wait_until(gone, "all is gone", patience)
        if known_defect and left and self.network.is_own and all(trace.kind == "rule" for trace in left):
            pytest.xfail(f"{known_defect}: {len(left)} rules are left over")
        assert not left, "left over: " + "; ".join(map(str, left))

    def traces_of_pods(self) -> list[Trace]:
        """What is there of the pods now, beside their own namespaces."""
        return [trace for trace in self._look().since(self._before) if trace.kind != "namespace"]

    def leave(self) -> None:
        """Take the pods away, however the scenario ended."""
        for pod in self._pods:
            with contextlib.suppress(HoldfastError):
                pod.remove()


def wait_until(condition: Callable[[], bool], what: str, seconds: float = SETTLED) -> None:
    """Wait until `condition` holds; an AssertionError says `what` did not come."""
    assert waiting.until(condition, seconds, look=LOOK), f"within {seconds:g} s it is not so that {what}"


def watch(condition: Callable[[], bool], what: str, seconds: float) -> None:
    """See that `condition` holds for so long; an AssertionError says when it ended."""
    ended = waiting.watch(condition, seconds, look=LOOK)
    assert ended is None, f"after {ended:.2f} s it is no longer so that {what}"


def _plugin_folders(config: pytest.Config) -> list[Path]:
    given = options.value(config, "cni-path") or PLUGINS
    return [Path(folder) for folder in str(given).split(os.pathsep)]


def describe(config: pytest.Config) -> str:
    """A line that says which plugins, which chain and which containerd the scenarios run with."""
    folders = [str(folder) for folder in _plugin_folders(config) if (folder / "bridge").is_file()]
    chain = options.value(config, "cni-conflist") or "the suite's own chain"
    containerd = options.value(config, "cni-containerd") or shutil.which("containerd") or "no containerd"
    return f"{chain}; bridge of {folders[0] if folders else 'nowhere'}; {containerd}"


def _missing(config: pytest.Config, tools: dict[str, str]) -> str | None:
    if not plugin.is_supported():
        return "network namespaces and CNI plugins need Linux"
    if os.geteuid() != 0:
        return "network namespaces need root: run it with sudo, or as root in a virtual machine"
    for tool, package in tools.items():
        if shutil.which(tool) is None:
            return f"{tool} is missing: apt-get install {package}"
    folders = _plugin_folders(config)
    for name in ("bridge", "host-local", "loopback"):
        if not any((folder / name).is_file() for folder in folders):
            return f"the CNI plugin {name} is missing: apt-get install containernetworking-plugins, or --cni-path DIR"
    return None


def _unfit(config: pytest.Config) -> str | None:
    """Why the failpoints of a scenario cannot reach a chain that somebody brings."""
    given = options.value(config, "cni-conflist")
    if given is None:
        return None
    failing = [each for each in read(given)["plugins"] if each["type"] == plugin.NAME]
    if not failing:
        return f"{given} has no plugin {plugin.NAME}: put it in bridge's place"
    if not any((each.get("capabilities") or {}).get(ANNOTATIONS) for each in failing):
        return f'{given}: {plugin.NAME} needs "capabilities": {{"{ANNOTATIONS}": true}}'
    return None


def need(config: pytest.Config, tools: dict[str, str]) -> None:
    """Skip, or fail with `--cni-required`, where something is missing."""
    missing = _missing(config, tools) or _unfit(config)
    if missing and options.flag(config, "cni-required"):
        pytest.fail(f"--cni-required: {missing}", pytrace=False)
    if missing:
        pytest.skip(missing)


@pytest.fixture
def pod_network(request: pytest.FixtureRequest) -> Iterator[PodNetwork]:
    """The places of this scenario."""
    need(request.config, _TOOLS)
    folder = Path(tempfile.mkdtemp(prefix="hf-"))  # short: sockets in it have a limit
    made = PodNetwork(request.config, folder)
    try:
        yield made
    finally:
        made.leave()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def by_hand(pod_network: PodNetwork) -> Iterator[PodRuntime]:
    """Pods that are network namespaces."""
    pod_runtime = PodRuntime(pod_network, None)
    yield pod_runtime
    pod_runtime.leave()


@pytest.fixture(params=["by hand", "containerd"])
def pod_runtime(request: pytest.FixtureRequest, pod_network: PodNetwork) -> Iterator[PodRuntime]:
    """Pods by hand, and pods of a real containerd."""
    given = options.value(request.config, "cni-containerd")
    containerd: Containerd | None = None
    if request.param == "containerd" and given is None:
        need(request.config, {**_TOOLS, **_CONTAINERD_TOOLS})
        folder = pod_network.folder / "containerd"
        folder.mkdir()
        containerd = Containerd(folder, pod_network.host, pod_network.plugins, pod_network.configuration.parent)
        containerd.start()
        containerd.bring_pause_image()
    if request.param == "containerd" and given is not None:
        pod_network.plugin_prefix = ""
        made = PodRuntime(pod_network, GivenContainerd(Path(given)))
    else:
        made = PodRuntime(pod_network, containerd)
    try:
        yield made
        made.leave()
    finally:
        if containerd is not None:
            containerd.stop()
