"""Chains as a runtime runs them: what is kept between ADD and DEL, and what is asked of which version."""

from __future__ import annotations

import json
import os
import stat
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from holdfast.cni import Chain, CniError, NetworkNamespace
from holdfast.cni.chain import addresses, routes
from holdfast.exceptions import InvalidArgumentError

from conftest import RunSuite
from peers import command

REFERENCE = Path("/usr/lib/cni")
REAL = pytest.mark.skipif(
    os.geteuid() != 0 or not (REFERENCE / "firewall").is_file(), reason="needs root and containernetworking-plugins"
)
# Writes down what it was asked, with which standard input; answers as its versions and its name say.
RECORDING = """#!/usr/bin/env python3
import json, os, pathlib, sys
here, command = pathlib.Path(__file__), os.environ["CNI_COMMAND"]
given = json.load(sys.stdin)
told = {key: value for key, value in os.environ.items() if key.startswith("CNI_")}
with open(here.parent / "asked.jsonl", "a") as record:
    record.write(json.dumps({"plugin": here.name, "command": command, "stdin": given, "environment": told}) + "\\n")
versions = (here.parent / (here.name + ".versions")).read_text().split()
failing = here.parent / (here.name + ".fails")
if command == "VERSION":
    print(json.dumps({"cniVersion": "1.0.0", "supportedVersions": versions}))
elif failing.exists() and command in failing.read_text():
    print(json.dumps({"code": 50, "msg": "not now", "details": "of " + here.name}))
    sys.exit(1)
elif command == "ADD":
    print(json.dumps({"cniVersion": given["cniVersion"], "ips": [{"address": "10.1.2.3/24"}], "by": here.name}))
"""
ALL = ("0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0")


