"""`pytest -k cni` on a containerd that somebody brings: what its pods left is told from what others made meanwhile."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
import subprocess
import tempfile
import threading
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

import holdfast
from holdfast.cni import Containerd, NetworkNamespace
from holdfast.cni.containerd import GivenContainerd
from holdfast.exceptions import HoldfastError

from conftest import RunSuite

REFERENCE = Path("/usr/lib/cni")
NETWORK = "given"
# How many of each kind a neighbour has at a time: some are always new.
KEPT = 3


class Given:
    """A containerd as somebody brings one: in a network namespace of its own, with a chain of its own."""

    def __init__(self, folder: Path, host: NetworkNamespace, masquerade: bool) -> None:
        self.folder = folder
        self.host = host
        self.plugins, self.leases, configurations = folder / "bin", folder / "leases", folder / "net.d"
        self.plugins.mkdir()
        configurations.mkdir()
        holdfast.cni.install(self.plugins)
        self.restore()
        addresses = {
            "type": "host-local",
            "dataDir": str(self.leases),
            "ranges": [[{"subnet": "10.88.62.0/24", "rangeEnd": "10.88.62.199"}], [{"subnet": "fd00:88:62::/64"}]],
        }
        failing = {
            "type": "cni-bridge-fp",
            "bridge": "hfgiven0",
            "isGateway": True,
            "ipMasq": masquerade,
            "capabilities": {"io.kubernetes.cri.pod-annotations": True},
            "ipam": addresses,
        }
        self.chain = configurations / "10-given.conflist"
        self.chain.write_text(json.dumps({"cniVersion": "1.0.0", "name": NETWORK, "plugins": [failing]}))
        self.containerd = Containerd(folder, host, self.plugins, configurations)
        self.options = ("--cni-containerd", str(self.containerd.socket), "--cni-conflist", str(self.chain))

    def restore(self) -> None:
        """The reference plugins."""
        for name in ("bridge", "host-local", "loopback"):
            (self.plugins / name).unlink(missing_ok=True)
            (self.plugins / name).symlink_to(REFERENCE / name)

    @contextlib.contextmanager
    def defect(self, plugin: str, script: str) -> Iterator[None]:
        """A plugin that does `script` first."""
        (self.plugins / plugin).unlink()
        (self.plugins / plugin).write_text(f"#!/bin/bash\n{script}\nexec {REFERENCE / plugin}\n")
        (self.plugins / plugin).chmod(0o755)
        try:
            yield
        finally:
            self.restore()


@contextlib.contextmanager
def given_containerd(masquerade: bool) -> Iterator[Given]:
    if os.geteuid() != 0 or shutil.which("containerd") is None or not (REFERENCE / "bridge").is_file():
        pytest.skip("needs root, containerd and containernetworking-plugins")
    folder = Path(tempfile.mkdtemp(prefix="hf-given-"))
    with NetworkNamespace.create(f"hf-given-{uuid.uuid4().hex[:8]}") as host:
        made = Given(folder, host, masquerade)
        try:
            made.containerd.start()
            made.containerd.bring_pause_image()
            yield made
        finally:
            made.containerd.stop()


@pytest.fixture(scope="module")
def given() -> Iterator[Given]:
    with given_containerd(masquerade=True) as made:
        yield made


class Neighbour:
    """Somebody else on the same host, who makes and takes away all the time, and has some of each at any moment."""

    def __init__(self, given: Given) -> None:
        self._given = given
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._live)
        self._kept: dict[str, list[Any]] = {}
        self._trouble: list[str] = []
        self.rounds = 0
        # By what the names of all that it made are known.
        self.made: list[str] = []
        (self.plugin,) = self._process(uuid.uuid4().hex)

    def __enter__(self) -> Neighbour:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self._undo([self.plugin])
        for kept in self._kept.values():
            for undo in kept:
                self._undo(undo)
        assert not self._trouble, self._trouble

    def _run(self, *words: str) -> None:
        self._given.host.run(words)

    def _undo(self, undo: Sequence[Any]) -> None:
        for each in undo:
            if isinstance(each, subprocess.Popen):
                each.kill()
                each.wait()
            elif isinstance(each, Path):
                each.unlink(missing_ok=True)
            elif each[0] == "umount":
                subprocess.run(each, check=True, timeout=60)
                Path(each[-1]).unlink()
            else:
                self._run(*each)

    def _live(self) -> None:
        kinds = (self._pair, self._pod, self._lease, self._rules, self._namespace, self._process)
        for self.rounds, make in zip(itertools.count(), itertools.cycle(kinds)):
            if self._ended.is_set():
                return
            try:
                new = uuid.uuid4().hex
                self.made += [new[:7], new[7:14]]
                undo = make(new)
                # What has its other end in the host goes at once: whose that is, nobody could say.
                kept = self._kept.setdefault(make.__name__, [])
                kept.append(undo)
                while len(kept) > (0 if make == self._pair else KEPT):
                    self._undo(kept.pop(0))
            except (HoldfastError, OSError, subprocess.SubprocessError) as error:
                self._trouble.append(str(error))
                return

    def _process(self, new: str) -> list[Any]:
        """A plugin that a runtime of theirs waits for."""
        program = self._given.folder / "theirs" / "cni-bridge-fp"
        if not program.exists():
            program.parent.mkdir(exist_ok=True)
            shutil.copy(shutil.which("sleep") or "/bin/sleep", program)
        told = {"CNI_PATH": "/opt/cni/bin", "CNI_CONTAINERID": new * 2, "CNI_ARGS": f"K8S_POD_NAME={new}"}
        return [subprocess.Popen([program, "infinity"], env=told)]

    def _pair(self, new: str) -> list[Any]:
        self._run("ip", "link", "add", f"veth{new[:7]}", "type", "veth", "peer", "name", f"veth{new[7:14]}")
        return [["ip", "link", "delete", f"veth{new[:7]}"]]

    def _pod(self, new: str) -> list[Any]:
        """A container of Docker's."""
        (undo,) = self._namespace(new)
        self._run(*f"ip link add veth{new[:7]} type veth peer name eth0 netns {undo[-1]}".split())
        return [["ip", "link", "delete", f"veth{new[:7]}"], undo]

    def _lease(self, new: str) -> list[Any]:
        """A pod of the same network."""
        file = self._given.leases / NETWORK / f"10.88.62.{200 + int(new[:2], 16) % 50}"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{new * 2}\r\neth0")
        return [file]

    def _rules(self, new: str) -> list[Any]:
        """Of a pod of the same network, and of Docker's."""
        chain, address = f"CNI-{new[:24]}", f"10.88.62.{200 + int(new[:2], 16) % 50}/32"
        nat = ["iptables", "--wait", "-t", "nat"]
        of_pod = ["POSTROUTING", "-s", address, "-m", "comment", "--comment", f'name: "given" id: "{new * 2}"']
        of_pod += ["-j", chain]
        of_docker = f"POSTROUTING -s 172.{16 + int(new[0], 16)}.{int(new[1:3], 16)}.0/24 -j MASQUERADE".split()
        self._run(*nat, "-N", chain)
        self._run(*nat, "-A", *of_pod)
        self._run(*nat, "-A", *of_docker)
        return [[*nat, "-D", *of_pod], [*nat, "-D", *of_docker], [*nat, "-X", chain]]

    def _namespace(self, new: str) -> list[Any]:
        """In the folder of the containerd, as another pod's."""
        path = self._given.containerd.namespaces / f"cni-{new}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        subprocess.run(["unshare", f"--net={path}", "true"], check=True, timeout=60)
        return [["umount", str(path)]]


