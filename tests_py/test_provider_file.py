"""The provider file: what it says, and what is said of one that makes no sense."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from holdfast.exceptions import InvalidArgumentError
from holdfast.storage.provider import read

GOOD = """
provider:
  kind: csi
  start: ./driver --endpoint={socket} --nodeid={node}
  parameters: {type: fast}
  fencing: driver
lab: {kind: namespaces, nodes: 2}
"""


def written(tmp_path: Path, text: str) -> str:
    path = tmp_path / "provider.yaml"
    path.write_text(text)
    return str(path)


def test_a_file_is_read(tmp_path: Path) -> None:
    secrets = tmp_path / "secrets"
    secrets.write_text("user=me\nkey=hunter2\n")
    text = GOOD.replace("  fencing", f"  secrets_file: {secrets}\n  fencing")
    provider = read(written(tmp_path, text))
    assert (provider.kind, provider.nodes, provider.parameters) == ("csi", 2, {"type": "fast"})
    assert provider.start == f"{tmp_path}/driver --endpoint={{socket}} --nodeid={{node}}"
    assert provider.secrets == {"user": "me", "key": "hunter2"}
    assert "hunter2" not in repr(provider)


def test_the_shipped_one_is_found_by_its_name() -> None:
    provider = read("nbd")
    assert provider.filesystems == {"ext4"}
    assert sys.executable in provider.start


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("kind: csi", "kind: nfs"), "provider: 'nfs'"),
        (("lab: {", "runner: {kind: swarm}\nlab: {"), "swarm is not offered by this version"),
        (("fencing: driver", "fencing: yes"), "fencing: True"),
        (("fencing: driver", "fencing: csi-addons"), "csi-addons is not offered by this version"),
        (("fencing: driver", "fence: driver"), "no key 'fence'"),
        (("  start: ./driver --endpoint={socket} --nodeid={node}\n", ""), "no key 'start'"),
        (("nodes: 2", "nodes: 1"), "nodes: 1"),
        (("nodes: 2", "nodes: many"), "nodes: 'many'"),
        (("kind: namespaces", "kind: hosts"), "hosts is not offered by this version"),
        (("provider:", "providers:"), "no key 'providers'"),
        (("{type: fast}", "[fast]"), "parameters must be keys with texts"),
        (("fencing: driver", "secrets_file: /nowhere"), "secrets_file"),
        (("lab: {", "lab: {{"), "no YAML"),
        (("\nprovider:", "\n- provider:\n   x:"), "YAML"),
    ],
)
def test_what_makes_no_sense_is_named(change: tuple[str, str], said: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError) as refused:
        read(written(tmp_path, GOOD.replace(*change)))
    assert said in str(refused.value)
    assert "provider.yaml" in str(refused.value)


def test_check_says_what_would_run_and_touches_nothing(tmp_path: Path) -> None:
    started = tmp_path / "started"
    text = GOOD.replace("./driver", f"touch {started}; ./driver").replace("fencing: driver", "fencing: none")
    command = [sys.executable, "-m", "holdfast.cli", "provider", "check", written(tmp_path, text)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    rows = {line.split()[0]: line for line in done.stdout.splitlines() if line.startswith("T")}
    assert len(rows) == 10, done.stdout + done.stderr
    assert rows["T5"].endswith("runs")
    assert "fencing: none" in rows["T7"]
    assert "container runtime" in rows["T10"]
    assert not started.exists()
