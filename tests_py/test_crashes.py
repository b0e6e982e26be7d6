"""No new core file, and no process that crashed: what the step finds, leaves out, and fetches."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from holdfast import exceptions, profiles
from holdfast.pytest_plugin import core_files, fetched, process_health
from holdfast.pytest_plugin.core_files import CoreFile, CoreFiles
from holdfast.pytest_plugin.process_health import Ailment, Health
from holdfast.results import Artifact, ComponentStatus, Downloaded, StatInfo

from conftest import RunSuite, SuiteRun

QUICK = ("--dut-deadline", "absence=100ms", "--dut-deadline", "watch=50ms")
BEGAN = datetime(2026, 11, 29, 8, 0, 0, 500_000, tzinfo=timezone.utc)
SECOND = timedelta(seconds=1)
OLD = CoreFile("/var/core/core.1.agent.gz", 100, BEGAN - 3600 * SECOND)
NEW = CoreFile("/var/core/core.2.agent.gz", 100, BEGAN + SECOND)


def seen(*found: CoreFile, active: str = "A", at: datetime | None = BEGAN, unseen: str = "") -> CoreFiles:
    return CoreFiles(active, at, list(found), [unseen] if unseen else [])


@pytest.mark.parametrize(
    ("what", "before", "after", "finds"),
    [
        ("nothing", seen(), seen(), ""),
        ("an old one stays", seen(OLD), seen(OLD), ""),
        ("an old one goes", seen(OLD), seen(), ""),
        ("a new one", seen(OLD), seen(OLD, NEW), "new"),
        ("an old one of the other control processor", seen(), seen(OLD, active="B"), ""),
        ("a new one of the other control processor", seen(), seen(NEW, active="B"), "new"),
        ("an old one is copied to the other", seen(OLD),
         seen(replace(OLD, path="/var/core/A/core.1.agent.gz", written=BEGAN + SECOND), active="B"), ""),
        ("one is written over", seen(OLD), seen(replace(OLD, written=BEGAN + SECOND)), "was written to since"),
        ("one grows", seen(OLD), seen(replace(OLD, size=200, written=BEGAN + SECOND)), "was written to since"),
        ("no times, of the same control processor", seen(), seen(replace(NEW, written=None)), "new"),
        ("no times, of another", seen(), seen(replace(NEW, written=None), active="B"), "another control processor"),
        ("no times, and it was not seen before", seen(unseen="x"), seen(replace(NEW, written=None)), "not seen"),
        ("no clock, of the same control processor", seen(at=None), seen(NEW), "new"),
        ("the clock went back", seen(), seen(OLD, at=BEGAN - 3600 * SECOND, active="B"), "clock went back"),
        ("whole seconds", seen(), seen(replace(NEW, written=BEGAN.replace(microsecond=0))), "new"),
        ("written in an earlier case", seen(), seen(replace(OLD, written=BEGAN - 5 * SECOND), active="B"),
         "during this run"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_a_core_file_is_new_or_old_or_nobody_knows(what: str, before: CoreFiles, after: CoreFiles, finds: str) -> None:
    judged = core_files.judge(before, after, (), BEGAN - 10 * SECOND)
    told = ["new" for _ in judged.new] + [why for _, why in judged.doubtful]
    assert len(told) == (finds != ""), what
    assert all(finds in each for each in told), told


def test_what_an_earlier_case_saw_is_not_anothers() -> None:
    assert core_files.judge(seen(), seen(NEW), (NEW,), BEGAN) == core_files.Judged()


class Files:
    """A device that has these things: a mapping is a folder, an error is what Stat of it raises."""

    def __init__(self, tree: dict[str, Any], *, bare: bool = False) -> None:
        self.tree = tree
        self.bare = bare
        self.asked: list[str] = []

    @property
    def file(self) -> Files:
        return self

    def stat(self, path: str, *, timeout: float) -> list[StatInfo]:
        assert timeout > 0
        self.asked.append(path)
        held: Any = self.tree
        for part in (part for part in path.split("/") if part):
            held = held.get(part, exceptions.NotFound("absent")) if isinstance(held, dict) else held
        if isinstance(held, Exception):
            raise held
        names = {f"{'' if self.bare else path.rstrip('/') + '/'}{name}": each for name, each in held.items()} if (
            isinstance(held, dict)) else {path: held}  # fmt: skip
        return [StatInfo(name, each if isinstance(each, int) else 0) for name, each in names.items()]


GENERIC, JUNIPER = profiles.load("generic"), profiles.load("juniper-junos")


@pytest.mark.parametrize("bare", [False, True])
def test_core_files_are_looked_for_in_folders_below_too(*, bare: bool) -> None:
    device: Any = Files({"var": {"core": {"core.1": 5, "re1": {"core.2": 6, "x.log": 1}, "x.log": 1}}}, bare=bare)
    found = core_files.look(device, GENERIC, "A", BEGAN)
    assert [(core.path, core.size) for core in found.found] == [("/var/core/core.1", 5), ("/var/core/re1/core.2", 6)]
    assert not found.unseen
    assert "/var/core/x.log" not in device.asked


def test_a_folder_below_that_nobody_may_read_hides_no_core_file() -> None:
    locked = exceptions.PermissionDenied("no", code="PERMISSION_DENIED")
    device: Any = Files({"var": {"core": {"core.1": 5, "lost+found": locked}}})
    found = core_files.look(device, GENERIC, "A", BEGAN)
    assert ([core.path for core in found.found], found.unseen) == (["/var/core/core.1"], [])


@pytest.mark.parametrize(
    ("tree", "profile", "unseen"),
    [
        ({"var": {}}, GENERIC, "there is no /var/core/, and profile generic names no other"),
        ({"var": {}}, JUNIPER, ""),
        ({"var": exceptions.Unimplemented("no", code="UNIMPLEMENTED")}, JUNIPER, "/var/core/: UNIMPLEMENTED"),
        ({"var": {"core": {}, "crash": exceptions.PermissionDenied("no", code="PERMISSION_DENIED")}}, JUNIPER,
         "/var/crash: PERMISSION_DENIED"),
        ({"var": {"core": 4096}}, GENERIC, "tells of the folder alone"),
        ({}, profiles.load("nokia-sros"), "does not say where core files lie"),
    ],
)  # fmt: skip
def test_what_cannot_be_seen_is_said(tree: Any, profile: profiles.Profile, unseen: str) -> None:
    device: Any = Files(tree)
    found = core_files.look(device, profile, "A", BEGAN)
    assert not found.found
    assert bool(found.unseen) == bool(unseen)
    assert unseen in "".join(found.unseen)


def ails(component: str, *, after: int = 1, core: str = "") -> Ailment:
    artifacts = (Artifact("1", "file", name=core),) if core else ()
    return Ailment(component, f"event of {component}", BEGAN + after * SECOND, artifacts)


@pytest.mark.parametrize(
    ("before", "after", "finds"),
    [
        (Health(BEGAN), Health(BEGAN, [ails("A-rpd")]), "crashed"),
        (Health(BEGAN, [ails("A-rpd")]), Health(BEGAN, [ails("A-rpd")]), ""),
        (Health(BEGAN), Health(BEGAN, [ails("A-rpd", after=-9)]), ""),
        (Health(BEGAN), Health(BEGAN, [ails("A")]), "failed over"),
        (Health(BEGAN), Health(BEGAN, [ails("A", core="core.1")]), "crashed"),
        (Health(None, unseen=["x"]), Health(BEGAN, [ails("A-rpd")]), "not seen"),
    ],
)
def test_an_event_is_a_crash_or_a_card_that_failed_over(before: Health, after: Health, finds: str) -> None:
    judged = process_health.judge(before, after, ("A", "B"), (), GENERIC.is_core_file)
    told = ["crashed" for _ in judged.crashed] + [why for _, why in judged.doubtful]
    assert len(told) == (finds != "")
    assert all(finds in each for each in told), told


def test_what_ails_is_the_innermost_of_what_an_event_tells_of() -> None:
    class Healthz:
        def list(self, component: str, **_: Any) -> list[ComponentStatus]:
            if component == "B":
                raise exceptions.NotFound("no", code="NOT_FOUND")
            process = ComponentStatus("A-rpd", "UNHEALTHY", "1", created=BEGAN)
            return [
                ComponentStatus("A", "HEALTHY", "0"),
                ComponentStatus("A", "UNHEALTHY", "1", subcomponents=(process,)),
            ]

    class Device:
        healthz = Healthz()

    device: Any = Device()
    health = process_health.look(device, ("A", "B"), BEGAN)
    assert [ailment.component for ailment in health.found] == ["A-rpd"]
    assert health.unseen == ["Healthz.List of B: NOT_FOUND"]


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("/var/core/core.1.gz", "core.1.gz"),
        ("../../.ssh/authorized_keys", "authorized_keys"),
        ("/var/core/..", "file"),
        ("/var/core/\x1b[2Jx\nCNTR-3.1 pass", "_2Jx_CNTR-3.1_pass"),
        ("/var/core/.hidden", "hidden"),
        (f"/var/core/{'x' * 300}.gz", "x" * 117 + ".gz"),
    ],
)
def test_a_name_on_the_device_stays_in_its_folder(name: str, written: str) -> None:
    assert fetched.plain(name) == written


def test_no_more_is_fetched_than_may_come(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetched, "LARGEST", 100)
    monkeypatch.setattr(fetched, "MOST", 150)
    monkeypatch.setattr(fetched, "FILES", 4)

    def get(to: Path, *, limit: int, check: bool, timeout: float) -> Downloaded:
        assert not check
        assert timeout > 0
        if limit < 80:
            raise exceptions.ResourceExhausted(f"it has more than {limit} bytes", code="RESOURCE_EXHAUSTED")
        to.write_text("x" * 80)
        return Downloaded(str(to), "x", "file", 80, "SHA256:00", verified=False)

    wanted: list[tuple[str, int, Callable[..., Downloaded]]] = [("/a", 80, get), ("/b", 101, get), ("/c", 60, get),
                                                               ("/d", 90, get), ("/e", 1, get)]  # fmt: skip
    said = fetched.Fetching(tmp_path / "fetched").all(wanted)
    assert "is not what the device says of it" in said[0]
    assert "it has 101 bytes, and 70 may come" in said[1]
    assert "more than 70 bytes" in said[2]
    assert "90 bytes, and 70" in said[3]
    assert said[4] == "1 more files were not fetched: 4 are the most"
    account = json.loads((tmp_path / "fetched" / fetched.ACCOUNT).read_text())
    assert [row["name"] for row in account] == ["/a", "/b", "/c", "/d"]
    assert account[0] | {"why": ""} == {
        "name": "/a", "file": "1-a", "size": 80, "hash": "SHA256:00", "verified": False, "why": ""
    }  # fmt: skip


def steps(run: SuiteRun, case: str, outcome: str) -> str:
    properties = run.cases[case].properties
    return properties[{"passed": "checked", "not": "not_checked", "failed": "failures"}[outcome]]


def test_what_came_to_be_is_fetched(run_suite: RunSuite, tmp_path: Path) -> None:
    wrong = 'file.Get.piece=3*off->1*return{"hash": {"method": "SHA256", "hash": "AAAA"}}'
    run = run_suite(
        "-k", "cntr3_1", *QUICK, "--dut-artifacts", str(tmp_path / "kept"),
        failpoints=f"load.core_dumped=1*error(x)\nload.process_crashed=1*error(x)\n{wrong}",
    )  # fmt: skip
    assert run.exit_code == 1, run.output
    assert "a core file came to be: /var/core/core." in steps(run, "1", "failed")
    assert "a process crashed: Supervisor2-supervisor is UNHEALTHY" in steps(run, "1", "failed")
    assert (run.cases["1"].properties["procedure"], run.cases["1"].properties["depth"]) == ("pass", "FAIL")
    (folder,) = (tmp_path / "kept").glob("*/fetched")
    core, log = json.loads((folder / fetched.ACCOUNT).read_text())
    assert core["verified"] is False
    assert (folder / core["file"]).read_bytes().startswith(b"EMULATED core of supervisor")
    assert log["verified"] is True
    assert "signal 11" in (folder / log["file"]).read_text()
    assert "it was fetched, and is not what the device says of it" in run.output
    again = run_suite("-k", "cntr3_1", *QUICK, "--dut-artifacts", str(tmp_path / "kept"))
    assert again.exit_code == 0, again.output
    assert not list(folder.iterdir()), "nothing of the earlier run is left"


def test_old_core_files_are_nobodys(run_suite: RunSuite) -> None:
    run = run_suite("-k", "cntr3_1 or cntr3_7 or cntr1_8", *QUICK, HOLDFAST_QUIRKS="old-cores")
    assert run.exit_code == 0, run.output
    for case in run.cases:
        assert "no new core file" in steps(run, case, "passed")
        assert "no process crashed" in steps(run, case, "passed")


@pytest.mark.parametrize(
    ("quirks", "said"),
    [
        ("file-unimplemented", ("File.Stat of /var/core/: UNIMPLEMENTED", "")),
        ("healthz-unimplemented", ("", "Healthz.List of Supervisor1: UNIMPLEMENTED")),
        ("file-unimplemented,healthz-unimplemented", ("File.Stat", "Healthz.List")),
        ("folder-stat-unimplemented", ("UNIMPLEMENTED", "")),
        ("folder-stat-itself", ("tells of the folder alone", "")),
        ("no-core-folder", ("there is no /var/core/", "")),
        ("no-file-times,old-cores,standby-files-hidden", ("when it was written is not known", "")),
    ],
)
def test_what_a_device_does_not_serve_is_not_checked(quirks: str, said: tuple[str, str], run_suite: RunSuite) -> None:
    run = run_suite("-k", "cntr3_1", *QUICK, HOLDFAST_QUIRKS=quirks)
    assert run.exit_code == 0, run.output
    passed, left = steps(run, "1", "passed"), steps(run, "1", "not")
    for step, why in zip(("no new core file", "no process crashed"), said, strict=True):
        assert (step in passed) == (not why), passed
        assert not why or (step in left and why in left), left


@pytest.mark.parametrize(
    ("profile", "path"),
    [
        ("arista-eos", "/var/core/core."),
        ("cisco-iosxr", "/misc/disk1/supervisor_"),
        ("juniper-junos", "/var/core/supervisor."),
        ("nokia-srlinux", "/var/core/coredump-supervisor-"),
    ],
)
def test_a_vendors_core_file_is_found_where_it_keeps_them(profile: str, path: str, run_suite: RunSuite) -> None:
    options = ("-k", "cntr3_1", *QUICK, "--dut-profile", profile, "--dut-configure")
    run = run_suite(*options, failpoints="load.core_dumped=1*error(x)", HOLDFAST_QUIRKS="old-cores")
    assert run.exit_code == 1, run.output
    assert f"a core file came to be: {path}" in steps(run, "1", "failed")


def test_a_device_that_does_not_say_where_its_core_files_lie_is_not_checked(run_suite: RunSuite) -> None:
    run = run_suite("-k", "cntr3_1", *QUICK, "--dut-profile", "nokia-sros", "--dut-configure")
    assert run.exit_code == 0, run.output
    assert "does not say where core files lie" in steps(run, "1", "not")


def test_a_process_that_was_to_be_killed_proves_nothing(run_suite: RunSuite) -> None:
    run = run_suite("-k", "cntr3_1", *QUICK, "--dut-trigger", "kill:supervisor")
    assert run.exit_code == 0, run.output
    assert "--dut-trigger kill:supervisor may have made it" in steps(run, "1", "not")


def test_cases_without_a_failover_are_as_they_were(run_suite: RunSuite) -> None:
    run = run_suite("-k", "cntr1_5", *QUICK)
    assert "core file" not in steps(run, "test_cntr1_5_volume", "passed")