def test_a_neighbour_who_makes_and_takes_away_all_the_time_fails_no_scenario(run_suite: RunSuite, given: Given) -> None:
    with Neighbour(given) as neighbour:
        run = run_suite("-k", "cni and containerd and not address", *given.options)
        assert neighbour.plugin.poll() is None, "a plugin that works for somebody else is ended"
    assert neighbour.rounds > 20
    outcomes = {name: case.outcome for name, case in run.cases.items()}
    assert outcomes.pop("test_cni_add_is_slow_and_the_runtime_is_killed[containerd]") == "skipped"
    assert set(outcomes.values()) == {"passed"}, run.output
    assert given.containerd.pods() == {}


INTO_THE_HOST = """
[ "$CNI_COMMAND" = DEL ] && nsenter --net="$CNI_NETNS" ip link set eth0 netns $$ name "back${RANDOM}" </dev/null
"""
# At a rollback, which comes with no interface in the pod, something stays that no name tells the pod of.
LEAVES_AN_INTERFACE_IF_FAILING = """
[ "$CNI_COMMAND" = DEL ] && ! nsenter --net="$CNI_NETNS" ip link show eth0 </dev/null >/dev/null 2>&1 &&
  ip link add "odd${RANDOM}" type veth peer name "even${RANDOM}" </dev/null
"""
IN_DOUBT = "of a pod whose ADD failed it is not known whether it left"
NO_DEL = '[ "$CNI_COMMAND" = DEL ] && exit 0'
# bridge finds the rules of a pod by the addresses that it still has.
NO_ADDRESS = """
[ "$CNI_COMMAND" = DEL ] && nsenter --net="$CNI_NETNS" ip address flush dev eth0 </dev/null
"""
# A rule that names the address alone, and a chain that a rule with the address jumps to.
BY_ADDRESS = """
if [ "$CNI_COMMAND" = ADD ]; then
  result=$(/usr/lib/cni/bridge) || { echo "$result"; exit 1; }
  address=$(nsenter --net="$CNI_NETNS" ip -4 -o address show eth0 </dev/null | awk '{sub("/.*", "", $4); print $4}')
  iptables --wait -t nat -N "ODD-${CNI_CONTAINERID:0:8}"
  iptables --wait -t nat -A "ODD-${CNI_CONTAINERID:0:8}" -j RETURN
  iptables --wait -t nat -A PREROUTING -d "$address" -p tcp --dport 80 -j "ODD-${CNI_CONTAINERID:0:8}"
  echo "$result"; exit 0
fi
"""
# The rule goes with the pod, its chain does not.
CHAIN_STAYS = (
    BY_ADDRESS
    + """
[ "$CNI_COMMAND" = DEL ] && iptables-save -t nat | grep "^-A PREROUTING.*-j ODD-${CNI_CONTAINERID:0:8}" |
  while read -r _ words; do iptables --wait -t nat -D $words; done
"""
)


