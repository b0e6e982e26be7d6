"""Fifteen ways in which a pod's network fails, by hand in network namespaces and under a real containerd.

Each ends with a look at what is left: no interface, lease, NAT rule, namespace or process.
"""

from __future__ import annotations

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from holdfast.exceptions import HoldfastError
from holdfast.suites.cni.pods import Pod, PodByHand, wait_until, watch
from holdfast.suites.cni.runtime import PodRuntime, by_hand, pod_network, pod_runtime

__all__ = ["by_hand", "pod_network", "pod_runtime"]  # fixtures


@pytest.mark.cni("cni add fails once and a retry succeeds")
def test_cni_add_fails_once_and_a_retry_succeeds(pod_runtime: PodRuntime) -> None:
    pod = pod_runtime.pod()
    pod.failpoints.write(cmdAdd="1*error(no network today)")
    with pod.refused("no network today"):
        pod.add()
    assert pod.failpoints.left("cmdAdd") == "0*error(no network today)"
    pod.add()
    pod.expect_connected()
    pod.delete()
    pod_runtime.expect_nothing_left()


@pytest.mark.cni("cni add fails and its rollback fails")
def test_cni_add_fails_and_its_rollback_fails(pod_runtime: PodRuntime) -> None:
    pod = pod_runtime.pod()
    pod.failpoints.write(cmdAdd="1*error(no network today)", cmdDel="1*error(no rollback either)")
    with pod.refused("no network today"):
        pod.add()
    if isinstance(pod, PodByHand):  # containerd rolls back by itself
        with pod.refused("no rollback either"):
            pod.delete()
    assert pod.failpoints.left("cmdDel") == "0*error(no rollback either)"
    pod.delete()
    pod_runtime.expect_nothing_left()


@pytest.mark.cni("cni del fails twice and the third succeeds")
def test_cni_del_fails_twice_and_the_third_succeeds(pod_runtime: PodRuntime) -> None:
    pod = pod_runtime.pod()
    pod.add()
    pod.failpoints.write(cmdDel="2*error(not now)")
    for _ in range(2):
        with pod.refused("not now"):
            pod.delete()
    pod.delete()
    pod_runtime.expect_nothing_left()


@pytest.mark.cni("cni del is idempotent")
def test_cni_del_is_idempotent(pod_runtime: PodRuntime) -> None:
    pod = pod_runtime.pod()
    pod.add()
    pod.delete()
    pod.delete()
    pod_runtime.expect_nothing_left()


@pytest.mark.cni("cni add is slow and the runtime is killed")
def test_cni_add_is_slow_and_the_runtime_is_killed(pod_runtime: PodRuntime) -> None:
    containerd = pod_runtime.killable_containerd()
    pod = pod_runtime.pod()
    pod.failpoints.write(cmdAdd="1*delay(30000)")
    with ThreadPoolExecutor() as threads:
        if containerd is None:
            assert isinstance(pod, PodByHand)
            runtime = pod.add_by_another_runtime()
            plugin = pod.wait_for_plugin()
            runtime.kill()
            runtime.wait()
        else:
            asked = threads.submit(pod.add)
            plugin = pod.wait_for_plugin()
            containerd.kill()
            assert isinstance(asked.exception(timeout=30), HoldfastError)
    wait_until(lambda: not Path(f"/proc/{plugin}").exists(), "the plugin ends with its runtime")
    if containerd is not None:
        containerd.start()
    pod_runtime.expect_nothing_left()


@pytest.mark.cni("cni a late add after del")
def test_cni_a_late_add_after_del(pod_runtime: PodRuntime) -> None:
    pod = pod_runtime.pod()
    pod.failpoints.write(cmdAdd="1*delay(1500)")
    if isinstance(pod, PodByHand):
        runtime = pod.add_by_another_runtime()
        pod.wait_for_plugin()
        runtime.kill()
        runtime.wait()
    else:
        with pod.refused("no answer in time"):
            pod.add(timeout=0.5)
    pod.delete()
    wait_until(lambda: not pod_runtime.traces_of_pods(), "the plugin ends with who asked")
    # A runtime that gave up asks DEL by itself: its plugin's process is no trace of an ADD.
    watch(lambda: all(trace.kind == "process" for trace in pod_runtime.traces_of_pods()), "nothing comes late", 2)
    pod_runtime.expect_nothing_left()


@pytest.mark.cni("cni the plugin panics")
def test_cni_the_plugin_panics(pod_runtime: PodRuntime) -> None:
    pod = pod_runtime.pod()
    pod.failpoints.write(cmdAdd="1*panic(at the disco)")
    with pod.refused("at the disco"):
        pod.add()
    pod.add()
    pod.expect_connected()
    pod.delete()
    pod_runtime.expect_nothing_left()


