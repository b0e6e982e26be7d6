"""Small real plugins in the lab, each healthy or broken in one way, and the scenario that says so."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from test_torpedo_lab import leftovers

from holdfast import _core

from conftest import RunSuite, SuiteRun, wait_until
from test_torpedo import verdicts

LACKS = _core.storage_lab_lacks()

pytestmark = pytest.mark.skipif(LACKS is not None, reason=LACKS or "")

PLUGIN = Path(__file__).parent / "small_plugin.py"


def qualified(
    run_suite: RunSuite, folder: Path, chosen: str, manner: str, *, start: str = "", more: str = ""
) -> SuiteRun:
    """Scenarios of the plugin with a manner; nothing is left of them."""
    line = f"{{python}} {PLUGIN} --socket {{socket_path}} --folder {{folder}} --data {folder}/data --manner '{manner}'"
    provider = folder / "provider.yaml"
    provider.write_text(
        f"provider:\n  kind: docker-plugin\n  start: |-\n    {start or line}\n{more}lab: {{nodes: 2}}\n".replace(
            "LINE", line
        ),
        encoding="utf-8",
    )
    with tempfile.TemporaryDirectory(prefix="hf-") as short:  # the path of a socket has 107 bytes
        run = run_suite("-k", chosen, "--provider", str(provider), "--torpedo-start", "20s", TMPDIR=short)
        wait_until(lambda: leftovers(short) == [], 20, "nothing left")
        assert list(Path(short).glob("holdfast-lab-*")) == []
    return run


def of(run: SuiteRun) -> dict[str, set[str]]:
    return {name: {verdict for verdict, _ in told} for name, told in verdicts(run).items()}


def test_a_healthy_plugin_passes(run_suite: RunSuite, tmp_path: Path) -> None:
    run = qualified(run_suite, tmp_path, "torpedo and not hang", "healthy")
    found = of(run)
    assert {name for name, told in found.items() if "Pass" in told} == {"T1", "T2", "T3", "T4", "T5", "T6"}, run.output
    assert set.union(*found.values()) == {"Pass", "NotRun"}, run.output


def test_local_volumes_are_not_sent_to_a_second_node(run_suite: RunSuite, tmp_path: Path) -> None:
    run = qualified(run_suite, tmp_path, "torpedo and not hang", "local")
    found = of(run)
    assert {name for name, told in found.items() if "Pass" in told} == {"T1", "T3", "T6"}, run.output
    assert "Fail" not in set.union(*found.values()), run.output
    for name in ("T2", "T4", "T5", "T7", "T8"):
        assert {why for _, why in verdicts(run)[name]} == {"provider: its volumes are local"}
    assert run.exit_code == 0


def test_the_file_may_say_that_others_have_volumes_which_a_plugin_calls_local(
    run_suite: RunSuite, tmp_path: Path
) -> None:
    run = qualified(run_suite, tmp_path, "torpedo_5_", "local", more="  scope: global\n")
    assert of(run) == {"T5": {"Pass"}}, run.output
