"""`runtime="docker"`: real containers under the emulated device, in an engine of the tests' own.

Needs root and Debian's docker.io.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import holdfast
from holdfast import _core, engine_leftovers, waiting
from holdfast.exceptions import NotFound

import engines
from conftest import RunSuite, isolated, wait_until
from peers import free_port
from test_docker import CI, Docker

pytestmark = pytest.mark.skipif(engines.lacks() is not None and not CI, reason=engines.lacks() or "")
OURS = "label=holdfast.emulated"
# Writes what it is told by its variables, and lives until SIGTERM.
APP = """
trap 'echo ends politely; exit 0' TERM
echo "as $(id -u) with ${WORD:-nothing}"
[ -e /data/count ] && echo "found $(cat /data/count)" || echo "found no data"
[ -e /scratch/here ] && echo "came up again" || echo "came up first"
echo here > /scratch/here
echo "${WORD:-nothing}" >> /data/count && echo "wrote ${WORD:-nothing}"
[ -n "$FAIL" ] && exit "$FAIL"
while true; do sleep 0.1; done
"""


@pytest.fixture(scope="module")
def engine() -> Iterator[Docker]:
    if (why := engines.lacks()) is not None:
        pytest.fail(f"CI must not skip this: {why}")
    with engines.bridged("run") as running:
        yield running


@pytest.fixture
def chassis(engine: Docker) -> Iterator[holdfast.Emulator]:
    before = things(engine)
    with holdfast.emulator(runtime="docker", engine=engine.host) as emulated:
        yield emulated
    expect_unchanged(engine, before)


@pytest.fixture
def dut(chassis: holdfast.Emulator) -> Iterator[holdfast.Device]:
    with holdfast.connect(chassis.address, insecure=True) as connected:
        yield connected


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return engines.shell_image(tmp_path_factory.mktemp("app") / "app.tar", "app:v1", APP)


def things(engine: Docker) -> dict[str, list[str]]:
    """All that an engine has."""
    listed = {
        "containers": ("ps", "--all", "--format", "{{.Names}} {{.Image}}"),
        "images": ("images", "--all", "--no-trunc", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}"),
        "volumes": ("volume", "ls", "--format", "{{.Name}}"),
    }
    return {kind: sorted(engine.run(*words).stdout.splitlines()) for kind, words in listed.items()}


def expect_unchanged(engine: Docker, before: dict[str, list[str]]) -> None:
    """It has what it had; it may take a moment to remove what it was told to."""
    waiting.until(lambda: things(engine) == before, 20)
    assert things(engine) == before, "it left something in the engine, or took something away"


def inspected(engine: Docker, name: str, control_processor: int = 1) -> list[dict[str, Any]]:
    """What the engine says of the containers that a control processor has by this name."""
    labels = (f"label=holdfast.control-processor={control_processor}", f"label=holdfast.name={name}")
    found = engine.run("ps", "--all", "--quiet", *(word for label in (OURS, *labels) for word in ("--filter", label)))
    ids = found.stdout.split()
    # one that is gone since is left out
    return list(json.loads(engine.run("inspect", *ids, check=False).stdout)) if ids else []


def log(dut: holdfast.Device, name: str) -> list[str]:
    return [line.rstrip() for line in dut.containerz.logs(name)]


def says(dut: holdfast.Device, name: str, line: str) -> None:
    wait_until(lambda: line in log(dut, name), 60, what=f"{line!r} in the log: {log(dut, name)}")


def test_the_engine_gets_what_was_asked_for(engine: Docker, dut: holdfast.Device, app: Path) -> None:
    image = dut.containerz.deploy(app, progress=False)
    dut.containerz.create_volume("kept")
    port = free_port()
    dut.containerz.start(
        "app",
        image=image,
        ports={8080: port},
        volumes={"kept": "/data"},
        environment={"WORD": "hello"},
        user="1000",
        max_cpu=0.5,
        hard_memory=64 << 20,
        restart="ALWAYS",
    )
    says(dut, "app", "as 1000 with hello")
    (found,) = inspected(engine, "app")
    host = found["HostConfig"]
    assert (host["NanoCpus"], host["Memory"]) == (500_000_000, 64 << 20)
    assert host["RestartPolicy"]["Name"] == "unless-stopped"
    assert host["PortBindings"] == {"8080/tcp": [{"HostIp": dut.address.rpartition(":")[0], "HostPort": str(port)}]}
    assert [mount["Destination"] for mount in found["Mounts"]] == ["/data"]
    assert found["Config"]["Image"].startswith("holdfast-emulated/")
    dut.containerz.stop("app")
    assert log(dut, "app")[-1] == "ends politely"
    dut.containerz.remove("app")
    assert inspected(engine, "app") == []
    dut.containerz.remove_volume("kept")
    dut.containerz.remove_image(image)
    assert not dut.containerz.images()


def test_the_command_of_a_start_goes_before_the_images(dut: holdfast.Device, app: Path) -> None:
    image = dut.containerz.deploy(app, progress=False)
    dut.containerz.start("app", image=image, command="/bin/echo one two", ports={1: free_port()})
    says(dut, "app", "one two")


def test_how_a_container_ended_is_the_engines_to_say(dut: holdfast.Device, app: Path) -> None:
    image = dut.containerz.deploy(app, progress=False)
    dut.containerz.start("app", image=image, environment={"FAIL": "7"}, ports={1: free_port()}, restart="NONE")
    wait_until(lambda: not dut.containerz.container("app").running, what="the end of the container")
    row = dut.containerz.container("app")
    assert (row.status, row.labels["holdfast.exit-code"]) == ("STOPPED", "7")


def test_a_restart_policy_is_the_engines_to_follow(engine: Docker, dut: holdfast.Device, app: Path) -> None:
    image = dut.containerz.deploy(app, progress=False)
    dut.containerz.start("app", image=image, environment={"FAIL": "3"}, ports={1: free_port()}, restart="ON_FAILURE:0")
    wait_until(lambda: inspected(engine, "app")[0]["RestartCount"] >= 2, what="two restarts")
    says(dut, "app", "came up again")


def test_a_switchover_starts_them_under_the_new_active_from_its_own_volumes(
    engine: Docker, dut: holdfast.Device, app: Path
) -> None:
    image = dut.containerz.deploy(app, progress=False)
    dut.containerz.create_volume("kept")
    start = {"volumes": {"kept": "/data"}, "ports": {1: free_port()}, "user": "1000"}
    dut.containerz.start("app", image=image, environment={"WORD": "first"}, **start)
    says(dut, "app", "wrote first")  # else it may be killed before it did
    assert "found no data" in log(dut, "app")
    (before,) = inspected(engine, "app", 1)
    dut.switchover()
    says(dut, "app", "found first")  # as user 1000, in a folder of that user's alone
    assert "came up first" in log(dut, "app"), "it is another container, with nothing but the volume"
    (after,) = inspected(engine, "app", 2)
    assert before["Mounts"][0]["Name"] != after["Mounts"][0]["Name"]
    assert before["Image"] == after["Image"]
    wait_until(lambda: inspected(engine, "app", 1) == [], what="the standby to forget its container")


def test_what_ended_by_itself_is_not_started_by_a_switchover(dut: holdfast.Device, app: Path) -> None:
    image = dut.containerz.deploy(app, progress=False)
    dut.containerz.start("ended", image=image, environment={"FAIL": "1"}, ports={1: free_port()}, restart="NONE")
    dut.containerz.start("app", image=image, ports={1: free_port()})
    wait_until(lambda: not dut.containerz.container("ended").running, what="the end of the container")
    dut.switchover()
    dut.containerz.expect_container("app")
    assert not dut.containerz.container("ended").running


def test_a_crash_loses_nothing_that_was_written(chassis: holdfast.Emulator, dut: holdfast.Device, app: Path) -> None:
    image = dut.containerz.deploy(app, progress=False)
    dut.containerz.create_volume("kept")
    dut.containerz.start("app", image=image, volumes={"kept": "/data"}, ports={1: free_port()})
    says(dut, "app", "wrote nothing")  # else it may be killed before it did
    active = chassis.active
    dut.expect_redundant(active)  # else the other may know of no such container
    with chassis.failpoint("containerz.ListVolume", "1*panic(dead)"):
        assert [volume.name for volume in dut.containerz.volumes(timeout=60)] == ["kept"]
    assert chassis.active != active
    dut.containerz.expect_container("app")
    says(dut, "app", "found nothing")


def test_a_cold_reboot_restarts_by_policy_what_is_the_same_container(
    engine: Docker, dut: holdfast.Device, app: Path
) -> None:
    image = dut.containerz.deploy(app, progress=False)
    for name, policy in (("always", "ALWAYS"), ("never", "NONE")):
        dut.containerz.start(name, image=image, ports={1: free_port()}, restart=policy)
        says(dut, name, "came up first")
    (before,) = inspected(engine, "always")
    dut.reboot()
    dut.containerz.expect_container("always")
    says(dut, "always", "came up again")
    (after,) = inspected(engine, "always")
    assert before["Id"] == after["Id"]
    assert not dut.containerz.container("never").running


def test_an_update_that_fails_leaves_the_old_one_running(dut: holdfast.Device, app: Path) -> None:
    image = dut.containerz.deploy(app, progress=False)
    dut.containerz.start("app", image=image, ports={1: free_port()})
    with pytest.raises(NotFound):
        dut.containerz.update("app", image="app:none")
    dut.containerz.expect_container("app")


def test_what_is_the_users_own_in_the_engine_stays_as_it_is(engine: Docker, app: Path, tmp_path: Path) -> None:
    """Its own image of the same name and of the same id, containers and volumes."""
    engine.run("load", "-i", str(app))
    other = engines.shell_image(tmp_path / "other.tar", "app:v1", "echo other")
    engine.run("volume", "create", "kept")
    engine.run("create", "--name", "app", "--volume", "kept:/data", "app:v1")
    before = things(engine)
    try:
        with (
            holdfast.emulator(runtime="docker", engine=engine.host) as chassis,
            holdfast.connect(chassis.address, insecure=True) as dut,
        ):
            for archive in (other, app):
                image = dut.containerz.deploy(archive, replace=True, progress=False)
            dut.containerz.create_volume("kept")
            dut.containerz.start("app", image=image, volumes={"kept": "/data"}, ports={1: free_port()})
            dut.switchover()
            dut.containerz.remove("app", force=True)
            dut.containerz.remove_volume("kept")
            dut.containerz.remove_image(image, force=True)
        expect_unchanged(engine, before)
    finally:
        engine.run("rm", "-f", "app")
        engine.run("volume", "rm", "kept")
        engine.run("rmi", "-f", "app:v1")


@pytest.fixture
def untagged(engine: Docker, app: Path, tmp_path: Path) -> Iterator[dict[str, list[str]]]:
    """The engine has the image of `app` already, of the user's own, without a name: what it has."""
    engine.run("load", "-i", str(app))
    engine.run("load", "-i", str(engines.shell_image(tmp_path / "other.tar", "app:v1", "echo other")))
    before = things(engine)
    assert sum(line.startswith("<none>") for line in before["images"]) == 1
    yield before
    engine.run("rmi", "-f", *{line.split()[1] for line in things(engine)["images"]})


