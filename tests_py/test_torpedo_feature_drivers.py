"""CSI drivers that have expansion, snapshots, copies or statistics, and answer as they like: each served for real."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
from test_torpedo_drivers import run

from holdfast import _core

from conftest import RunSuite, SuiteRun
from test_torpedo import verdicts

pytestmark = pytest.mark.skipif(bool(_core.storage_lab_lacks()), reason=str(_core.storage_lab_lacks()))

EXPANDS = {"offers": ["EXPAND_VOLUME"], "online": True}
BY_NODES = {"node_offers": ["EXPAND_VOLUME"], "online": True}
BOTH = {**EXPANDS, **BY_NODES, "required": True}
SNAPSHOTS = {"offers": ["CREATE_DELETE_SNAPSHOT"]}
CLONES = {"offers": ["CLONE_VOLUME"]}
COUNTS = {"node_offers": ["GET_VOLUME_STATS"]}
CONDITION = {"node_offers": ["GET_VOLUME_STATS", "VOLUME_CONDITION"]}
WELL = {"abnormal": False, "message": "well"}
FOR_EVER = {"codes": ["UNIMPLEMENTED"], "forever": True}


def outcome(
    run_suite: RunSuite, folder: Path, scenario: str, ways: dict[str, Any], **script: Any
) -> tuple[str, str, SuiteRun]:
    """The verdict of a scenario, its reason, and the run."""
    with tempfile.TemporaryDirectory(prefix="hf-") as short:  # the path of a socket has 107 bytes
        chosen = ("-k", f"torpedo_{scenario[1:]}_")
        found = run(run_suite, folder, {**script, "ways": ways}, *chosen, temporary=short, calls={"default": "5s"})
    ((verdict, reason),) = verdicts(found)[scenario]
    return verdict, reason, found


@pytest.mark.parametrize("scenario", ["T11", "T12", "T13", "T15"])
def test_who_offers_nothing_beyond_volumes_is_not_asked(scenario: str, run_suite: RunSuite, tmp_path: Path) -> None:
    verdict, reason, found = outcome(run_suite, tmp_path, scenario, {})
    assert verdict == "NotRun", found.output
    assert "scripted does not have the capability " in reason


@pytest.mark.parametrize(
    ("scenario", "ways", "told"),
    [
        pytest.param("T11", EXPANDS, "", id="the controller expands"),
        pytest.param("T11", BOTH, "", id="the controller, and then the node"),
        pytest.param("T11", BY_NODES, "", id="nodes alone expand"),
        pytest.param("T11", {"offers": ["EXPAND_VOLUME"]}, "an expansion under write", id="expands offline"),
        pytest.param(
            "T11", {**EXPANDS, "smaller": "refused"}, "an expansion to less than there is", id="nothing becomes smaller"
        ),
        pytest.param("T12", SNAPSHOTS, "", id="snapshots"),
        pytest.param("T12", {**SNAPSHOTS, "settles": 6}, "", id="a snapshot is ready late"),
        pytest.param("T12", {**SNAPSHOTS, "settles": 3, "creation_time": "late"}, "", id="a snapshot is cut late"),
        pytest.param("T12", {**SNAPSHOTS, "told": "none"}, "", id="a restore tells of no source"),
        pytest.param(
            "T12", {**SNAPSHOTS, "snapshot_bytes": 128 << 20, "restores_from": 128 << 20}, "", id="larger snapshots"
        ),
        pytest.param(
            "T12", {**SNAPSHOTS, "snapshots": "unused"}, "a snapshot of a volume in use", id="snapshots while unused"
        ),
        pytest.param(
            "T12",
            {**SNAPSHOTS, "snapshots": "need their source"},
            "a volume removed before what was made from it",
            id="snapshots need their source",
        ),
        pytest.param(
            "T12",
            {**SNAPSHOTS, "restores_to": 64 << 20},
            "a copy that is larger than its source",
            id="a restore is as large as its source",
        ),
        pytest.param("T13", CLONES, "", id="clones"),
        pytest.param("T15", COUNTS, "", id="statistics"),
        pytest.param(
            "T15", {**COUNTS, "omits": ["used"]}, "used bytes of a volume", id="nothing is told of used bytes"
        ),
        pytest.param(
            "T15",
            {**COUNTS, "omits": ["used", "available"]},
            "available bytes of a volume",
            id="the total alone is told",
        ),
        pytest.param("T15", {**COUNTS, "reserved": 20}, "", id="what is kept for root counts as used"),
        pytest.param("T15", {**COUNTS, "counted": False}, "bytes of a volume", id="nothing is counted"),
        pytest.param("T15", {**CONDITION, "condition": WELL}, "", id="a condition"),
    ],
)
def test_who_answers_as_it_may_passes(
    scenario: str, ways: dict[str, Any], told: str, run_suite: RunSuite, tmp_path: Path
) -> None:
    verdict, _, found = outcome(run_suite, tmp_path, scenario, ways)
    assert verdict == "Pass", found.output
    assert (f"not checked: {told}" in found.output) if told else True


@pytest.mark.parametrize(
    ("scenario", "ways", "script", "said"),
    [
        pytest.param(
            "T11",
            EXPANDS,
            {"ControllerExpandVolume": FOR_EVER},
            "ControllerExpandVolume: UNIMPLEMENTED",
            id="expansion not there",
        ),
        pytest.param(
            "T11",
            BOTH,
            {"NodeExpandVolume": FOR_EVER},
            "NodeExpandVolume: UNIMPLEMENTED",
            id="expansion on nodes not there",
        ),
        pytest.param(
            "T11",
            BY_NODES,
            {"NodeExpandVolume": FOR_EVER},
            "NodeExpandVolume: UNIMPLEMENTED",
            id="expansion by nodes alone not there",
        ),
        pytest.param(
            "T11",
            {**EXPANDS, "expanded": "less"},
            {},
            "asked for 134217728 bytes is said to have 67108864",
            id="expanded to less",
        ),
        pytest.param(
            "T11",
            {**BOTH, "expanded_here": "less"},
            {},
            "NodeExpandVolume was asked for 134217728 bytes, and tells of 67108864",
            id="expanded to less on a node",
        ),
        pytest.param(
            "T11",
            {**EXPANDS, "expanded_again": "refused"},
            {},
            "ControllerExpandVolume: ALREADY_EXISTS",
            id="the same expansion refused",
        ),
        pytest.param(
            "T12", SNAPSHOTS, {"CreateSnapshot": FOR_EVER}, "CreateSnapshot: UNIMPLEMENTED", id="snapshots not there"
        ),
        pytest.param(
            "T12",
            {**SNAPSHOTS, "snapshot_id": "changes"},
            {},
            "asked for again became another",
            id="another id each time",
        ),
        pytest.param(
            "T12",
            {**SNAPSHOTS, "snapshot_id": "changes", "settles": 1},
            {},
            "one snapshot asked for twice became",
            id="another id while it settles",
        ),
        pytest.param(
            "T12",
            {**SNAPSHOTS, "creation_time": "changes"},
            {},
            "asked for again was taken at another time",
            id="another creation time each time",
        ),
        pytest.param("T12", {**SNAPSHOTS, "settles": 1 << 30}, {}, "is not ready_to_use after", id="never ready"),
        pytest.param(
            "T12",
            {**SNAPSHOTS, "omits": ["creation_time"]},
            {},
            "CreateSnapshot without a creation_time",
            id="no creation time",
        ),
        pytest.param(
            "T12",
            {**SNAPSHOTS, "omits": ["source_volume_id"]},
            {},
            "CreateSnapshot without a source_volume_id",
            id="no source",
        ),
        pytest.param(
            "T12", {**SNAPSHOTS, "snapshot_bytes": -1}, {}, "CreateSnapshot tells of -1 bytes", id="a size below 0"
        ),
        pytest.param(
            "T12",
            {**SNAPSHOTS, "told": "foreign"},
            {},
            "and CreateVolume tells of one from the snapshot of somebody else",
            id="restored from elsewhere",
        ),
        pytest.param(
            "T12", {**SNAPSHOTS, "told": "none", "source": "ignored"}, {}, "emptied", id="restored to nothing"
        ),
        pytest.param(
            "T12",
            {**SNAPSHOTS, "restored": "smaller"},
            {},
            "asked for 67108864 bytes, and got 33554432",
            id="restored smaller",
        ),
        pytest.param(
            "T12",
            {**SNAPSHOTS, "source": "of the first"},
            {},
            "accepted: the name of a volume from one snapshot, with another snapshot",
            id="one name for two sources",
        ),
        pytest.param(
            "T12", {**SNAPSHOTS, "gone": "refused"}, {}, "removed, and removed again", id="a second removal refused"
        ),
        pytest.param(
            "T13",
            CLONES,
            {"CreateVolume": {**FOR_EVER, "sources": True}},
            "CreateVolume: UNIMPLEMENTED",
            id="clones not there",
        ),
        pytest.param(
            "T13",
            {**CLONES, "told": "foreign"},
            {},
            "and CreateVolume tells of one from the snapshot of somebody else",
            id="cloned from elsewhere",
        ),
        pytest.param(
            "T13",
            {**CLONES, "restored": "smaller"},
            {},
            "asked for 67108864 bytes, and got 33554432",
            id="cloned smaller",
        ),
        pytest.param(
            "T12",
            {**SNAPSHOTS, "copies": "go with their source"},
            {},
            "a volume is made from a snapshot whose source was removed: ",
            id="snapshots go with their source",
        ),
        pytest.param(
            "T13",
            {**CLONES, "copies": "go with their source"},
            {},
            " was made from, was removed: ",
            id="clones go with their source",
        ),
        pytest.param(
            "T15",
            COUNTS,
            {"NodeGetVolumeStats": FOR_EVER},
            "NodeGetVolumeStats: UNIMPLEMENTED",
            id="statistics not there",
        ),
        pytest.param(
            "T15", {**COUNTS, "counts": {"available": "-1"}}, {}, "tells of -1 available bytes", id="less than nothing"
        ),
        pytest.param(
            "T15",
            {**COUNTS, "counts_too": [{"unit": "INODES", "total": "-5"}]},
            {},
            "tells of -5 inodes in all",
            id="inodes below 0",
        ),
        pytest.param("T15", {**COUNTS, "omits": ["total"]}, {}, "0 bytes in all are told", id="no total"),
        pytest.param(
            "T15",
            {**COUNTS, "omits": ["used"], "counts": {"available": str(1 << 60)}},
            {},
            "available bytes are told, and",
            id="more than there is",
        ),
        pytest.param(
            "T15",
            CONDITION,
            {},
            "NodeGetVolumeStats tells of no condition, though the plugin has the capability VOLUME_CONDITION",
            id="no condition",
        ),
        pytest.param(
            "T15",
            {**CONDITION, "condition": {"abnormal": True, "message": "worn"}},
            {},
            "is said to be abnormal: worn",
            id="abnormal",
        ),
    ],
)
def test_who_answers_what_cannot_be_fails(
    scenario: str, ways: dict[str, Any], script: dict[str, Any], said: str, run_suite: RunSuite, tmp_path: Path
) -> None:
    verdict, reason, found = outcome(run_suite, tmp_path, scenario, ways, **script)
    assert verdict == "Fail", found.output
    assert said in reason


def test_a_size_that_a_driver_does_not_expand_to_is_not_its_fault(run_suite: RunSuite, tmp_path: Path) -> None:
    refused = {"codes": ["OUT_OF_RANGE"], "forever": True, "message": "64 MiB are the most"}
    verdict, reason, found = outcome(run_suite, tmp_path, "T11", EXPANDS, ControllerExpandVolume=refused)
    assert verdict == "NotRun", found.output
    assert "scripted expands no volume to 134217728 bytes: ControllerExpandVolume: OUT_OF_RANGE" in reason


@pytest.mark.parametrize("code", ["INVALID_ARGUMENT", "UNIMPLEMENTED"])
def test_who_gives_no_devices_is_not_asked_for_them(code: str, run_suite: RunSuite, tmp_path: Path) -> None:
    verdict, reason, found = outcome(run_suite, tmp_path, "T14", {"no_devices": code})
    assert verdict == "NotRun", found.output
    assert "scripted gives no devices: " in reason


def test_a_folder_is_no_device(run_suite: RunSuite, tmp_path: Path) -> None:
    verdict, reason, found = outcome(run_suite, tmp_path, "T14", {})
    assert verdict == "Fail", found.output
    assert "a device was asked for, and this is none" in reason