class Bench:
    """A folder of plugins that write down what they are asked."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.plugins = folder / "bin"
        self.plugins.mkdir()

    def plugin(self, name: str, versions: Sequence[str] = ALL, fails: str = "") -> None:
        (self.plugins / name).write_text(RECORDING)
        (self.plugins / name).chmod(0o755)
        (self.plugins / f"{name}.versions").write_text(" ".join(versions))
        if fails:
            (self.plugins / f"{name}.fails").write_text(fails)

    def chain(self, *plugins: str | Mapping[str, Any], version: str | None = "1.0.0", **more: Any) -> Chain:
        held = [{"type": each} if isinstance(each, str) else each for each in plugins]
        said = {} if version is None else {"cniVersion": version}
        return Chain({"name": "net", "plugins": held, **said, **more}, [self.plugins], results=self.folder / "results")

    def asked(self, *commands: str) -> list[dict[str, Any]]:
        record = self.plugins / "asked.jsonl"
        lines = record.read_text().splitlines() if record.exists() else []
        return [line for line in map(json.loads, lines) if not commands or line["command"] in commands]

    def order(self, *commands: str) -> list[str]:
        return [f"{line['command']} {line['plugin']}" for line in self.asked(*commands)]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    made = Bench(tmp_path)
    made.plugin("first")
    made.plugin("second")
    return made


def test_del_and_check_get_what_add_said_from_another_runtime(bench: Bench) -> None:
    bench.chain("first", "second").add("c1", "/run/netns/none")
    bench.chain("first", "second").check("c1", "/run/netns/none")
    bench.chain("first", "second").delete("c1", "/run/netns/none")
    assert bench.order("CHECK", "DEL") == ["CHECK first", "CHECK second", "DEL second", "DEL first"]
    assert {line["stdin"]["prevResult"]["by"] for line in bench.asked("CHECK", "DEL")} == {"second"}
    assert not list((bench.folder / "results").iterdir())
    bench.chain("first", "second").delete("c1", "/run/netns/none")  # nothing is kept of it, and nothing is told
    assert "prevResult" not in bench.asked("DEL")[-1]["stdin"]


def test_del_that_fails_keeps_what_add_said(bench: Bench) -> None:
    bench.plugin("first", fails="DEL")
    chain = bench.chain("first", "second")
    chain.add("c1", "/run/netns/none")
    with pytest.raises(CniError, match="not now"):
        chain.delete("c1", "/run/netns/none")
    (bench.plugins / "first.fails").unlink()
    chain.delete("c1", "/run/netns/none")
    assert all("prevResult" in line["stdin"] for line in bench.asked("DEL"))


def test_an_add_that_fails_keeps_nothing(bench: Bench) -> None:
    bench.plugin("second", fails="ADD")
    chain = bench.chain("first", "second")
    with pytest.raises(CniError, match="not now"):
        chain.add("c1", "/run/netns/none")
    assert chain.attachments() == []
    with pytest.raises(CniError, match="no result of ADD is kept"):
        chain.check("c1", "/run/netns/none")


@pytest.mark.parametrize("version", ["0.3.0", "0.3.1"])
def test_before_0_4_0_del_is_told_nothing_and_check_is_not_asked_for(bench: Bench, version: str) -> None:
    chain = bench.chain("first", version=version)
    chain.add("c1", "/run/netns/none")
    with pytest.raises(CniError, match=f"cniVersion {version}, and CHECK came with 0.4.0"):
        chain.check("c1", "/run/netns/none")
    chain.delete("c1", "/run/netns/none")
    assert bench.order("CHECK") == []
    assert "prevResult" not in bench.asked("DEL")[0]["stdin"]


@pytest.mark.parametrize("said", ["true", True, "True"])
def test_a_chain_that_disables_check(bench: Bench, said: object) -> None:
    chain = bench.chain("first", disableCheck=said)
    assert chain.not_asked("CHECK") == "the configuration has disableCheck"
    assert bench.chain("first", disableCheck="false").not_asked("CHECK") is None


@pytest.mark.parametrize("form", ["one plugin", "list"])
def test_a_configuration_of_one_plugin_is_a_chain_of_one(bench: Bench, tmp_path: Path, form: str) -> None:
    plugin = {"type": "first", "bridge": "b0"}
    said = {"name": "net", "cniVersion": "0.4.0"}
    held = {**said, **plugin} if form == "one plugin" else {**said, "plugins": [plugin]}
    (tmp_path / "net.conf").write_text(json.dumps(held))
    chain = Chain(tmp_path / "net.conf", [bench.plugins], results=tmp_path / "results")
    chain.add("c1", "/run/netns/none")
    assert bench.asked("ADD")[0]["stdin"] == {**said, **plugin}


def test_del_is_told_again_what_add_was_told(bench: Bench) -> None:
    ports = [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]
    able = {"type": "first", "capabilities": {"portMappings": True, "bandwidth": False}}
    chain = bench.chain(able, "second")
    told = {"portMappings": ports, "bandwidth": {"ingressRate": 1}, "ips": ["10.0.0.9"]}
    chain.add("c1", "/run/netns/none", capabilities=told, arguments="IgnoreUnknown=1;K=V")
    bench.chain(able, "second").delete("c1", "/run/netns/none")
    for line in bench.asked("ADD", "DEL"):
        wanted = {"portMappings": ports} if line["plugin"] == "first" else None
        assert line["stdin"].get("runtimeConfig") == wanted
        assert "capabilities" not in line["stdin"]
        assert line["environment"]["CNI_ARGS"] == "IgnoreUnknown=1;K=V"
    chain.add("c1", "/run/netns/none", capabilities=told, arguments="K=V")
    chain.delete("c1", "/run/netns/none", capabilities={}, arguments="")
    assert "runtimeConfig" not in bench.asked("DEL")[-1]["stdin"]
    assert bench.asked("DEL")[-1]["environment"]["CNI_ARGS"] == ""


@pytest.mark.parametrize("name", ["../../../etc/passwd", "a/b", "-rf", "x" * 4000, "\N{SNOWMAN}\n", ".."])
def test_names_lead_nowhere(bench: Bench, name: str) -> None:
    chain = bench.chain("first", name=f"net{name}")
    chain.add(f"c{name}", "/run/netns/none", interface=f"e{name}")
    kept = list((bench.folder / "results").iterdir())
    assert [stat.S_IMODE(file.stat().st_mode) for file in kept] == [0o600]
    assert stat.S_IMODE((bench.folder / "results").stat().st_mode) == 0o700
    assert [each.container for each in chain.attachments()] == [f"c{name}"]
    assert bench.chain("first").attachments() == []
    chain.delete(f"c{name}", "/run/netns/none", interface=f"e{name}")
    assert chain.attachments() == []


def test_names_do_not_run_into_each_other(bench: Bench) -> None:
    one, other = bench.chain("first", name="a"), bench.chain("first", name="a-b")
    one.add("b-c", "/run/netns/none")
    other.add("c", "/run/netns/none")
    one.delete("b-c", "/run/netns/none")
    assert [each.container for each in other.attachments()] == ["c"]


def test_a_folder_that_is_not_ours_is_not_used_and_nothing_is_made(bench: Bench) -> None:
    (bench.folder / "elsewhere").mkdir()
    (bench.folder / "results").symlink_to(bench.folder / "elsewhere")
    with pytest.raises(CniError, match="no folder of this user's"):
        bench.chain("first").add("c1", "/run/netns/none")
    assert bench.order() == []


@pytest.mark.parametrize("instead", ["fifo", "link", "folder", "garbage", "older"])
def test_a_result_that_cannot_be_read_is_said_and_hangs_nothing(bench: Bench, instead: str) -> None:
    chain = bench.chain("first")
    chain.add("c1", "/run/netns/none")
    (kept,) = (bench.folder / "results").iterdir()
    kept.unlink()
    if instead == "fifo":
        os.mkfifo(kept)
    elif instead == "link":
        kept.symlink_to("/etc/passwd")
    elif instead == "folder":
        kept.mkdir()
    else:
        kept.write_text("{" if instead == "garbage" else '{"kind": "holdfast.cni/1", "unheard": 1}')
    with pytest.raises(CniError, match=kept.name) as refused:
        chain.delete("c1", "/run/netns/none")
    assert "remove it" in str(refused.value.hint)
    assert chain.attachments() == []


def test_gc_takes_what_is_not_in_use_and_tells_each_plugin_what_is(bench: Bench, tmp_path: Path) -> None:
    chain = bench.chain("first", "second", version="1.1.0")
    there = tmp_path / "namespace"
    there.touch()
    chain.add("alive", there)
    chain.add("stale", "/run/netns/none")
    assert chain.gc() == []
    assert [line["environment"]["CNI_CONTAINERID"] for line in bench.asked("DEL")] == ["stale", "stale"]
    assert bench.order("GC") == ["GC first", "GC second"]
    used = [{"containerID": "alive", "ifname": "eth0"}]
    assert [line["stdin"]["cni.dev/valid-attachments"] for line in bench.asked("GC")] == [used, used]
    assert set(bench.asked("GC")[0]["environment"]) == {"CNI_COMMAND", "CNI_PATH"}
    chain.gc([])
    assert chain.attachments() == []
    assert bench.asked("GC")[-1]["stdin"]["cni.dev/valid-attachments"] == []


def test_gc_goes_on_after_a_plugin_that_fails(bench: Bench) -> None:
    bench.plugin("first", fails="GC DEL")
    chain = bench.chain("first", "second", version="1.1.0")
    chain.add("stale", "/run/netns/none")
    chain.add("stale too", "/run/netns/none")
    with pytest.raises(CniError, match=r"not now.*; .*not now") as failed:
        chain.gc()
    assert bench.order("GC") == ["GC first", "GC second"]
    assert failed.value.details.splitlines() == ["of first"] * 3


def test_gc_of_an_early_chain_deletes_what_is_not_in_use_and_asks_no_plugin(bench: Bench) -> None:
    chain = bench.chain("first", version="0.4.0")
    chain.add("stale", "/run/netns/none")
    (silent,) = chain.gc()
    assert str(silent) == (
        "first: GC was not asked for: the configuration is of cniVersion 0.4.0, and GC came with 1.1.0"
    )
    assert bench.order("DEL", "GC") == ["DEL first"]


def test_gc_that_is_disabled_does_nothing(bench: Bench) -> None:
    chain = bench.chain("first", version="1.1.0", disableGC=True)
    chain.add("stale", "/run/netns/none")
    assert [each.why for each in chain.gc()] == ["the configuration has disableGC"]
    assert bench.order("DEL", "GC") == []


def test_status_asks_each_plugin_that_knows_it(bench: Bench) -> None:
    bench.plugin("old", ("0.4.0", "1.0.0"))
    chain = bench.chain("first", "old", "second", version="1.1.0")
    (silent,) = chain.status()
    assert silent.plugin == "old"
    assert "1.1.0" in silent.why
    assert bench.order("STATUS") == ["STATUS first", "STATUS second"]
    bench.plugin("second", fails="STATUS")
    with pytest.raises(CniError, match="second: not now") as failed:
        chain.status()
    assert failed.value.number == 50
    assert [each.command for each in bench.chain("first").status()] == ["STATUS"]


@pytest.mark.parametrize(
    ("said", "several", "plugins", "chosen"),
    [
        ("1.0.0", None, [ALL], "1.0.0"),
        (None, None, [ALL], "0.1.0"),
        ("0.4.0", ["0.4.0", "1.0.0", "1.1.0"], [ALL, ALL], "1.1.0"),
        ("0.4.0", ["1.1.0", "1.0.0"], [ALL, ("0.4.0", "1.0.0")], "1.0.0"),
        ("0.4.0", ["9.9.9", "1.0.0"], [ALL], "1.0.0"),
        ("1.0.0", ["1.1.0"], [("0.3.1",)], "1.1.0"),
        ("9.9.9", None, [ALL], "9.9.9"),
    ],
)
def test_of_several_versions_the_highest_that_all_speak(
    bench: Bench, said: str | None, several: list[str] | None, plugins: Sequence[Sequence[str]], chosen: str
) -> None:
    for at, speaks in enumerate(plugins):
        bench.plugin(f"p{at}", speaks)
    more = {} if several is None else {"cniVersions": several}
    chain = bench.chain(*(f"p{at}" for at in range(len(plugins))), version=said, **more)
    assert chain.version == chosen
    chain.add("c1", "/run/netns/none")
    assert {line["stdin"]["cniVersion"] for line in bench.asked("ADD")} == {chosen}
    assert all("cniVersions" not in line["stdin"] for line in bench.asked("ADD"))


def test_a_version_that_is_none_and_a_type_that_is_a_path(bench: Bench) -> None:
    with pytest.raises(InvalidArgumentError, match="'one' is no version"):
        bench.chain("first", version="one").check("c1", "/run/netns/none")
    with pytest.raises(CniError, match="without a folder"):
        bench.chain("../bin/first").add("c1", "/run/netns/none")


def test_results_of_all_versions_are_read() -> None:
    early = {"ip4": {"ip": "10.0.0.2/24", "routes": [{"dst": "0.0.0.0/0"}]}, "ip6": {"ip": "fd00::2/64"}}
    later = {"ips": [{"address": "10.0.0.2/24"}, {"address": "fd00::2/64"}], "routes": [{"dst": "0.0.0.0/0"}]}
    for result in (early, later):
        assert addresses(result) == ["10.0.0.2/24", "fd00::2/64"]
        assert routes(result) == ["0.0.0.0/0"]
    assert addresses({"ips": None, "routes": None}) == routes({}) == []


@pytest.fixture
def host() -> Iterator[NetworkNamespace]:
    with NetworkNamespace.create(f"hf-chain-{uuid.uuid4().hex[:8]}") as made:
        yield made


@pytest.fixture
def container() -> Iterator[NetworkNamespace]:
    with NetworkNamespace.create(f"hf-pod-{uuid.uuid4().hex[:8]}") as made:
        yield made


def reference_chain(folder: Path, version: str, *subnets: str, **more: Any) -> dict[str, Any]:
    """bridge, portmap, firewall and bandwidth, as podman and nerdctl write them."""
    rates = {f"{way}{what}": 1_000_000 for way in ("ingress", "egress") for what in ("Rate", "Burst")}
    ranges = [[{"subnet": subnet}] for subnet in subnets]
    ipam = {"type": "host-local", "dataDir": str(folder / "leases"), "ranges": ranges, **more}
    plugins = [
        {"type": "bridge", "bridge": "hf0", "isGateway": True, "ipMasq": True, "ipam": ipam},
        {"type": "portmap", "capabilities": {"portMappings": True}},
        *([{"type": "firewall"}] if version != "0.3.1" else []),  # firewall began with 0.4.0
        {"type": "bandwidth", **rates},
    ]
    return {"cniVersion": version, "name": "net", "plugins": plugins}


@REAL
@pytest.mark.parametrize("version", ["0.3.1", "0.4.0", "1.0.0"])
@pytest.mark.parametrize("subnets", [("10.88.66.0/24",), ("fd00:88:66::/64",), ("10.88.66.0/24", "fd00:88:66::/64")])
def test_add_and_delete_of_the_command_leave_nothing_of_a_real_chain(
    tmp_path: Path, host: NetworkNamespace, container: NetworkNamespace, version: str, subnets: Sequence[str]
) -> None:
    chain = tmp_path / "net.conflist"
    chain.write_text(json.dumps(reference_chain(tmp_path, version, *subnets)))
    attached = (str(chain), "c1", str(container.path), "--host", host.name, "--path", str(REFERENCE))
    ports = 'portMappings=[{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]'
    rules: list[set[str]] = []
    for _ in range(2):  # the first brings what pods share
        done = command(tmp_path, "cni", "add", *attached, "--capability", ports)
        assert done.returncode == 0, done.stderr
        addresses_there = {each.partition("/")[0] for each in addresses(json.loads(done.stdout))}
        assert len(addresses_there) == len(subnets)
        assert addresses_there & set(" ".join(_rules(host)).replace("/", " ").split())
        done = command(tmp_path, "cni", "delete", *attached)
        assert done.returncode == 0, done.stderr
        rules.append(_rules(host))
        assert not addresses_there & set(" ".join(rules[-1]).replace("/", " ").split())
        assert {link["ifname"] for link in host.links()} == {"lo", "hf0"}
        assert not [
            file for file in (tmp_path / "leases" / "net").iterdir() if file.name[0].isdigit() or "::" in file.name
        ]
    assert rules[0] == rules[1]


def _rules(host: NetworkNamespace) -> set[str]:
    saved = host.run(["iptables-save"]) + host.run(["ip6tables-save"])
    return {line.partition("[")[0] for line in saved.splitlines() if line.startswith(("-A", ":CNI"))}


def failing_chain(folder: Path, version: str, *subnets: str, **more: Any) -> Path:
    """The reference chain with the failpoint plugin in bridge's place, as somebody brings it to the suite."""
    held = reference_chain(folder, version, *subnets, **more)
    held["plugins"][0].update(type="cni-bridge-fp", capabilities={"io.kubernetes.cri.pod-annotations": True})
    held["plugins"][0]["ipMasq"] = False  # bridge leaves rules of an address that is gone
    held["plugins"][0]["isGateway"] = len(subnets) < 3  # of each family a bridge is one network's gateway
    path = folder / "own.conflist"
    path.write_text(json.dumps(held))
    return path


