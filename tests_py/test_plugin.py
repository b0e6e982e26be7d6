"""The pytest plugin, as people meet it: any folder, any ini file, any way to start it."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import holdfast
from holdfast import journal
from holdfast.pytest_plugin import options

from conftest import RunSuite, emulate, isolated, wait_until

QUICK = ("--dut-deadline", "absence=100ms", "--dut-deadline", "watch=50ms")


def test_the_main_job_in_an_empty_folder(run_suite_apart: RunSuite) -> None:
    run = run_suite_apart("-k", "cntr3", *QUICK)
    assert run.exit_code == 0, run.output
    assert "8 passed" in run.output
    assert "EMULATED" in run.output
    properties = run.cases["7"].properties
    assert properties["plan_id"] == "CNTR-3.7"
    assert properties["procedure"] == properties["depth"] == "pass"
    assert len(properties["outages"].split(",")) == 2
    assert "EMULATED" in properties["device"]


def test_two_processes_do_the_same(run_suite_apart: RunSuite, tmp_path: Path) -> None:
    with emulate(tmp_path) as address:
        run = run_suite_apart("-k", "cntr3", "--dut", address, "--dut-insecure", *QUICK)
        assert run.exit_code == 0, run.output
        assert "8 passed" in run.output
        with holdfast.connect(address, insecure=True) as dut:
            assert dut.containerz.images() == ()
            assert dut.containerz.volumes() == ()
            assert dut.containerz.containers() == ()


def test_dut_alone_runs_the_suite_and_restores_the_active(run_suite_apart: RunSuite, tmp_path: Path) -> None:
    with emulate(tmp_path, "--black-hole", "--names", "RE0,RE1") as address:
        run = run_suite_apart("--dut", address, "--dut-insecure", "--dut-restore-active", *QUICK)
        assert run.exit_code == 0, run.output
        assert "8 passed" in run.output
        with holdfast.connect(address, insecure=True) as dut:
            primary = next(cp for cp in dut.control_processors() if cp.role == "PRIMARY")
            assert primary.name == "RE0"


def test_a_hostile_ini_file_and_a_virtual_environment_do_not_matter(run_suite_apart: RunSuite, tmp_path: Path) -> None:
    folder = tmp_path / "empty"
    (folder / ".venv" / "bin").mkdir(parents=True)
    (folder / ".venv" / "pyvenv.cfg").touch()
    ini = "[pytest]\npython_functions = check_*\npython_files = check_*.py\ntestpaths = elsewhere\n"
    ini += "addopts = --strict-markers\n"
    (folder / "pytest.ini").write_text(ini)
    run = run_suite_apart("-k", "cntr3_1", *QUICK)
    assert run.exit_code == 0, run.output
    assert "1 passed" in run.output


def test_a_case_is_run_again_by_the_node_id_that_was_printed(run_suite_apart: RunSuite) -> None:
    first = run_suite_apart("-k", "cntr3_1", "-v", *QUICK)
    node_id = next(word for word in first.output.split() if "::test_cntr3_1" in word)
    again = run_suite_apart(node_id, *QUICK)
    assert again.exit_code == 0, again.output
    assert "1 passed" in again.output


def test_the_users_own_tests_run_beside_it_with_its_fixtures(run_suite_apart: RunSuite, tmp_path: Path) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()
    (folder / "conftest.py").write_text("import pytest\n@pytest.fixture\ndef dut():\n    return 'mine'\n")
    (folder / "test_mine.py").write_text(
        "def test_my_cntr3_1_check(dut, chassis, image, testbed):\n"
        "    assert dut == 'mine'\n"
        "    assert chassis.address in testbed\n"
        "    assert image.tag.startswith('holdfast-')\n"
    )
    run = run_suite_apart("-k", "cntr3_1", *QUICK)
    assert run.exit_code == 0, run.output
    assert "2 passed" in run.output


def test_with_xdist_each_worker_has_a_device(run_suite_apart: RunSuite) -> None:
    run = run_suite_apart("-k", "cntr3_1 or cntr3_7", "-n", "2", *QUICK)
    assert run.exit_code == 0, run.output
    assert "2 passed" in run.output
    assert "CNTR-3.7" in run.output


def test_nothing_disruptive_happens_elsewhere_unless_the_command_line_allows_it(
    run_suite_apart: RunSuite, tmp_path: Path
) -> None:
    address = socket.gethostname()
    folder = tmp_path / "empty"
    folder.mkdir()
    (folder / "pytest.ini").write_text("[pytest]\naddopts = --dut-allow-disruption")
    script = folder / "test_gate.py"
    script.write_text("import pytest\n@pytest.mark.disruptive\ndef test_gate():\n    pass\n")
    options = ("--dut", f"{address}:1", "--dut-insecure", "-p", "no:holdfast-report", "test_gate.py", "-rs")
    for given, environment, passed in (
        ((), {}, False),
        ((), {"PYTEST_ADDOPTS": "--dut-allow-disruption"}, False),
        ((), {"HOLDFAST_ALLOW": "1", "HOLDFAST_DUT_ALLOW_DISRUPTION": "1"}, False),
        (("--dut-allow-disruption",), {}, True),
    ):
        run = run_suite_apart(*options, *given, **environment)
        if run.exit_code == 3:  # the header could not reach it, which is as it should be
            pytest.fail(run.output)
        outcome = "1 passed" if passed else "1 skipped"
        assert outcome in run.output, (given, environment, run.output)


def test_options_come_from_the_environment_and_the_ini_file(run_suite_apart: RunSuite, tmp_path: Path) -> None:
    with emulate(tmp_path) as address:
        folder = tmp_path / "empty"
        folder.mkdir()
        (folder / "pytest.ini").write_text("[pytest]\nholdfast_dut_insecure = yes\n")
        (folder / "test_mine.py").write_text("def test_where(dut):\n    assert dut.address == '" + address + "'\n")
        run = run_suite_apart("test_mine.py", HOLDFAST_DUT=address)
        assert run.exit_code == 0, run.output
        assert "1 passed" in run.output


def test_a_failing_run_says_each_reason_once(run_suite_apart: RunSuite, tmp_path: Path) -> None:
    lost = "load.container.stopped=1*error(x)"
    with emulate(tmp_path, "--failpoint", lost) as address:
        run = run_suite_apart(
            "-k", "cntr3_2", "--dut", address, "--dut-insecure", "--dut-deadline", "verification=1s", *QUICK
        )
        assert run.exit_code == 1, run.output
        assert run.output.count("is STOPPED") == 1, run.output
        reason = next(line for line in run.output.splitlines() if "is STOPPED" in line)
        assert reason.startswith("procedure: the container runs on the new primary: ExpectationFailed: ")
        assert address not in reason
        assert "asking for Supervisor1 -> Supervisor2" not in run.output
        table = run.output.partition("= holdfast =")[2]
        assert table.index("procedure failed: the container runs on the new primary") < table.index("not checked:")
        assert "timelines: -v shows them" in table
    for told in (("-v",), ("--dut-artifacts", str(tmp_path / "kept"))):
        run = run_suite_apart("-k", "cntr3_2", "--dut-deadline", "verification=1s", *QUICK, *told, failpoints=lost)
        assert ("asking for Supervisor1 -> Supervisor2" in run.output) == ("-v" in told)
        assert "timelines: -v shows them" not in run.output
    assert "asking for" in next((tmp_path / "kept").glob("*/timeline.txt")).read_text()


@pytest.mark.parametrize("workers", [(), ("-n", "1")], ids=["alone", "xdist"])
def test_a_failure_has_colour_in_the_table(run_suite_apart: RunSuite, workers: tuple[str, ...]) -> None:
    lost = "load.container.stopped=1*error(x)"
    options = ("--color=yes", "--dut-deadline", "verification=1s", *QUICK, *workers)
    run = run_suite_apart("-k", "cntr3_2", *options, failpoints=lost)
    (line,) = [line for line in run.output.splitlines() if line.startswith("CNTR-3.2 ")]
    assert "\x1b[31m\x1b[1mFAIL\x1b[0m" in line
    assert run.output.count("is STOPPED") == 1


def test_a_refusal_is_said_once(run_suite_apart: RunSuite, tmp_path: Path) -> None:
    run = run_suite_apart("-k", "cntr3_1", "--dut", "127.0.0.1:1", "--dut-insecure")
    assert run.exit_code == 3
    assert run.output.count("127.0.0.1:1") == 1, run.output
    with emulate(tmp_path) as address:
        with journal_lock(address, tmp_path):
            run = run_suite_apart("-k", "cntr3_1", "--dut", address, "--dut-insecure")
        assert run.exit_code == 3
        assert run.output.count("another run uses this device") == 1, run.output
        for absent in (("--dut-ca", str(tmp_path / "absent.pem")), ("--testbed", str(tmp_path / "absent.yaml"))):
            named = () if absent[0] == "--testbed" else ("--dut", address)
            run = run_suite_apart("-k", "cntr3_1", *named, *absent)
            assert run.exit_code == 4, run.output
            assert run.output.count(absent[1]) == 1, run.output
    run = run_suite_apart("-k", "cntr3_1", "--dut-plan")
    assert run.exit_code == 0
    for shown in ("Exit", "!!!", "_pytest", "Ended"):
        assert shown not in run.output


@contextmanager
def journal_lock(address: str, tmp_path: Path) -> Iterator[None]:
    """As if another run had the device."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
        held = journal.lock(address)
    try:
        yield
    finally:
        held.release()


