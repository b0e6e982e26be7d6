"""Testbeds: ours, pyATS', and Ondatra's bindings."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import jsonschema
import pytest
import yaml

import holdfast
from holdfast import testbed
from holdfast.exceptions import TestbedError
from holdfast.pytest_plugin import options

from conftest import RunSuite, emulate, isolated

QUICK = ("--dut-deadline", "absence=100ms", "--dut-deadline", "watch=50ms")
OWN = """
defaults: {username: admin, password_env: LAB_PASSWORD}
devices:
  rack1-a:
    address: 10.0.0.1, 10.0.0.2:6030
    gnoi: 10.0.0.1:57401
    profile: arista
    tls: {ca: ca.pem, server_name: a.lab}
    deadlines: {reboot: 20m}
    allow_disruption: true
  emulated: {emulated: true}
"""
BINDING = """
# proto-message: openconfig.testing.Binding
options { username: "lab" skip_verify: true timeout: 30 }
duts: {
  id: "dut1"
  name: "r1.lab"   # dialled where no target is given
  options < username: 'admin' password: "se" "cret" >
  gnmi { target: "r1.lab:6030" mutual_tls: true trust_bundle_file: "ca.pem" cert_file: "c.pem" key_file: "k.pem" }
  gnoi { target: "r1.lab:6031" }
  vendor: ARISTA
  ports: [{ id: "port1" name: "Ethernet1" }, { id: "port2" }]
  colour: "blue"
}
duts { id: "dut2" name: "[2001:db8::1]:9339" gnmi { insecure: true } }
ates { id: "ate1" nonsense: 1 }
"""
TESTBED = """
duts { id: "dut2" vendor: NOKIA ports { id: "port1" speed: S_100GB } }
"""
PYATS = """
testbed:
  name: lab
  credentials: {default: {username: admin, password: "%ENV{LAB_PASSWORD}"}}
devices:
  xr1:
    os: iosxr
    type: router
    connections:
      cli: {protocol: ssh, ip: 10.0.0.7}
      yang1: {class: yang.connector.Gnmi, protocol: gnmi, ip: 10.0.0.7, port: 57400, root_certificate: ca.pem}
    custom: {holdfast: {allow_disruption: true}}
  switch:
    os: eos
    type: switch
    connections:
      cli: {protocol: ssh, ip: 10.0.0.8}
"""


def write(folder: Path, name: str, text: str) -> str:
    (folder / name).write_text(text, encoding="utf-8")
    return str(folder / name)


def test_a_file_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = testbed.read(write(tmp_path, "lab.yaml", OWN))
    assert (first.name, first.address, first.gnoi) == ("rack1-a", "10.0.0.1, 10.0.0.2:6030", "10.0.0.1:57401")
    assert first.tls == holdfast.Tls(ca=tmp_path / "ca.pem", server_name="a.lab")
    assert (first.deadlines, first.allow_disruption, first.profile) == ({"reboot": 1200.0}, True, "arista")
    assert second.emulated
    assert second.username == "admin"
    monkeypatch.delenv("LAB_PASSWORD", raising=False)
    with pytest.raises(TestbedError, match="the environment has no LAB_PASSWORD"):
        first.secret()
    monkeypatch.setenv("LAB_PASSWORD", "hunter2")
    assert first.secret() == "hunter2"
    assert "hunter2" not in repr(first)


def test_the_schema_and_the_reader_agree(tmp_path: Path) -> None:
    schema = json.loads((Path(testbed.__file__).parent / "testbed.schema.json").read_text(encoding="utf-8"))
    jsonschema.validate(yaml.safe_load(OWN), schema)
    from holdfast.testbed import schema as table

    assert table.FILE.read_text(encoding="utf-8") == table.written(), "python -m holdfast.testbed.schema"
    wrong = {"devices": {"a": {"adress": "x"}}}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(wrong, schema)
    both = write(tmp_path, "wrong.yaml", yaml.safe_dump({"devices": {"a": {"adress": "x", "address": "y"}}}))
    with pytest.raises(TestbedError, match=r"a device has no 'adress'\n  try: did you mean address\?"):
        testbed.read(both)


def test_what_is_ours_in_a_pyats_testbed_is_known(tmp_path: Path) -> None:
    text = """
devices:
  r1:
    connections: {gnmi: {protocol: gnmi, ip: 10.0.0.7, insecure: "no", skip_verify: "%ENV{SKIP}"}}
    custom: {holdfast: {allow_disruption: "no"}}
