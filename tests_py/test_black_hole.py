"""Black holes for real: in network namespaces whose packets nftables drops.

A client, two control processors and the switch between them have a namespace each. The active dies without a word: no
FIN, no RST, nothing. Its address moves to another host with another MAC address, which announces it, and old sockets
never hear of it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from holdfast.cni.namespace import NetworkNamespace

from conftest import isolated, wait_until

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0, reason="network namespaces need Linux and root"
)

ADDRESS = "10.77.0.1"
NEAR = ["10.77.0.9/24"]
# How soon after the network's return the device must answer, in seconds. This is what these tests are about, so it is
# asserted on the clock: whoever waited for the kernel to send again would be later, by as long as the outage was.
BACK = 1.0
# Asks until it is told to stop, and says when it was answered.
CLIENT = """
import sys, threading, time, holdfast
from holdfast.exceptions import HoldfastError
stop = threading.Event()
threading.Thread(target=lambda: (sys.stdin.readline(), stop.set()), daemon=True).start()
with holdfast.connect(sys.argv[1], insecure=True) as dut:
    while not stop.is_set():
        try:
            dut.containerz.volumes(timeout=60)
            print(f"{time.time():.4f} answered", flush=True)
        except HoldfastError as error:
            print(f"{time.time():.4f} {type(error).__name__}: {error.message}", flush=True)
        stop.wait(0.02)
"""
# Tells the neighbours whose the address is now, as a control processor does that takes over.
ANNOUNCE = """
import socket, sys
frame = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
frame.bind(("eth0", 0))
mac, ip = frame.getsockname()[4], socket.inet_aton(sys.argv[1])
arp = b"\\0\\1\\x08\\0\\6\\4\\0\\2" + mac + ip + b"\\xff" * 6 + ip
frame.send(b"\\xff" * 6 + mac + b"\\x08\\6" + arp)
"""


class Lab:
    """A client and two hosts behind a switch."""

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        self._stack = stack
        self._folder = folder
        tag = f"{os.getpid() % 10000}"
        self.switch, self.client, self.first, self.second = (
            stack.enter_context(NetworkNamespace.create(f"hf-{role}-{tag}")) for role in ("sw", "cl", "c1", "c2")
        )
        self.switch.run(["ip", "link", "add", "br0", "type", "bridge"])
        self.switch.run(["ip", "link", "set", "br0", "up"])
        for number, host in enumerate((self.client, self.first, self.second)):
            port = f"port{number}"
            self.switch.run(["ip", "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", host.name])
            self.switch.run(["ip", "link", "set", port, "master", "br0", "up"])
            host.run(["ip", "link", "set", "eth0", "up"])
        self.client.run(["ip", "address", "add", NEAR[0], "dev", "eth0"])
        self.first.run(["ip", "address", "add", f"{ADDRESS}/24", "dev", "eth0"])
        self.second.run(["sysctl", "-qw", "net.ipv4.ip_nonlocal_bind=1"])
        self.answers: list[tuple[float, str]] = []

    def serve(self, host: NetworkNamespace) -> None:
        """An emulated device there, at the address."""
        words = [sys.executable, "-m", "holdfast.cli", "emulate", "--listen", f"{ADDRESS}:9339"]
        process = self._start(host, words)
        assert process.stdout is not None
        assert process.stdout.readline().startswith("listening on")

    def ask(self) -> subprocess.Popen[str]:
        """A client that asks all the time; its answers are `answers`."""
        process = self._start(self.client, [sys.executable, "-c", CLIENT, f"{ADDRESS}:9339"])
        import threading

        def read() -> None:
            for line in process.stdout or ():
                moment, _, what = line.partition(" ")
                self.answers.append((float(moment), what.strip()))

        thread = threading.Thread(target=read, daemon=True)
        thread.start()
        wait_until(lambda: len(self.answers) > 5, what="answers before the outage")
        return process

    def _start(self, host: NetworkNamespace, words: list[str]) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            host.command(words),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=isolated(self._folder, {}),
        )
        self._stack.callback(process.wait, 10)
        self._stack.callback(process.terminate)
        return process

    def drop(self, host: NetworkNamespace, what: str = "", *, packets: int) -> float:
        """From now on packets from and to a host are lost: all, or those that `what` picks. Since when so many were."""
        return self._filter(host, f"{what} counter drop", packets, "packets that are lost")

    def _filter(self, host: NetworkNamespace, rule: str, packets: int, what: str) -> float:
        host.run(["nft", "add", "table", "inet", "loss"])
        for hook in ("input", "output"):
            host.run(["nft", "add", "chain", "inet", "loss", hook, f"{{ type filter hook {hook} priority 0; }}"])
            host.run(["nft", "add", "rule", "inet", "loss", hook, *rule.split()])
        since = time.time()
        wait_until(lambda: self._counted(host) >= packets, 60, what=what)
        return since

    @staticmethod
    def _counted(host: NetworkNamespace) -> int:
        """How many packets the rules have met."""
        rows = json.loads(host.run(["nft", "-j", "list", "table", "inet", "loss"]))["nftables"]
        parts = [part for row in rows for part in row.get("rule", {}).get("expr", [])]
        return sum(part["counter"]["packets"] for part in parts if "counter" in part)

    def restore(self, host: NetworkNamespace) -> float:
        """Nothing is lost any more; when that was."""
        host.run(["nft", "delete", "table", "inet", "loss"])
        return time.time()

    def restore_until(self, host: NetworkNamespace, packets: int) -> None:
        """Nothing is lost until so many packets went through."""
        self.restore(host)
        self._filter(host, "counter accept", packets, "packets that go through")
        self.restore(host)

    def move_address(self) -> float:
        """The address is the second host's now, which says so until the client has heard it; when it had."""
        self.second.run(["ip", "address", "add", f"{ADDRESS}/24", "dev", "eth0"])
        mac = next(str(link["address"]) for link in self.second.links() if link["ifname"] == "eth0")

        def heard() -> bool:
            self.second.run([sys.executable, "-c", ANNOUNCE, ADDRESS])  # Linux believes one change a second
            return mac in self.client.run(["ip", "neighbour", "show", ADDRESS])

        before = time.time()
        wait_until(heard, what="the address' new owner")
        return before if self._answered(before) else time.time()

    def _answered(self, moment: float) -> bool:
        return any(at > moment and what == "answered" for at, what in self.answers)

    def answered_after(self, moment: float) -> float:
        """How long after `moment` the first answer came."""
        wait_until(lambda: self._answered(moment), what=f"an answer; the last: {self.answers[-3:]}")
        return next(at - moment for at, what in self.answers if at > moment and what == "answered")


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with ExitStack() as stack:
        yield Lab(stack, tmp_path)


