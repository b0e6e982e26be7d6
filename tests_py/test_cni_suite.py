"""`pytest -k cni`: the scenarios run for real here, by hand and under containerd."""

from __future__ import annotations

import json
import os
import stat
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from holdfast import judge, report
from holdfast.cni import NetworkNamespace

from conftest import RunSuite, isolated
from peers import command

CI = os.environ.get("CI") == "true"
SCENARIOS = 15
# Of each scenario that containerd can do too, and those that it cannot: it asks for no CHECK, GC or STATUS.
BY_HAND = 3
RUNS = 2 * (SCENARIOS - BY_HAND) + BY_HAND
# A program header that names an interpreter: the dynamic loader.
PT_INTERP = 3
CREATE = NetworkNamespace.create


def test_all_scenarios_and_nothing_else(run_suite: RunSuite, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[NetworkNamespace] = []

    def create(name: str) -> NetworkNamespace:
        made.append(CREATE(name))
        return made[-1]

    monkeypatch.setattr(NetworkNamespace, "create", create)
    run = run_suite("-k", "cni", *(["--cni-required"] if CI else []))
    assert len(run.cases) == RUNS, run.output
    status = run.cases.pop("test_cni_status_says_whether_an_add_can_be_served")
    if not CI and any(case.outcome == "skipped" for case in run.cases.values()):
        pytest.skip(next(case.message for case in run.cases.values() if case.outcome == "skipped"))
    assert run.exit_code == 0, run.output
    assert "STATUS came with 1.1.0" in status.message  # the chain is one of 1.0.0
    odd = {name: case.outcome for name, case in run.cases.items() if case.outcome != "passed"}
    assert set(odd.values()) <= {"xfailed"}
    known = "test_cni_the_address_is_removed_before_del"  # bridge 1.1 keeps the NAT rules of an address that is gone
    assert all(name.startswith(known) for name in odd), odd
    assert "EMULATED" not in run.output
    assert "holdfast: the suite's own chain; bridge of /usr/lib/cni; /usr/bin/containerd" in run.output
    assert len(made) > SCENARIOS
    assert [namespace.name for namespace in made if namespace.path.exists()] == []


def test_where_something_is_missing_it_skips_and_says_what_to_do(run_suite: RunSuite, tmp_path: Path) -> None:
    run = run_suite("-k", "cni_del", "--cni-path", str(tmp_path))
    assert run.exit_code == 0, run.output
    assert {case.outcome for case in run.cases.values()} == {"skipped"}
    assert all("--cni-path" in case.message or "root" in case.message for case in run.cases.values())
    assert run_suite("-k", "cni_del", "--cni-path", str(tmp_path), "--cni-required").exit_code == 1


def test_why_all_scenarios_were_skipped_is_on_the_screen_once(
    run_suite: RunSuite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As for whoever runs it without root."""
    monkeypatch.setattr(os, "geteuid", lambda: 65534)
    run = run_suite("-k", "cni")
    assert run.exit_code == 0, run.output
    outcomes = {case.outcome for case in run.cases.values()}
    assert outcomes == {"skipped"}
    why = "network namespaces need root: run it with sudo, or as root in a virtual machine"
    assert [line for line in run.output.splitlines() if why in line] == [f"{len(run.cases)} skipped: {why}"]


@pytest.mark.parametrize(
    ("case", "script", "words"),
    [
        ("cni_del_is_idempotent", '[ "$CNI_COMMAND" = DEL ] && exit 0', "left over: interface veth"),
        ("cni_check_detects_drift", '[ "$CNI_COMMAND" = CHECK ] && exit 0', "it must fail and say"),
        ("cni_the_plugin_panics", '[ "$CNI_COMMAND" = ADD ] && exec echo "{}"', "eth0"),
    ],
)
def test_a_bridge_with_a_defect_is_caught(
    run_suite: RunSuite, tmp_path: Path, case: str, script: str, words: str
) -> None:
    if os.geteuid() != 0 or not Path("/usr/lib/cni/bridge").is_file():
        pytest.skip("needs root and containernetworking-plugins")
    defect = tmp_path / "bin" / "bridge"
    defect.parent.mkdir()
    defect.write_text(f"#!/bin/sh\n{script}\nexec /usr/lib/cni/bridge\n")
    defect.chmod(0o755)
    kept, page = tmp_path / "kept", tmp_path / "run.html"
    options = ("--cni-path", f"{defect.parent}:/usr/lib/cni", "--dut-artifacts", str(kept), "--dut-report", str(page))
    run = run_suite("-k", f"{case} and not containerd", *options)
    assert [verdict.outcome for verdict in run.cases.values()] == ["failure"], run.output
    assert words in run.output
    (told,) = report.read(kept).cases
    assert (told.suite, told.verdict, told.device) == ("cni", "FAIL", "CNI, by hand")
    assert words in told.failures[0].words
    assert f"{told.plan_id} FAIL" in " ".join(run.output.split())
    assert told.plan_id in page.read_text()
    assert [each.differs for each in judge.again(kept)] == [()]


def test_the_demo_of_the_documentation(tmp_path: Path) -> None:
    if os.geteuid() != 0 or not Path("/usr/lib/cni/bridge").is_file():
        pytest.skip("needs root and containernetworking-plugins")
    text = (Path(__file__).parent.parent / "docs" / "cni.md").read_text()
    script = text.partition("runs this demo, in folders of its own -->\n```sh\n")[2].partition("```")[0]
    name = f"hf-demo-{os.getpid()}"
    script = script.replace("/tmp/demo", str(tmp_path)).replace("/run/netns/demo", f"/run/netns/{name}")
    script = script.replace("netns add demo", f"netns add {name}").replace("netns delete demo", f"netns delete {name}")
    environment = isolated(tmp_path, {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"})
    done = subprocess.run(
        ["unshare", "--net", "bash", "-c", script],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done
    told = done.stderr
    assert "cni-bridge-fp: you-shall-not-pass! (code 999)" in told
    assert "cni-bridge-fp: ADD ended with 2: panic: again" in told
    before, _, result = done.stdout.partition('{"cmdAdd":"0*error(you-shall-not-pass!)-\\u003e1*panic(again)"}')
    assert "installed" in before
    assert {address["address"].partition("/")[0] for address in json.loads(result)["ips"]} == {
        "10.88.70.2",
        "fd00:88:70::2",
    }


def test_the_plugin_is_installed_and_found(tmp_path: Path) -> None:
    told = command(tmp_path, "cni", "path").stdout.strip()
    assert Path(told).is_file()
    folder = tmp_path / "bin"
    folder.mkdir()
    assert command(tmp_path, "cni", "install", str(folder)).returncode == 0
    installed = folder / "cni-bridge-fp"
    assert installed.read_bytes() == Path(told).read_bytes()
    assert installed.stat().st_mode & stat.S_IXOTH
    assert [path.name for path in folder.iterdir()] == ["cni-bridge-fp"]
    done = subprocess.run([installed], env={"CNI_COMMAND": "VERSION"}, capture_output=True, check=True, timeout=20)
    assert json.loads(done.stdout)["cniVersion"] == "1.1.0"
    refused = command(tmp_path, "cni", "install", str(tmp_path / "nowhere"))
    assert refused.returncode == 2
    assert "is no folder" in refused.stderr


def test_it_is_static_and_brings_no_grpc() -> None:
    from holdfast.cni import plugin

    program = plugin.path().read_bytes()
    offset, size, count = (*struct.unpack_from("<Q", program, 32), *struct.unpack_from("<HH", program, 54))
    kinds = {struct.unpack_from("<I", program, offset + at * size)[0] for at in range(count)}
    assert PT_INTERP not in kinds
    assert b"tokio" not in program
    assert b"grpc-status" not in program
