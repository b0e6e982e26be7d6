"""Many devices in one testbed: which of them a run is about, which are in maintenance, and who reaches them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jsonschema
import pytest
import yaml

from holdfast import report, testbed
from holdfast.exceptions import InvalidArgumentError, TestbedError
from holdfast.pytest_plugin import scheduling
from holdfast.testbed import Target, schema
from holdfast.testbed.lab import chosen

from conftest import RunSuite
from peers import command

QUICK = ("--dut-deadline", "absence=100ms", "--dut-deadline", "watch=50ms")
LAB = """
devices:
  left: {emulated: true, tags: [dual, lab2]}
  right: {emulated: true, tags: [dual]}
  fans: {emulated: true, tags: [dual], state: maintenance, reason: new fans, until: 2999-12-01}
  single: {emulated: true}
"""


@pytest.fixture
def lab(tmp_path: Path) -> str:
    file = tmp_path / "lab.yaml"
    file.write_text(LAB, encoding="utf-8")
    return str(file)


def ran(output: str) -> set[str]:
    """The devices of the tests that passed."""
    lines = (line for line in output.splitlines() if "::test_" in line and " PASSED" in line)
    return {line.rpartition("::")[2].partition("[")[2].partition("]")[0] for line in lines}


def test_a_tag_chooses_devices_and_one_in_maintenance_is_not_run(run_suite: RunSuite, lab: str, tmp_path: Path) -> None:
    chosen = ("--testbed", lab, "-k", "cntr3_1", *QUICK, "-v")
    kept = tmp_path / "kept"
    run = run_suite(*chosen, "--dut-device", "tag:dual", "--dut-artifacts", str(kept))
    assert run.exit_code == 0, run.output
    assert ran(run.output) == {"left", "right"}
    why = "fans is in maintenance: new fans, until 2999-12-01"
    row = f"NotRun     1 case: {why}; --dut-device fans runs it all the same"
    assert f"\nfans\n{row}\n" in run.output
    assert f"holdfast: device fans: NotRun: {why}" in run.output, "the header asks it nothing"
    (case,) = (case for case in report.read(kept).cases if case.device == "fans")
    assert (case.verdict, case.why.partition(";")[0]) == ("skipped", why)
    named = run_suite(*chosen, "--dut-device", "fans,tag:lab2")
    assert ran(named.output) == {"fans", "left"}, "a name goes before its state"
    assert "NotRun" not in named.output


def test_maintenance_crosses_from_workers(run_suite: RunSuite, lab: str) -> None:
    run = run_suite("--testbed", lab, "-k", "cntr3_1", *QUICK, "-n", "2", "-v")
    assert run.exit_code == 0, run.output
    assert ran(run.output) == {"left", "right", "single"}
    assert "NotRun     1 case: fans is in maintenance: new fans" in run.output


def test_a_plan_leaves_out_what_will_not_run(run_suite: RunSuite, lab: str) -> None:
    run = run_suite("--testbed", lab, "-k", "cntr3_1", "--dut-plan")
    assert "plan for the EMULATED" not in run.output
    assert "plan for left, right, single: 3 switchovers" in run.output, run.output
    assert "NotRun: fans is in maintenance" in run.output


def test_a_name_that_no_tag_has_is_told_with_those_there_are(run_suite: RunSuite, lab: str) -> None:
    run = run_suite("--testbed", lab, "--dut-device", "tag:daul")
    assert run.exit_code == 4
    assert "--dut-device tag:daul: did you mean tag:dual? the tags there are: tag:dual, tag:lab2" in run.output


def test_the_command_tells_a_tag_that_no_device_has_with_those_there_are(tmp_path: Path) -> None:
    file = tmp_path / "lab.yaml"
    devices = "devices: {dut17: {address: x, tags: [dual]}, dut18: {address: x, tags: [lab2, dual]}}"
    file.write_text(devices, encoding="utf-8")
    for word, said in (
        ("tag:rack", "--device tag:rack: the tags there are: tag:dual, tag:lab2\n"),
        ("dual", "--device dual: it is a tag: tag:dual\n"),
        ("duty17", "--device duty17: did you mean dut17?\n"),
        ("x", "--device x: it has dut17, dut18\n"),
    ):
        done = command(tmp_path, "--testbed", str(file), "--device", word, "roles")
        assert done.returncode == 2
        assert said in done.stderr
    file.write_text("devices: {dut17: {address: x}}", encoding="utf-8")
    done = command(tmp_path, "--testbed", str(file), "--device", "tag:rack", "roles")
    assert "--device tag:rack: no device has a tag; it has dut17\n" in done.stderr


def test_of_very_many_names_some_are_told() -> None:
    names = [f"dut{number}" for number in range(1, 301)]
    targets = [Target(name, "x", tags=(f"rack-{name}",)) for name in names]
    for word in ("nowhere", "tag:nowhere"):
        with pytest.raises(InvalidArgumentError) as caught:
            chosen(targets, word)
        assert str(caught.value.hint).endswith(" and 280 more")


def test_a_day_that_has_passed_does_not_end_maintenance(tmp_path: Path) -> None:
    file = tmp_path / "lab.yaml"
    late = "a: {address: x, state: maintenance, until: 2020-01-01 08:00}"
    file.write_text(f"devices: {{{late}, b: {{address: x, state: available}}}}")
    past, available = testbed.read(file)
    assert past.maintenance is not None
    told = str(past.maintenance)
    assert told == "in maintenance until 2020-01-01 08:00, which has passed: the testbed says so until it is changed"
    assert available.maintenance is None


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ("state: broken", "state is 'broken': give available or maintenance"),
        ("reason: fans", "reason says why it is in maintenance, and it is not: say state: maintenance"),
        ("state: available, until: 2030-01-01", "until says how long it is in maintenance, and it is not"),
        ("state: maintenance, until: soon", "until is 'soon': give a day or a time, such as 2026-12-24"),
        ("state: maintenance, reason: [a]", "reason is a list: give a text"),
        ("tags: dual", "tags is 'dual': give a list of texts"),
        ("tags: [8808]", "tags has 8808: give texts without blanks and commas"),
        ("tags: ['a,b']", "tags has 'a,b': give texts without blanks and commas"),
        ("workers: [[x]]", "workers has a list: give texts without blanks and commas"),
        ("workers: []", "workers is empty: nobody would reach it; leave it out, and all do"),
    ],
)
def test_what_makes_no_sense_is_told_by_file_and_device(fields: str, says: str, tmp_path: Path) -> None:
    file = tmp_path / "lab.yaml"
    file.write_text(f"devices: {{r1: {{address: x, {fields}}}}}")
    with pytest.raises(TestbedError) as caught:
        testbed.read(file)
    assert f"{file}: device r1: {says}" in str(caught.value)


def test_the_schema_knows_them() -> None:
    jsonschema.validate(json.loads(json.dumps(yaml.safe_load(LAB), default=str)), schema.schema())
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"devices": {"a": {"address": "x", "state": "broken"}}}, schema.schema())


def test_a_command_leaves_out_what_is_in_maintenance(tmp_path: Path, chassis_of_test: Any) -> None:
    there = f'address: "{chassis_of_test.address}", insecure: true'
    file = tmp_path / "lab.yaml"
    file.write_text(
        f"devices: {{a: {{{there}, tags: [x]}}, b: {{{there}, tags: [x], state: maintenance, reason: new fans}}}}"
    )
    path = "/system/config/hostname"
    for words in ((), ("--device", "all"), ("--device", "tag:x")):
        done = command(tmp_path, "--testbed", str(file), *words, "get", path)
        assert done.returncode == 0, done.stderr
        assert "holdfast: b is in maintenance: new fans; --device b asks it all the same" in done.stderr
        assert not re.search(r"^b\b", done.stdout, re.MULTILINE)
    named = command(tmp_path, "--testbed", str(file), "--device", "a,b", "get", path)
    assert re.search(r"^b\b", named.stdout, re.MULTILINE), named
    assert "maintenance" not in named.stderr
    one = command(tmp_path, "--testbed", str(file), "--device", "tag:x", "roles")
    assert one.returncode == 0, one.stderr


WORKERS = """
devices:
  left: {emulated: true, workers: [rackA]}
  right: {emulated: true, workers: [rackB]}
  both: {emulated: true, workers: [rackB, rackA]}
  far: {emulated: true, workers: [rackC]}
