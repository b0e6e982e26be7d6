"""What orchestrators do about answers of CSI drivers, and what drivers may answer: each served for real, in a lab."""

from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path
from typing import Any

import pytest
from test_torpedo_drivers import run

from holdfast import _core

from conftest import RunSuite, SuiteRun
from test_torpedo import verdicts

pytestmark = pytest.mark.skipif(bool(_core.storage_lab_lacks()), reason=str(_core.storage_lab_lacks()))

ATTACHES = {"offers": ["PUBLISH_UNPUBLISH_VOLUME"]}
LISTS = {"offers": ["LIST_VOLUMES"], "lists": True}
LISTS_NODES = {
    "offers": ["LIST_VOLUMES", "LIST_VOLUMES_PUBLISHED_NODES", "PUBLISH_UNPUBLISH_VOLUME"],
    "lists": True,
}
LISTS_SNAPSHOTS = ["CREATE_DELETE_SNAPSHOT", "LIST_SNAPSHOTS"]
OWN_PLACE = {"plugin_offers": ["VOLUME_ACCESSIBILITY_CONSTRAINTS"], "place": "own"}
NOT_THERE = {"codes": ["UNIMPLEMENTED"], "forever": True}
LATE = {"codes": ["NOT_FOUND", "NOT_FOUND"]}


def judged(
    run_suite: RunSuite, folder: Path, scenario: str, script: dict[str, Any], **keys: Any
) -> tuple[str, str, SuiteRun]:
    """The verdict of a scenario, its reason, and the run."""
    with tempfile.TemporaryDirectory(prefix="hf-") as short:  # the path of a socket has 107 bytes
        chosen = ("-k", f"torpedo_{scenario[1:]}_" + (" and kill_plugin" if scenario == "T3" else ""))
        found = run(run_suite, folder, script, *chosen, temporary=short, **{"calls": {"default": "5s"}, **keys})
    ((verdict, reason),) = verdicts(found)[scenario]
    return verdict, reason, found


@pytest.mark.parametrize(
    ("scenario", "script"),
    [
        pytest.param("T1", {"NodeGetInfo": NOT_THERE}, id="no NodeGetInfo, of who attaches nothing"),
        pytest.param("T1", {"ways": ATTACHES, "ControllerPublishVolume": LATE}, id="attached late"),
        pytest.param("T1", {"NodePublishVolume": LATE}, id="published late"),
        pytest.param("T1", {"ways": {"stages": True}, "NodeStageVolume": LATE}, id="staged late"),
        pytest.param("T2", {"ways": {**ATTACHES, "publish_context": "always"}}, id="a publish context each time"),
        pytest.param("T2", {"ways": {"contexts": "always"}}, id="a volume context each time"),
        pytest.param("T2", {"ways": {"stages": True}}, id="stages"),
        pytest.param("T1", {"ways": {"confirms": "the mode"}}, id="confirms the access mode alone"),
        pytest.param("T4", {"ways": ATTACHES, "Probe": {"slow": 2.1, "always": True}}, id="a slow Probe"),
        pytest.param("T1", {"ways": {**LISTS, "page": 2}}, id="lists in pages"),
        pytest.param("T1", {"ways": {**LISTS, "page": 2, "pages": "for a while"}}, id="a token is good for a while"),
        pytest.param("T1", {"ways": {**LISTS_NODES, "also_held_by": ["i-0815"]}}, id="lists nodes of somebody else"),
        pytest.param("T1", {"ways": {**LISTS, "lists": "own", **OWN_PLACE}}, id="lists the volumes of its own node"),
        pytest.param("T1", {"ways": {"offers": ["GET_VOLUME"]}}, id="tells of one volume"),
        pytest.param("T12", {"ways": {"offers": LISTS_SNAPSHOTS}}, id="tells of one snapshot"),
        pytest.param("T1", {"ways": {**LISTS, "lists": "with others'"}}, id="lists volumes of somebody else"),
    ],
)
def test_who_answers_so_is_right(scenario: str, script: dict[str, Any], run_suite: RunSuite, tmp_path: Path) -> None:
    verdict, _, found = judged(run_suite, tmp_path, scenario, script)
    assert verdict == "Pass", found.output


