"""Docker volume plugins that serve elsewhere than on the lab's socket: TCP, TLS, a `.spec` file, a `.json` file."""

from __future__ import annotations

import json
import shlex
import shutil
import sys
from pathlib import Path

import pytest
from fronts import made

from holdfast import _core

from conftest import RunSuite, SuiteRun
from test_torpedo import verdicts

PLUGIN = Path(__file__).parent / "tcp_plugin.py"
pytestmark = pytest.mark.skipif(bool(_core.storage_lab_lacks()), reason=str(_core.storage_lab_lacks()))


def provider_file(folder: Path, socket: str, told: str, data: Path, port: int = 0) -> str:
    """The plugins are each in the network of its node, so one port does for all of them."""
    path = folder / "small.yaml"
    start = f"{shlex.quote(sys.executable)} {PLUGIN} {{folder}} {data} {port} {told}"
    provider = {"kind": "docker-plugin", "name": "small", "socket": socket, "start": start}
    path.write_text(json.dumps({"provider": provider, "lab": {"nodes": 2}}))
    return str(path)


@pytest.mark.parametrize(
    ("socket", "told", "port"),
    [
        ("tcp://127.0.0.1:7001", "-", 7001),
        ("{folder}/small.spec", "{folder}/small.spec", 0),
        ("./small-{node}.json", "../small-{node}.json", 0),
    ],
    ids=["tcp", "spec", "json"],
)
def test_a_plugin_that_serves_elsewhere_is_found(
    socket: str, told: str, port: int, run_suite: RunSuite, tmp_path: Path
) -> None:
    """T3 kills it, and finds it again: with another port, its file is read anew. T5 takes its network away."""
    told = told.replace("..", str(tmp_path))
    file = provider_file(tmp_path, socket, told, tmp_path / "data", port)
    run = run_suite("-k", "torpedo_1_ or torpedo_3 and kill_plugin or torpedo_5_", "--provider", file)
    found = {name: {verdict for verdict, _ in said} for name, said in verdicts(run).items()}
    assert found == {"T1": {"Pass"}, "T3": {"Pass"}, "T5": {"Pass"}}, run.output


@pytest.mark.skipif(shutil.which("dockerd") is None, reason="dockerd is not installed")
def test_an_engine_finds_it_too(run_suite: RunSuite, tmp_path: Path) -> None:
    file = provider_file(tmp_path, "{folder}/small.json", "{folder}/small.json", tmp_path / "data")
    run = run_suite("-k", "torpedo_1_", "--provider", file, "--torpedo-runner", "docker")
    assert {verdict for verdict, _ in verdicts(run)["T1"]} == {"Pass"}, run.output


def by_tls(run_suite: RunSuite, folder: Path, asked: dict[str, object], *options: str) -> SuiteRun:
    """T1 with a plugin that speaks TLS alone, and what its `.json` says that who asks it needs.

    Each node has the files at a place of its own, which this machine does not have.
    """
    authority = made(folder, "authority", authority=True)
    plugin = made(folder, "plugin", signer=authority)
    made(folder, "client", signer=authority)
    words = f"{{folder}} {folder}/data 0 {{folder}}/small.json {plugin.pem} {plugin.key_pem} {authority.pem}"
    serving = f"{shlex.quote(sys.executable)} {PLUGIN} {words}"
    start = f"mount -t tmpfs tmpfs /mnt && cp {folder}/*.pem /mnt && cp {folder}/tls.json {{folder}} && exec {serving}"
    (folder / "tls.json").write_text(json.dumps(asked), encoding="utf-8")
    provider = {"kind": "docker-plugin", "name": "small", "socket": "{folder}/small.json", "start": start}
    file = folder / "small.yaml"
    file.write_text(json.dumps({"provider": provider, "lab": {"nodes": 2}}), encoding="utf-8")
    return run_suite("-k", "torpedo_1_", "--provider", str(file), "--torpedo-start", "10s", *options)


OURS = {"CertFile": "/mnt/client.pem", "KeyFile": "/mnt/client-key.pem"}


@pytest.mark.parametrize(
    "asked",
    [
        {"CAFile": "/mnt/authority.pem", **OURS},
        {"CAFile": "/mnt/client.pem", "InsecureSkipVerify": True, **OURS},
        OURS,  # an engine trusts whoever answers then
    ],
    ids=["verified", "whoever answers", "no authority"],
)
def test_a_plugin_by_tls_is_asked_as_its_file_says(
    asked: dict[str, object], run_suite: RunSuite, tmp_path: Path
) -> None:
    run = by_tls(run_suite, tmp_path, asked)
    assert {verdict for verdict, _ in verdicts(run)["T1"]} == {"Pass"}, run.output


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"CAFile": "/mnt/client.pem", **OURS}, "certificate"),
        ({"CAFile": "/mnt/authority.pem"}, "received fatal alert: CertificateRequired"),
        ({"CAFile": "/mnt/authority.pem", "CertFile": "/mnt/client.pem"}, "without its key"),
        ({"CAFile": "/mnt/none.pem", **OURS}, "none.pem: No such file"),
    ],
    ids=["another authority", "no certificate of ours", "no key", "no file"],
)
def test_what_is_wrong_with_tls_is_told(
    asked: dict[str, object], said: str, run_suite: RunSuite, tmp_path: Path
) -> None:
    run = by_tls(run_suite, tmp_path, asked)
    ((verdict, reason),) = verdicts(run)["T1"]
    assert (verdict, said in reason) == ("Inconclusive", True), run.output


@pytest.mark.skipif(shutil.which("dockerd") is None, reason="dockerd is not installed")
def test_an_engine_asks_by_tls_too(run_suite: RunSuite, tmp_path: Path) -> None:
    run = by_tls(run_suite, tmp_path, {"CAFile": "/mnt/authority.pem", **OURS}, "--torpedo-runner", "docker")
    assert {verdict for verdict, _ in verdicts(run)["T1"]} == {"Pass"}, run.output
