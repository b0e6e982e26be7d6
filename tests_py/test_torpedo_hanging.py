"""CSI drivers that hang, die or answer garbage in one RPC: a clear verdict that names it, and nothing is left."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import Any

import pytest
from test_torpedo_drivers import judged, run
from test_torpedo_lab import leftovers

from holdfast import _core

from conftest import RunSuite, wait_until

pytestmark = pytest.mark.skipif(bool(_core.storage_lab_lacks()), reason=str(_core.storage_lab_lacks()))

WAYS = {"offers": ["PUBLISH_UNPUBLISH_VOLUME"], "stages": True}
LIFE = ("ControllerPublishVolume", "ControllerUnpublishVolume", "NodeStageVolume", "NodeUnstageVolume", "DeleteVolume")
START = (
    "Probe", "GetPluginInfo", "GetPluginCapabilities", "ControllerGetCapabilities", "NodeGetCapabilities",
    "NodeGetInfo",
)  # fmt: skip


def of(run_suite: RunSuite, folder: Path, script: dict[str, Any]) -> tuple[str, str, str]:
    """The verdict of T1, its reason, and all that was printed."""
    with tempfile.TemporaryDirectory(prefix="hf-") as short:  # the path of a socket has 107 bytes
        found = run(run_suite, folder, {**script, "ways": WAYS}, temporary=short)
        wait_until(lambda: leftovers(short) == [], 20, "nothing left")
    return *judged(found), found.output


def test_it_is_right_but_for_that(run_suite: RunSuite, tmp_path: Path) -> None:
    verdict, _, output = of(run_suite, tmp_path, {})
    assert verdict == "Pass", output


@pytest.mark.parametrize("what", ["hang", "die", "garbage"])
@pytest.mark.parametrize("rpc", LIFE)
def test_in_the_life_of_a_volume(rpc: str, what: str, run_suite: RunSuite, tmp_path: Path) -> None:
    verdict, reason, output = of(run_suite, tmp_path, {rpc: {what: True}})
    assert verdict == "Fail", output
    assert f"{rpc}: " in reason, reason


def test_the_end_has_a_limit_of_its_own_and_says_what_is_left(run_suite: RunSuite, tmp_path: Path) -> None:
    """A driver that hangs in each of ten removals, each waited for a second, after two for the first of them."""
    script = {"DeleteVolume": {"hang": True}, "ways": WAYS}
    with tempfile.TemporaryDirectory(prefix="hf-") as short:
        found = run(run_suite, tmp_path, script, "--torpedo-deadline", "leave=4s", temporary=short)
        wait_until(lambda: leftovers(short) == [], 20, "nothing left")
    told = re.findall(r"clean-up: it ended after 4 s; left: (.*)", found.output)
    assert len(told) == 1, found.output
    left = re.findall(r"the volume (holdfast-\S+-t1-[0-9]+)", told[0])
    made = {path.stem for path in (tmp_path / "volumes").glob("*.asked")}
    assert left, told
    assert set(left) < made, "some were tried"


@pytest.mark.parametrize("what", ["hang", "die", "garbage", "internal"])
@pytest.mark.parametrize("rpc", START)
def test_where_it_introduces_itself(rpc: str, what: str, run_suite: RunSuite, tmp_path: Path) -> None:
    """Who never gets beyond its start may be on the way up, or not be what the file says; whoever is there and answers
    what cannot be, or ends, does it by itself.
    """
    script = {"codes": ["INTERNAL"], "forever": True} if what == "internal" else {what: True}
    verdict, reason, output = of(run_suite, tmp_path, {rpc: script})
    if (rpc, what) == ("Probe", "hang"):
        assert verdict == "Inconclusive", output
        assert re.search(r"^the lab did not come up within .*Probe: no answer in time", reason), reason
        return
    assert verdict == "Fail", output
    assert " does not introduce itself: " in reason
    assert f"{rpc}: " in reason, reason
    assert "the plugin on node1 ended by itself" in reason if what == "die" else True, reason


@pytest.mark.parametrize("codes", [["FAILED_PRECONDITION"], ["UNAVAILABLE"]])
def test_who_is_never_ready_may_lack_what_it_needs(codes: list[str], run_suite: RunSuite, tmp_path: Path) -> None:
    verdict, reason, output = of(run_suite, tmp_path, {"Probe": {"codes": codes, "forever": True}})
    assert verdict == "Inconclusive", output
    assert re.search(rf"^the lab did not come up within .*Probe: {codes[0]}", reason), reason


def test_every_plugin_has_a_probe(run_suite: RunSuite, tmp_path: Path) -> None:
    verdict, reason, output = of(run_suite, tmp_path, {"Probe": {"codes": ["UNIMPLEMENTED"], "forever": True}})
    assert verdict == "Fail", output
    assert reason.startswith("scripted does not introduce itself: Probe: UNIMPLEMENTED"), reason