@pytest.mark.parametrize(
    ("scenario", "script", "said"),
    [
        pytest.param(
            "T1",
            {"ways": ATTACHES, "NodeGetInfo": NOT_THERE},
            "does not introduce itself: NodeGetInfo: UNIMPLEMENTED",
            id="attaches and knows no node",
        ),
        pytest.param(
            "T1",
            {"NodePublishVolume": {"codes": ["NOT_FOUND"], "forever": True}},
            "NodePublishVolume: NOT_FOUND: as the script says (asked ",
            id="never published",
        ),
        pytest.param(
            "T2",
            {"ways": {**ATTACHES, "publish_context": "once"}},
            'another publish_context: device was "/dev/sdx", and is not there',
            id="a publish context once",
        ),
        pytest.param(
            "T2",
            {"ways": {"contexts": "once"}},
            'another volume_context: pool was "first", and is not there',
            id="a volume context once",
        ),
        pytest.param(
            "T2",
            {"ways": {"stages": True, "unpublishes": "what is staged too"}},
            "it does not hold what its task wrote",
            id="unpublishes what is staged too",
        ),
        pytest.param(
            "T1",
            {"ways": {"confirms": "another"}},
            "SINGLE_NODE_WRITER as a file system, and confirms SINGLE_NODE_READER_ONLY as a file system",
            id="confirms another access mode",
        ),
        pytest.param("T1", {"ways": {"confirms": "none"}}, "and confirms no capability", id="confirms no capability"),
        pytest.param(
            "T1",
            {"ways": {**LISTS, "pages": "too large"}},
            "a page of 2 entries at most was asked for, and has 3",
            id="more entries than were asked for",
        ),
        pytest.param(
            "T1",
            {"ways": {**LISTS, "pages": "with gaps"}},
            "made, and not in the provider's list in pages of 2: holdfast-",
            id="pages with gaps",
        ),
        pytest.param(
            "T1",
            {"ways": {"offers": ["GET_VOLUME"], "volume": "another"}},
            ', and tells of "another"',
            id="tells of another volume",
        ),
        pytest.param(
            "T1",
            {"ways": {"offers": ["GET_VOLUME", "VOLUME_CONDITION"]}},
            "ControllerGetVolume without a condition, though the controller has the capability VOLUME_CONDITION",
            id="tells of no condition",
        ),
        pytest.param(
            "T1",
            {"ways": {"offers": ["GET_VOLUME"], "volume": "gone too"}},
            "was removed, and asked for by itself is known",
            id="tells of a volume that is gone",
        ),
        pytest.param(
            "T12",
            {"ways": {"offers": LISTS_SNAPSHOTS, "lists_snapshots": "all"}},
            " alone, and tells of ",
            id="tells of other snapshots",
        ),
        pytest.param(
            "T12",
            {"ways": {"offers": LISTS_SNAPSHOTS, "lists_snapshots": "none"}},
            "is there, and asked for by itself is not known",
            id="tells of no snapshot",
        ),
        pytest.param(
            "T1", {"ways": {"most": -1}}, "NodeGetInfo on node1 tells of -1 volumes at most", id="less than no volumes"
        ),
        pytest.param(
            "T3",
            {"ways": {"memory": True}},
            "is there, and asked for again became another: ",
            id="knows its volumes by its memory alone",
        ),
        pytest.param(
            "T1",
            {"ways": {"offers": ["SINGLE_NODE_MULTI_WRITER"], "node_offers": ["SINGLE_NODE_MULTI_WRITER"],
                      "modes": ["SINGLE_NODE_MULTI_WRITER", "SINGLE_NODE_SINGLE_WRITER"]}},
            "CreateVolume: INVALID_ARGUMENT: no volume is for that here",
            id="knows the newer access modes alone",
        ),
    ],
)  # fmt: skip
def test_who_answers_so_is_wrong(
    scenario: str, script: dict[str, Any], said: str, run_suite: RunSuite, tmp_path: Path
) -> None:
    verdict, reason, found = judged(run_suite, tmp_path, scenario, script)
    assert verdict == "Fail", found.output
    assert said in reason, found.output