def test_why_cases_did_not_begin_is_said_once(run_suite_apart: RunSuite, tmp_path: Path) -> None:
    real = 'gnmi.Subscribe.update=return{"software-version": "EOS-4.35.1F"}'
    with emulate(tmp_path, "--failpoint", real) as address:
        run = run_suite_apart("-k", "cntr3", "--dut", address, "--dut-insecure")
        assert run.exit_code == 0, run.output
        assert run.output.count("say --dut-allow-disruption") == 1
        assert f"8 skipped: would fail over {address}" in run.output
        told = run_suite_apart("-k", "cntr3_1", "--dut", address, "--dut-insecure", "-rs")
        assert told.output.count("say --dut-allow-disruption") == 1
    cni = run_suite_apart("-k", "cni_del", "--cni-path", str(tmp_path))
    (line,) = [line for line in cni.output.splitlines() if " skipped: " in line]
    assert any(word in line for word in ("root", "--cni-path", "apt-get install"))
    assert cni.output.count(line.partition(": ")[2]) == 1


def test_a_plan_says_what_would_come_and_does_nothing(run_suite_apart: RunSuite) -> None:
    run = run_suite_apart("--dut", "192.0.2.1", "--dut-plan", "--dut-deadline", "switchover=10m")
    assert run.exit_code == 0, run.output
    assert "plan for 192.0.2.1: no failover, at most 0 s" in run.output
    assert "say --dut-allow-disruption, and it is 6 switchovers and 1 cold reboot, at most" in run.output
    assert "CNTR-3.2 to 3.4      1 switchover" in run.output
    assert run.output.count("at most 30 min") == 4
    run = run_suite_apart("-k", "cntr3_8", "--dut-plan")
    assert "plan for the EMULATED device: 1 cold reboot, at most 16 s" in run.output