@REAL
def test_the_suite_on_a_chain_of_0_3_1_skips_check_and_says_why(run_suite: RunSuite, tmp_path: Path) -> None:
    chain = failing_chain(tmp_path, "0.3.1", "10.88.67.0/24", routes=[{"dst": "0.0.0.0/0"}])
    run = run_suite("-k", "cni and not containerd and not slow and not late", "--cni-conflist", str(chain))
    assert run.exit_code == 0, run.output
    skipped = {name: case.message for name, case in run.cases.items() if case.outcome == "skipped"}
    assert "cniVersion 0.3.1, and CHECK came with 0.4.0" in skipped.pop("test_cni_check_detects_drift")
    assert "STATUS came with 1.1.0" in skipped.pop("test_cni_status_says_whether_an_add_can_be_served")
    assert not skipped


@REAL
@pytest.mark.parametrize(
    ("subnets", "routes"),
    [
        (("10.88.68.0/24",), None),
        (("10.88.68.0/24",), [{"dst": "10.99.0.0/16", "gw": "10.88.68.1"}]),
        (("fd00:88:68::/64",), None),
        (("fd00:88:68::/64",), [{"dst": "fd00:99::/64", "gw": "fd00:88:68::1"}]),
        (("fd00:88:68::/64",), [{"dst": "::/0"}]),
        (("10.88.68.0/24", "10.88.69.0/24", "fd00:88:68::/64"), [{"dst": "0.0.0.0/0"}]),
    ],
)
def test_the_suite_on_a_chain_of_any_routes_and_families(
    run_suite: RunSuite, tmp_path: Path, subnets: Sequence[str], routes: list[dict[str, str]] | None
) -> None:
    chain = failing_chain(tmp_path, "1.0.0", *subnets, **({} if routes is None else {"routes": routes}))
    run = run_suite("-k", "cni_check or cni_gc or retry_succeeds and not containerd", "--cni-conflist", str(chain))
    assert run.exit_code == 0, run.output
    assert {case.outcome for case in run.cases.values()} == {"passed"}, run.output


