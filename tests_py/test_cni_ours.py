"""Which traces are our pods', told from what others made: each kind, without a network."""

from __future__ import annotations

import hashlib
import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from holdfast import waiting
from holdfast.cni import GivenContainerd, NetworkNamespace
from holdfast.cni.ours import Ours, Perhaps, Rule
from holdfast.exceptions import HoldfastError

ID, OTHER = "ab" * 32, "cd" * 32
HASH = hashlib.sha512(f"net{ID}".encode()).hexdigest()


def link(index: int, name: str, *, kind: str = "veth", **more: Any) -> dict[str, Any]:
    return {
        "ifindex": index,
        "ifname": name,
        "address": f"02:00:00:00:00:{index:02x}",
        "linkinfo": {"info_kind": kind},
    } | more


class Told(NetworkNamespace):
    """A network namespace with these interfaces, and an address on each."""

    def __init__(self, *links: Mapping[str, Any], address: str = "10.1.0.5/24") -> None:
        super().__init__("told")
        self._links, self._address = list(links), address

    def links(self) -> list[Mapping[str, Any]]:
        return self._links

    def addresses(self, interface: str) -> list[str]:  # noqa: ARG002
        return [self._address]


@pytest.fixture
def ours() -> Ours:
    """One pod, of which all is known."""
    made = Ours("net")
    made.pod("pod-0", ID)
    host = Told(link(7, "veth7", link_index=2, link_netnsid=0), link(8, "veth8", link_index=2, link_netnsid=1))
    assert made.saw(Told(link(2, "eth0", link_index=7, link_netnsid=0)), host)
    return made


@pytest.mark.parametrize(
    ("there", "is_ours"),
    [
        (link(7, "veth7", link_index=2, link_netnsid=0), True),
        (link(7, "renamed"), True),  # of the same hardware address
        (link(7, "veth7", address="02:00:00:00:00:99"), True),
        (link(7, "eth0", address="02:00:00:00:00:99"), False),  # of another namespace, and its index was free again
        (link(8, "veth8", link_index=2, link_netnsid=1), False),
        (link(9, "veth7"), False),  # another had the name free again
        (link(9, "bwp" + HASH[:12], kind="ifb"), True),
        (link(9, "bwp" + hashlib.sha512(f"net{OTHER}".encode()).hexdigest()[:12], kind="ifb"), False),
        (link(9, "cali" + ID[:11]), True),
        (link(9, "dummy0", kind="dummy"), False),
        (link(9, "tap0", kind="tun", ifalias=f"pod {ID}"), True),
        (link(9, "tap0", kind="tun", altnames=["pod-0"]), True),
    ],
)
def test_an_interface_is_ours_while_it_stays_what_it_was(ours: Ours, there: dict[str, Any], is_ours: bool) -> None:
    assert ours.interfaces([there]) == ({there["ifname"]} if is_ours else set())


def test_what_stands_on_an_interface_of_ours_is_ours_and_stays_it(ours: Ours) -> None:
    moved = link(12, "back", link="veth7")
    on_it = link(13, "vlan", kind="vlan", link="back")
    theirs = link(14, "vlan2", kind="vlan", link="enp1s0")
    assert ours.interfaces([link(7, "veth7", link="back"), on_it, moved, theirs]) == {"veth7", "back", "vlan"}
    assert ours.interfaces([link(12, "back")]) == {"back"}


def test_a_result_names_interfaces_and_addresses(ours: Ours) -> None:
    result = {
        "interfaces": [{"name": "tap5"}, {"name": "eth0", "sandbox": "/run/netns/x"}],
        "ips": [{"address": "10.1.0.77/24"}],
    }
    ours.told(result, Told(link(20, "tap5", kind="tun"), link(1, "eth0")))
    assert ours.interfaces([link(20, "tap5", kind="tun"), link(1, "eth0")]) == {"tap5"}
    assert ours.rules([Rule("iptables-save", "nat", "-A X -d 10.1.0.77/32 -j ACCEPT")])


def test_an_interface_that_ends_elsewhere_than_where_we_look_is_said(ours: Ours) -> None:
    inside = Told(link(2, "eth0", link_index=9, link_netnsid=0))
    assert not ours.saw(inside, Told(link(7, "veth7", link_index=2, link_netnsid=0)))
    assert not ours.saw(inside, Told(link(9, "enp1s0", kind="dummy")))


def rules(*lines: str, table: str = "nat") -> list[Rule]:
    return [Rule("iptables-save", table, line) for line in lines]


@pytest.mark.parametrize(
    ("line", "is_ours"),
    [
        (f'-A POSTROUTING -s 10.1.0.9/32 -m comment --comment "name: net id: {ID}" -j RETURN', True),
        (f":CNI-{HASH[:24]}", True),
        (f":CNI-DN-{HASH[:21]}", True),
        ("-A PREROUTING -p tcp -m tcp --dport 80 -j DNAT --to-destination 10.1.0.5:80", True),
        ("-A CNI-FORWARD -d 10.1.0.5/32 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT", True),
        ("-A CNI-FORWARD -d 10.1.0.50/32 -j ACCEPT", False),
        ("-A POSTROUTING -s 10.1.0.0/24 -j MASQUERADE", False),
        (f'-A POSTROUTING -s 10.1.0.5/32 -m comment --comment "id: {OTHER}" -j CNI-OTHER', False),  # has it now
        ("-A KUBE-SERVICES -d 10.96.0.1/32 -j KUBE-SVC-X", False),
        ("-A DOCKER -d 172.17.0.2/32 -j ACCEPT", False),
        (":DOCKER", False),
    ],
)
def test_a_rule_is_ours_by_what_it_names(ours: Ours, line: str, is_ours: bool) -> None:
    (rule,) = rules(line)
    assert ours.rules([rule]) == ({rule} if is_ours else set())