@pytest.mark.parametrize(
    ("script", "said"),
    [
        pytest.param(
            {"CreateVolume": {"codes": ["RESOURCE_EXHAUSTED"], "forever": True, "message": "the pool is full"}},
            "scripted has no room for a volume of 67108864 bytes: ",
            id="no room",
        ),
        pytest.param(
            {"ways": {"controller": "said"}}, "say CONTROLLER_SERVICE, and none serves it", id="no controller"
        ),
        pytest.param(
            {"ways": {"plugin_offers": ["VOLUME_ACCESSIBILITY_CONSTRAINTS"], "place": "node2"}},
            "a volume for node1 is accessible from node2 alone",
            id="placed elsewhere",
        ),
    ],
)
def test_what_a_driver_or_its_store_lacks_is_no_fault(
    script: dict[str, Any], said: str, run_suite: RunSuite, tmp_path: Path
) -> None:
    verdict, reason, found = judged(run_suite, tmp_path, "T1", script)
    assert verdict == "NotRun", found.output
    assert said in reason


def test_a_long_error_is_told_by_its_beginning(run_suite: RunSuite, tmp_path: Path) -> None:
    script = {"CreateVolume": {"codes": ["INVALID_ARGUMENT"], "forever": True, "message": "no pool " + "x" * 100_000}}
    verdict, reason, found = judged(run_suite, tmp_path, "T1", script)
    assert verdict == "Fail", found.output
    assert "CreateVolume: INVALID_ARGUMENT: no pool xxx" in reason
    assert len(reason) < 10_000


READERS = ["SINGLE_NODE_WRITER", "MULTI_NODE_READER_ONLY"]


@pytest.mark.parametrize(
    ("ways", "verdict", "said"),
    [
        pytest.param({}, "Pass", "", id="reads"),
        pytest.param({"offers": ["PUBLISH_UNPUBLISH_VOLUME"]}, "Pass", "", id="attaches"),
        pytest.param({"offers": ["PUBLISH_UNPUBLISH_VOLUME", "PUBLISH_READONLY"]}, "Pass", "", id="attaches to read"),
        pytest.param(
            {"readers": "write"}, "Fail", "accepted: a write on a volume for MULTI_NODE_READER_ONLY", id="writes"
        ),
        pytest.param(
            {"offers": ["PUBLISH_UNPUBLISH_VOLUME"], "alone": True},
            "Fail",
            "a volume for MULTI_NODE_READER_ONLY is not to be had on node2 while node1 has it: ",
            id="one node alone",
        ),
    ],
)
def test_a_volume_may_be_for_readers_later(
    ways: dict[str, Any], verdict: str, said: str, run_suite: RunSuite, tmp_path: Path
) -> None:
    found = judged(run_suite, tmp_path, "T1", {"ways": ways}, access_modes=READERS)
    assert found[0] == verdict, found[2].output
    assert said in found[1]
    made = [json.loads(each.read_text()) for each in (tmp_path / "volumes").glob("*.asked")]
    asked = [[mode["access_mode"]["mode"] for mode in each.get("volume_capabilities", [])] for each in made]
    assert READERS in asked


@pytest.mark.parametrize("ignored", [False, True])
def test_a_volume_is_mounted_as_the_file_says(ignored: bool, run_suite: RunSuite, tmp_path: Path) -> None:
    script = {"ways": {"flags": "ignored"} if ignored else {}}
    flags = ["noatime", "nodev", "discard"]
    verdict, reason, found = judged(run_suite, tmp_path, "T1", script, mount_flags=flags)
    if ignored:
        assert verdict == "Fail", found.output
        assert re.search("asked to mount with noatime(, nodev)?, and it is mounted with rw", reason), reason
    else:
        assert verdict == "Pass", found.output
        assert "not checked: the mount flags discard: they are the file system's own" in found.output


def test_what_nobody_asks_of_a_driver_is_told(run_suite: RunSuite, tmp_path: Path) -> None:
    verdict, _, found = judged(run_suite, tmp_path, "T1", {"ways": {"offers": ["GET_SNAPSHOT", "MODIFY_VOLUME"]}})
    assert verdict == "Pass", found.output
    for capability in ("GET_SNAPSHOT", "MODIFY_VOLUME"):
        assert f"not checked: {capability}: no scenario asks for what it says that it can do" in found.output


def test_a_volume_has_the_room_that_was_asked_for(run_suite: RunSuite, tmp_path: Path) -> None:
    script = {"ways": {"holds": 24 << 20}}
    verdict, reason, found = judged(run_suite, tmp_path, "T1", script, filesystems=["ext4"], sizes=["16MiB", "64MiB"])
    assert verdict == "Fail", found.output
    assert "asked for 67108864 bytes, and a task has 25165824 of them" in reason
