"""Pages about runs, made from what `--dut-artifacts` kept, and what changed between two."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest
from click.testing import CliRunner
from test_quirks import QUICK

import holdfast
from holdfast import judge, report
from holdfast.cli import main
from holdfast.exceptions import InvalidArgumentError

from conftest import RunSuite, suite_runner


class Outline(HTMLParser):
    """The tags of a page that are open where they should be closed, and what a browser would fetch."""

    VOID = ("meta", "br")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.fetched: list[str] = []
        self.headings: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in self.VOID:
            self.open.append(tag)
        if tag in ("h1", "h2", "h3"):
            self.headings.append("")
        told = dict(attrs)
        self.fetched += [
            told[key] or "" for key in ("src", "href") if key in told and not (told[key] or "").startswith("#")
        ]
        self.fetched += [tag] if tag in ("script", "link", "iframe") else []

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if {"h1", "h2", "h3"} & set(self.open):
            self.headings[-1] += data


def outline(page: str) -> Outline:
    read = Outline()
    read.feed(page)
    assert read.open == []
    return read


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """What two runs kept: a good one, and one whose device loses a container and is away for longer."""
    place = tmp_path_factory.mktemp("runs")
    run_suite = suite_runner(place)
    chosen = ("-k", "cntr3_1 or cntr3_2 or cntr3_4", *QUICK, "--dut-deadline", "verification=1s")
    good = run_suite(*chosen, "--dut-artifacts", str(place / "good"))
    assert good.exit_code == 0, good.output
    bad = run_suite(
        *chosen, "--dut-artifacts", str(place / "bad"), "--dut-emulator", "outage=1500ms",
        failpoints="load.container.lost=1*error(x)",
    )  # fmt: skip
    assert bad.exit_code == 1, bad.output
    return place / "good", place / "bad"


def test_a_page_has_all_in_it_and_fetches_nothing(folders: tuple[Path, Path]) -> None:
    page = report.read(folders[1]).html()
    read = outline(page)
    assert read.fetched == []
    assert read.headings[0] == "holdfast: 2 FAIL, 1 pass"
    assert any("CNTR-3.2 container persistence" in heading for heading in read.headings)
    for told in ("EMULATED device", "1 switchover<", "CNTR-3.2 to 3.4", "no container holdfast-"):
        assert told in page, told
    assert "Log of container" in report.read(folders[0]).html()
    assert page.count('role="img"') == 2 * 2, "3.4 shares the timeline of 3.2; each is drawn wide and narrow"
    assert "its timeline</a>" in page
    assert 'scope="col"' in page
    assert "PRIMARY" in page


@pytest.mark.parametrize("workers", [(), ("-n", "1")])
def test_a_reason_is_told_as_who_skipped_said_it(
    pytester: pytest.Pytester, chassis_of_test: holdfast.Emulator, workers: tuple[str, ...]
) -> None:
    file = pytester.makepyfile("""
        import pytest

        @pytest.mark.cntr3("CNTR-3.1")
        @pytest.mark.skip(reason="Skipped: a hole in the plan")  # as pytest itself begins it
        def test_mine(holdfast_case):
            pass
    """)
    options = ("--dut", chassis_of_test.address, "--dut-insecure", "--dut-artifacts", "kept", *workers)
    run = pytester.runpytest_inprocess("-p", "no:cacheprovider", file, *options)
    assert run.ret == 0, f"{run.stdout}\n{run.stderr}"
    run.stdout.fnmatch_lines(["1 skipped: Skipped: a hole in the plan"])
    assert [case.why for case in report.read(pytester.path / "kept").cases] == ["Skipped: a hole in the plan"]


def test_the_option_writes_the_page_and_leaves_nothing_else(run_suite: RunSuite, tmp_path: Path) -> None:
    page = tmp_path / "run.html"
    run = run_suite("-k", "cntr1_5 or cntr1_7", *QUICK, "--dut-report", str(page), "--dut-profile", "cisco-iosxr",
                    "--dut-configure", "-n", "2")  # fmt: skip
    assert run.exit_code == 0, run.output
    assert f"report: {page}" in run.output
    read = outline(page.read_text())
    assert read.headings[0] == "holdfast: 1 pass, 1 skipped"
    assert "the device has no plugins" in page.read_text()
    nowhere = run_suite("-k", "cntr1_5", "--dut-report", str(tmp_path / "none" / "run.html"))
    assert nowhere.exit_code == 4
    assert "there is no folder" in nowhere.output


@pytest.mark.parametrize("workers", ["0", "2"])
def test_a_folder_that_is_used_again_mixes_no_runs(run_suite: RunSuite, tmp_path: Path, workers: str) -> None:
    kept, page = tmp_path / "kept", tmp_path / "run.html"
    again = (*QUICK, "--dut-artifacts", str(kept), "--dut-report", str(page), "-n", workers)
    first = run_suite("-k", "cntr1_4 or cntr1_5", *again)
    assert first.exit_code == 0, first.output
    assert outline(page.read_text()).headings[0] == "holdfast: 2 pass"
    (stale,) = kept.glob("test_cntr1_5_*")
    (stale / "of-an-earlier-run.log").write_text("earlier\n")
    (stale / "notes.txt").write_text("somebody's own\n")
    second = run_suite("-k", "cntr1_5 or cntr1_3", *again)
    assert second.exit_code == 0, second.output
    assert sorted(case.plan_id for case in report.read(kept).cases) == ["CNTR-1.3", "CNTR-1.4", "CNTR-1.5"]
    assert "CNTR-1.4" not in page.read_text()
    assert "runs of pytest" not in page.read_text()
    assert "of 2 runs of pytest" in report.read(kept).html()
    assert not (stale / "of-an-earlier-run.log").exists()
    assert (stale / "notes.txt").exists()


def test_the_command_makes_the_page_later(folders: tuple[Path, Path], tmp_path: Path) -> None:
    file = tmp_path / "later.html"
    done = CliRunner().invoke(main, ["report", str(folders[0]), "-o", str(file)])
    assert done.exit_code == 0, done.output
    assert "3 cases" in done.output
    assert outline(file.read_text()).headings[0] == "holdfast: 3 pass"


def test_what_changed_is_told(folders: tuple[Path, Path]) -> None:
    good, bad = folders
    found = report.compare(good, bad)
    told = {(change.case, change.what): (change.before, change.after, change.better) for change in found.changes}
    assert told["CNTR-3.2", "procedure verdict"] == ("pass", "FAIL", False)
    assert told["CNTR-3.1", "longest outage"][2] is False
    assert ("CNTR-3.1", "procedure verdict") not in told
    assert found.worse
    back = report.compare(bad, good)
    assert not back.worse
    assert "better" in CliRunner().invoke(main, ["compare", str(bad), str(good)]).output
    worse = CliRunner().invoke(main, ["compare", str(good), str(bad)])
    assert worse.exit_code == 1
    assert "CNTR-3.2   procedure verdict: pass -> FAIL (WORSE)" in worse.output
    assert json.loads(CliRunner().invoke(main, ["--json", "compare", str(good), str(bad)]).output)[0]["case"]


def test_the_same_run_is_no_change(folders: tuple[Path, Path]) -> None:
    assert report.compare(folders[0], folders[0]).changes == ()
    assert "nothing changed" in CliRunner().invoke(main, ["compare", str(folders[0]), str(folders[0])]).output


def test_a_notebook_shows_a_run_and_a_comparison_as_tables(folders: tuple[Path, Path]) -> None:
    assert "CNTR-3.4" in report.read(folders[0])._repr_html_()
    assert "WORSE" not in report.compare(*folders)._repr_html_()
    assert outline(report.compare(*folders)._repr_html_()).fetched == []


def test_a_device_cannot_write_into_the_page(folders: tuple[Path, Path], tmp_path: Path) -> None:
    shutil.copytree(folders[0], tmp_path / "run")
    file = next((tmp_path / "run").glob("*3_2*/verdict.json"))
    told = json.loads(file.read_text())
    file.write_text(json.dumps({**told, "device": "<script>alert(1)</script>", "noted": ["<img src=x>"]}))
    page = report.read(tmp_path / "run").html()
    assert "<script>" not in page
    assert "<img" not in page
    assert "&lt;script&gt;" in page


@pytest.mark.parametrize(
    ("text", "says"), [("{", "cut short"), ('{"plan_id": "x"}', "no account of a case"), (None, "no case in it")]
)
def test_what_is_no_run_is_said(tmp_path: Path, text: str | None, says: str) -> None:
    (tmp_path / "case").mkdir()
    if text is not None:
        (tmp_path / "case" / "verdict.json").write_text(text)
    with pytest.raises(InvalidArgumentError) as caught:
        report.read(tmp_path)
    assert says in str(caught.value)


@pytest.mark.parametrize("words", [("report",), ("judge",), ("compare", ".")])
def test_a_folder_that_is_not_there_is_said(words: tuple[str, ...], tmp_path: Path) -> None:
    nope = tmp_path / "nope"
    done = CliRunner().invoke(main, [*words, str(nope)])
    assert done.exit_code == 2
    assert "does not exist" in done.output
    for read in (report.read, judge.again):
        with pytest.raises(InvalidArgumentError, match="nope: there is no such folder"):
            read(nope)


def test_a_case_that_passed_and_is_gone_is_worse(folders: tuple[Path, Path], tmp_path: Path) -> None:
    good, bad = folders
    for whole, better in ((good, False), (bad, None)):
        part = tmp_path / whole.name / str(better)
        shutil.copytree(whole, part)
        for folder in part.glob("*3_2*"):
            shutil.rmtree(folder)
        found = report.compare(whole, part)
        assert [(each.case, each.after, each.better) for each in found.changes] == [("CNTR-3.2", "absent", better)]
        assert found.worse == (better is False)
        assert CliRunner().invoke(main, ["compare", str(whole), str(part)]).exit_code == found.worse
        assert not report.compare(part, whole).worse, "what came is no worse"


def test_runs_without_a_case_in_common_are_not_compared(folders: tuple[Path, Path], tmp_path: Path) -> None:
    for name, case in (("one", "*3_2*"), ("other", "*3_4*")):
        (kept,) = folders[0].glob(case)
        shutil.copytree(kept, tmp_path / name / kept.name)
    done = CliRunner().invoke(main, ["compare", str(tmp_path / "one"), str(tmp_path / "other")])
    assert done.exit_code == 2, done.output
    assert "have no case in common: CNTR-3.2; CNTR-3.4" in done.output


def test_a_timeline_that_was_cut_short_is_said(folders: tuple[Path, Path], tmp_path: Path) -> None:
    shutil.copytree(folders[0], tmp_path / "run")
    file = next((tmp_path / "run").glob("*3_2*/timeline.json"))
    for damaged in (file.read_text()[:100], '[{"at": 1}]', "{"):
        file.write_text(damaged)
        with pytest.raises(InvalidArgumentError, match=r"timeline\.json"):
            report.read(tmp_path / "run")


def test_a_run_without_a_case_has_no_report_and_says_so(run_suite: RunSuite, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "test_mine.py").write_text("def test_mine(dut):\n    assert dut.control_processors()\n")
    options = ("--dut-report", str(tmp_path / "run.html"), "--dut-artifacts", str(tmp_path / "kept"), "--dut-insecure")
    with holdfast.emulator() as chassis:
        run = run_suite("test_mine.py", "--dut", chassis.address, *options)
    assert run.exit_code == 0, run.output
    assert f"no report {tmp_path / 'run.html'}: no case ran" in run.output
    assert "try:" not in run.output
    assert not (tmp_path / "run.html").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small disk: as root")
def test_a_full_disk_is_told_once_and_the_run_goes_on(run_suite: RunSuite, tmp_path: Path) -> None:
    kept = tmp_path / "small disk"
    kept.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(kept)], check=True, timeout=60)
    try:
        run = run_suite("-k", "cntr3", *QUICK, "--dut-artifacts", str(kept), "--dut-report", str(kept / "run.html"))
    finally:
        subprocess.run(["umount", "--lazy", str(kept)], check=True, timeout=60)
    assert run.exit_code == 0, run.output
    assert "8 passed" in run.output
    assert run.output.count("is not whole: [Errno 28]") == 1
    assert run.output.count("no report") == 1
    assert len(run.cases) == 8