def test_artifacts_hold_what_a_vendor_can_use(run_suite_apart: RunSuite, tmp_path: Path) -> None:
    folder = tmp_path / "artifacts"
    options = ("--dut-artifacts", str(folder), "--dut-deadline", "verification=1s", *QUICK)
    run = run_suite_apart("-k", "cntr3_2 or cntr3_5", *options, failpoints="load.container.stopped=1*error(x)")
    assert run.exit_code == 1, run.output
    second, fifth = (next(folder.glob(f"test_cntr3_{number}_*")) for number in (2, 5))
    verdict = json.loads((second / "verdict.json").read_text())
    assert (verdict["plan_id"], verdict["procedure"]) == ("CNTR-3.2", "FAIL")
    assert "asking for Supervisor1 -> Supervisor2" in (second / "timeline.txt").read_text()
    assert "EMULATED" in json.loads((second / "device.json").read_text())["device"]
    (log,) = second.glob("*.log")
    assert "listening" in log.read_text()
    assert json.loads((fifth / "verdict.json").read_text())["procedure"] == "pass"
    (tmp_path / "file").touch()
    refused = run_suite_apart("-k", "cntr3_5", "--dut-artifacts", str(tmp_path / "file"))
    assert refused.exit_code == 4


def test_dut_required_refuses_the_emulated_device(run_suite_apart: RunSuite) -> None:
    run = run_suite_apart("-k", "cntr3_1", "--dut-required")
    assert run.exit_code == 4
    assert run.output.count("--dut-required") == 1
    assert "Traceback" not in run.output
    assert "pytest_fixture_setup" not in run.output


def test_dut_image_runs_under_the_runs_own_name(run_suite_apart: RunSuite, tmp_path: Path) -> None:
    path = tmp_path / "given.tar"
    holdfast.cntrsrv.write_archive(path, name="given", tag="v1")
    run = run_suite_apart("-k", "cntr3_1 or cntr3_2", "--dut-image", str(path), *QUICK)
    assert run.exit_code == 0, run.output
    assert "2 passed" in run.output


def test_what_is_not_ours_is_left_alone(run_suite_apart: RunSuite, tmp_path: Path, archive: Path) -> None:
    """A container with policy NONE is not back after the reboot, which is its owner's affair and fails nothing."""
    with emulate(tmp_path) as address, holdfast.connect(address, insecure=True) as dut:
        dut.containerz.deploy(archive, retag="bystander:v1")
        dut.containerz.create_volume("bystander")
        dut.containerz.start("bystander", image="bystander:v1", ports={60061: 7007}, restart="NONE")
        run = run_suite_apart("-k", "cntr3_8", "--dut", address, "--dut-insecure", *QUICK)
        assert run.exit_code == 0, run.output
        assert dut.containerz.container("bystander").status == "STOPPED"
        assert "bystander:v1" in dut.containerz.images()
        assert [volume.name for volume in dut.containerz.volumes()] == ["bystander"]