"""


def test_a_device_runs_on_a_worker_that_reaches_it(run_suite: RunSuite, tmp_path: Path) -> None:
    file = tmp_path / "lab.yaml"
    file.write_text(WORKERS, encoding="utf-8")
    specs = ("--tx", "popen//id=rackA", "--tx", "popen//id=rackB", "--dist", "load")
    run = run_suite("--testbed", str(file), "-k", "cntr3_1 or cntr3_5", *QUICK, *specs, "-v")
    assert run.exit_code == 0, run.output
    on = {found[2]: found[1] for found in re.finditer(r"\[(\w+)\] \[ *\d+%\] PASSED [^\n]*\[(\w+)\]", run.output)}
    assert (on["left"], on["right"]) == ("rackA", "rackB")
    assert on["both"] in ("rackA", "rackB")
    assert "far" not in on
    why = "no worker of this run reaches far: its testbed says rackC, and there are rackA, rackB"
    assert f"NotRun     2 cases: {why}" in run.output
    assert "device left: by worker rackA" in run.output, "who prints does not reach it"


def test_without_workers_a_device_of_theirs_runs_where_it_is_named(run_suite: RunSuite, tmp_path: Path) -> None:
    file = tmp_path / "lab.yaml"
    file.write_text(WORKERS, encoding="utf-8")
    run = run_suite("--testbed", str(file), "-k", "cntr3_1", *QUICK, "-v")
    assert not ran(run.output), run.output
    assert "NotRun     1 case: left is reached by worker rackA, and this run has no workers" in run.output
    named = run_suite("--testbed", str(file), "-k", "cntr3_1", *QUICK, "--dut-device", "left,far")
    assert "2 passed" in named.output


def test_another_way_to_share_out_is_refused_with_workers(run_suite: RunSuite, tmp_path: Path) -> None:
    file = tmp_path / "lab.yaml"
    file.write_text(WORKERS, encoding="utf-8")
    run = run_suite("--testbed", str(file), "-k", "cntr3_1", "-n", "2", "--dist", "loadfile")
    assert run.exit_code == 4, run.output
    assert "--dist loadfile does not heed `workers:` of the testbed" in run.output


class Node:
    """A worker, as far as a scheduler sees it."""

    def __init__(self, spec: str, name: str) -> None:
        self.gateway = SimpleNamespace(spec=spec, id=name)
        self.sent: list[int] = []
        self.shutting_down = False

    def send_runtest_some(self, indices: list[int]) -> None:
        self.sent += indices

    def shutdown(self) -> None:
        self.shutting_down = True


def scheduler_of(monkeypatch: pytest.MonkeyPatch, tests: list[str], targets: tuple[Target, ...], *nodes: Node) -> Any:
    monkeypatch.setattr("holdfast.pytest_plugin.targets.of", lambda _config: targets)
    option = SimpleNamespace(loadscopereorder=True, tx=[node.gateway.spec for node in nodes])
    config: Any = SimpleNamespace(option=option, getvalue=option.__getattribute__, getini=lambda _name: None)
    config.getoption = lambda name, default=None: "load" if name == "dist" else default
    config.pluginmanager = SimpleNamespace(get_plugin=lambda _name: None)
    found = scheduling.scheduler(config, None)
    for node in nodes:
        found.add_node(node)
    for node in nodes:
        found.add_node_collection(node, tests)
    found.schedule()
    return found


def test_what_a_dead_worker_alone_reached_waits_for_the_one_in_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    targets = (Target("left", "x", workers=("rackA",)), Target("right", "x", workers=("rackB",)))
    tests = [f"t.py::test_{number}[{name}]" for name in ("left", "right") for number in range(4)]
    left, right = Node("popen//id=rackA", "rackA"), Node("popen//id=rackB", "rackB")
    found = scheduler_of(monkeypatch, tests, targets, left, right)
    assert (left.sent, right.sent) == ([0, 1, 2, 3], [4, 5, 6, 7])
    assert found.remove_node(right) == tests[4], "it died in its first test"
    assert left.sent == [0, 1, 2, 3]
    again = Node("popen//id=rackB", "gw7")  # xdist numbers who comes in a dead one's place, and keeps its words
    found.add_node(again)
    found.add_node_collection(again, tests)
    found.schedule()
    assert again.sent == [5, 6, 7], "what it died in has failed, and is not run again"


def test_the_only_worker_that_reaches_a_device_is_not_left_out_as_one_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    targets = (Target("left", "x", workers=("rackA",)), Target("right", "x", workers=("rackB",)))
    left, right = Node("popen//id=rackA", "rackA"), Node("popen//id=rackB", "rackB")
    scheduler_of(monkeypatch, ["t.py::test_1[right]"], targets, right, left)
    assert right.sent == [0]
    assert left.shutting_down


def test_what_nobody_reaches_goes_to_anybody_who_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    targets = (Target("left", "x", workers=("rackA",)), Target("right", "x", workers=("rackC",)))
    left = Node("popen//id=rackA", "rackA")
    scheduler_of(monkeypatch, ["t.py::test_1[right]"], targets, left)
    assert left.sent == [0]


def test_the_other_device_of_a_pair_is_not_one_that_is_left_alone(run_suite: RunSuite, tmp_path: Path) -> None:
    file = tmp_path / "lab.yaml"
    fields = "emulated: true"
    file.write_text(f"devices: {{a: {{{fields}}}, b: {{{fields}, state: maintenance}}, c: {{{fields}}}}}")
    run = run_suite("--testbed", str(file), "-k", "cntr2_3", *QUICK)
    assert run.exit_code == 0, run.output
    assert "2 passed, 1 skipped" in run.output