def test_an_image_of_the_users_own_without_a_name_stays(
    engine: Docker, untagged: dict[str, list[str]], app: Path
) -> None:
    """The device has it by the same id: whoever takes the last name of an image away removes it."""
    with (
        holdfast.emulator(runtime="docker", engine=engine.host) as first,
        holdfast.emulator(runtime="docker", engine=engine.host) as second,
    ):
        with holdfast.connect(first.address, insecure=True) as dut:
            image = dut.containerz.deploy(app, progress=False)
            dut.switchover()
            dut.containerz.remove_image(image)
        with holdfast.connect(second.address, insecure=True) as dut:
            dut.containerz.deploy(app, progress=False)
    assert things(engine) == untagged


def test_an_image_stays_whose_name_the_user_gave_to_another_meanwhile(
    engine: Docker, dut: holdfast.Device, app: Path, tmp_path: Path
) -> None:
    engine.run("load", "-i", str(app))
    named = engine.run("inspect", "--format", "{{.Id}}", "app:v1").stdout.strip()
    image = dut.containerz.deploy(app, progress=False)
    engine.run("load", "-i", str(engines.shell_image(tmp_path / "other.tar", "app:v1", "echo other")))
    dut.containerz.remove_image(image)
    try:
        assert engine.run("inspect", "--format", "{{.Id}}", named).stdout.strip() == named
    finally:
        engine.run("rmi", "-f", named, "app:v1")


