"""The Torpedo scenarios on the emulated tier: a healthy provider passes, planted defects fail the right scenario."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from holdfast import _core, judge, report, storage
from holdfast.exceptions import ExpectationFailed, LabError
from holdfast.storage.account import Limits, ScenarioInconclusive
from holdfast.storage.report import ScenarioOutcome
from holdfast.storage.scenario import Scenario

from conftest import RunSuite, SuiteRun
from storage_defects import CATALOGUE, Defect

SCENARIOS = 19
# Those beyond Torpedo's ten, of what CSI has calls for.
FEATURES = {f"T{number}" for number in range(11, 16)}


def verdicts(run: SuiteRun) -> dict[str, list[tuple[str, str]]]:
    """Of each scenario: verdicts and reasons."""
    found: dict[str, list[tuple[str, str]]] = {}
    for case in run.cases.values():
        told = case.properties
        found.setdefault(told["torpedo"], []).append((told["verdict"], told["reason"]))
    return found


def wrong(defect: Defect, run: SuiteRun) -> list[str]:
    """Why a run did not catch a defect as it must."""
    found = verdicts(run)
    missing = [name for name in defect.scenarios if all(verdict != "Fail" for verdict, _ in found.get(name, []))]
    reasons = [reason for _, reason in found.get(defect.scenarios[0], [])]
    unreasoned = not any(re.search(defect.reason, reason) for reason in reasons)
    return [f"{name} did not fail" for name in missing] + [f"{defect.reason!r} is not in {reasons}"] * unreasoned


@pytest.mark.parametrize("face", ["process", "csi", "docker"])
def test_a_healthy_provider_passes_all(face: str, run_suite: RunSuite, tmp_path: Path) -> None:
    report = tmp_path / "table"
    run = run_suite("-k", "torpedo", "--torpedo-face", face, "--torpedo-report", str(report))
    assert run.exit_code == 0, run.output
    found = verdicts(run)
    assert sorted(found, key=lambda name: int(name[1:])) == [f"T{number}" for number in range(1, 16)]
    unlike = {name: told for name, told in found.items() if {verdict for verdict, _ in told} != {"Pass"}}
    if face == "docker":
        assert all({verdict for verdict, _ in unlike.pop(name)} == {"NotRun"} for name in FEATURES)
    if face != "process":  # no orchestrator restarts a provider's server
        assert [verdict for verdict, _ in unlike.pop("T3")].count("NotRun") == 1
    assert unlike == {}
    assert "EMULATED" in run.output
    table = (report / "torpedo.md").read_text()
    assert table.count("\n| T") == SCENARIOS
    assert re.search(
        r"^- T5 node powered off: power_off on node1 at \d+\.\d\d s; power_on on node1 at", table, re.MULTILINE
    )
    held = json.loads((report / "torpedo.json").read_text())
    assert len(held["scenarios"]) == SCENARIOS
    assert all(int(row["acknowledged"]) > 0 for row in held["scenarios"] if row["verdict"] == "Pass")


@pytest.mark.parametrize("defect", [each for each in CATALOGUE if each.sample], ids=lambda each: each.name)
def test_a_planted_defect_is_caught_by_the_scenario_it_belongs_to(defect: Defect, run_suite: RunSuite) -> None:
    chosen = " or ".join(f"torpedo_{name[1:]}_" for name in defect.scenarios)
    run = run_suite("-k", chosen, *defect.options)
    assert run.exit_code == 1, run.output
    assert wrong(defect, run) == [], run.output


@pytest.mark.parametrize("name", ["expand.not_grown", "snapshot.older", "clone.shares", "statistics.unknown_accepted"])
def test_what_goes_wrong_beyond_volumes_is_caught_by_csi_too(name: str, run_suite: RunSuite) -> None:
    defect = replace(next(each for each in CATALOGUE if each.failpoint == name), face="csi")
    run = run_suite("-k", f"torpedo_{defect.scenarios[0][1:]}_", *defect.options)
    assert run.exit_code == 1, run.output
    assert wrong(defect, run) == [], run.output


@pytest.mark.parametrize("scenario", ["T12", "T13"])
def test_a_copy_that_is_larger_than_its_source_is_so_for_its_task(scenario: str, run_suite: RunSuite) -> None:
    options = ("--torpedo-failpoint", "storage.expand.not_grown=error(x)")
    run = run_suite("-k", f"torpedo_{scenario[1:]}_", *options)
    ((verdict, reason),) = verdicts(run)[scenario]
    assert verdict == "Fail", run.output
    assert re.search(r"a copy of \d+ bytes was made twice as large, and has \d+ on node2", reason), reason


def test_a_scenario_ends_in_the_same_page_and_comparison_as_a_case(run_suite: RunSuite, tmp_path: Path) -> None:
    defect = next(each for each in CATALOGUE if each.sample)
    chosen = ("-k", f"torpedo_{defect.scenarios[0][1:]}_")
    good, bad, page = tmp_path / "good", tmp_path / "bad", tmp_path / "page.html"
    assert run_suite(*chosen, "--dut-artifacts", str(good)).exit_code == 0
    failing = ("--torpedo-failpoint", defect.failpoints, "--dut-artifacts", str(bad), "--dut-report", str(page))
    run = run_suite(*chosen, *failing, "-n", "1")
    assert run.exit_code == 1, run.output
    assert f"report: {page}" in run.output
    cases = report.read(bad).cases
    assert {case.suite for case in cases} == {"torpedo"}
    (failed, *_) = [case for case in cases if case.verdict == "FAIL"]
    assert re.search(defect.reason, failed.failures[0].words)
    assert failed.timeline
    assert failed.facts["lost"].isdigit()
    assert failed.plan_id in page.read_text()
    assert '<th scope="col">depth</th>' not in page.read_text()
    assert report.compare(good, bad).worse
    assert [each.differs for each in judge.again(bad)] == [()] * len(cases)


def test_every_defect_of_the_emulated_provider_is_in_the_catalogue() -> None:
    named = {name for provider, name, _ in _core.failpoint_names() if provider == "storage"}
    assert {f"storage.{defect.failpoint}" for defect in CATALOGUE} == named
    assert len(CATALOGUE) >= 25


def test_each_scenario_fails_for_two_defects_of_its_own() -> None:
    for number in range(1, 16):
        own = [defect for defect in CATALOGUE if f"T{number}" in defect.scenarios]
        assert len(own) >= 2, number


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--torpedo-failpoint", "storage.fence.non=error(x)"), "the nearest is"),
        (("--torpedo-failpoint", "storage.fence.none=eror(x)"), "eror"),
        (("--torpedo-face", "http"), "give process, csi or docker"),
        (("--torpedo-seed", "x"), "give a number"),
        (("--torpedo-deadline", "T16=3s"), "there is no scenario 'T16'"),
        (("--torpedo-deadline", "T5"), "such as T5=60s"),
        (("--torpedo-timing", "speed=3s"), "give sync, attach, pace or patience"),
        (("--torpedo-failpoint", "storage.fence.none"), "write NAME=TERMS"),
        (("--torpedo-runner", "nomad"), "give own, docker, swarm or kubernetes"),
        (("--torpedo-runner", "docker"), "give --provider too"),
        (("--provider", "nbd", "--torpedo-failpoint", "storage.fence.none=error(x)"), "of the emulated provider"),
        (("--provider", "nbd", "--torpedo-face", "csi"), "--torpedo-face is of the emulated provider"),
        (("--provider", "nbd", "--torpedo-timing", "sync=1ms"), "--torpedo-timing is of the emulated provider"),
        (("--provider", "nbd", "--torpedo-seed", "7"), "--torpedo-seed is of the emulated provider"),
        (("--provider", "/nowhere.yaml"), "there is no such file"),
    ],
)
def test_bad_options_are_refused(options: tuple[str, ...], said: str, run_suite: RunSuite) -> None:
    run = run_suite("-k", "torpedo_1_", *options)
    assert said in run.output, run.output
    assert run.exit_code == 4


def test_without_the_tools_of_a_provider_every_scenario_is_not_run(run_suite: RunSuite, tmp_path: Path) -> None:
    provider = tmp_path / "provider.yaml"
    provider.write_text("provider: {kind: csi, start: ./driver, tools: [no-such-tool]}\n", encoding="utf-8")
    run = run_suite("-k", "torpedo", "--provider", str(provider))
    rows = [line for line in run.output.splitlines() if re.match(r"T\d", line)]
    assert len(rows) == SCENARIOS, run.output
    assert all(" NotRun " in row for row in rows)
    assert "no-such-tool is missing" in run.output


def test_a_scenario_can_be_run_again_by_its_node_id_and_by_xdist(run_suite: RunSuite) -> None:
    run = run_suite("-k", "torpedo_1_ or torpedo_4", "-n", "2")
    assert run.exit_code == 0, run.output
    assert set(verdicts(run)) == {"T1", "T4"}


def test_a_failpoint_that_is_never_reached_is_told(run_suite: RunSuite) -> None:
    run = run_suite("-k", "torpedo_9", "--torpedo-failpoint", "storage.fence.none=error(x)")
    assert run.exit_code == 0, run.output
    assert "not checked: the failpoint storage.fence.none: it was armed and never reached" in run.output


def test_the_failpoints_of_a_served_provider_come_from_the_environment(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "holdfast.cli", "storage", "serve", "--csi", str(tmp_path)]
    environment = {**os.environ, "HOLDFAST_STORAGE_FAILPOINTS": "storage.fence.non=error(x)"}
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 2
    assert 'the nearest is "storage.fence.none"' in done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another; for others every other test shows it")
def test_the_emulated_tier_needs_no_root() -> None:
    # nobody, who may look into whatever folder this Python is kept in
    nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    nobody += ["--bounding-set=-all,+dac_read_search", "--inh-caps=-all,+dac_read_search"]
    nobody += ["--ambient-caps=-all,+dac_read_search"]
    words = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-k", "torpedo"]
    with tempfile.TemporaryDirectory(prefix="hf-") as folder:
        Path(folder).chmod(0o777)
        environment = {**os.environ, "XDG_STATE_HOME": folder, "HOME": folder, "TMPDIR": folder}
        done = subprocess.run(
            [*nobody, *words], cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert f"{SCENARIOS} passed" in done.stdout


@pytest.mark.parametrize(
    ("engine", "said"),
    [
        ("absent", "Socket not found"),
        ("silent", "no answer in time"),
        ("other", "alpha.sock: version"),
    ],
)
def test_hosts_whose_engine_does_not_answer_say_so(engine: str, said: str, run_suite: RunSuite, tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="hf-") as folder, socket.socket(socket.AF_UNIX) as listener:
        if engine != "absent":
            listener.bind(f"{folder}/alpha.sock")
            listener.listen()
        if engine == "other":  # somebody who closes every connection
            listener.close()
        provider = tmp_path / "provider.yaml"
        provider.write_text(
            "provider: {kind: docker-plugin, name: acme}\n"
            "runner: {kind: docker}\n"
            "lab: {kind: hosts, tester: 127.0.0.1, nodes: {\n"
            f"  alpha: {{address: 127.0.0.1, engine: 'unix://{folder}/{{node}}.sock'}},\n"
            f"  beta: {{address: 127.0.0.1, engine: 'unix://{folder}/{{node}}.sock'}}}}}}\n",
            encoding="utf-8",
        )
        run = run_suite("-k", "torpedo_1_", "--provider", str(provider), "--torpedo-start", "1s")
    assert run.exit_code == 1
    assert "the hosts are not ready" in run.output
    assert said in run.output, run.output


def test_who_may_not_be_down_is_not_blamed_for_an_answer() -> None:
    """As in a cluster, where nobody but its kubelet can ask a plugin."""
    lab = storage.emulated()
    try:
        scenario = Scenario(lab, "T6", Limits(deadline=4, call=4, pause=1, settle=1, enough=1))
        scenario.plugin_unseen = "it is in a pod"
        with pytest.raises(ExpectationFailed, match="accepted: a volume"), scenario.refused("a volume"):
            pass
        scenario.harm("node1", "kill_plugin", undo="start_plugin")
        assert [each.what for each in scenario.account.not_checked] == ["whether the plugin was down"]
        down = pytest.raises(ScenarioInconclusive, match=r"accepted: a volume; .*: it is in a pod")
        with down, scenario.refused("a volume"):
            pass
        scenario.undo()
        with pytest.raises(ExpectationFailed, match="accepted: a volume"), scenario.refused("a volume"):
            pass
    finally:
        lab.close()


def test_trouble_of_the_lab_is_nobodys_refusal_and_no_fail() -> None:
    lab = storage.emulated()
    try:
        scenario = Scenario(lab, "T1", Limits(deadline=1, call=1, pause=1, settle=1, enough=1))
        with pytest.raises(LabError), scenario.refused("a volume"):
            raise LabError("nsenter: exit status: 1")
        with scenario.refused("a volume"):
            raise ExpectationFailed("no")
        outcome = ScenarioOutcome(scenario)
        outcome.judge(LabError("nsenter: exit status: 1", hint="install it"))
        assert (outcome.verdict, outcome.reason) == ("Inconclusive", "nsenter: exit status: 1")
        outcome.judge(ExpectationFailed("lost"))
        assert (outcome.verdict, outcome.reason) == ("Fail", "lost")
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(scenario, "lab", SimpleNamespace(trouble=lambda: "nbdkit ended"))
            outcome.judge(ExpectationFailed("lost"))
        assert (outcome.verdict, outcome.reason) == ("Inconclusive", "nbdkit ended; and so: lost")
    finally:
        lab.close()


def test_findings_and_leftovers_are_data_with_words_for_people() -> None:
    lab = storage.emulated(failpoints={"storage.attach.bit_flip": "return{}"})
    try:
        first, second = lab.nodes()[:2]
        volume = lab.create(first, "v", 64 << 20)
        task = lab.run(volume, first)
        task.wait_acknowledged(5)
        left = {(each.kind, each.node): each for each in lab.leftovers([volume])}
        assert set(left) == {("mount", first), ("process", first), ("attachment", first)}
        assert str(left["process", first]) == f"{task.name} runs on {first}"
        lab.inflict(first, "power_off")
        lab.evict(volume, first)
        found = lab.verify(volume, second)
        assert found.kinds == {"bit flip"}
        (finding,) = found.findings
        assert str(finding) == f"bit flip: record {finding.record} differs in one bit"
        assert (finding.kind, 1 <= (finding.record or 0) <= found.acknowledged) == ("bit flip", True)
        assert {"Fence", "ListNodes"} <= lab.provider().capabilities
    finally:
        lab.close()


@pytest.mark.skipif(sys.platform != "linux", reason="the lab's own driver is Linux'")
def test_what_this_machine_would_not_do_is_an_error_of_the_lab() -> None:
    with pytest.raises(LabError, match="/proc/nothing: "):
        _core.storage_server("127.0.0.1:0", "127.0.0.1", "/proc/nothing")


def test_the_folder_of_staging_stays_for_the_driver_to_remove(tmp_path: Path) -> None:
    lab = storage.emulated(served=("csi", tmp_path))
    try:
        (node, *_) = lab.nodes()
        task = lab.run(lab.create(node, "v", 64 << 20), node)
        task.stop()
        lab.release(task)
        assert list((tmp_path / node / "staging").iterdir()) != []  # from outside of a node, a rmdir detaches
    finally:
        lab.close()


def test_a_plugin_that_was_killed_answers_nothing_and_one_that_does_was_not() -> None:
    lab = storage.emulated()
    try:
        (node, *_) = lab.nodes()
        lab.inflict(node, "kill_plugin")
        assert lab.trouble() is None
        lab.inflict(node, "start_plugin")
        assert lab.trouble() is None
    finally:
        lab.close()