@pytest.mark.cni("cni the plugin is killed")
def test_cni_the_plugin_is_killed(pod_runtime: PodRuntime) -> None:
    pod = pod_runtime.pod()
    pod.failpoints.write(cmdAdd="1*delay(30000)")
    with ThreadPoolExecutor() as threads:
        asked = threads.submit(pod.add)
        os.kill(pod.wait_for_plugin(), signal.SIGKILL)
        assert isinstance(asked.exception(timeout=30), HoldfastError)
    pod.add()
    pod.expect_connected()
    pod.delete()
    pod_runtime.expect_nothing_left()


@pytest.mark.cni("cni done but the reply is lost")
def test_cni_done_but_the_reply_is_lost(pod_runtime: PodRuntime) -> None:
    pod = pod_runtime.pod()
    pod.failpoints.write(cmdAddAfter="1*error(done, and you will never know)")
    with pod.refused("done, and you will never know"):
        pod.add()
    pod.delete()
    pod.add()
    pod.expect_connected()
    pod.delete()
    pod_runtime.expect_nothing_left()


@pytest.mark.cni("cni garbage with exit code 0")
def test_cni_garbage_with_exit_code_0(pod_runtime: PodRuntime) -> None:
    pod = pod_runtime.pod()
    pod.failpoints.write(cmdAddAfter="1*corrupt(garbage)")
    with pod.refused("no result" if isinstance(pod, PodByHand) else ""):
        pod.add()
    assert pod.failpoints.left("cmdAddAfter") == "0*corrupt(garbage)"
    pod.delete()
    pod.add()
    pod.expect_connected()
    pod.delete()
    pod_runtime.expect_nothing_left()


@pytest.mark.cni("cni check detects drift")
def test_cni_check_detects_drift(by_hand: PodRuntime) -> None:
    by_hand.need("CHECK")
    pod = by_hand.pod()
    assert isinstance(pod, PodByHand)
    pod.add()
    pod.expect_checked()
    gone = pod.drift()
    # The words are the reference plugin's; another says it in its own.
    with pod.refused("not found in routing table" if by_hand.network.is_own and gone.startswith("route") else ""):
        pod.check()
    pod.delete()
    by_hand.expect_nothing_left()


@pytest.mark.cni("cni gc takes what is not in use and nothing else")
def test_cni_gc_takes_what_is_not_in_use_and_nothing_else(by_hand: PodRuntime) -> None:
    chain = by_hand.network.chain
    used, unused = by_hand.pod(), by_hand.pod()
    used.add()
    of_used = by_hand.traces_of_pods()
    unused.add()
    chain.gc([(used.name, "eth0")])
    assert by_hand.traces_of_pods() == of_used
    assert [link["ifname"] for link in unused.namespace.links()] == ["lo"]
    used.expect_connected()
    chain.gc([])
    by_hand.expect_nothing_left()


@pytest.mark.cni("cni status says whether an add can be served")
def test_cni_status_says_whether_an_add_can_be_served(by_hand: PodRuntime) -> None:
    by_hand.need("STATUS")
    pod, chain = by_hand.pod(), by_hand.network.chain
    chain.status()
    pod.failpoints.write(cmdStatus="1*error(not today)")
    with pod.refused("not today"):
        chain.status(annotations=pod.failpoints.annotations)
    chain.status(annotations=pod.failpoints.annotations)
    pod.add()
    pod.expect_connected()
    pod.delete()
    by_hand.expect_nothing_left()


@pytest.mark.cni("cni concurrent adds count exactly")
def test_cni_concurrent_adds_count_exactly(pod_runtime: PodRuntime) -> None:
    pods = [pod_runtime.pod() for _ in range(6)]
    pods[0].failpoints.write(cmdAdd="2*error(one of two)")

    def add(pod: Pod) -> str:
        try:
            pod.add()
        except HoldfastError as error:
            return error.message
        return "connected"

    with ThreadPoolExecutor(max_workers=len(pods)) as threads:
        outcomes = list(threads.map(add, pods))
    assert outcomes.count("connected") == len(pods) - 2, outcomes
    assert sum("one of two" in outcome for outcome in outcomes) == 2, outcomes
    assert pods[0].failpoints.left("cmdAdd") == "0*error(one of two)"
    for pod in pods:
        pod.delete()
    pod_runtime.expect_nothing_left()


@pytest.mark.cni("cni the address is removed before del")
def test_cni_the_address_is_removed_before_del(pod_runtime: PodRuntime) -> None:
    pod = pod_runtime.pod()
    pod.add()
    for address in pod.namespace.addresses("eth0"):
        pod.namespace.run(["ip", "address", "delete", address, "dev", "eth0"])
    pod.delete()
    pod_runtime.expect_nothing_left(
        known_defect="bridge finds the NAT rules of a pod by the addresses that it still has"
    )
