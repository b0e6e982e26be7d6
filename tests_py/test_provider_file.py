"""The provider file: what it says, and what is said of one that makes no sense."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from holdfast import waiting
from holdfast.exceptions import InvalidArgumentError
from holdfast.storage.plan import plan
from holdfast.storage.provider import read

EXAMPLES = Path(__file__).parent.parent / "examples" / "providers"
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
    assert provider.start == "./driver --endpoint={socket} --nodeid={node}"
    assert provider.line("./driver") == f"cd {tmp_path} || exit; ./driver"
    assert provider.secrets == {"user": "me", "key": "hunter2"}
    assert "hunter2" not in repr(provider)


def test_the_shipped_one_is_found_by_its_name() -> None:
    provider = read("nbd")
    assert provider.filesystems == {"ext4"}
    assert sys.executable in provider.start


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("kind: csi", "kind: nfs"), "provider.yaml:3: provider: kind: 'nfs'"),
        (("lab: {", "runner: {kind: nomad}\nlab: {"), "runner: kind: 'nomad'"),
        (("lab: {", "runner: {kind: swarm, manager: x}\nlab: {"), "runner: manager is for hosts"),
        (("lab: {", "faults: {cut: x}\nlab: {"), "faults is for hosts"),
        (("nodes: 2", "nodes: 2, tester: 192.0.2.9"), "lab: tester is for hosts"),
        (("fencing: driver", "fencing: yes"), "fencing: 'yes'"),
        (("fencing: driver", "fencing: csi-addons"), "csi-addons is not offered by this version"),
        (("fencing: driver", "fence: driver"), "no key 'fence'"),
        (("fencing: driver", "sockets: tcp://192.0.2.1:1"), "provider: sockets is for hosts"),
        (("  start: ./driver --endpoint={socket} --nodeid={node}\n", ""), "no key 'start'"),
        (("nodes: 2", "nodes: 1"), "nodes: 1"),
        (("nodes: 2", "nodes: many"), "nodes: 'many'"),
        (("kind: namespaces", "kind: hosts"), "provider: start: on hosts it runs already"),
        (("provider:", "providers:"), "no key 'providers'"),
        (("{type: fast}", "[fast]"), "parameters must be keys and values"),
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


@pytest.mark.parametrize(
    ("change", "said"),
    [
        # each place by its line
        (("fencing: driver", "fencing: drivers"), "provider.yaml:6: provider: fencing: 'drivers'"),
        (
            ("fencing: driver", "fencing: driver\n  fencing: none"),
            "yaml:7: provider has the key 'fencing' twice",
        ),
        (("lab: {", "provider: {kind: csi}\nlab: {"), "provider.yaml:7: the file has the key 'provider' twice"),
        (("{type: fast}", "{type: fast, type: slow}"), "provider: parameters has the key 'type' twice"),
        (("fencing: driver", "nodes: 3"), "provider.yaml:6: provider has no key 'nodes'"),
        # what YAML makes of texts
        (("{type: fast}", "{mode: 0700}"), "parameters: mode must be a text, and YAML reads 0700 as the number 448"),
        (("{type: fast}", "{nfsvers: 1.10}"), "YAML reads 1.10 as the number 1.1"),
        (("{type: fast}", "{soft: yes}"), "YAML reads yes as the truth value true"),
        (("{type: fast}", "{on: x}"), "YAML reads on as the truth value true"),
        (("{type: fast}", "{at: 2026-11-29}"), "YAML reads 2026-11-29 as a date"),
        (("{type: fast}", "{time: 12:30:45}"), "YAML reads 12:30:45 as the number 45045"),
        (("{type: fast}", "{type: }"), "parameters: type has no value"),
        (("{type: fast}", "{type: [a]}"), "parameters: type must be a text"),
        (("start: ./driver --endpoint={socket} --nodeid={node}", "start: true"), "YAML reads true as the truth value"),
        (("start: ./driver --endpoint={socket} --nodeid={node}", "start: ' '"), "provider: start must be a command"),
        (("nodes: 2", "nodes: 2.5"), "lab: nodes: 2.5"),
        # what is no YAML, or no file for this
        (("{type: fast}", "{type: fast"), "provider.yaml:6: it is no YAML"),
        (("{type: fast}", "{type: *fast}"), "it is no YAML: found undefined alias"),
        (("{type: fast}", "!!python/object:os.system {}"), "it is no YAML"),
        (("{type: fast}", "&all {all: *all}"), "aliases that go in a circle"),
        (("kind: csi", "kind: csi\x07"), "provider.yaml:3: it is no YAML: special characters"),
        ((GOOD, ""), "it is empty"),
        ((GOOD, "# nothing\n"), "it is empty"),
        ((GOOD, "- provider"), "the file must be keys and values"),
        ((GOOD, f"{GOOD}---{GOOD}"), "it is no YAML"),
        ((GOOD, "[" * 5000), "nested too deep"),
        ((GOOD, "a" * (1 << 21)), "longer than"),
        # in the words of others
        (("{type: fast}", "{type: fast}\n  paramters: {}"), "the nearest is 'parameters'"),
        (("fencing: driver", "secrets_file: ''"), "secrets_file is empty"),
        (("fencing: driver", "tools: ext4"), "tools must be a list of programs"),
        (("fencing: driver", "tools: [nbdkit, nbdkit]"), "more than once"),
        (("fencing: driver", "access_modes: [SINGLE_NODE_WRITERS]"), "did you mean 'SINGLE_NODE_WRITER'?"),
        (("fencing: driver", "access_modes: []"), "is empty"),
        (("fencing: driver", "socket: x.spec"), "provider: socket: a CSI driver has none"),
    ],
)
def test_each_mistake_is_told_with_its_line(change: tuple[str, str], said: str, tmp_path: Path) -> None:
    assert change[0] in GOOD
    with pytest.raises(InvalidArgumentError) as refused:
        read(written(tmp_path, GOOD.replace(*change)))
    assert said in str(refused.value)
    assert re.match(rf"{tmp_path}/provider.yaml(:\d+)?: ", str(refused.value))


def test_what_is_said_twice_by_reference_is_said_once(tmp_path: Path) -> None:
    """`<<` merges, and what a mapping says itself goes before that."""
    text = GOOD.replace("{type: fast}", "&p {type: fast, replicas: 3}") + "faults: {}\n"
    text = text.replace("faults: {}\n", "").replace("provider:", "provider:\n  <<: {driver2: x}", 1)
    with pytest.raises(InvalidArgumentError, match="no key 'driver2'"):
        read(written(tmp_path, text))
    text = GOOD.replace("parameters: {type: fast}", "parameters: {<<: {type: slow, replicas: 3}, type: fast}")
    assert read(written(tmp_path, text)).parameters == {"replicas": "3", "type": "fast"}


def test_all_is_relative_to_the_files_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "a folder"
    folder.mkdir()
    secrets = "\ufeff# of mine\r\n\r\nuser = me\r\n  # more\nkey= a = b #c \n"
    (folder / "own.secrets").write_text(secrets, encoding="utf-8")
    written(folder, GOOD.replace("fencing: driver", "secrets_file: own.secrets"))
    monkeypatch.chdir(tmp_path)
    provider = read("a folder/provider.yaml")
    assert provider.folder == folder
    assert provider.secrets == {"user": " me", "key": " a = b #c "}
    shell = ["sh", "-c", str(provider.line("pwd; cd /; echo $0"))]
    assert subprocess.check_output(shell, text=True) == f"{folder}\nsh\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"user=me\nplanted\n", "each line must be KEY=VALUE, and line 2 is not"),
        (b"=planted\n", "line 1 is not"),
        (b"a=1\nb=2\na=planted\n", "line 3 has a key that another line has"),
        (b"a=planted\xff\n", "in UTF-8"),
        (b"a=" + b"planted" * (1 << 18), "longer than"),
    ],
)
def test_a_file_of_secrets_that_makes_no_sense_is_told_without_them(text: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / "secrets").write_bytes(text)
    with pytest.raises(InvalidArgumentError) as refused:
        read(written(tmp_path, GOOD.replace("fencing: driver", "secrets_file: secrets")))
    assert said in str(refused.value)
    assert f"{tmp_path}/secrets" in str(refused.value)
    assert "planted" not in str(refused.value)


def test_check_says_what_would_run_and_touches_nothing(tmp_path: Path) -> None:
    started = tmp_path / "started"
    text = GOOD.replace("./driver", f"touch {started}; ./driver").replace("fencing: driver", "fencing: none")
    command = [sys.executable, "-m", "holdfast.cli", "provider", "check", "--no-start", written(tmp_path, text)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    rows = {line.split()[0]: line for line in done.stdout.splitlines() if line.startswith("T")}
    assert len(rows) == 15, done.stdout + done.stderr
    assert rows["T5"].endswith("runs")
    assert "fencing: none" in rows["T7"]
    assert "container runtime" in rows["T10"]
    assert not started.exists()


def test_a_runner_whose_engine_is_not_installed_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    lacking = read("nbd", runner="docker").lacks()
    assert "dockerd is missing: install it" in lacking
    assert "nbdkit is missing: install it" in lacking
    assert not any("dockerd" in why for why in read("nbd").lacks())


DOCKER = """
provider:
  kind: docker-plugin
  start: ./plugin {socket}
  environment: {LEVEL: "7"}
  version: VERSION
