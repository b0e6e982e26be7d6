"""The author's contract on real containers: an image that keeps it, and images that break a clause of it each.

Needs root, Debian's docker.io and a static busybox.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from test_author import BAD, CASES, outcomes, real, words_for
from test_engine_runtime import expect_unchanged, things

import engines
from conftest import RunSuite
from test_docker import CI, Docker

pytestmark = [pytest.mark.skipif(engines.lacks() is not None and not CI, reason=engines.lacks() or ""), real]
# With a port that the engine publishes, the engine refuses a second one: a container that goes on without its port is
# seen in the network of the machine alone.
IN_THE_HOSTS_NETWORK = "it goes on without its port"
# What is said to be so is watched after each of many failovers.
QUICK = ("--dut-deadline", "absence=200ms", "--dut-deadline", "watch=200ms")


@pytest.fixture(scope="module")
def engine() -> Iterator[Docker]:
    if (why := engines.lacks()) is not None:
        pytest.fail(f"CI must not skip this: {why}")
    with engines.bridged("aut") as running:
        yield running


@pytest.fixture
def device(engine: Docker) -> Iterator[tuple[str, ...]]:
    before = things(engine)
    yield ("--dut-emulator", "runtime=docker", "--dut-emulator", f"engine={engine.host}")
    expect_unchanged(engine, before)


def test_an_image_that_keeps_the_contract_passes(run_suite: RunSuite, device: tuple[str, ...], tmp_path: Path) -> None:
    run = run_suite("-k", "author", *QUICK, *device, *words_for(tmp_path, {}, None))
    assert run.exit_code == 0, run.output
    assert outcomes(run) == {f"test_author_{name}": "passed" for name in CASES}


@pytest.mark.parametrize("what", BAD)
def test_an_image_that_breaks_a_clause_fails_its_case(
    run_suite: RunSuite, device: tuple[str, ...], tmp_path: Path, what: str
) -> None:
    mine, newer, fails, reason = BAD[what]
    fails = fails[:1]  # one that it breaks, and one that it keeps: a case of many failovers takes its time here
    others = () if "starts_twice" in fails else ("starts_twice",)
    chosen = " or ".join(f"author_{name}" for name in (*fails, *others))
    network = ("--dut-network", "host", "--dut-container-host", "127.0.0.1") if what == IN_THE_HOSTS_NETWORK else ()
    run = run_suite("-k", chosen, *QUICK, *device, *words_for(tmp_path, mine, newer, *network))
    wanted = {f"test_author_{name}": "failure" for name in fails} | {f"test_author_{name}": "passed" for name in others}
    assert outcomes(run) == wanted, run.output
    assert reason in run.cases[f"test_author_{fails[0]}"].message
