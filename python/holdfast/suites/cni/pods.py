"""Pods, made by hand or by a containerd, and what is to be seen of each."""

from __future__ import annotations

import contextlib
import ipaddress
import subprocess
import sys
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from holdfast import waiting
from holdfast.cni import GivenContainerd, NetworkNamespace, plugin
from holdfast.cni.chain import addresses, routes
from holdfast.cni.leftovers import saved_rules
from holdfast.cni.namespace import OWN
from holdfast.cni.ours import Ours
from holdfast.exceptions import CniError, HoldfastError
from holdfast.suites.cni.network import PodNetwork

# How long the rest of a scenario may take to be gone, in seconds.
SETTLED = 10.0
# From one look to the next.
LOOK = 0.02
# Longer than any pod takes to be made, in seconds.
WATCHED = 120.0


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

    def plugins(self) -> list[plugin.Running]:
        """The processes of the plugin that work for this pod, and for nobody else's."""
        this = Ours(self.network.chain.name)
        this.pod(self.name)
        return [each for each in plugin.running(self.network.plugin_prefix) if this.process(each.environment)]

    def wait_for_plugin(self) -> int:
        """The process of the plugin that works for this pod, once it waits in ADD's failpoint, whose count is used."""
        found: list[int] = []

        def waits() -> bool:
            found[:] = [each.pid for each in self.plugins()]
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
    """A pod of a containerd. What is seen of it while it lives, `ours` remembers."""

    def __init__(self, pod_network: PodNetwork, name: str, containerd: GivenContainerd, ours: Ours) -> None:
        super().__init__(pod_network, name)
        self._containerd = containerd
        self._ours = ours
        self._id: str | None = None

    @property
    def namespace(self) -> NetworkNamespace:
        return self._at(self.namespace_of_containerd)

    @property
    def namespace_of_containerd(self) -> str:
        """The path of its network namespace, as containerd calls it."""
        assert self._id is not None, "containerd has not made it"
        path = self._containerd.runtime.pod_namespace(self._id)
        assert path is not None, "containerd does not tell the pod's network namespace"
        return path

    def _at(self, path: str) -> NetworkNamespace:
        found = NetworkNamespace(Path(path).name)
        found.path = self._containerd.place(path)
        return found

    def add(self, timeout: float = 60) -> None:
        runtime = self._containerd.runtime
        seen = threading.Event()
        try:
            with self._watched(seen):
                self._id = runtime.run_pod(self.name, annotations=self.failpoints.annotations, timeout=timeout)
        except HoldfastError as error:
            with contextlib.suppress(HoldfastError):
                self.identify()
            self._ours.failed(self.name, error.message, seen.is_set())
            raise
        self._look_into(self._id)

    @contextlib.contextmanager
    def _watched(self, seen: threading.Event) -> Iterator[None]:
        """Where others use the host: while containerd makes the pod, look at what its plugins work on, whenever one
        runs. An ADD that fails is rolled back before anybody could ask for it, or it tells nothing at all.
        """
        if not self._ours.kinds:
            yield
            return
        ended = threading.Event()

        def look() -> bool:
            for each in self.plugins():
                self._ours.pod(self.name, each.environment.get("CNI_CONTAINERID", ""))
                with contextlib.suppress(HoldfastError):  # it goes at any moment
                    inside = self._at(each.environment.get("CNI_NETNS", ""))
                    self._ours.in_namespace(inside.path)
                    seen.set()
                    self._ours.saw(inside, self._host())
            return ended.is_set()

        with ThreadPoolExecutor(max_workers=1) as threads:
            watching = threads.submit(waiting.until, look, WATCHED, look=LOOK)
            try:
                yield
            finally:
                ended.set()
        watching.result()

    def _look_into(self, pod: str) -> None:
        """Remember what belongs to a pod that lives; say so where something of it cannot be seen."""
        self._ours.pod(self.name, pod)
        if not self._ours.kinds - {"lease"}:
            return
        path = self._containerd.runtime.pod_namespace(pod)
        if path is None:
            self._ours.unseen = "containerd does not tell the network namespaces of its pods"
            return
        inside = self._at(path)
        self._ours.in_namespace(inside.path)
        self._ours.told(self._containerd.result(self.network.chain.name, pod), self._host())
        seen = waiting.until(lambda: self._ours.saw(inside, self._host()), 1, look=LOOK)
        # A chain is known by the rules that jump to it, while they are there.
        self._ours.rules(saved_rules(self._host()))
        if not seen:
            self._ours.unseen = (
                f"an interface of pod {self.name} does not end in the network namespace that containerd runs in"
            )

    def _host(self) -> NetworkNamespace:
        return self._containerd.host()

    def identify(self) -> None:
        """Remember its id, where containerd has a pod of its name, if its ADD failed too. Raises `HoldfastError`."""
        pod = self._containerd.pods().get(self.name)
        if pod is None:
            return
        self._ours.pod(self.name, pod)
        path = self._containerd.runtime.pod_namespace(pod)
        if path:
            self._ours.in_namespace(self._containerd.place(path))

    def delete(self) -> None:
        if self._id is not None:
            self._containerd.runtime.stop_pod(self._id, timeout=60)

    def remove(self) -> None:
        """Stop and remove whatever containerd still calls by this name."""
        pod = self._containerd.pods().get(self.name)
        if pod is not None:
            self._containerd.runtime.stop_pod(pod, timeout=60)
            self._containerd.runtime.remove_pod(pod, timeout=60)


def wait_until(condition: Callable[[], bool], what: str, seconds: float = SETTLED) -> None:
    """Wait until `condition` holds; an AssertionError says `what` did not come."""
    assert waiting.until(condition, seconds, look=LOOK), f"within {seconds:g} s it is not so that {what}"


def watch(condition: Callable[[], bool], what: str, seconds: float) -> None:
    """See that `condition` holds for so long; an AssertionError says when it ended."""
    ended = waiting.watch(condition, seconds, look=LOOK)
    assert ended is None, f"after {ended:.2f} s it is no longer so that {what}"