@REAL
def test_a_route_that_the_reference_bridge_does_not_find_again(run_suite: RunSuite, tmp_path: Path) -> None:
    chain = failing_chain(tmp_path, "1.0.0", "10.88.68.0/24", routes=[{"dst": "10.99.0.0/16"}])
    run = run_suite("-k", "cni_check or cni_gc", "--cni-conflist", str(chain))
    assert run.exit_code == 0, run.output
    told = run.cases["test_cni_check_detects_drift"]
    assert told.outcome == "xfailed"
    assert "10.99.0.0" in told.message
    assert run.cases["test_cni_gc_takes_what_is_not_in_use_and_nothing_else"].outcome == "passed"


@REAL
@pytest.mark.parametrize("lacks", ["cni-bridge-fp", "capabilities"])
def test_a_chain_that_no_failpoint_reaches_is_skipped_with_the_reason(
    run_suite: RunSuite, tmp_path: Path, lacks: str
) -> None:
    path = failing_chain(tmp_path, "1.0.0", "10.88.67.0/24")
    held = json.loads(path.read_text())
    if lacks == "capabilities":
        del held["plugins"][0]["capabilities"]
    else:
        held["plugins"][0]["type"] = "bridge"
    path.write_text(json.dumps(held))
    run = run_suite("-k", "cni_del", "--cni-conflist", str(path))
    assert {case.outcome for case in run.cases.values()} == {"skipped"}, run.output
    assert all(lacks in case.message for case in run.cases.values())