def test_xdist_workers_take_turns_on_one_device(run_suite_apart: RunSuite, tmp_path: Path) -> None:
    with emulate(tmp_path) as address:
        cases = ("-k", "cntr3_1 or cntr3_7 or cntr3_2")
        run = run_suite_apart(*cases, "-n", "2", "--dut", address, "--dut-insecure", *QUICK)
        assert run.exit_code == 0, run.output
        assert "3 passed" in run.output


def test_keep_leaves_what_the_tests_made(run_suite_apart: RunSuite, tmp_path: Path) -> None:
    with emulate(tmp_path) as address:
        run = run_suite_apart("-k", "cntr3_1", "--dut", address, "--dut-insecure", "--dut-keep", *QUICK)
        assert run.exit_code == 0, run.output
        with holdfast.connect(address, insecure=True) as dut:
            assert len(dut.containerz.images()) == 1
        command = [sys.executable, "-m", "holdfast.cli", "--dut", address, "--dut-insecure", "clean"]
        listed = subprocess.run(command, env=isolated(tmp_path, {}), capture_output=True, text=True, check=True)
        assert "cntrsrv_image" in listed.stdout
        assert "20" in listed.stdout.split("cntrsrv_image")[1], "when it was made"


def test_a_run_without_devices_does_not_load_the_core(tmp_path: Path) -> None:
    (tmp_path / "test_plain.py").write_text(
        "import sys\ndef test_plain():\n    assert 'holdfast._core' not in sys.modules\n"
        "    assert 'holdfast.results' not in sys.modules\n    assert 'rich.progress' not in sys.modules\n"
    )
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "test_plain.py"]
    done = subprocess.run(
        command, cwd=tmp_path, env=isolated(tmp_path, {}), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout
    assert "holdfast:" not in done.stdout


@pytest.mark.parametrize("workers", [(), ("-n", "1")], ids=["alone", "xdist"])
def test_a_run_without_devices_loads_the_options_alone(tmp_path: Path, workers: tuple[str, ...]) -> None:
    (tmp_path / "conftest.py").write_text(
        "import sys\ndef pytest_sessionfinish():\n"
        "    loaded = {name for name in sys.modules if name.startswith('holdfast.pytest_plugin.')}\n"
        "    assert loaded == {'holdfast.pytest_plugin.options'}, loaded\n"
        "    assert not [name for name in sys.modules if name.startswith('holdfast.integrations')]\n"
    )
    (tmp_path / "test_plain.py").write_text("def test_plain():\n    pass\n")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *workers, "test_plain.py"]
    done = subprocess.run(
        command, cwd=tmp_path, env=isolated(tmp_path, {}), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_switched_off_it_is_not_there(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pytest", "-p", "no:holdfast", "-k", "cntr3"]
    done = subprocess.run(
        command, cwd=tmp_path, env=isolated(tmp_path, {}), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 5, done.stdout


def test_ctrl_c_leaves_the_device_clean(tmp_path: Path) -> None:
    with emulate(tmp_path) as address:
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-k",
            "cntr3",
            "--dut",
            address,
            "--dut-insecure",
            "-p",
            "no:cacheprovider",
        ]
        process = subprocess.Popen(command, cwd=tmp_path, env=isolated(tmp_path, {}), stdout=subprocess.DEVNULL)
        with holdfast.connect(address, insecure=True) as dut:
            wait_until(lambda: bool(dut.containerz.containers()), what="a container of the run's")
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=30) == 2
            assert dut.containerz.containers() == ()
            assert dut.containerz.images() == ()


@pytest.mark.parametrize(
    "words",
    [
        ("--pyargs", "holdfast.suites.cntr3", "-k", "cntr3_1"),
        ("--pyargs", "holdfast.suites", "-k", "cntr3_1"),
        (str(options.SUITES), "-k", "cntr3_1"),
    ],
    ids=["a suite's package", "the package of all", "the folder of all"],
)
def test_suites_that_are_named_otherwise_are_reported_as_well(words: tuple[str, ...], run_suite: RunSuite) -> None:
    run = run_suite(*words)
    assert run.exit_code == 0, run.output
    assert re.search(r"^EMULATED device .*^CNTR-3\.1 +pass +pass", run.output, re.MULTILINE | re.DOTALL), run.output


def test_scenarios_that_are_named_by_package_are_reported_as_well(run_suite: RunSuite) -> None:
    run = run_suite("--pyargs", "holdfast.suites.torpedo.test_torpedo", "-k", "torpedo_10_")
    assert run.exit_code == 0, run.output
    assert "EMULATED: a storage server" in run.output