# An outage lasts until so many packets are lost in it: about half a second, and four.
SHORT, LONG = 8, 80


@pytest.mark.parametrize("packets", [SHORT, LONG])
def test_the_active_dies_silently_and_its_address_moves(lab: Lab, packets: int) -> None:
    lab.serve(lab.first)
    lab.serve(lab.second)
    lab.ask()
    died = lab.drop(lab.first, packets=packets)
    moving = time.time()
    moved = lab.move_address()
    assert lab.answered_after(moved) <= BACK
    assert not [at for at, what in lab.answers if died + 0.3 < at < moving and what == "answered"], "nothing was there"
    assert not [what for _, what in lab.answers if what != "answered"], "no read fails that can be repeated"


def test_a_link_that_flaps(lab: Lab) -> None:
    lab.serve(lab.first)
    lab.ask()
    for _ in range(5):
        lab.drop(lab.first, packets=SHORT)
        lab.restore_until(lab.first, packets=3)
    lab.drop(lab.first, packets=LONG)
    restored = lab.restore(lab.first)
    assert lab.answered_after(restored) <= BACK
    assert not [what for _, what in lab.answers if what != "answered"]


def test_a_link_that_loses_half_its_packets(lab: Lab) -> None:
    lab.serve(lab.first)
    lab.ask()
    before = len(lab.answers)
    # a quarter each way: about half of what needs an answer
    lab.drop(lab.first, "numgen random mod 4 lt 1", packets=LONG // 2)
    meanwhile = len(lab.answers)
    restored = lab.restore(lab.first)
    assert lab.answered_after(restored) <= BACK
    assert meanwhile > before, "calls get through"
    assert not [what for _, what in lab.answers if what != "answered"]