def test_who_cleans_up_leaves_an_image_without_a_name_that_was_there(
    engine: Docker, untagged: dict[str, list[str]], killed: Callable[..., None], tmp_path: Path
) -> None:
    killed()
    assert set(clean(engine, tmp_path, "--yes")) == {"container", "image", "volume"}
    assert things(engine) == untagged


@pytest.fixture
def killed(engine: Docker, app: Path, tmp_path: Path) -> Callable[..., None]:
    """`holdfast emulate` in a process of its own that is killed once it runs a container with a volume."""

    def kill(*options: str) -> None:
        words = [sys.executable, "-m", "holdfast.cli", "emulate", "--listen", "auto", "--runtime", "docker"]
        command = [*words, "--engine", engine.host, *options]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=isolated(tmp_path, {}))
        assert process.stdout is not None
        with holdfast.connect(process.stdout.readline().split()[-1], insecure=True) as dut:
            image = dut.containerz.deploy(app, progress=False)
            dut.containerz.create_volume("kept")
            dut.containerz.start("app", image=image, volumes={"kept": "/data"}, ports={1: free_port()})
            says(dut, "app", "wrote nothing")
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=10)
        process.stdout.close()

    return kill


def clean(engine: Docker, tmp_path: Path, *options: str) -> list[str]:
    words = [sys.executable, "-m", "holdfast.cli", "lab", "clean", "--engine", engine.host, *options]
    done = subprocess.run(words, env=isolated(tmp_path, {}), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return [line.partition(" ")[0] for line in done.stdout.splitlines()]


def test_what_a_killed_device_left_is_found_and_removed(
    engine: Docker, dut: holdfast.Device, app: Path, killed: Callable[..., None], tmp_path: Path
) -> None:
    dut.containerz.deploy(app, progress=False)  # of a device that lives
    dut.containerz.create_volume("living")
    wait_until(lambda: len(things(engine)["volumes"]) == 2, what="the standby's volume")
    before = things(engine)
    killed()
    assert "container" in clean(engine, tmp_path)
    assert things(engine) != before, "without --yes nothing is removed"
    assert set(clean(engine, tmp_path, "--yes")) == {"container", "image", "volume"}
    expect_unchanged(engine, before)
    assert clean(engine, tmp_path) == []


def test_a_state_folder_keeps_its_volumes_over_a_kill(
    engine: Docker, killed: Callable[..., None], tmp_path: Path
) -> None:
    state = tmp_path / "state-of-device"
    killed("--state", str(state))
    assert set(clean(engine, tmp_path, "--yes")) == {"container", "image"}
    options = {"runtime": "docker", "engine": engine.host, "state": state}
    with holdfast.emulator(**options) as chassis, holdfast.connect(chassis.address, insecure=True) as dut:
        dut.containerz.expect_container("app")  # by its policy, as after a power cut
        says(dut, "app", "found nothing")
        dut.containerz.remove("app", force=True)
    assert engine_leftovers.find(engine.host) == []
    (state / "inventory").mkdir(exist_ok=True)
    state.rename(tmp_path / "elsewhere")
    assert set(clean(engine, tmp_path, "--yes")) <= {"volume"}
    assert things(engine)["volumes"] == []


def embedded(engine: Docker) -> tuple[str, ...]:
    """What a run is told."""
    return ("--dut-emulator", "runtime=docker", "--dut-emulator", f"engine={engine.host}")


@pytest.mark.parametrize("suite", ["cntr1", "cntr2", "cntr3"])
def test_the_cases_pass_on_real_containers(suite: str, run_suite: RunSuite, engine: Docker) -> None:
    before = things(engine)
    done = run_suite("-k", suite, *embedded(engine))
    assert done.exit_code == 0, done.output
    assert "skipped" not in done.output
    expect_unchanged(engine, before)


def test_a_container_that_takes_its_time_to_serve_is_waited_for(
    run_suite: RunSuite, engine: Docker, tmp_path: Path
) -> None:
    """A program has more to do than what the emulated device plays, whose limits are a few seconds."""
    slow = engines.shell_image(tmp_path / "slow.tar", "slow:v1", "sleep 5; exec busybox httpd -f -p 80")
    done = run_suite("-k", "cntr1_1", "--dut-image", str(slow), "--dut-port", "80", *embedded(engine))
    assert done.exit_code == 0, done.output


def test_a_device_says_that_its_containers_are_real_and_gets_their_limits(dut: holdfast.Device) -> None:
    assert dut.is_emulated()
    assert dut.deadlines() == _core.deadlines(emulated=True, real_containers=True)
    assert dut.deadlines()["verification"] > _core.deadlines(emulated=True)["verification"]


def test_two_devices_whose_containers_are_in_one_network_are_told_apart(
    run_suite: RunSuite, engine: Docker, dut: holdfast.Device, tmp_path: Path
) -> None:
    """In the network of this machine one of the two has the port, and answers for the other, too."""
    with holdfast.emulator(runtime="docker", engine=engine.host) as other:
        file = tmp_path / "lab.yaml"
        addresses = {"one": dut.address, "other": other.address}
        file.write_text(json.dumps({"devices": {k: {"address": v, "insecure": True} for k, v in addresses.items()}}))
        done = run_suite("-k", "cntr2_3", "--testbed", str(file), "--dut-port", str(free_port()))
    assert done.exit_code == 1, done.output
    assert "one container answers on both ports" in done.output


def test_a_port_that_both_devices_of_a_run_would_need_is_told_beforehand(run_suite: RunSuite, engine: Docker) -> None:
    done = run_suite("-k", "cntr2_3", "-rs", "--dut-port", "7000", *embedded(engine))
    assert done.exit_code == 0, done.output
    assert "leave --dut-port out" in done.output
