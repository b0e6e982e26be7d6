"""What runs pods as a container runtime does, and looks at what they leave."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from holdfast.cni import Containerd, GivenContainerd, Trace, Traces, look
from holdfast.cni.ours import ALL_KINDS, Claim, Ours, Perhaps, TraceKind
from holdfast.exceptions import HoldfastError
from holdfast.pytest_plugin import options
from holdfast.suites.cni.network import CONTAINERD_TOOLS, TOOLS, PodNetwork, need
from holdfast.suites.cni.pods import SETTLED, PodByHand, PodOfContainerd, wait_until


class PodRuntime:
    """Makes pods, and knows what was there before the first."""

    def __init__(self, pod_network: PodNetwork, containerd: GivenContainerd | None) -> None:
        self.network = pod_network
        self.containerd = containerd
        self._pods: list[PodByHand | PodOfContainerd] = []
        self._made = 0
        self._ours = self._nobody()
        if not pod_network.is_own:
            self._meet()
        self._before = self._look(None)

    def _somebodys(self) -> GivenContainerd | None:
        """The containerd, where it is somebody's: others use its host meanwhile."""
        return None if isinstance(self.containerd, Containerd) else self.containerd

    def _nobody(self) -> Ours:
        """No pods yet; of the kinds of traces that others make where these pods will be."""
        kinds: frozenset[TraceKind] = (
            ALL_KINDS if self._somebodys() else frozenset(("lease",)) if self.network.leases_are_shared else frozenset()
        )
        return Ours(self.network.chain.name, kinds)

    def _meet(self) -> None:
        """Let the network make what all its pods share and none takes away: chains of iptables, a bridge.

        A first pod's ADD and DEL do; what a later one leaves beside that is a pod's.
        """
        with contextlib.suppress(HoldfastError):  # a scenario will meet the same, and say so
            pod = self.pod()
            pod.add()
            if isinstance(pod, PodOfContainerd) and (given := self._somebodys()) is not None:
                given.namespaces = Path(pod.namespace_of_containerd).parent
            pod.delete()
        self.leave()
        self._pods.clear()
        self._ours = self._nobody()

    def pod(self) -> PodByHand | PodOfContainerd:
        """Another pod."""
        name = f"{self.network.id}-{self._made}"
        self._made += 1
        if self.containerd is None:
            self._ours.pod(name, name)
            made: PodByHand | PodOfContainerd = PodByHand(self.network, name)
        else:
            self._ours.pod(name)
            made = PodOfContainerd(self.network, name, self.containerd, self._ours)
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

    def _look(self, claim: Claim | None) -> Traces:
        given = self._somebodys()
        host = given.host() if given else self.network.host
        leases = given.place(self.network.leases) if given else self.network.leases
        namespaces = self.network.folder / "none" if self.containerd is None else self.containerd.namespaces
        namespaces = given.place(namespaces) if given else namespaces
        return look(host, leases, namespaces, self.network.plugin_prefix, claim)

    def _left(self) -> list[Trace]:
        """What is there of the pods now and was not before."""
        return self._look(self._ours).since(self._before)

    def expect_nothing_left(self, known_defect: str | None = None) -> None:
        """Remove the pods: no interface, lease, NAT rule, namespace or process of theirs is there.

        With a `known_defect` of the reference bridge plugin, NAT rules that it leaves are an expected failure, in the
        suite's own chain; in a chain that somebody brings they are a failure. On a host that others use too, what leads
        to none of the pods is somebody else's; where a pod could not be traced, and something stays that may be its,
        the scenario skips and says so.
        """
        for pod in self._pods:
            if isinstance(pod, PodOfContainerd) and self._ours.kinds:
                pod.identify()
        self._expect_gone(self.traces_of_pods, known_defect)  # a namespace takes its interfaces along when it goes
        for pod in self._pods:
            pod.remove()
        self._expect_gone(self._left, known_defect)
        self._expect_seen()

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

    def _expect_seen(self) -> None:
        """Skip where what the pods left was not to be told from what others made."""
        if self._ours.unseen:
            pytest.skip(f"what is left over cannot be looked at: {self._ours.unseen}")
        if not self._ours.unknown or self.containerd is None:
            return
        mine = self._ours.ids
        perhaps = Perhaps(self._ours, [pod for pod in self.containerd.pods().values() if pod not in mine])
        stays = set(self._look(perhaps).since(self._before))

        def nothing_stays() -> bool:  # what others make and take away again is not left over
            if stays:
                stays.intersection_update(self._look(perhaps).since(self._before))
            return not stays

        with contextlib.suppress(AssertionError):
            wait_until(nothing_stays, "nothing in doubt stays")
        if stays:
            pytest.skip(
                "others use this host too, and of a pod whose ADD failed it is not known whether it left: "
                + "; ".join(sorted(map(str, stays)))
            )

    def traces_of_pods(self) -> list[Trace]:
        """What is there of the pods now, beside their own namespaces."""
        return [trace for trace in self._left() if trace.kind != "namespace"]

    def leave(self) -> None:
        """Take the pods away, however the scenario ended."""
        for pod in self._pods:
            with contextlib.suppress(HoldfastError):
                pod.remove()


def _reached(config: pytest.Config, at: Path) -> GivenContainerd:
    """The containerd at a socket. Skips, or fails with `--cni-required`, where its network cannot be looked at."""
    containerd = GivenContainerd(at)
    try:
        containerd.host().links()
    except HoldfastError as error:
        if options.flag(config, "cni-required"):
            pytest.fail(f"--cni-required: {error}", pytrace=False)
        pytest.skip(str(error))
    return containerd


@pytest.fixture
def pod_network(request: pytest.FixtureRequest) -> Iterator[PodNetwork]:
    """The places of this scenario."""
    need(request.config, TOOLS)
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
        need(request.config, {**TOOLS, **CONTAINERD_TOOLS})
        folder = pod_network.folder / "containerd"
        folder.mkdir()
        containerd = Containerd(folder, pod_network.host, pod_network.plugins, pod_network.configuration.parent)
        containerd.start()
        containerd.bring_pause_image()
    if request.param == "containerd" and given is not None:
        pod_network.plugin_prefix = ""  # its plugins are its own: which work for our pods, they say
        made = PodRuntime(pod_network, _reached(request.config, Path(given)))
    else:
        made = PodRuntime(pod_network, containerd)
    try:
        yield made
        made.leave()
    finally:
        if containerd is not None:
            containerd.stop()
