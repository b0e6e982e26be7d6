"""A lab at a glance: its devices in a table, and many runs in one page."""

from __future__ import annotations

import json
import re
from contextlib import ExitStack
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from test_report import outline

import holdfast
from holdfast import journal
from holdfast.report import matrix
from holdfast.report.matrix import Matrix
from holdfast.verdicts import CaseRecord, Step, store

from peers import command


def case(number: int, device: str, software: str, verdict: str = "pass", day: int = 1) -> CaseRecord:
    steps = () if verdict == "NotRun" else (Step("procedure", "a step", verdict, "it is gone"),)  # type: ignore[arg-type]
    outcome = {"pass": "passed", "FAIL": "failed", "NotRun": "skipped"}[verdict]
    return CaseRecord(
        f"CNTR-3.{number}", f"t{number}[{device}]", f"device {device}", outcome, steps, suite="cntr3", vendor="Example",
        software=software, target=device, ended=f"2026-11-{day:02}T08:00:00+00:00", session=f"s{day}", title="images",
    )  # fmt: skip


def kept(folder: Path, *cases: CaseRecord) -> Path:
    for each in cases:
        (folder / each.test).mkdir(parents=True)
        store.write(folder / each.test, each)
    return folder


@pytest.fixture
def runs(tmp_path: Path) -> list[Path]:
    """Two devices on 4.9, then on 4.10, where the second case fails on one of them; one is in maintenance then."""
    before = kept(
        tmp_path / "before", *(case(number, device, "4.9") for number in (1, 2) for device in ("rack1", "rack2"))
    )
    after = kept(
        tmp_path / "after", case(1, "rack1", "4.10", day=9), case(2, "rack1", "4.10", "FAIL", day=9),
        case(1, "rack2", "", "NotRun", day=9), case(2, "rack2", "", "NotRun", day=9),
    )  # fmt: skip
    return [before, after]


def test_one_sees_what_a_release_broke(runs: list[Path], tmp_path: Path) -> None:
    page = tmp_path / "lab.html"
    done = command(tmp_path, "report", *map(str, runs), "-o", str(page))
    assert done.returncode == 0, done.stderr
    broken = "CNTR-3.2 images: passed on Example 4.9, fails on Example 4.10 (rack1): a step: it is gone"
    assert f"BROKEN: {broken}" in done.stdout
    assert f"{page}: 2 cases, 2 devices, 2 releases" in done.stdout
    text = page.read_text()
    outline(text)
    assert f"<li>{broken}</li>" in text
    heads = re.findall(r"<tr><th[^>]*>case</th>(.*?)</tr>", text)
    assert re.findall(r">([^<]+)</th>", heads[0]) == ["Example 4.9", "Example 4.10"], "by number, not by letter"
    told = json.loads(command(tmp_path, "--json", "report", *map(str, runs), "-o", str(page)).stdout)
    assert [(each["case"], each["devices"]) for each in told["broken"]] == [("CNTR-3.2 images", ["rack1"])]


def test_the_last_word_on_each_counts(runs: list[Path]) -> None:
    found, counts = matrix.read(runs)
    assert list(counts.values()) == [4, 4]
    assert found.on_device("CNTR-3.1 images", "rack2") == "pass", "what did not run says less than what did"
    assert found.on_device("CNTR-3.2 images", "rack1") == "FAIL"
    assert found.on_release("CNTR-3.2 images", "Example 4.9") == "pass"
    only = Matrix([case(1, "rack1", "", "NotRun")])
    assert only.on_device("CNTR-3.1 images", "rack1") == "NotRun"
    assert (only.releases, only.broken) == ([], [])
    mended = Matrix([case(1, "r", "4.9"), case(1, "r", "4.10", "FAIL", day=2), case(1, "r", "4.10", day=3)])
    assert mended.broken == [], "it was tested again, and passes"
    never = Matrix([case(1, "r", "4.9", "FAIL"), case(1, "r", "4.10", "FAIL", day=2)])
    assert never.broken == [], "it was broken before"
    skipping = Matrix([case(1, "r", "4.9"), case(2, "r", "4.10"), case(1, "r", "4.11", "FAIL", day=2)])
    assert [(each.earlier, each.release) for each in skipping.broken] == [("Example 4.9", "Example 4.11")]


def test_a_folder_without_a_case_is_told(runs: list[Path], tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    done = command(tmp_path, "report", str(runs[0]), str(tmp_path / "none"))
    assert done.returncode == 2
    assert "none: there is no case in it" in done.stderr
    several = command(tmp_path, "report", *map(str, runs), "--soak")
    assert several.returncode == 2
    assert "give one folder" in several.stderr


def test_the_lab_in_a_table(runs: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    with ExitStack() as stack:
        one, broken, used = (stack.enter_context(holdfast.emulator()) for _ in range(3))
        broken.arm("roles.two_primaries", "error(x)")
        file = tmp_path / "lab.yaml"
        file.write_text(
            "devices:\n"
            f"  rack1: {{address: '{one.address}', insecure: true, tags: [dual, a]}}\n"
            f"  rack2: {{address: '{broken.address}', insecure: true}}\n"
            f"  rack3: {{address: '{used.address}', insecure: true}}\n"
            "  rack4: {address: '127.0.0.1:1', insecure: true, state: maintenance, reason: fans}\n"
            "  rack5: {address: '127.0.0.1:1', insecure: true}\n"
        )
        claim = journal.lock(used.address)
        words = ("lab", "status", "--testbed", str(file), "--artifacts", str(runs[0]), "--artifacts", str(runs[1]))
        done = command(tmp_path, *words)
        claim.release()
        assert done.returncode == 0, done.stderr
        rows = {line.split()[0]: re.split(r" {2,}", line) for line in done.stdout.splitlines()}
        assert rows["device"] == ["device", "tags", "reserved by", "since", "fit", "last"]
        assert rows["rack1"][1:3] == ["dual a", "nobody"]
        assert rows["rack1"][-2:] == ["fit", "1 FAIL, 1 pass (2026-11-09 08:00 UTC)"]
        assert "UNFIT: two control processors, one primary: " in done.stdout
        assert "2 NotRun (2026-11-09 08:00 UTC)" in rows["rack2"][-1]
        row = re.search(r"^rack3 .*process \d+ here +(\S+ \S+) +in use", done.stdout, re.MULTILINE)
        assert row is not None, done.stdout
        assert abs(datetime.now() - datetime.fromisoformat(row[1])) < timedelta(minutes=10)  # noqa: DTZ005 - as it shows
        assert "in maintenance: fans" in rows["rack4"]
        assert re.search(r"^rack5 .*UNFIT: reachable: ", done.stdout, re.MULTILINE)
        told = json.loads(command(tmp_path, "--json", *words, "--device", "tag:dual", "--no-doctor").stdout)
        assert [(row["device"], row["fit"]) for row in told] == [("rack1", "-")]


def test_a_lab_needs_a_testbed(tmp_path: Path) -> None:
    done = command(tmp_path, "lab", "status")
    assert done.returncode == 2
    assert "which devices? Give --testbed FILE" in done.stderr
