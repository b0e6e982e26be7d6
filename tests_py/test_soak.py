"""Soaks: rounds for a time, their page while they run, what grew, what ends them, and what a kill leaves."""

from __future__ import annotations

import json
import random
import re
import signal
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise, permutations
from pathlib import Path
from statistics import median

import pytest
from test_report import outline

from holdfast import report
from holdfast.report import soak, trend
from holdfast.verdicts import CaseRecord, Step, store

from conftest import RunSuite, emulate, isolated, wait_until
from peers import command

QUICK = ("--dut-deadline", "absence=100ms", "--dut-deadline", "watch=50ms")
NOISE = (9.49, 11.02, 9.55, 9.37, 8.14, 9.57, 12.22, 10.85, 12.07, 10.5, 10.79, 10.37, 6.67, 11.71, 11.01, 11.0, 6.62,
         6.51, 8.22, 9.06, 10.61, 9.91, 11.04, 8.72, 10.62, 10.79, 8.68, 13.44, 11.11, 12.39)  # fmt: skip
DRIFT = (8.76, 8.72, 9.71, 10.39, 12.06, 11.5, 10.31, 9.49, 10.56, 14.24, 10.38, 12.69, 13.25, 9.62, 12.9, 15.61, 9.17,
         12.76, 13.39, 12.17, 14.99, 14.08, 11.47, 16.26, 16.14, 16.89, 18.08, 16.12, 15.84, 13.2)  # fmt: skip


@pytest.mark.parametrize(
    ("values", "p", "slope", "begins"),
    [
        # By pymannkendall 1.4's original_test (half of its p) and scipy 1.16's theilslopes.
        ((1, 2, 3, 4, 5, 6, 7, 8), 0.00041831, 1.0, 1.0),
        (NOISE, 0.20082952, 0.02083333, 10.25291667),
        (DRIFT, 0.00000789, 0.25136364, 9.08022727),
        ((2, 2, 2, 3, 2, 3, 3, 2, 3, 3, 4, 3, 4, 4, 3, 4), 0.00067179, 0.125, 2.0625),
        ((9, 8, 8, 7, 6, 6, 5, 3, 2, 1), 1.0, -1.0, 10.5),
    ],
)
def test_trends_are_those_of_other_peoples_software(
    values: tuple[float, ...], p: float, slope: float, begins: float
) -> None:
    found = trend.of(range(len(values)), values)
    assert found is not None
    assert (found.p, found.slope, found.first) == (
        pytest.approx(p, abs=1e-8),
        pytest.approx(slope),
        pytest.approx(begins),
    )


def test_the_chance_is_near_that_of_all_permutations() -> None:
    def score(values: tuple[float, ...]) -> int:
        return sum((values[j] > values[i]) - (values[j] < values[i]) for i in range(len(values)) for j in range(i))

    scores = [-score(each) for each in permutations((1, 2, 2, 3, 5, 6, 7))]
    for values in ((1, 2, 2, 3, 5, 6, 7), (2, 1, 3, 2, 5, 7, 6), (2, 3, 1, 6, 2, 5, 7)):
        exact = sum(each >= -score(values) for each in scores) / len(scores)
        assert trend.chance(values) == pytest.approx(exact, abs=0.02)


def test_noise_makes_growth_no_more_often_than_is_said() -> None:
    draws = random.Random(1)
    rose = sum(trend.of(range(40), [draws.gauss(5, 1) for _ in range(40)]).rises for _ in range(400))  # type: ignore[union-attr]
    assert rose <= 3
    assert trend.of(range(7), range(7)) is None, "too few to tell"


