"""Failovers at random moments: what a client may see, and histories that are judged again."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import count, pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest

from holdfast import judge
from holdfast.suites.looks import look_image
from holdfast.suites.midway.client import Client
from holdfast.suites.midway.drawn import Drawn, Subject
from holdfast.verdicts import store
from holdfast.verdicts.history import MOVES, Entry, History

from conftest import RunSuite
from defects import PATIENT, QUICK, at_random


def history(*entries: tuple[str, str, str], forgives: bool = False) -> History:
    """Of one container: operation, outcome, found."""
    return History(
        tuple(Entry("container", "web", what, 0, 0, outcome, found=found) for what, outcome, found in entries),  # type: ignore[arg-type]
        forgives=forgives,
    )


STARTED, UNKNOWN, REFUSED = ("start", "executed", ""), ("start", "unknown", ""), ("start", "not executed", "")
ABSENT, RUNNING = ("look", "executed", "absent"), ("look", "executed", "running")
TWICE = ("look", "executed", "there 2 times")


def test_what_may_be_seen_follows_from_what_was_told() -> None:
    for right in ((STARTED, RUNNING), (UNKNOWN, RUNNING), (UNKNOWN, ABSENT), (REFUSED, ABSENT)):
        assert history(*right).findings() == []
    for wrong in ((STARTED, ABSENT), (REFUSED, RUNNING), (STARTED, TWICE), (UNKNOWN, RUNNING, ABSENT)):
        assert len(history(*wrong).findings()) == 1
    assert history(STARTED, ABSENT, forgives=True).findings() == []
    assert history(STARTED, ("stop", "unknown", "")).possible("container", "web") == {"running", "stopped"}


def test_what_nobody_knows_of_may_take_effect_late() -> None:
    """A device goes on with a request whose client has given up."""
    assert history(UNKNOWN, ABSENT, RUNNING).findings() == []
    assert len(history(UNKNOWN, ABSENT, RUNNING, ABSENT, RUNNING).findings()) == 2
    removal = ("remove", "unknown", "")
    assert history(STARTED, removal, RUNNING, ABSENT).findings() == []
    assert history(STARTED, removal, STARTED, RUNNING, ABSENT).findings() == []
    assert len(history(STARTED, removal, ABSENT, STARTED, RUNNING, ABSENT).findings()) == 1


def test_what_the_old_active_was_about_takes_no_effect_once_the_new_one_was_seen() -> None:
    asked = Entry("container", "web", "start", 0, 1, "unknown")
    looks = [Entry("container", "web", "look", at, at, found=found) for at, found in ((4, "absent"), (6, "running"))]
    assert History((asked, *looks), failed=2).findings() == []
    assert len(History((asked, *looks), failed=2, back=3).findings()) == 1
    afterwards = Entry("container", "web", "start", 3, 3, "unknown")
    assert History((afterwards, *looks), failed=2, back=3).findings() == []


def test_what_a_crash_may_lose_was_perhaps_seen_before_it() -> None:
    """What is seen tells what is there, and not what a device that crashes right after it had on its standby."""
    seen = Entry("container", "web", "start", 0, 0.1), Entry("container", "web", "look", 0.2, 0.3, found="running")
    lost = Entry("container", "web", "look", 1, 2, found="absent")
    back = Entry("container", "web", "look", 3, 4, found="running")
    assert History((*seen, lost), forgives=True, failed=0.5).findings() == []
    assert len(History((*seen, lost, back), forgives=True, failed=0.5).findings()) == 1
    assert len(History((*seen, lost), failed=0.5).findings()) == 1
    kept = History((*seen, lost), "7", forgives=True, failed=0.5)
    assert History.decoded(kept.encoded()) == kept
    assert History.decoded({"entries": []}).failed is None


def test_a_crash_takes_nothing_away_that_the_standby_had_nor_what_came_after_it() -> None:
    made = Entry("volume", "data", "create", 0, 1)
    gone = Entry("volume", "data", "look", 8, 9, found="absent")
    assert History((made, gone), forgives=True, failed=3, in_step=0.5, back=5).findings() == []
    assert len(History((made, gone), forgives=True, failed=3, in_step=2, back=5).findings()) == 1
    seen = Entry("volume", "data", "look", 1, 2, found="there")
    assert len(History((made, seen, gone), forgives=True, failed=3, in_step=2, back=5).findings()) == 1
    afterwards = Entry("volume", "data", "create", 6, 7)
    assert History((afterwards, gone), forgives=True, failed=3, back=6.5).findings() == []
    kept = History((afterwards, gone), forgives=True, failed=3, in_step=2, back=5)
    assert len(kept.findings()) == 1
    assert History.decoded(kept.encoded()) == kept


def test_a_refusal_that_cannot_be_is_looked_at() -> None:
    from holdfast.exceptions import Aborted, AlreadyExists, NotFound
    from holdfast.suites.midway.client import is_told_otherwise

    there, absent = frozenset({"there"}), frozenset({"absent"})
    assert is_told_otherwise(NotFound("x"), there)
    assert is_told_otherwise(AlreadyExists("x"), absent)
    for error, may_be in ((NotFound("x"), there | absent), (AlreadyExists("x"), there), (Aborted("x"), there)):
        assert not is_told_otherwise(error, may_be)
    assert not is_told_otherwise(None, absent)


@dataclass
class Row:
    """A row of ListImage: whether it has the name that is asked for, and the id."""

    named: bool
    own: bool

    def may_be(self, _name: str, _tag: str) -> bool:
        return self.named

    def has_id(self, _id: str) -> bool:
        return self.own


def test_an_image_whose_name_is_anothers_is_not_there() -> None:
    def look(*rows: Row) -> str:
        containerz = SimpleNamespace(images=lambda: rows)
        image = SimpleNamespace(name="app", tag="1", id="sha256:1")
        return look_image(SimpleNamespace(containerz=containerz), image)  # type: ignore[arg-type]

    assert look() == "absent"
    assert look(Row(True, True), Row(False, False)) == "there"
    assert look(Row(True, True), Row(False, True)) == "there"
    for half in ((Row(True, False), Row(False, True)), (Row(True, False),), (Row(False, True),)):
        assert look(*half).startswith("half there")


def test_an_absence_counts_once_it_has_lasted() -> None:
    """After a failover a list may lack a row for a while, and of what may be absent nothing else tells."""
    for trigger in ("gnoi", "kill:supervisor"):
        looks = count()
        limits = {"verification": 5.0, "absence": 5.0, "watch": 0.0}
        case = SimpleNamespace(run=SimpleNamespace(limits=limits, trigger=trigger, chassis=None))
        subject = Subject("volume", "data", lambda looks=looks: "there" if next(looks) > 2 else "absent", {}, {})
        client = Client(case, SimpleNamespace(), "0", [], [subject])  # type: ignore[arg-type]
        client.entries.append(Entry("volume", "data", "create", 0, 0, "unknown"))
        client.look_in_the_end()
        assert client.history.findings() == []
        assert client.entries_last("data") == "there"


KINDS = {
    "container": {"start": "StartContainer", "stop": "StopContainer", "remove": "RemoveContainer"},
    "image": {"deploy": "Deploy", "remove": "RemoveImage"},
    "plugin": {"start": "StartPlugin", "remove": "RemovePlugin"},
    "volume": {"create": "CreateVolume", "remove": "RemoveVolume"},
}


def drawn(seed: int, *kinds: str) -> Drawn:
    """A history of one thing of each kind."""
    subjects = [Subject(kind, f"{kind}-{number}", str, {}, KINDS[kind]) for number, kind in enumerate(kinds or KINDS)]
    return Drawn(str(seed), subjects)


def operations(found: Drawn) -> list[tuple[str, str, str, str]]:
    return [(change.subject.name, change.operation, change.site, change.terms) for change in found.changes]


def test_seeds_draw_all_that_a_client_does() -> None:
    assert operations(drawn(7)) == operations(drawn(7))
    every = [drawn(seed) for seed in range(100)]
    assert len({tuple(operations(found)) for found in every}) == 100
    changes = [change for found in every for change in found.changes]
    assert {(change.subject.kind, change.operation) for change in changes} == {
        (kind, operation) for kind, moves in MOVES.items() for operation in moves
    }
    refused = [change for change in changes if "error[" in change.terms]
    assert any(change.site.endswith(".after") for change in refused)
    assert any(not change.site.endswith(".after") for change in refused)
    for found in every:
        met = found.changes[found.met]
        assert "delay" in met.terms
        assert met.site.startswith(f"containerz.{KINDS[met.subject.kind][met.operation]}")
    later = [{change.subject.kind for change in found.changes[found.met + 2 :]} for found in every]
    assert sum(kinds < KINDS.keys() for kinds in later) > 50  # what the failover met is not always covered up
    twice = ("plugin", "start", "plugin", "start")
    assert any(
        (one.subject.kind, one.operation, two.subject.kind, two.operation) == twice
        for found in (drawn(seed, "plugin") for seed in range(3))
        for one, two in pairwise(found.changes)
    )


def test_it_is_said_what_a_client_changes(run_suite: RunSuite, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    run = run_suite(*at_random("volume", "0"), "--dut-artifacts", str(kept))
    assert run.exit_code == 0, run.output
    (file,) = kept.glob(f"*/{store.HISTORY}")
    entries = [Entry(**entry) for entry in json.loads(file.read_text())["entries"]]
    assert {entry.kind for entry in entries} == {"image", "plugin", "volume"}
    assert len({entry.name for entry in entries if entry.kind == "plugin"}) == 1  # the one that nobody changes
    assert len({entry.name for entry in entries if entry.kind == "volume"}) == 3
    listed = run_suite("-k", "midway_random", "--midway-seed", "3,20-21,20", "--collect-only", "-q")
    assert [line.partition("[")[2] for line in listed.output.splitlines() if "::test_midway_random" in line] == [
        "seed3]",
        "seed20]",
        "seed21]",
    ]
    wrong = run_suite("-k", "midway_random", "--midway-changes", "moon")
    assert "container, image, plugin, volume" in wrong.output


def test_a_failpoint_of_the_users_stays_as_it_was(run_suite: RunSuite, tmp_path: Path) -> None:
    """Where the client would hold or refuse an operation itself."""
    refused = [change for change in drawn(0, "volume", "volume").changes if "error" in change.terms]
    assert refused
    kept = tmp_path / "kept"
    for sites in ((), tuple({change.site for change in refused})):
        words = [word for site in sites for word in ("--dut-failpoint", f"{site}=delay(1ms)")]
        run = run_suite(*at_random("volume", "0"), "--dut-artifacts", str(kept), *words)
        assert run.exit_code == 0, run.output
        (file,) = kept.glob(f"*/{store.HISTORY}")
        assert ("drawn" in file.read_text()) == (not sites)


@pytest.mark.parametrize(("defect", "reason"), [("load.container.duplicated", "is there 2 times")])
def test_a_planted_defect_is_caught_and_judged_again(
    run_suite: RunSuite, tmp_path: Path, defect: str, reason: str
) -> None:
    kept = tmp_path / "kept"
    words = (
        *at_random("container", "17"),
        "--dut-artifacts",
        str(kept),
    )  # in which a container is there at the failover
    run = run_suite(*words, failpoints=f"{defect}=error(x)")
    assert run.exit_code == 1, run.output
    assert reason in run.cases["test_midway_random[seed17]"].message
    (again,) = judge.again(kept)
    assert again.case.outcome == "failed"
    assert again.differs == ()
    (file,) = kept.glob(f"*/{store.HISTORY}")
    document = json.loads(file.read_text())
    file.write_text(json.dumps({**document, "entries": []}))
    assert judge.again(kept)[0].differs


def test_what_a_crash_may_not_take_away_is_missed(run_suite: RunSuite) -> None:
    """A volume that the standby had long before the active fell."""
    run = run_suite(
        *at_random("volume", "0"), "--dut-trigger", "kill:supervisor", failpoints="load.volume.lost=1*error(x)"
    )
    assert run.exit_code == 1, run.output
    assert "is absent, where only there may be" in run.cases["test_midway_random[seed0]"].message


def test_healthy_histories_pass(run_suite: RunSuite) -> None:
    run = run_suite("-k", "midway_random", "--midway-seed", "0-1", *QUICK, *PATIENT)
    assert run.exit_code == 0, run.output
    assert len(run.cases) == 2