# Does as the reference bridge of 1.0.0 does, and knows the commands of 1.1.0.
LATER = """#!/usr/bin/env python3
import json, os, subprocess, sys
command, given = os.environ["CNI_COMMAND"], json.load(sys.stdin)
if command in ("GC", "STATUS"):
    sys.exit(0)
held = given.get("prevResult")
for each in (given, held or {}):
    each["cniVersion"] = "1.0.0"
done = subprocess.run(["/usr/lib/cni/bridge"], input=json.dumps(given).encode(), stdout=subprocess.PIPE)
sys.stdout.write(done.stdout.decode().replace('"cniVersion": "1.0.0"', '"cniVersion": "1.1.0"'))
sys.exit(done.returncode)
"""


@REAL
def test_the_suite_on_a_chain_of_1_1_0(run_suite: RunSuite, tmp_path: Path) -> None:
    plugins = tmp_path / "bin"
    plugins.mkdir()
    (plugins / "bridge").write_text(LATER)
    (plugins / "bridge").chmod(0o755)
    held = json.loads(failing_chain(tmp_path, "1.1.0", "10.88.67.0/24").read_text())
    del held["plugins"][1:]  # the others end at 1.0.0
    (tmp_path / "own.conflist").write_text(json.dumps(held))
    options = ("--cni-conflist", str(tmp_path / "own.conflist"), "--cni-path", f"{plugins}:{REFERENCE}")
    run = run_suite("-k", "cni_check or cni_gc or cni_status", *options)
    assert {name: case.outcome for name, case in run.cases.items()} == {
        "test_cni_check_detects_drift": "passed",
        "test_cni_gc_takes_what_is_not_in_use_and_nothing_else": "passed",
        "test_cni_status_says_whether_an_add_can_be_served": "passed",
    }, run.output
