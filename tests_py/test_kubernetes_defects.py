"""Broken CSI drivers under a Kubernetes: what stands between the judge and the driver hides none of it."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from holdfast.storage import kubernetes

from conftest import RunSuite, SuiteRun
from test_torpedo import verdicts

DRIVER = Path(__file__).parent / "scripted_driver.py"
pytestmark = pytest.mark.skipif(bool(kubernetes.lacks()), reason=str(kubernetes.lacks()))
FOREVER = {"codes": ["INTERNAL"], "forever": True}
UNFENCED = "the old writer .* got no error|two writers|stale: record|damaged after record|acknowledged and is not there"
# What the driver does wrong, the scenario that catches it, and the words for it.
DEFECTS: dict[str, tuple[dict[str, Any], str, str]] = {
    # what was written below the mount point keeps a kubelet from removing that
    "mounts nothing": ({"ways": {"binds": "nothing"}}, "T1", "emptied: none of|the end of the Pod .* not come in time"),
    "mounts a new folder each time": ({"ways": {"binds": "a new one"}}, "T1", "emptied: none of"),
    "mounts one folder for all volumes": ({"ways": {"binds": "one for all"}}, "T1", "damaged after record"),
    "has a copy on each node": ({"ways": {"binds": "one of the node"}}, "T24", "acknowledged records on"),
    "empties a volume with its unmount": ({"ways": {"unpublishes": "and empties"}}, "T1", "emptied: none of"),
    "cuts a volume with its unmount": ({"ways": {"unpublishes": "and cuts"}}, "T1", "lost tail: "),
    "makes no volume": ({"CreateVolume": FOREVER}, "T1", "ProvisioningFailed: .*as the script says"),
    "does not answer to CreateVolume": ({"CreateVolume": {"hang": True}}, "T1", "is not bound|did not come in time"),
    "takes a parameter that nobody knows": ({"ways": {"nonsense": "taken"}}, "T1", "accepted: a parameter"),
    "lists no volume that it made": (
        {"ways": {"offers": ["LIST_VOLUMES"]}},
        "T1",
        "made, and not in the provider's list: ",
    ),
    "removes no volume": ({"DeleteVolume": FOREVER}, "T1", "VolumeFailedDelete: .*as the script says"),
    "keeps a volume that it was to remove": (
        {"ways": {"offers": ["LIST_VOLUMES"], "lists": True, "keeps": True}},
        "T1",
        "removed, and there still: ",
    ),
    "lists a node that it took a volume from": (
        {
            "ways": {
                "offers": ["LIST_VOLUMES", "LIST_VOLUMES_PUBLISHED_NODES", "PUBLISH_UNPUBLISH_VOLUME"],
                "lists": True,
                "also_held_by": ["node2"],
            }
        },
        "T1",
        "left over: .* is attached to node2",
    ),
    "mounts no volume": ({"NodePublishVolume": FOREVER}, "T1", "FailedMount: .*as the script says"),
    "does not answer to NodePublishVolume": ({"NodePublishVolume": {"hang": True}}, "T1", "does not run|in time"),
    "answers what is no answer": ({"NodePublishVolume": {"garbage": True}}, "T1", "FailedMount: .*unmarshal"),
    "unmounts no volume": ({"NodeUnpublishVolume": FOREVER}, "T1", "the end of the Pod .* did not come in time"),
    "unmounts no volume of a pod that ended while the kubelet was away": (
        {"NodeUnpublishVolume": FOREVER},
        "T21",
        "a pod does not end: .*the end of the Pod .* did not come in time",
    ),
    "mounts a new folder each time, also after the kubelet was away": (
        {"ways": {"binds": "a new one"}},
        "T22",
        "emptied: none of",
    ),
    "has a copy on each node, also after the control plane was away": (
        {"ways": {"binds": "one of the node"}},
        "T23",
        "acknowledged records on",
    ),
    "lets go of no volume": (
        {"ways": {"offers": ["PUBLISH_UNPUBLISH_VOLUME"]}, "ControllerUnpublishVolume": FOREVER},
        "T24",
        "left over: .* is attached to node1",
    ),
    "does not cut off the node that it takes a volume from": ({}, "T7", UNFENCED),
    "does not cut off the node of a StatefulSet's pod": ({}, "T25", UNFENCED),
}

# Those that `nox -s kubernetes_sample` looks at.
SAMPLED = ("mounts nothing", "has a copy on each node", "does not cut off the node of a StatefulSet's pod")


def run(suite: RunSuite, folder: Path, script: dict[str, Any], scenario: str, *modes: str) -> tuple[str, str, SuiteRun]:
    """The verdict on a driver that does as a script says, and the reason; `modes` are access modes that it has too."""
    told = folder / "script.json"
    told.write_text(json.dumps(script), encoding="utf-8")
    start = f'{sys.executable} {DRIVER} {{socket}} {{node}} {folder}/volumes "$(cat {told})"'
    file = folder / "scripted.yaml"
    held = {
        "provider": {
            "kind": "csi",
            "start": start,
            "fencing": "driver",
            "refuses_unknown_parameters": True,
            "access_modes": ["SINGLE_NODE_WRITER", *modes],
        },
        "runner": {"kind": "kubernetes"},
        "lab": {"nodes": 2},
    }
    file.write_text(json.dumps(held), encoding="utf-8")
    found = suite("-k", f"torpedo_{scenario[1:]}_", "--provider", str(file))
    ((verdict, reason),) = verdicts(found)[scenario]
    return verdict, reason, found


@pytest.mark.parametrize("scenario", ["T1", "T24"])
def test_a_driver_that_is_right_passes(scenario: str, run_suite: RunSuite, tmp_path: Path) -> None:
    """T1 with all that a cluster can ask for: one pod alone, and readers on two nodes."""
    modes = ("SINGLE_NODE_SINGLE_WRITER", "MULTI_NODE_READER_ONLY") if scenario == "T1" else ()
    lists = {"ways": {"offers": ["LIST_VOLUMES"], "lists": True}}  # so that what a refusal changed is looked at
    verdict, reason, found = run(run_suite, tmp_path, lists, scenario, *modes)
    assert verdict == "Pass", reason
    for asked in ("a parameter that does not exist", "SINGLE_NODE_SINGLE_WRITER", "ReadWriteOncePod", "READER_ONLY"):
        assert asked not in found.output  # as not checked


def test_a_driver_that_tells_one_pod_from_one_node_is_asked_in_its_words(run_suite: RunSuite, tmp_path: Path) -> None:
    """SINGLE_NODE_WRITER is an older word, which such a driver need not know."""
    capability, modes = "SINGLE_NODE_MULTI_WRITER", ["SINGLE_NODE_MULTI_WRITER", "SINGLE_NODE_SINGLE_WRITER"]
    ways = {"offers": ["PUBLISH_UNPUBLISH_VOLUME", capability], "node_offers": [capability], "modes": modes}
    verdict, reason, _ = run(run_suite, tmp_path, {"ways": ways}, "T1", *modes)
    assert verdict == "Pass", reason


def test_readers_on_another_node_are_looked_at(run_suite: RunSuite, tmp_path: Path) -> None:
    """Each node has a copy of its own: nobody notices where volumes are for one node alone."""
    script = {"ways": {"binds": "one of the node"}}
    verdict, reason, _ = run(run_suite, tmp_path, script, "T1", "MULTI_NODE_READER_ONLY")
    assert verdict == "Fail", reason
    assert "a volume for MULTI_NODE_READER_ONLY is not to be had on node2 while node1 has it" in reason


@pytest.mark.parametrize("scenario", ["T2", "T4", "T24"])
def test_a_driver_whose_volumes_are_of_a_node_is_not_asked_for_one_elsewhere(
    scenario: str, run_suite: RunSuite, tmp_path: Path
) -> None:
    """No scheduler would place a pod there: a cluster over several zones is like that."""
    ways = {"place": "node1", "plugin_offers": ["VOLUME_ACCESSIBILITY_CONSTRAINTS"]}
    verdict, reason, _ = run(run_suite, tmp_path, {"ways": ways}, scenario)
    assert verdict == "NotRun", reason
    assert "a volume for node1 is accessible from node1 alone" in reason


def marked(defect: str) -> object:
    """A row of the table, which CI looks at where it has time for few."""
    return pytest.param(defect, marks=[pytest.mark.sampled] if defect in SAMPLED else [])


@pytest.mark.parametrize("defect", [marked(defect) for defect in DEFECTS])
def test_a_driver_that_is_broken_is_caught(defect: str, run_suite: RunSuite, tmp_path: Path) -> None:
    script, scenario, words = DEFECTS[defect]
    verdict, reason, _ = run(run_suite, tmp_path, script, scenario)
    assert verdict == "Fail", reason
    assert re.search(words, reason, re.DOTALL), reason