"""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("SKIP", "off")
        (target,) = testbed.read(write(tmp_path, "pyats.yaml", text))
    assert not target.insecure
    assert not target.allow_disruption
    assert target.tls is not None
    assert not target.tls.skip_verify
    with pytest.raises(TestbedError, match="did you mean allow_disruption"):
        testbed.read(write(tmp_path, "pyats.yaml", text.replace("allow_disruption", "allow_disruptions")))
    with pytest.raises(TestbedError, match="insecure=perhaps: that is neither yes nor no"):
        testbed.read(write(tmp_path, "pyats.yaml", text.replace('"no", skip', "perhaps, skip")))


def test_an_ondatra_binding(tmp_path: Path) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        first, second = testbed.read(write(tmp_path, "lab.binding", BINDING))
    assert [str(warning.message).partition(": ")[2] for warning in caught] == [
        "line 12: 'colour' is no field of openconfig.testing.Device, and is ignored"
    ]
    assert (first.name, first.address, first.gnoi) == ("dut1", "r1.lab:6030", "r1.lab:6031")
    assert (first.username, first.secret(), first.profile, first.dial_timeout) == ("admin", "secret", "arista-eos", 30)
    assert "secret" not in repr(first)
    assert first.tls == holdfast.Tls(
        ca=tmp_path / "ca.pem", cert=tmp_path / "c.pem", key=tmp_path / "k.pem", skip_verify=True
    )
    assert (second.name, second.insecure, second.gnoi, second.username) == ("dut2", True, None, "lab")
    assert (first.gribi_port, second.gribi_port) == (None, None)
    elsewhere = BINDING.replace("gnoi {", 'gribi { target: "r1.lab:57777" } gnoi {', 1).replace(
        "colour", "vendor: NOKIA #"
    )
    assert [target.gribi_port for target in testbed.read(write(tmp_path, "gribi.binding", elsewhere))] == [57777, None]


def test_a_binding_with_its_testbed_gives_what_the_testbed_asks_for(tmp_path: Path) -> None:
    binding = write(tmp_path, "b.textproto", BINDING.replace("colour", "vendor: ARISTA #"))
    (only,) = testbed.read(write(tmp_path, "t.textproto", TESTBED), binding)
    assert (only.name, only.profile) == ("dut2", "nokia-srlinux")
    with pytest.raises(TestbedError, match="asks for dut9, which the binding does not have"):
        testbed.read(write(tmp_path, "t.textproto", 'duts { id: "dut9" }'), binding)
    with pytest.raises(TestbedError, match="there is no binding"):
        testbed.read(write(tmp_path, "t.textproto", TESTBED))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("duts {", "line 1: a field's name or '}' was expected, and the end came"),
        ('duts { id "x" }', "line 1: ':' or '{' was expected"),
        ("duts {\n id: @ }", "line 2: '@ }' is not the text format"),
        ("dynamic: true", "a dynamic binding reserves its devices"),
        ("duts { gnmi { insecure: true } }", "has no id"),
    ],
)
def test_a_bad_binding_says_where(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(TestbedError) as caught:
        testbed.read(write(tmp_path, "lab.textproto", text))
    assert says in str(caught.value)


def test_a_pyats_testbed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.warns(testbed.TestbedWarning, match="switch: it has no connection for gNMI"):
        (only,) = testbed.read(write(tmp_path, "testbed.yaml", PYATS))
    assert (only.name, only.address, only.profile) == ("xr1", "10.0.0.7:57400", "cisco-iosxr")
    assert (only.allow_disruption, only.tls) == (True, holdfast.Tls(ca=tmp_path / "ca.pem"))
    monkeypatch.setenv("LAB_PASSWORD", "hunter2")
    assert (only.username, only.secret()) == ("admin", "hunter2")
    asks = PYATS.replace("%ENV{LAB_PASSWORD}", "%ASK{}")
    with pytest.warns(testbed.TestbedWarning):
        (only,) = testbed.read(write(tmp_path, "testbed.yaml", asks))
    with pytest.raises(TestbedError, match="%ASK needs pyATS itself"):
        only.secret()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("devices: {}", "it has no devices"),
        ("devices: [", "while parsing"),
        ("devices: {a: {}}", "it has no address"),
        ("devices: {a: {address: x, password: y}}", "a password has no place in a file"),
        ("devices: {a: {address: x, insecure: maybe}}", "insecure is 'maybe': give true or false"),
        ("devices: {a: {address: x, insecure: true, tls: {ca: x}}}", "insecure is plaintext"),
        ("devices: {a: {address: x, tls: {certificate: x}}}", "tls has no 'certificate'"),
        ("devices: {a: {address: x, allow_disruptions: no}}", "did you mean allow_disruption"),
        ("devices: {a: {address: x, tls: {skip_verify: 'no'}}}", "tls: skip_verify is 'no': give true or false"),
        ("devices: {a: {address: x}}\ndefault: {insecure: true}", "did you mean defaults"),
        ("devices: {a: {address: x, inner: {gmni: x}}}", "did you mean gnmi"),
        ("devices: {a: {address: x, deadlines: {reboot: soon}}}", "'soon' is no time"),
        ("devices: {a: 7}", "it is no mapping"),
    ],
)
def test_a_bad_file_of_ours_says_what_is_wrong(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(TestbedError) as caught:
        testbed.read(write(tmp_path, "lab.yaml", text))
    assert says in str(caught.value)
    assert "lab.yaml" in str(caught.value)


SECRET = "S3CRET"


@pytest.mark.parametrize(
    "text",
    [
        f"devices: {{a: {{address: x, metadata: 'x-api-key={SECRET}'}}}}",
        f"devices: {{a: {{address: x, metadata: [{{x-api-key: {SECRET}}}]}}}}",
        f"devices: {{a: {{address: x, metadata: {{x-api-key: [{SECRET}]}}}}}}",
        f"devices: {{a: {{address: x, proxy: ['http://u:{SECRET}@h']}}}}",
        f"devices: {{a: {{address: x, proxy: 'http://u:{SECRET}@h'}}}}",
        f"devices: {{a: {{address: x, tls: [{SECRET}]}}}}",
        f"devices: {{a: {{address: x, inner: {{host: [{SECRET}]}}}}}}",
        f"devices: {{a: {{address: x, metadata: {{authorization: Bearer {SECRET}, x: [}}}}}}",
        f"devices: {{a: {{address: x, proxy: http://u:{SECRET}@h, x: [}}}}",
        f"devices: {{a: {{address: x, x: http://u:{SECRET}@h, y: [}}}}",
    ],
)
def test_what_stands_in_a_wrong_place_of_a_testbed_is_not_repeated(tmp_path: Path, text: str) -> None:
    with pytest.raises(TestbedError) as caught:
        testbed.read(write(tmp_path, "lab.yaml", text))
    frames, found = caught.value.__traceback__, str(caught.value)
    while frames is not None and ("metadata" in text or "proxy" in text):
        if "holdfast" in frames.tb_frame.f_code.co_filename and "tests_py" not in frames.tb_frame.f_code.co_filename:
            found += repr(frames.tb_frame.f_locals)
        frames = frames.tb_next
    assert SECRET not in found


def test_every_case_runs_on_every_device_with_its_name(run_suite: RunSuite, tmp_path: Path) -> None:
    oddities = ("--quirk", "no-size-in-success", "--quirk", "inner-address")
    with emulate(tmp_path, "--profile", "nokia-srlinux", *oddities) as address:
        host = address.rpartition(":")[0]
        inner = ".".join([*host.split(".")[:3], str(int(host.split(".")[3]) ^ 0x80)])
        lab = write(
            tmp_path,
            "lab.yaml",
            f"""