@pytest.mark.parametrize(
    ("plugin", "script", "words"),
    [
        # With its interface gone, bridge finds no rules of it either.
        ("bridge", INTO_THE_HOST, ("interface veth", "interface back", "rule iptables-save: nat: :CNI-")),
        ("host-local", NO_DEL, ("lease given/10.88.62.", "lease given/fd00:88:62::")),
        ("bridge", NO_ADDRESS, ("rule iptables-save: nat: -A POSTROUTING", "rule iptables-save: nat: :CNI-")),
        ("bridge", BY_ADDRESS, ("rule iptables-save: nat: -A PREROUTING", "rule iptables-save: nat: :ODD-")),
        ("bridge", CHAIN_STAYS, ("rule iptables-save: nat: :ODD-", "-j RETURN")),
    ],
    ids=["interface", "lease", "NAT rule", "rule by address", "chain"],
)
def test_what_a_plugin_leaves_on_the_host_of_the_containerd_is_caught(
    run_suite: RunSuite, given: Given, plugin: str, script: str, words: tuple[str, ...]
) -> None:
    with Neighbour(given) as neighbour, given.defect(plugin, script):
        run = run_suite("-k", "cni_del_is_idempotent and containerd", *given.options)
    (case,) = run.cases.values()
    assert case.outcome == "failure", run.output
    left = max((line for line in case.message.splitlines() if "left over: " in line), key=len)
    assert all(word in left for word in words), left
    kinds = {word.split()[0] for word in words if not word.startswith("-")}
    assert {each.split()[0] for each in left.partition("left over: ")[2].split("; ")} == kinds, left
    assert not [made for made in neighbour.made if made in left], left


# The chain is all pods', as those of portmap are.
CHAIN_IS_SHARED = """
if [ "$CNI_COMMAND" = ADD ]; then
  result=$(/usr/lib/cni/bridge) || { echo "$result"; exit 1; }
  address=$(nsenter --net="$CNI_NETNS" ip -4 -o address show eth0 </dev/null | awk '{sub("/.*", "", $4); print $4}')
  iptables --wait -t nat -N EVERYBODYS 2>/dev/null && iptables --wait -t nat -A EVERYBODYS -j RETURN
  iptables --wait -t nat -A PREROUTING -d "$address" -p tcp --dport 80 -j EVERYBODYS
  echo "$result"; exit 0
fi
if [ "$CNI_COMMAND" = DEL ]; then
  address=$(nsenter --net="$CNI_NETNS" ip -4 -o address show eth0 </dev/null | awk '{sub("/.*", "", $4); print $4}')
  [ -n "$address" ] && iptables --wait -t nat -D PREROUTING -d "$address" -p tcp --dport 80 -j EVERYBODYS
fi
"""


