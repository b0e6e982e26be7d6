"""A device made from the reference server: what it says of what is not there, names of plugins, archives, tags."""

from __future__ import annotations

import json
import re
import tarfile
from pathlib import Path

import pytest
from test_quirks import QUICK

import holdfast
from holdfast import cntrsrv, plugin_archive
from holdfast.exceptions import AlreadyExists, FailedPrecondition, NotFound, Unknown

from conftest import RunSuite

WORDS = [[], ["engine-errors-unknown"]]


@pytest.mark.parametrize("quirks", WORDS, ids=["with a status", "by the engine's words"])
def test_what_is_not_there_or_in_use_is_told_by_its_meaning(quirks: list[str], archive: Path, tmp_path: Path) -> None:
    plugin_archive.write_archive(tmp_path / "plugin.tar")
    with holdfast.emulator(quirks=quirks) as chassis, holdfast.connect(chassis.address, insecure=True) as dut:
        containerz = dut.containerz
        with pytest.raises(NotFound):
            containerz.logs("nobody")
        with pytest.raises(NotFound):
            list(containerz.follow_logs("nobody"))
        with pytest.raises(NotFound):
            containerz.remove_plugin("nobody")
        assert not containerz.remove_plugin("nobody", missing_ok=True)
        with pytest.raises(NotFound):
            containerz.stop_plugin("nobody")
        assert not containerz.remove_volume("nobody", missing_ok=True)
        image = containerz.deploy(archive)
        containerz.create_volume("data")
        containerz.start("web", image=image, volumes={"data": "/data"})
        with pytest.raises(FailedPrecondition, match="use") as caught:
            containerz.remove_volume("data")
        assert "remove the containers" in str(caught.value)
        containerz.deploy(tmp_path / "plugin.tar", name="agent", is_plugin=True)
        containerz.start_plugin("agent", "agent", config=plugin_archive.CONFIG)
        with pytest.raises(FailedPrecondition) as caught:
            containerz.remove_plugin("agent")
        assert "stop it first" in str(caught.value)
        containerz.stop_plugin("agent")
        assert containerz.remove_plugin("agent", missing_ok=True)


def test_a_volume_that_the_device_is_asked_for_is_told_in_its_own_words() -> None:
    """The suite judges what the device itself says."""
    with (
        holdfast.emulator(quirks=["engine-errors-unknown"]) as chassis,
        holdfast.connect(chassis.address, insecure=True) as dut,
        pytest.raises(Unknown, match="no such volume"),
    ):
        dut.containerz.remove_volume("nobody", look_first=False)


@pytest.mark.parametrize(("quirks", "listed"), [([], "agent:latest"), (["plugin-names-bare"], "agent")])
def test_plugins_are_known_by_their_names_however_they_are_listed(
    quirks: list[str], listed: str, tmp_path: Path
) -> None:
    plugin_archive.write_archive(tmp_path / "plugin.tar")
    with holdfast.emulator(quirks=quirks) as chassis, holdfast.connect(chassis.address, insecure=True) as dut:
        dut.containerz.deploy(tmp_path / "plugin.tar", name="tar", is_plugin=True)
        dut.containerz.start_plugin("tar", "agent", config=plugin_archive.CONFIG)
        assert [plugin.instance_name for plugin in dut.containerz.plugins()] == ["agent"]
        terms = json.dumps({"plugins": [{"instance_name": listed}]})
        with chassis.failpoint("containerz.ListPlugins", f"return{terms}"):
            assert [plugin.instance_name for plugin in dut.containerz.plugins()] == ["agent"]


def test_an_archive_with_a_folder_around_the_plugin_does_not_start(device: holdfast.Device, tmp_path: Path) -> None:
    plugin_archive.write_archive(tmp_path / "plugin.tar")
    with tarfile.open(tmp_path / "plugin.tar") as flat, tarfile.open(tmp_path / "deep.tar", "w") as deep:
        for entry in flat:
            content = flat.extractfile(entry)
            entry.name = f"rootfs/{entry.name}"
            deep.addfile(entry, content)
    for name in ("plugin", "deep"):
        device.containerz.deploy(tmp_path / f"{name}.tar", name=name, is_plugin=True)
    device.containerz.start_plugin("plugin", "plugin", config=plugin_archive.CONFIG)
    with pytest.raises(Unknown, match="no such file or directory"):
        device.containerz.start_plugin("deep", "deep", config=plugin_archive.CONFIG)