def test_a_long_series_is_compared_by_medians_of_its_parts() -> None:
    draws = random.Random(2)
    places = list(range(1, 5001))
    leak = trend.of(places, [100 + place // 100 + draws.gauss(0, 5) for place in places])
    assert leak is not None
    assert leak.rises
    assert leak.slope == pytest.approx(0.01, rel=0.1)
    assert leak.last - leak.first == pytest.approx(50, rel=0.1)


def case(number: int, outage: float = 0.5, **held: float) -> CaseRecord:
    steps = (Step("procedure", "a step"),)
    return CaseRecord("CNTR-3.1", "t", "d", "passed", steps, round=number, outages=(outage,), held=held)


def test_what_grows_is_named_with_how_much_and_how_surely() -> None:
    lines = list(soak.summary([case(number, volumes=number, images=2) for number in range(1, 21)]))
    assert lines[0] == "20 rounds on d"
    assert lines[1] == "  outages: 20; p50 0.500 s, p90 0.500 s, p95 0.500 s, p99 0.500 s, longest 0.500 s"
    assert re.fullmatch(r"  grew: volumes by 1 a round, from 1 to 20 \(p = \de-\d+\)", lines[-1]), lines


def test_an_outage_that_cases_share_counts_once() -> None:
    """As those of `--dut-combine` do, which have a failover together."""
    shared = [
        replace(case(number), plan_id=f"CNTR-3.{of}", outages_known_after=(number * 10.0,))
        for number in (1, 2)
        for of in (1, 2)
    ]
    assert next(line for line in soak.summary(shared) if "outages" in line).startswith("  outages: 2;")


def test_outages_of_the_same_length_count_each() -> None:
    """Of one round too, whether or not what kept them says when each was known."""
    cases = [replace(case(1), plan_id=f"CNTR-3.{of}", outages_known_after=(of * 10.0,)) for of in (1, 2, 3)]
    older = [replace(each, outages_known_after=()) for each in cases]
    for kept in (cases, older, [replace(cases[0], outages=(0.5,) * 3, outages_known_after=())]):
        assert next(line for line in soak.summary(kept) if "outages" in line).startswith("  outages: 3;")


def test_growth_of_outages_weighs_each_failover_once() -> None:
    """However many cases share one of them."""
    short = [replace(case(1, outage=1.0), plan_id="CNTR-3.7", outages_known_after=(9.0,))]
    long = [replace(case(1, outage=5.0), plan_id=f"CNTR-3.{of}", outages_known_after=(1.0,)) for of in (1, 2, 3)]
    (grown,) = soak.DeviceSoak("d", short + long).growth
    assert grown.first == 3.0


def test_first_and_last_alone_are_no_growth() -> None:
    values = [4, 9, 9, 5, 9, 6, 9, 7, 8, 9, 5, 9]  # the first is low by chance: the old rule called it growth
    assert median(values[-3:]) > 1.25 * values[0]
    assert soak.grown(soak.DeviceSoak("d", [case(n, files=v) for n, v in enumerate(values, 1)]).growth).startswith(
        "grew: nothing"
    )


def test_outages_that_grow_are_named_once_it_matters() -> None:
    def grown(by: float) -> str:
        return soak.grown(soak.DeviceSoak("d", [case(number, 1 + by * number) for number in range(1, 31)]).growth)

    assert "outage, s by 0.05 a round, from 1.05 to 2.5" in grown(0.05)
    assert "nothing" in grown(0.0005), "a hundredth of a second in a night is no news"


def test_few_rounds_tell_no_growth_and_show_what_was_there() -> None:
    assert list(soak.summary([case(number, volumes=number) for number in (1, 2, 3)]))[-1] == (
        "  grew: too few rounds to tell (8): volumes from 1 to 3; outage, s from 0.5 to 0.5"
    )


def test_percentiles_are_by_nearest_rank() -> None:
    ordered = [float(number) for number in range(1, 101)]
    assert [soak.percentile(ordered, share) for share in (50, 90, 99)] == [50, 90, 99]
    assert soak.percentile([7.0], 50) == 7


def rounds_of(kept: Path) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for each in soak.read(kept):
        found.setdefault(f"{each.plan_id} {each.place}", []).append(each.round or 0)
    return {name: sorted(numbers) for name, numbers in found.items()}


@pytest.mark.parametrize("workers", [(), ("-n", "2")])
@pytest.mark.parametrize("cases", ["cntr3_5", "cntr3_1 or cntr3_2 or cntr3_4"])
def test_rounds_go_on_for_a_time(run_suite: RunSuite, tmp_path: Path, workers: tuple[str, ...], cases: str) -> None:
    kept, page = tmp_path / "kept", tmp_path / "soak.html"
    told = ("--dut-artifacts", str(kept), "--dut-soak-report", str(page))
    run = run_suite("-k", cases, "--dut-for", "8h", "--dut-repeat", "4", *QUICK, *told, *workers)
    assert run.exit_code == 0, run.output
    assert "a soak: for 8h or 4 rounds" in run.output
    assert {tuple(numbers) for numbers in rounds_of(kept).values()} == {(1, 2, 3, 4)}, "none left out or taken twice"
    assert f"soak: {page}" in run.output
    outline(page.read_text())
    assert "It ran from" in page.read_text()
    assert "refresh" not in page.read_text()


@pytest.mark.parametrize("workers", [(), ("-n", "2")])
def test_the_round_in_which_the_time_ends_is_the_last(
    run_suite: RunSuite, tmp_path: Path, workers: tuple[str, ...]
) -> None:
    kept = tmp_path / "kept"
    run = run_suite("-k", "cntr3_1 or cntr3_5", "--dut-for", "1ms", "--dut-artifacts", str(kept), *QUICK, *workers)
    assert run.exit_code == 0, run.output
    # A worker is told its next test before it begins the last: it may have a round more.
    assert {tuple(numbers) for numbers in rounds_of(kept).values()} <= ({(1,), (1, 2)} if workers else {(1,)})


@pytest.mark.parametrize("workers", [(), ("-n", "1")])
def test_rounds_of_several_devices_go_on_side_by_side(
    run_suite: RunSuite, tmp_path: Path, workers: tuple[str, ...]
) -> None:
    lab = tmp_path / "lab.yaml"
    lab.write_text("devices: {a: {emulated: true}, b: {emulated: true}, c: {emulated: true}}")
    kept = tmp_path / "kept"
    words = ("-k", "cntr3_1 or cntr3_5", "--testbed", str(lab), "--dut-artifacts", str(kept), "--dut-combine")
    run = run_suite(*words, "--dut-for", "8h", "--dut-repeat", "3", *QUICK, *workers)
    assert run.exit_code == 0, run.output
    found = rounds_of(kept)
    assert set(found) == {f"CNTR-3.{number} {name}" for number in (1, 5) for name in "abc"}
    assert set(map(tuple, found.values())) == {(1, 2, 3)}
    ended = sorted((case.ended, case.place, case.round) for case in soak.read(kept))
    order = [number for _, _, number in ended]
    assert order.index(3) > max(at for at, number in enumerate(order) if number == 1), (
        "none waits for others to be done"
    )


def test_after_so_many_failures_nothing_more_runs_on_that_device(run_suite: RunSuite, tmp_path: Path) -> None:
    lab = tmp_path / "lab.yaml"
    lab.write_text("devices: {good: {emulated: true}, away: {address: '127.0.0.1:1', insecure: true}}")
    page = tmp_path / "soak.html"
    words = ("-k", "cntr3_1", "--testbed", str(lab), "--dut-repeat", "4", "--dut-soak-report", str(page))
    run = run_suite(*words, "--dut-stop-after-failures", "2", *QUICK, "--dut-allow-disruption")
    assert "4 passed, 2 skipped" in run.output
    assert "2 errors" in run.output
    assert "NotRun     2 cases: stopped after 2 failures (--dut-stop-after-failures)" in run.output
    timed = run_suite("-k", "cntr3_1", "--dut-for", "10m", "--dut-stop-after-failures", "1", *QUICK,
                      failpoints="load.image.lost=error(x)")  # fmt: skip
    assert timed.exit_code == 1, "it ended long before its time"
    shared = run_suite("-k", "cntr3_1", "--dut-for", "10m", "--dut-stop-after-failures", "1", *QUICK, "-n", "1",
                       failpoints="load.image.lost=error(x)")  # fmt: skip
    assert shared.exit_code == 1


@pytest.mark.parametrize("workers", [(), ("-n", "1")])
def test_a_kill_in_the_night_leaves_all_that_had_ended(tmp_path: Path, workers: tuple[str, ...]) -> None:
    kept, page = tmp_path / "kept", tmp_path / "soak.html"
    with emulate(tmp_path) as address:
        words = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-k", "cntr3_1 or cntr3_5", *QUICK, *workers]
        told = ["--dut-artifacts", str(kept), "--dut-soak-report", str(page), "--dut", address, "--dut-insecure"]
        process = subprocess.Popen(
            [*words, *told, "--dut-for", "8h"], cwd=tmp_path, env=isolated(tmp_path, {}), stdout=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
        try:
            wait_until(lambda: len(list(kept.glob("*/verdict.json"))) > 8, 120, "rounds")
            running = page.read_text()
        finally:
            subprocess.run(["pkill", "-KILL", "--session", str(process.pid)], check=False)
            process.wait(timeout=20)
    assert process.returncode == -signal.SIGKILL
    assert "It runs for 8h" in running
    assert f"`holdfast report {kept} --soak -o {page}` makes it of what was kept" in running, "of one that was killed"
    outline(running)
    (kept / "half").mkdir()  # as a case that had begun
    (kept / "half" / ".verdict.json.1.part").write_text("{")
    done = command(tmp_path, "report", str(kept), "--soak", "-o", str(tmp_path / "later.html"))
    assert done.returncode == 0, done.stderr
    later = (tmp_path / "later.html").read_text()
    assert len(soak.read(kept)) > 8
    for numbers in rounds_of(kept).values():
        assert all(following == number + 1 for number, following in pairwise(numbers))
    assert f"{len(soak.read(kept))} pass" in later
    assert "as far as it was kept: its last case ended at 20" in later
    assert len(report.read(kept).cases) > 8, "and the page with all evidence"


def kept_rounds(folder: Path) -> Path:
    """A case that failed in the second of two rounds."""
    for number, outcome in ((10, "FAIL"), (2, "pass")):
        place = folder / f"round{number}"
        place.mkdir(parents=True)
        steps = (Step("procedure", "a step", outcome, "it is gone" * (outcome == "FAIL")),)  # type: ignore[arg-type]
        ended = {"FAIL": "failed", "pass": "passed"}[outcome]
        store.write(place, replace(case(number), steps=steps, outcome=ended, device="rack1"))
    return folder


def test_rows_of_a_soak_say_of_which_round_they_are_in_the_order_of_rounds(tmp_path: Path, run_suite: RunSuite) -> None:
    done = command(tmp_path, "judge", str(kept_rounds(tmp_path / "kept")))
    rows = re.findall(r"^CNTR-3.1, round (\d+) +(pass|FAIL)", done.stdout, re.MULTILINE)
    assert rows == [("2", "pass"), ("10", "FAIL")], done.stdout
    told = json.loads(command(tmp_path, "--json", "judge", str(tmp_path / "kept")).stdout)
    assert [each["round"] for each in told] == [2, 10]
    run = run_suite("-k", "cntr3_1", *QUICK, "--dut-repeat", "2")
    assert re.findall(r"^CNTR-3.1, round (\d) ", run.output, re.MULTILINE) == ["1", "2"]


def test_a_page_of_a_soak_as_cases_says_how_the_other_is_made(tmp_path: Path) -> None:
    kept = str(kept_rounds(tmp_path / "kept"))
    done = command(tmp_path, "report", kept, "-o", str(tmp_path / "page.html"))
    assert "these are rounds of a soak: with --soak it is a page about all of them" in done.stdout
    done = command(tmp_path, "report", kept, "--soak", "-o", str(tmp_path / "page.html"))
    assert "these are rounds" not in done.stdout


def test_a_folder_without_rounds_is_no_soak(tmp_path: Path, run_suite: RunSuite) -> None:
    assert run_suite("-k", "cntr3_1", *QUICK, "--dut-artifacts", str(tmp_path / "kept")).exit_code == 0
    done = command(tmp_path, "report", str(tmp_path / "kept"), "--soak")
    assert done.returncode == 2
    assert "there is no round of a soak in it" in done.stderr


def test_a_plan_of_a_time_is_that_of_one_round(run_suite: RunSuite) -> None:
    run = run_suite("-k", "cntr3_1 or cntr3_8", "--dut-for", "8h", "--dut-plan")
    assert "1 switchover and 1 cold reboot, at most" in run.output
    assert "that is one round, and they go on for 8h" in run.output


@pytest.mark.parametrize(
    "given", ["--dut-for=soon", "--dut-for=0", "--dut-stop-after-failures=0", "--dut-soak-report=x.html"]
)
def test_what_makes_no_sense_is_refused(run_suite: RunSuite, given: str) -> None:
    run = run_suite("-k", "cntr3_1", given)
    assert run.exit_code == 4
    assert given.partition("=")[0] in run.output


def test_a_worker_that_replaces_a_dead_one_counts_on(monkeypatch: pytest.MonkeyPatch) -> None:
    from types import SimpleNamespace

    from test_lab import Node, scheduler_of

    from holdfast.pytest_plugin import rounds
    from holdfast.testbed import Target

    monkeypatch.setattr(rounds, "is_timed", lambda _config: True)
    going = SimpleNamespace(begin=lambda: None, goes_on=lambda _number: True)
    monkeypatch.setattr(rounds, "of", lambda _config: going)
    stop = SimpleNamespace(why_stopped=lambda _nodeid: None)
    monkeypatch.setattr("holdfast.pytest_plugin.failures.of", lambda _config: stop)
    tests = [f"t.py::test_{number}[round{which}-left]" for which in (1, 2) for number in range(3)]
    node = Node("popen//id=rackA", "rackA")
    found = scheduler_of(monkeypatch, tests, (Target("left", "x"), Target("right", "x")), node)
    assert node.sent == [0, 1, 2], "the first round"
    for index in (0, 1, 2, 3, 4, 5, 0, 1):
        found.mark_test_complete(node, index)
    assert node.sent == [0, 1, 2, 3, 4, 5] * 2, "each round follows when few of the last are left"
    assert found.remove_node(node) == tests[2]
    again = Node("popen//id=rackA", "gw3")
    found.add_node(again)
    found.add_node_collection(again, tests)
    found.schedule()
    assert again.sent[:3] == [3, 4, 5], "what it had not done"
    going.goes_on = lambda _number: False
    for index in (3, 4, 5):
        found.mark_test_complete(again, index)
    assert again.shutting_down