devices:
  far: {{address: "{address}", insecure: true, profile: nokia-srlinux, container_host: {inner}}}
  near: {{emulated: true}}
""",
        )
        run = run_suite("--testbed", lab, *QUICK, "-v")
    assert run.exit_code == 0, run.output
    assert "16 passed" in run.output
    assert "test_cntr3_8_container_persistence_on_cold_reboot[far]" in run.output
    assert "EMULATED device far (SRLinux" in run.output
    assert "EMULATED device near (holdfast-emulator" in run.output


def test_sixteen_devices_run_side_by_side(run_suite: RunSuite, tmp_path: Path) -> None:
    devices = {f"dut{number}": {"emulated": True} for number in range(1, 17)}
    lab = write(tmp_path, "lab.yaml", yaml.safe_dump({"devices": devices}))
    run = run_suite("--testbed", lab, *QUICK, "-k", "cntr3 and not cntr3_8", "-n", "2", "-v")
    assert run.exit_code == 0, run.output
    assert "112 passed" in run.output
    workers: dict[str, set[str]] = {}
    for line in run.output.splitlines():
        if line.startswith("[gw") and "PASSED" in line:
            workers.setdefault(line.rpartition("[")[2].rstrip("] "), set()).add(line[1:4])
    assert set(workers) == set(devices)
    assert all(len(found) == 1 for found in workers.values()), "a device stays on one worker"
    assert {worker for found in workers.values() for worker in found} == {"gw0", "gw1"}


def test_one_device_that_is_away_does_not_stop_the_others(run_suite: RunSuite, tmp_path: Path) -> None:
    lab = write(
        tmp_path,
        "lab.yaml",
        """
devices:
  away: {address: "127.0.0.1:1", insecure: true}
  there: {emulated: true}
""",
    )
    run = run_suite("--testbed", lab, "-k", "cntr3_1", *QUICK)
    assert run.exit_code == 1, run.output
    assert "1 passed, 7 deselected" not in run.output
    assert "device away: " in run.output
    assert "1 passed" in run.output
    assert "1 error" in run.output


def test_the_command_line_takes_a_device_of_a_testbed(tmp_path: Path) -> None:
    from click.testing import CliRunner

    from holdfast.cli import main

    with holdfast.emulator() as one, holdfast.emulator() as other:
        lab = write(
            tmp_path,
            "lab.yaml",
            f"""
