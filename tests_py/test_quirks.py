"""The whole suite against every oddity of servers in the field."""

from __future__ import annotations

import pytest

from holdfast import _core, profiles

from conftest import RunSuite

QUICK = ("--dut-deadline", "absence=100ms", "--dut-deadline", "watch=50ms")
EXCLUDED = {"name-only": "full-path-only"}
FAMILIES = {
    "docker": (
        "joined-image-rows", "filters-rejected", "slashed-names", "no-labels-listed", "in-use-unavailable",
        "forced-removal-untags", "failed-start-left-over", "stopped-duplicate-internal", "volumes-created-silently",
        "stop-not-running-not-found", "volume-create-idempotent", "volume-remove-unknown", "plugin-latest",
        "no-remove-plugin-tar", "raw-log-chunks", "short-transfer-accepted", "moved-tag-fails", "rare-progress",
    ),
    "lockstep": ("lockstep-only", "no-size-in-success", "name-only", "log-unimplemented"),
    "full path": ("full-path-only", "extra-components"),
    "sparse gnmi": ("no-switchover-ready", "no-component-type", "no-last-switchover-time", "json-ietf-only"),
    "containerd": ("manifest-ids", "normalised-names", "runtime-unreachable", "changes-refused-at-first"),
    "no subscribe": ("no-subscribe", "no-switchover-ready"),
}  # fmt: skip


def test_every_quirk_is_in_a_family() -> None:
    known = {name for name, _ in _core.quirk_names() if not name.startswith("certificate-")}  # those are test_tls.py's
    played = {quirk for name in profiles.names() for quirk in profiles.load(name).emulator.get("quirks", ())}
    assert known == {name for family in FAMILIES.values() for name in family} | played


@pytest.mark.parametrize("family", FAMILIES)
def test_the_suite_passes_on_servers_of_this_kind(family: str, run_suite: RunSuite) -> None:
    run = run_suite("-k", "cntr3", *QUICK, HOLDFAST_QUIRKS=",".join(FAMILIES[family]))
    assert run.exit_code == 0, run.output
    assert "8 passed" in run.output
    unchecked = run.cases["2"].properties["not_checked"]
    assert ("labels" in unchecked) == ("no-labels-listed" in FAMILIES[family])
    assert ("switchover-ready" in unchecked) == ("no-switchover-ready" in FAMILIES[family])


def test_the_suite_passes_through_black_holes(run_suite: RunSuite) -> None:
    run = run_suite("-k", "cntr3", *QUICK, HOLDFAST_BLACK_HOLE="1")
    assert run.exit_code == 0, run.output
    assert "8 passed" in run.output
