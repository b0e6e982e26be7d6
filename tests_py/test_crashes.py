"""No new core file, and no process that crashed: what the step finds, leaves out, and fetches."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from holdfast import exceptions, profiles
from holdfast.pytest_plugin import core_files, fetched, process_health, processes
from holdfast.pytest_plugin.core_files import CoreFile, CoreFiles
from holdfast.pytest_plugin.process_health import Ailment, Health
from holdfast.results import Artifact, ComponentStatus, Downloaded, StatInfo

from conftest import RunSuite, SuiteRun

QUICK = ("--dut-deadline", "absence=100ms", "--dut-deadline", "watch=50ms")
BEGAN = datetime(2026, 11, 29, 8, 0, 0, 500_000, tzinfo=timezone.utc)
SECOND = timedelta(seconds=1)
# By no local time is it of any of these moments.
OLD = CoreFile("/var/core/core.1.agent.gz", 100, BEGAN - 4000 * SECOND)
NEW = CoreFile("/var/core/core.2.agent.gz", 100, BEGAN + SECOND)


def seen(*found: CoreFile, active: str = "A", at: datetime | None = BEGAN, unseen: str = "") -> CoreFiles:
    return CoreFiles(active, at, list(found), [unseen] if unseen else [], {"/var/core"})


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
        ("an old one in another time zone", seen(), seen(replace(OLD, written=BEGAN + 18000 * SECOND), active="B"),
         "later than the device's clock"),
        ("a new one in another time zone", seen(), seen(replace(NEW, written=BEGAN - 18000 * SECOND)), "was not there"),
        ("an old one of a folder not seen before", seen(), seen(replace(OLD, path="/var/core/B/core.1")), ""),
        ("a new one a moment ahead", seen(), seen(replace(NEW, written=BEGAN + 3 * SECOND), active="B"), "new"),
        ("no clock afterwards", seen(), seen(replace(NEW, written=BEGAN + 3 * SECOND), active="B", at=None), "new"),
        ("the clock went back", seen(), seen(OLD, at=BEGAN - 3600 * SECOND, active="B"), "clock went back"),
        ("whole seconds", seen(), seen(replace(NEW, written=BEGAN.replace(microsecond=0))), "new"),
        ("a new one in another time zone, of another", seen(at=BEGAN - 60 * SECOND),
         seen(replace(NEW, written=BEGAN - 18030 * SECOND), active="B"), "if it is a local one"),
        ("whole seconds in another time zone, of another", seen(at=BEGAN - 60 * SECOND),
         seen(replace(NEW, written=BEGAN.replace(microsecond=0) - 12660 * SECOND), active="B"), "a local one"),
        ("one of no time zone", seen(at=BEGAN - 60 * SECOND),
         seen(replace(NEW, written=BEGAN - 60_030 * SECOND), active="B"), ""),
        ("one of the standby, whose files were shown before", replace(seen(), folders={"/var/core", "/var/core/B"}),
         seen(OLD, active="B"), "was not there when the case began"),
        ("an old one of the standby, shown before",
         replace(seen(replace(OLD, path="/var/core/B/core.1.agent.gz")), folders={"/var/core", "/var/core/B"}),
         seen(OLD, active="B"), ""),
        ("an old one, by a clock that runs ahead", seen(), seen(NEW, active="B", at=BEGAN + 7200 * SECOND),
         "more than ours"),
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


def test_a_control_processor_is_compared_with_what_itself_had_when_it_was_last_active() -> None:
    began, last = BEGAN - 10 * SECOND, seen(active="B", at=BEGAN - 9 * SECOND)
    judged = core_files.judge(seen(), seen(OLD, active="B"), (), began, last)
    assert "was not there when B was active last" in judged.doubtful[0][1]
    another = replace(OLD, path="/var/core/B2/core.1", size=7)
    assert core_files.judge(seen(), seen(another, active="B"), (), began, last) == core_files.Judged(), "not looked at"
    held = seen(replace(OLD, size=50), active="B", at=last.at)
    assert core_files.judge(seen(), seen(OLD, active="B"), (), began, held) == core_files.Judged(), "it was there"


def test_what_an_earlier_case_saw_is_not_anothers() -> None:
    assert core_files.judge(seen(), seen(NEW), (NEW,), BEGAN) == core_files.Judged()


class Files:
    """A device that has these things: a mapping is a folder, an error is what Stat of it raises."""

    def __init__(
        self,
        tree: dict[str, Any],
        *,
        bare: bool = False,
        end: str | None = None,
        itself: bool = False,
        empty: bool = False,
    ) -> None:
        self.tree = tree
        self.bare = bare
        # The one spelling of a folder that it knows, if it does not know both; and whether others are empty to it.
        self.end = end
        self.empty = empty
        self.itself = itself
        self.asked: list[str] = []

    @property
    def file(self) -> Files:
        return self

    def stat(self, path: str, *, timeout: float) -> list[StatInfo]:
        assert timeout > 0
        self.asked.append(path)
        if self.end is not None and path.endswith("/") != (self.end == "/"):
            if self.empty:
                return []
            raise exceptions.NotFound("File.Stat: NOT_FOUND: absent", code="NOT_FOUND")
        held: Any = self.tree
        for part in (part for part in path.split("/") if part):
            held = held.get(part, exceptions.NotFound("absent")) if isinstance(held, dict) else held
        if isinstance(held, Exception):
            raise held
        names = {f"{'' if self.bare else path.rstrip('/') + '/'}{name}": each for name, each in held.items()} if (
            isinstance(held, dict)) else {path: held}  # fmt: skip
        if self.itself and isinstance(held, dict):
            names = {path.rstrip("/").rpartition("/")[2] if self.bare else path.rstrip("/"): 4096, **names}
        return [StatInfo(name, each if isinstance(each, int) else 0) for name, each in names.items()]


GENERIC, JUNIPER, ARISTA = map(profiles.load, ("generic", "juniper-junos", "arista-eos"))


TREE = {"var": {"core": {"core.1": 5, "re1": {"core.2": 6, "x.log": 1}, "x.log": 1}}}
CORES = [("/var/core/core.1", 5), ("/var/core/re1/core.2", 6)]


@pytest.mark.parametrize("bare", [False, True])
def test_core_files_are_looked_for_in_folders_below_too(*, bare: bool) -> None:
    device: Any = Files(TREE, bare=bare)
    found = core_files.look(device, GENERIC, "A", BEGAN)
    assert [(core.path, core.size) for core in found.found] == CORES
    assert not found.unseen
    assert found.folders == {"/var/core", "/var/core/re1"}
    assert "/var/core/x.log" not in device.asked


@pytest.mark.parametrize("folder", ["/var/core", "/var/core/"])
@pytest.mark.parametrize("end", ["", "/"])
@pytest.mark.parametrize("empty", [False, True])
def test_a_folder_is_asked_about_in_both_spellings(*, folder: str, end: str, empty: bool) -> None:
    profile = replace(ARISTA, core_folders=(folder,))
    device: Any = Files(TREE, end=end, empty=empty)
    found = core_files.look(device, profile, "A", BEGAN)
    assert [(core.path, core.size) for core in found.found] == CORES
    assert not found.unseen
    gone: Any = Files({"var": {}}, end=end, empty=empty)
    assert core_files.look(gone, profile, "A", BEGAN).unseen == []


@pytest.mark.parametrize("profile", ["generic", "arista-eos"])
@pytest.mark.parametrize("bare", [False, True])
def test_a_folder_that_is_listed_too_hides_and_doubles_nothing(profile: str, *, bare: bool) -> None:
    device: Any = Files(TREE, bare=bare, itself=True)
    found = core_files.look(device, profiles.load(profile), "A", BEGAN)
    assert [(core.path, core.size) for core in found.found if core.size != 4096] == CORES
    assert bare or len(found.found) == len(CORES)


def test_a_folder_may_lie_on_a_disk_of_a_name() -> None:
    class Disk:
        def stat(self, path: str, *, timeout: float) -> list[StatInfo]:
            assert timeout > 0
            whole = [StatInfo("harddisk:/dumper/core.1", 5), StatInfo("core.10:30", 6)]
            return whole if path.rstrip("/") == "harddisk:/dumper" else [StatInfo(path, 5)]

    class Device:
        file = Disk()

    device: Any = Device()
    found = core_files.look(device, replace(GENERIC, core_folders=("harddisk:/dumper",)), "A", BEGAN)
    assert [core.path for core in found.found] == ["harddisk:/dumper/core.1", "harddisk:/dumper/core.10:30"]


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
        ({"var": exceptions.InvalidArgument("File.Stat: INVALID_ARGUMENT: File does not exist", operation="File.Stat",
                                            device_message="File does not exist", code="INVALID_ARGUMENT")}, ARISTA,
         "File.Stat of /var/core/: INVALID_ARGUMENT: File does not exist"),
        ({"var": exceptions.Unknown("no such file", code="UNKNOWN")}, ARISTA, "UNKNOWN: no such file"),
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


def ails(component: str, *, after: int | None = 1, core: str = "", named: str = "1") -> Ailment:
    artifacts = (Artifact("1", "file", name=core),) if core else ()
    created = None if after is None else BEGAN + after * SECOND
    return Ailment(component, named and f"{named} of {component}", created, artifacts)


def told(*found: Ailment, active: str = "A", at: datetime | None = BEGAN, unseen: str = "") -> Health:
    return Health(at, list(found), [unseen] if unseen else [], active)


@pytest.mark.parametrize(
    ("before", "after", "finds"),
    [
        (told(), told(ails("A-rpd")), "crashed"),
        (told(), told(ails("A-rpd"), active="B"), "crashed"),
        (told(ails("A-rpd")), told(ails("A-rpd")), ""),
        (told(), told(ails("A-rpd", after=-9)), ""),
        (told(), told(ails("A")), "failed over"),
        (told(), told(ails("A", core="core.1")), "crashed"),
        (told(at=None, unseen="x"), told(ails("A-rpd")), "not seen"),
        # What is on a card goes away with it.
        (told(), told(ails("A-CPU0"), active="B"), "not known to be a process"),
        (told(), told(ails("A-CPU0")), "not known to be a process"),
        (told(), told(ails("A-CPU0", core="core.1"), active="B"), "crashed"),
        # Raised anew.
        (told(ails("Disk0", after=-9)), told(ails("Disk0", after=-9), ails("Disk0", named="2")), "UNHEALTHY before"),
        (told(ails("A-rpd", after=-9)), told(ails("A-rpd", named="2"), active="B"), "UNHEALTHY before"),
        (told(ails("A", after=-9, core="core.1")), told(ails("A", named="2", core="core.1")), "UNHEALTHY before"),
        (told(ails("A", after=-9, core="core.1")), told(ails("A", named="2", core="core.2")), "crashed"),
        # Neither when nor which.
        (told(), told(ails("A-rpd", after=None, named=""), active="B"), "another control processor"),
        (told(), told(ails("A-rpd", after=None), active="B"), "another control processor"),
        (told(), told(ails("A-rpd", named=""), active="B"), "another control processor"),
        (told(), told(ails("A-rpd", after=None, core="core.1"), active="B"), "another control processor"),
        (told(), told(ails("A-rpd", after=None, named="")), "crashed"),
        (told(at=BEGAN - 60 * SECOND), told(ails("A-rpd", after=-7230), active="B"), "if it is a local one"),
        (told(at=BEGAN - 60 * SECOND), told(ails("A-rpd", after=-7500), active="B"), ""),
        # By a clock that is not the device's.
        (told(), told(ails("A-rpd", after=18000)), "later than the device's clock"),
        (told(), told(ails("A-rpd", after=-9), at=BEGAN - 3600 * SECOND), "clock went back"),
    ],
)
def test_an_event_is_a_crash_or_of_what_failed_over(before: Health, after: Health, finds: str) -> None:
    signs = process_health.Signs(GENERIC.is_core_file, lambda component: component.endswith("-rpd"))
    judged = process_health.judge(before, after, ("A", "B"), (), signs)
    found = ["crashed" for _ in judged.crashed] + [why for _, why in judged.doubtful]
    assert len(found) == (finds != "")
    assert all(finds in each for each in found), found


def test_what_ails_is_the_innermost_of_what_an_event_tells_of() -> None:
    class Healthz:
        def list(self, component: str, **_: Any) -> list[ComponentStatus]:
            if component == "B":
                raise exceptions.NotFound("no", code="NOT_FOUND")
            return self.events()

        def get(self, *_: Any, **__: Any) -> ComponentStatus:
            raise exceptions.NotFound("never", code="NOT_FOUND")

        def events(self) -> list[ComponentStatus]:
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
    assert health.unseen == ["Healthz.List of B: NOT_FOUND: no"]


@pytest.mark.parametrize(
    ("refusal", "unseen"),
    [
        (exceptions.Unimplemented("no", code="UNIMPLEMENTED"), []),
        (exceptions.PermissionDenied("no", code="PERMISSION_DENIED"), []),
        (exceptions.NotFound("there are no events", code="NOT_FOUND"), []),
        (exceptions.Timeout("late"), ["Healthz.List of A: Timeout: late"]),
    ],
)
def test_a_device_that_does_not_list_events_is_asked_for_the_latest(
    refusal: exceptions.HoldfastError, unseen: list[str]
) -> None:
    class Healthz:
        def list(self, *_: Any, **__: Any) -> list[ComponentStatus]:
            raise refusal

        def get(self, component: str, *, timeout: float) -> ComponentStatus:
            assert timeout > 0
            ill = ComponentStatus(f"{component}-rpd", "UNHEALTHY", "1", created=BEGAN)
            return ComponentStatus(component, "UNHEALTHY", "1", created=BEGAN, subcomponents=(ill,))

    class Device:
        healthz = Healthz()

    device: Any = Device()
    health = process_health.look(device, ("A",), BEGAN, "A")
    assert [ailment.component for ailment in health.found] == ([] if unseen else ["A-rpd"])
    assert (health.unseen, health.active) == (unseen, "A")


class Tree:
    """A device whose gNMI has these values by path; `refuses` is what Subscribe answers."""

    def __init__(self, values: dict[str, list[str]], refuses: exceptions.HoldfastError | None = None) -> None:
        self.values = values
        self.refuses = refuses

    @property
    def gnmi(self) -> Tree:
        return self

    def once(self, path: str, *, timeout: float) -> list[Any]:
        if self.refuses is not None:
            raise self.refuses
        return self.get(path, timeout=timeout)

    def get(self, path: str, *, timeout: float) -> list[Any]:
        assert timeout > 0
        if path not in self.values:
            raise exceptions.NotFound("absent", code="NOT_FOUND")
        return [SimpleNamespace(value=value) for value in self.values[path]]


def of_type(name: str, type_of: str) -> dict[str, list[str]]:
    return {f"/components/component[name={name}]/state/type": [f"openconfig-platform-types:{type_of}"]}


NO_SUBSCRIBE = exceptions.Unimplemented("no", code="UNIMPLEMENTED")
RUNNING = {processes.NAMES: ["init", "rpd"]}


@pytest.mark.parametrize(
    ("component", "device", "process"),
    [
        ("A-rpd", Tree(of_type("A-rpd", "SOFTWARE_MODULE")), True),
        ("A-rpd", Tree(of_type("A-rpd", "SOFTWARE_MODULE"), NO_SUBSCRIBE), True),
        ("A-CPU0", Tree(of_type("A-CPU0", "CPU") | {processes.NAMES: ["CPU0"]}), False),
        ("a]b\\", Tree(of_type("a\\]b\\\\", "SOFTWARE_MODULE")), True),
        ("A-rpd", Tree(RUNNING), True),
        ("rpd", Tree(RUNNING), True),
        ("A:rpd", Tree(RUNNING, NO_SUBSCRIBE), True),
        ("A-rpd0", Tree(RUNNING), False),
        ("A", Tree(RUNNING), False),
        ("A-rpd", Tree({}), False),
        ("A-rpd", Tree(RUNNING, exceptions.Timeout("late")), False),
        ("/system/processes/process[pid=12]", Tree({}), True),
        ("openconfig:/system/processes/process[pid=12]", Tree({}), True),
    ],
)
def test_a_process_is_known_by_its_type_or_its_name(component: str, device: Any, *, process: bool) -> None:
    assert processes.is_process(device, ("A", "B"), component) is process


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