def test_rules_of_the_other_family_name_addresses_too(ours: Ours) -> None:
    ours.saw(Told(link(2, "eth0"), address="fd00::5/64"), Told())
    held = [
        Rule("ip6tables-save", "nat", f"-A PREROUTING {words}")
        for words in ("-j DNAT --to-destination [fd00::5]:80", "-d fd00::5/128 -j ACCEPT", "-d fd00::55/128 -j ACCEPT")
    ]
    assert ours.rules(held) == set(held[:2])


def test_a_chain_is_ours_that_only_rules_of_ours_jump_to_and_stays_it(ours: Ours) -> None:
    own = rules("-A POSTROUTING -s 10.1.0.5/32 -j ODD-1", ":ODD-1", "-A ODD-1 -j ODD-2", ":ODD-2", "-A ODD-2 -j RETURN")
    shared = rules(
        "-A POSTROUTING -s 10.1.0.5/32 -j SHARED", ":SHARED", "-A SHARED -j MARK", "-A POSTROUTING -j SHARED"
    )
    assert ours.rules(own + shared) == {*own, shared[0]}
    assert ours.rules(own[1:] + shared[1:]) == set(own[1:])
    assert ours.rules(rules(":ODD-1", "-A ODD-1 -j RETURN", table="filter")) == set()


def test_leases_namespaces_and_processes_are_ours_by_the_pod(ours: Ours, tmp_path: Path) -> None:
    assert ours.lease(f"{ID}\r\neth0")
    assert not ours.lease(f"{OTHER}\r\neth0")
    (tmp_path / "cni-theirs").touch()
    (tmp_path / "cni-ours").touch()
    ours.in_namespace(tmp_path / "cni-ours")
    assert ours.namespaces(tmp_path) == {"cni-ours"}
    (tmp_path / "cni-ours").unlink()
    assert ours.namespaces(tmp_path) == set()
    arguments = "IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME={}"
    assert ours.process({"CNI_CONTAINERID": OTHER, "CNI_ARGS": arguments.format("pod-0")})
    assert ours.process({"CNI_CONTAINERID": ID})
    assert not ours.process({"CNI_CONTAINERID": OTHER, "CNI_ARGS": arguments.format("pod-00")})
    assert not ours.process({})


def test_what_a_failed_add_made_may_be_what_leads_nowhere(ours: Ours, tmp_path: Path) -> None:
    (tmp_path / "cni-new").touch()
    odd, theirs = link(30, "odd", kind="dummy"), link(31, "veth31", link_index=2, link_netnsid=4)
    of_others = rules(f'-A X -m comment --comment "{OTHER}" -j CNI-1', ":DOCKER")
    doubtful = rules(":CNI-2")
    perhaps = Perhaps(ours, [OTHER])

    def seen() -> tuple[object, ...]:
        return (
            perhaps.interfaces([odd, theirs, link(7, "veth7")]),
            perhaps.lease("unheard of"),
            perhaps.rules(of_others + doubtful),
            perhaps.namespaces(tmp_path),
        )

    assert seen() == (set(), False, set(), set())
    ours.failed("pod-1", f'failed to setup network for sandbox "{"ef" * 32}": no', seen=True)
    assert seen() == ({"odd"}, False, set(), set())  # the error tells the id
    assert ours.lease("ef" * 32)
    ours.failed("pod-2", "no answer in time", seen=False)
    assert seen() == ({"odd"}, True, set(doubtful), {"cni-new"})
    assert not perhaps.lease(f"{OTHER}\r\neth0")
    assert not perhaps.process({})


def test_a_list_of_interfaces_that_changed_while_it_was_read_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    told = [
        subprocess.CompletedProcess([], 0, "[]", "Dump was interrupted and may be inconsistent.\n"),
        subprocess.CompletedProcess([], 0, '[{"ifname": "lo"}]', ""),
    ]
    monkeypatch.setattr("holdfast.cni.namespace._done", lambda _: told.pop(0))
    assert NetworkNamespace("any").links() == [{"ifname": "lo"}]
    assert not told


LISTENS = "import socket, sys; s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen(); s.accept(); input()"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_we_look_where_the_containerd_is(tmp_path: Path) -> None:
    at = tmp_path / "c.sock"
    command = ["unshare", "--net", "--mount", sys.executable, "-c", LISTENS, str(at)]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as listener:
        assert waiting.until(at.exists, 60)
        given = GivenContainerd(at)
        assert [found["ifname"] for found in given.host().links()] == ["lo"]
        assert given.host().path.stat().st_ino == Path(f"/proc/{listener.pid}/ns/net").stat().st_ino
        assert given.place("/run/netns/x") == Path(f"/proc/{listener.pid}/root/run/netns/x")
        listener.kill()
    with pytest.raises(HoldfastError, match=r"c\.sock"):
        given.host()


def test_a_containerd_in_a_process_namespace_that_is_not_seen_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = tmp_path / "c.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(at))
        listener.listen()
        assert GivenContainerd(at).place("/x") == Path("/x")
        monkeypatch.setattr("holdfast.cni.containerd._CREDENTIALS", NoProcess)
        with pytest.raises(HoldfastError, match="no process namespace that is seen here"):
            GivenContainerd(at).host()


class NoProcess:
    """struct ucred, of a process that has no number here."""

    size = 12

    @staticmethod
    def unpack(told: bytes) -> tuple[int, int, int]:  # noqa: ARG004
        return (0, 0, 0)