"""


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("MAJOR=1; echo v$MAJOR.$LEVEL | tr v V && echo more", "V1.7"),
        ("cat $PWD/told", "of the file"),
        ("sleep 600 & echo there", "there"),
        ("exit 0", ""),
    ],
    ids=["variables and pipes", "in the file's folder", "what it leaves running", "nothing"],
)
def test_the_version_is_told_by_a_shell_line(line: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "told").write_text("of the file\n")
    assert read(written(tmp_path, DOCKER.replace("VERSION", line))).version() == told


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("echo some; echo no such thing >&2; exit 3", "exit code 3: no such thing"),
        ("./none --version", "exit code 127"),
        ("kill -TERM $$", "signal 15"),
    ],
)
def test_a_version_that_nobody_tells_is_an_error(line: str, said: str, tmp_path: Path) -> None:
    provider = read(written(tmp_path, DOCKER.replace("VERSION", line)))
    with pytest.raises(InvalidArgumentError, match=f"^provider: version: .*{said}"):
        provider.version()


def test_a_version_that_takes_too_long_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("holdfast.storage.provider.file.VERSION", 0.2)
    provider = read(written(tmp_path, DOCKER.replace("VERSION", f"echo $$ > {tmp_path}/pid; sleep 600 | cat")))
    with pytest.raises(InvalidArgumentError, match=r"^provider: version: no end in 0\.2 s"):
        provider.version()
    leader = (tmp_path / "pid").read_text().strip()
    assert waiting.until(lambda: not _group(leader), 20), "what it started goes with it"


def _group(leader: str) -> list[str]:
    """Who is in a process group."""
    stats = [path.read_text() for path in Path("/proc").glob("[0-9]*/stat") if path.exists()]
    return [stat for stat in stats if stat.rpartition(")")[2].split()[2] == leader]


@pytest.mark.parametrize("file", sorted(EXAMPLES.glob("*.yaml")), ids=lambda file: file.stem)
def test_each_file_that_we_give_away_is_read(file: Path) -> None:
    assert read(str(file)).start


FLEET = """
provider: {kind: docker-plugin, name: acme}
runner: {kind: swarm, manager: tcp://192.0.2.1:2375}
lab:
  kind: hosts
  tester: 192.0.2.9
  nodes:
    alpha: {address: 192.0.2.1, engine: "tcp://{address}:2375"}
    beta: {address: 192.0.2.2, engine: "unix:///run/{node}.sock"}
faults:
  power_off: ssh root@{address} poweroff -f
  power_on: ipmitool -H {node}-bmc power on
  kill_plugin: ssh root@{address} pkill -KILL acme
"""


def test_hosts_are_read(tmp_path: Path) -> None:
    provider = read(written(tmp_path, FLEET))
    assert provider.hosts is not None
    engines = {name: host.engine for name, host in provider.hosts.nodes.items()}
    assert engines == {"alpha": "tcp://192.0.2.1:2375", "beta": "unix:///run/beta.sock"}
    assert (provider.driver, provider.manager) == ("acme", "tcp://192.0.2.1:2375")
    assert provider.lacks() == []
    planned = {name: verdict for name, _, verdict in plan(provider)}
    assert planned["T5"] == "runs"
    assert planned["T4"] == "NotRun: the provider file has no command faults: start_plugin"
    assert planned["T9"] == "NotRun: the provider file has no command faults: kill_runtime"
    assert planned["T10"] == "NotRun: Swarm refuses live restore"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("kind: docker-plugin, ", "kind: csi, "), "provider has no key 'sockets'"),
        (("kind: docker-plugin, ", "kind: csi, sockets: x, "), "provider: sockets: 'x'"),
        (("kind: docker-plugin, ", "kind: docker-plugin, sockets: x, "), "a plugin of Docker has none"),
        (("  tester:", "  folder: here\n  tester:"), "lab: folder: 'here'"),
        (("name: acme", "name: acme, start: ./acme"), "on hosts it runs already"),
        (("  tester: 192.0.2.9\n", ""), "lab has no key 'tester'"),
        (("192.0.2.9", "here"), "lab: tester: 'here' is no address"),
        (("kind: swarm, ", "kind: own, "), "hosts do not go with the runner own"),
        ((", manager: tcp://192.0.2.1:2375", ""), "runner has no key 'manager'"),
        (("kind: swarm", "kind: docker"), "runner: manager is for the runner swarm"),
        (('    beta: {address: 192.0.2.2, engine: "unix:///run/{node}.sock"}\n', ""), "two hosts or more"),
        (("unix:///run/{node}.sock", "ssh://beta"), "engine: 'ssh://beta'"),
        (("address: 192.0.2.2, ", ""), "beta must be a mapping with address and engine"),
        (("kill_plugin:", "kill_plugins:"), "the nearest is 'kill_plugin'"),
    ],
)
def test_hosts_that_make_no_sense_are_refused(change: tuple[str, str], said: str, tmp_path: Path) -> None:
    assert change[0] in FLEET
    with pytest.raises(InvalidArgumentError) as refused:
        read(written(tmp_path, FLEET.replace(*change)))
    assert said in str(refused.value)