def test_a_chain_that_all_pods_share_is_nobodys(run_suite: RunSuite, given: Given) -> None:
    with given.defect("bridge", CHAIN_IS_SHARED):
        run = run_suite("-k", "cni_del_is_idempotent and containerd", *given.options)
    assert [case.outcome for case in run.cases.values()] == ["passed"], run.output


def test_what_an_add_that_failed_leaves_never_passes(run_suite: RunSuite, given: Given) -> None:
    """What such a pod was connected to is seen while its plugins run; on a busy machine too late."""
    with given.defect("bridge", INTO_THE_HOST):
        run = run_suite("-k", "cni_done_but_the_reply_is_lost and containerd", *given.options)
    (case,) = run.cases.values()
    assert ("left over: " if case.outcome == "failure" else IN_DOUBT) in case.message, run.output


def test_what_may_be_of_an_add_that_failed_skips(
    run_suite: RunSuite, given: Given, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no plugin is seen, nothing tells whose an interface is that leads to none of our pods."""
    monkeypatch.setattr("holdfast.cni.plugin.running", lambda _: [])
    with given.defect("bridge", LEAVES_AN_INTERFACE_IF_FAILING):
        run = run_suite("-k", "cni_add_fails_once and containerd", *given.options)
    (case,) = run.cases.values()
    assert case.outcome == "skipped", run.output
    assert IN_DOUBT in case.message
    assert "interface odd" in case.message


def test_a_containerd_and_a_chain_that_somebody_brings(run_suite: RunSuite) -> None:
    """Without masquerade, for bridge leaves the rules of an address that is gone."""
    with given_containerd(masquerade=False) as given:
        run = run_suite("-k", "cni_the_address and containerd", *given.options)
        assert [case.outcome for case in run.cases.values()] == ["passed"], run.output
        assert given.containerd.pods() == {}


def test_a_lease_of_somebody_elses_in_the_folder_of_a_chain_that_is_brought_fails_no_pod_by_hand(
    run_suite: RunSuite, tmp_path: Path
) -> None:
    if os.geteuid() != 0 or not (REFERENCE / "bridge").is_file():
        pytest.skip("needs root and containernetworking-plugins")
    leases, plugins = tmp_path / "leases" / NETWORK, tmp_path / "bin"
    leases.mkdir(parents=True)
    plugins.mkdir()
    theirs = f'[ "$CNI_COMMAND" = ADD ] && echo {uuid.uuid4().hex * 2} > {leases}/10.88.62.2$((RANDOM % 55))'
    forgets = '[ "$CNI_COMMAND" = DEL ] && exit 0'
    addresses = {"type": "host-local", "dataDir": str(leases.parent), "ranges": [[{"subnet": "10.88.62.0/26"}]]}
    able = {"io.kubernetes.cri.pod-annotations": True}
    failing = {"type": "cni-bridge-fp", "bridge": "hf0", "capabilities": able, "ipam": addresses}
    chain = tmp_path / "own.conflist"
    chain.write_text(json.dumps({"cniVersion": "1.0.0", "name": NETWORK, "plugins": [failing]}))
    options = ("--cni-conflist", str(chain), "--cni-path", f"{plugins}:{REFERENCE}")
    for script, outcome in ((theirs, "passed"), (f"{theirs}\n{forgets}", "failure")):
        (plugins / "host-local").write_text(f"#!/bin/bash\n{script}\nexec {REFERENCE / 'host-local'}\n")
        (plugins / "host-local").chmod(0o755)
        run = run_suite("-k", "cni_del_is_idempotent and not containerd", *options)
        (case,) = run.cases.values()
        assert case.outcome == outcome, run.output
    left = max((line for line in case.message.splitlines() if "left over: " in line), key=len)
    assert "lease given/10.88.62." in left
    assert len(left.split("; ")) == 1, left


def test_a_containerd_is_not_looked_at_where_there_is_no_linux(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "darwin")
    with pytest.raises(HoldfastError, match="need Linux"):
        GivenContainerd(tmp_path / "containerd.sock").host()