@pytest.fixture
def plugin(tmp_path: Path) -> tuple[str, ...]:
    plugin_archive.write_archive(tmp_path / "mine.tar")
    (tmp_path / "mine.json").write_text(plugin_archive.CONFIG)
    return ("--dut-plugin", str(tmp_path / "mine.tar"), "--dut-plugin-config", str(tmp_path / "mine.json"))


def test_a_plugin_of_ones_own_is_tested(run_suite: RunSuite, plugin: tuple[str, ...]) -> None:
    run = run_suite("-k", "cntr1_7", *QUICK, *plugin)
    assert run.exit_code == 0, run.output
    assert "1 passed" in run.output


def test_a_plugin_that_makes_no_sense_is_refused(run_suite: RunSuite, plugin: tuple[str, ...], tmp_path: Path) -> None:
    refused = run_suite("-k", "cntr1_7", *plugin[:2])
    assert refused.exit_code == 4
    assert "give both" in refused.output
    refused = run_suite("-k", "cntr1_7", *plugin[:2], "--dut-plugin-config", plugin[1])
    assert refused.exit_code == 4
    assert "config.json" in refused.output
    with tarfile.open(tmp_path / "deep.tar", "w") as deep:
        deep.add(tmp_path / "mine.json", "rootfs/mine")
    refused = run_suite("-k", "cntr1_7", "--dut-plugin", str(tmp_path / "deep.tar"), *plugin[2:])
    assert refused.exit_code == 4
    assert "tar -C rootfs" in refused.output


def test_a_tag_of_the_archive_itself_is_moved_off_no_other_image(device: holdfast.Device, tmp_path: Path) -> None:
    for number in ("one", "two"):
        cntrsrv.write_archive(tmp_path / f"{number}.tar", name="app", tag="v1", labels={"number": number})
    first = device.containerz.deploy(tmp_path / "one.tar")
    with pytest.raises(AlreadyExists, match=r"app:v1 names another image.*would move it"):
        device.containerz.deploy(tmp_path / "two.tar", name="other", tag="v2")
    assert [row.id for row in device.containerz.images()] == [first.id]
    device.containerz.deploy(tmp_path / "one.tar", name="another", tag="v3")  # its own name stays where it is
    retagged = device.containerz.deploy(tmp_path / "two.tar", retag="other:v2")
    assert retagged.id != first.id
    moved = device.containerz.deploy(tmp_path / "two.tar", name="third", tag="v4", replace=True)
    assert next(row.id for row in device.containerz.images() if (row.name, row.tags) == ("app", ("v1",))) == moved.id


def test_an_image_that_keeps_no_ledger_is_not_failed_for_that(run_suite: RunSuite, tmp_path: Path) -> None:
    cntrsrv.write_archive(tmp_path / "mine.tar", name="mine", tag="v1")
    for append in ("error[INTERNAL](no ledger here)", "error[UNIMPLEMENTED](x)"):
        run = run_suite("-k", "cntr1_6", *QUICK, "--dut-image", str(tmp_path / "mine.tar"), "--dut-command",
                        "./cntrsrv --port {port}", failpoints=f"ledger.Append={append}")  # fmt: skip
        assert run.exit_code == 0, run.output
        assert "the image under test has no ledger" in run.cases["test_cntr1_6_update"].properties["not_checked"]
    alarm = run_suite("-k", "cntr1_6", *QUICK, failpoints="ledger.Append=error[INTERNAL](no ledger here)")
    assert alarm.exit_code == 1, "the wheel's own keeps one"


def test_containers_of_cntr2_ask_for_the_hosts_network(run_suite: RunSuite, tmp_path: Path) -> None:
    def asked(*given: str) -> str:
        kept = tmp_path / "-".join(["kept", *given])
        run = run_suite("-k", "cntr2_1", *QUICK, "--dut-artifacts", str(kept), *given)
        assert run.exit_code == 0, run.output
        texts = [file.read_text(errors="replace") for file in kept.rglob("*") if file.is_file()]
        return next(line for text in texts for line in text.splitlines() if "StartContainerRequest" in line)

    line = asked()
    assert re.search(r"network\W+host\W", line), line
    assert re.search(r"network\W+bridge\W", asked("--dut-network", "bridge"))


def test_a_local_volume_is_the_plans_own_unless_something_else_is_said(run_suite: RunSuite) -> None:
    run = run_suite("-k", "cntr1_5", *QUICK, "--dut-volume-driver", "local")
    assert run.exit_code == 0, run.output
    assert "with its options" in run.cases["test_cntr1_5_volume"].properties["checked"]