devices:
  one: {{address: "{one.address}", insecure: true}}
  other: {{address: "{other.address}", insecure: true}}
""",
        )
        runner = CliRunner()
        ended = runner.invoke(main, ["--testbed", lab, "--device", "other", "roles"])
        assert ended.exit_code == 0, ended.output
        assert "Supervisor1" in ended.output
        ended = runner.invoke(main, ["--testbed", lab, "roles"])
        assert ended.exit_code == 2
        assert "there is one, other" in ended.output


def test_only_a_testbed_or_the_command_line_allows_disruption(run_suite: RunSuite, tmp_path: Path) -> None:
    away = write(tmp_path, "lab.yaml", "devices: {a: {address: lab.example, insecure: true}}")
    asked = ("--testbed", away, "-k", "cntr3_1", "--dut-plan")
    refused = "not allowed on a, so its cases skip"
    assert refused in run_suite(*asked, HOLDFAST_DUT_ALLOW_DISRUPTION="1").output
    assert refused in run_suite(*asked, PYTEST_ADDOPTS="--dut-allow-disruption").output
    assert refused not in run_suite(*asked, "--dut-allow-disruption").output
    allowed = write(tmp_path, "may.yaml", "devices: {a: {address: lab.example, allow_disruption: true}}")
    assert refused not in run_suite("--testbed", allowed, "-k", "cntr3_1", "--dut-plan").output
    assert refused not in run_suite(f"--testbed={allowed}", "-k", "cntr3_1", "--dut-plan").output
    assert refused in run_suite("-k", "cntr3_1", "--dut-plan", HOLDFAST_TESTBED=allowed).output
    for added in (f"--testbed={allowed}", f"--testbed {allowed}"):
        assert refused in run_suite("-k", "cntr3_1", "--dut-plan", PYTEST_ADDOPTS=added).output
    command = [sys.executable, "-m", "holdfast.cli", "--testbed", allowed, "run", "cntr3", "-k", "cntr3_1"]
    done = subprocess.run(
        [*command, "--dut-plan", "-p", "no:cacheprovider"], cwd=tmp_path, env=isolated(tmp_path, {}),
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert "plan for a: 1 switchover" in done.stdout
    assert refused not in done.stdout


def test_a_testbed_that_was_added_to_another_allows_nothing(
    pytestconfig: pytest.Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    def allows(typed: list[str], *given: str) -> bool:
        monkeypatch.setattr(options, "command_line", lambda _config: typed)
        monkeypatch.setattr(options, "value", lambda _config, _name: list(given))
        return options.is_all_typed(pytestconfig, "testbed")

    assert allows(["--testbed=a", "--testbed", "b", "x"], "a", "b")
    assert not allows(["--testbed=a", "x"], "a", "b")
    assert not allows(["-k", "b", "--testbed", "a"], "b", "a")
    assert not allows([], "a")
    assert not allows(["--testbed=a"])


def test_dut_and_testbed_exclude_each_other(run_suite: RunSuite, tmp_path: Path) -> None:
    lab = write(tmp_path, "lab.yaml", OWN)
    run = run_suite("--testbed", lab, "--dut", "127.0.0.1")
    assert run.exit_code == 4
    assert "give one of them" in run.output
    assert run_suite("--testbed", os.fspath(tmp_path / "none.yaml")).exit_code == 4


@pytest.mark.parametrize(
    ("fields", "says", "hint"),
    [
        ("deadlines: {reday: 1s}", "deadlines has no 'reday'", "did you mean ready?"),
        ("profile: arista-oes", "there is no profile 'arista-oes'", "arista-eos"),
    ],
)
def test_what_a_device_of_a_testbed_has_no_such_of_is_told_by_file_and_device(
    fields: str, says: str, hint: str, tmp_path: Path
) -> None:
    file = tmp_path / "lab.yaml"
    file.write_text(f'devices: {{r1: {{address: "127.0.0.1:1", {fields}}}}}\n')
    with pytest.raises(TestbedError) as caught:
        testbed.read(file)
    assert f"{file}: device r1: {says}" in caught.value.message
    assert hint in str(caught.value.hint)


def test_the_silence_of_a_device_may_be_a_number_of_seconds(tmp_path: Path) -> None:
    file = tmp_path / "lab.yaml"
    file.write_text('devices: {a: {address: "127.0.0.1:1", silence: 5}, b: {address: "127.0.0.1:1", silence: 5s}}\n')
    assert [target.silence for target in testbed.read(file)] == [5.0, 5.0]
    file.write_text('devices: {a: {address: "127.0.0.1:1", silence: 0}}\n')
    with pytest.raises(TestbedError, match="device a: silence"):
        testbed.read(file)
